// Writes a reference set that is larger than memory may be.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/enrichment/row_set.h"

namespace sluice::reference {

// The file of an LmdbTable. Memory is a partition's: a 256th of the rows, and 16 MiB.
// Single-threaded.
class LmdbBuilder final : public enrichment::RowSink {
 public:
  // `file` is written beside its place and moved there at the end; what is there is replaced. Rows
  // wait in unnamed files of the same folder, as large as the rows.
  static absl::StatusOr<std::unique_ptr<LmdbBuilder>> Create(
      std::string file, std::shared_ptr<const enrichment::Schema> schema);
  ~LmdbBuilder() override;
  LmdbBuilder(const LmdbBuilder&) = delete;
  LmdbBuilder& operator=(const LmdbBuilder&) = delete;

  const enrichment::Schema& schema() const override { return *schema_; }
  absl::Status Add(std::span<const event::Value> row, const enrichment::RowPlace& place) override;
  size_t size() const { return rows_; }
  // As RowSet::Builder has it.
  uint64_t never_hold() const { return never_hold_; }
  // The id of the version. Errors as RowSet::Builder has them, and those of the disk. The builder
  // is spent after it.
  absl::StatusOr<std::string> Finish();

 private:
  struct Partition {
    int file = -1;
    uint64_t bytes = 0;  // in the file
    std::string buffer;
  };
  class Writer;

  LmdbBuilder(std::string file, std::shared_ptr<const enrichment::Schema> schema);
  absl::Status Flush(Partition& partition);

  const std::string file_;
  const std::shared_ptr<const enrichment::Schema> schema_;
  std::vector<Partition> partitions_;
  enrichment::RowSources sources_;
  enrichment::KeyEncoder encoder_;
  size_t rows_ = 0;
  uint64_t never_hold_ = 0;
  std::string bytes_;  // of the row at hand
};

}  // namespace sluice::reference
