// A version as bytes, whole or as the difference from another: what goes over the wire and into
// files.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/reference/source.h"
#include "sluice/reference/v1/reference.pb.h"

namespace sluice::reference {

struct Snapshot {
  v1::SnapshotHead head;
  // A sequence of steps, each a byte and a number of 4 bytes: keep that many rows of the base, drop
  // as many, or add the row of as many bytes that follows. The same for the same two versions.
  std::string body;
};

// `base`, where given, is of the same schema.
Snapshot WriteSnapshot(std::string_view set, const enrichment::Rows& rows,
                       const enrichment::Rows* base = nullptr);

// `base` is the version that the head names. kDataLoss: these aren't the rows that the head
// promises.
absl::StatusOr<RowsPtr> ReadSnapshot(const Snapshot& snapshot,
                                     const enrichment::Rows* base = nullptr);

}  // namespace sluice::reference
