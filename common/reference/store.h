// Where the rows of a set's versions are while they are used: in memory, or in mapped files.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/enrichment/row_set.h"
#include "common/reference/file_text.h"
#include "common/reference/interrupt.h"

namespace sluice::reference {

using RowsPtr = std::shared_ptr<const enrichment::Rows>;

// Takes the rows of one version.
class VersionBuilder : public enrichment::RowSink {
 public:
  virtual size_t size() const = 0;
  // Rows that were left out, as they never hold.
  virtual uint64_t never_hold() const = 0;
  // The builder is spent after it. Errors: what is wrong with the rows; kResourceExhausted: there
  // is no room for them.
  virtual absl::StatusOr<RowsPtr> Finish() = 0;
};

// Thread-safe.
class Store {
 public:
  // In memory.
  Store() = default;
  // In an LMDB file for each version of this set, with the same ids and answers. A file is whole or
  // not there, and goes with the last that uses its rows unless Shelf::Put keeps it. `folder`: a
  // Shelf's; empty: files have no name for longer than they are written, in the system's folder
  // for temporary files.
  static Store Mapped(std::string set, std::string folder);

  // What rows in memory may take at most, of each version: beyond it a version is refused, as it
  // would end the process.
  static constexpr size_t kMemoryBytesMax = size_t{8} << 30;
  void LimitMemory(size_t bytes_max) { memory_bytes_max_ = bytes_max; }
  // Builders refuse further rows (kCancelled) once it is raised.
  void EndWith(std::shared_ptr<const Interrupt> interrupt) { interrupt_ = std::move(interrupt); }

  absl::StatusOr<std::unique_ptr<VersionBuilder>> Begin(
      std::shared_ptr<const enrichment::Schema> schema) const;
  // What rows are read from, without more memory than the rows may take.
  absl::StatusOr<FileText> Read(const std::string& path, const std::string& name) const;

 private:
  absl::StatusOr<std::string> Folder() const;

  bool mapped_ = false;
  size_t memory_bytes_max_ = kMemoryBytesMax;
  std::string set_, folder_;
  std::shared_ptr<const Interrupt> interrupt_;
};

}  // namespace sluice::reference
