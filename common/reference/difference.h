// What is different between two versions of a set, for people.
#pragma once

#include "absl/status/statusor.h"
#include "common/reference/store.h"
#include "sluice/reference/v1/reference.pb.h"

namespace sluice::reference {

// Counts, and the first keys of each kind where a key may be shown (Schema::KeyForPeople): no value
// of any column. Rows are the same where key and times are. kFailedPrecondition: the versions are
// of two schemas, so that their rows can't be compared.
absl::StatusOr<v1::DiffResponse> Difference(const enrichment::Rows& before,
                                            const enrichment::Rows& after);

}  // namespace sluice::reference
