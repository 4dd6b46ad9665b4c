// A version as bytes, whole or as the difference from another: what goes over the wire and into
// files. Written and read in parts, as a version may be larger than memory.
//
// The body is a sequence of steps, each a byte and a number of 4 bytes: keep that many rows of the
// base, drop as many, or add the row of as many bytes that follows. It is the same for the same two
// versions, wherever their rows are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/sha256.h"
#include "common/reference/store.h"
#include "sluice/reference/v1/reference.pb.h"

namespace sluice::reference {

// `base`, where given, is of the same schema. Goes over all rows, as the body's size and hash are
// in it.
v1::SnapshotHead SnapshotHeadOf(std::string_view set, const enrichment::Rows& rows,
                                const enrichment::Rows* base = nullptr);

struct BodyOptions {
  uint64_t offset = 0;  // of the first byte that is written
  size_t part_bytes = 1024 * 1024;
};

// Gives the body to `take` in parts, all but the last of part_bytes. An error of `take` ends it.
absl::Status WriteBody(const enrichment::Rows& rows, const enrichment::Rows* base,
                       const BodyOptions& options,
                       absl::FunctionRef<absl::Status(std::string_view part)> take);

// Takes a body part by part, whatever the parts are. Single-threaded.
class SnapshotReader {
 public:
  // `base` is the version that the head names, and outlives the reader. The rows come into `store`.
  // kDataLoss: this base can't be it, or the head is none.
  static absl::StatusOr<std::unique_ptr<SnapshotReader>> Create(
      v1::SnapshotHead head, const Store& store, const enrichment::Rows* base = nullptr);

  const v1::SnapshotHead& head() const { return head_; }
  uint64_t bytes() const { return bytes_; }  // of the body so far

  // kDataLoss: not what the head promises; kResourceExhausted: there is no room for the rows.
  absl::Status Add(std::string_view part);
  // The errors of Add(). The reader is spent after it.
  absl::StatusOr<RowsPtr> Finish();

 private:
  SnapshotReader(v1::SnapshotHead head, const enrichment::Rows* base);
  absl::Status Broken(std::string_view what) const;
  // What is left of the text, which may end in the middle of a step.
  absl::StatusOr<std::string_view> TakeSteps(std::string_view text);
  absl::Status AddRow(std::string_view bytes, std::string_view what);

  const v1::SnapshotHead head_;
  std::unique_ptr<VersionBuilder> builder_;
  base::Sha256 hash_;
  uint64_t bytes_ = 0;
  std::string pending_;  // the beginning of a step
  size_t base_left_ = 0;
  std::unique_ptr<enrichment::Rows::Cursor> old_;
  std::vector<event::Value> row_;
  int line_ = 0;
};

}  // namespace sluice::reference
