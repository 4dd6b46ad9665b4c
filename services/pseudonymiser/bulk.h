// A flat request read into the port's batch, and the port's answer written flat.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/privacy/pseudonymiser.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.pb.h"

namespace sluice::pseudonymiser {

// The domain that a target's name is of: `intelligence` of `intelligence@2`.
inline std::string_view DomainOf(std::string_view name) { return name.substr(0, name.find('@')); }

// The port's indexes of a target's domain.
struct ResolvedTarget {
  uint16_t domain = 0;
  uint16_t current = 0;  // without its pin
};

// kNotFound, kFailedPrecondition as PseudonymiseRequest has them; names no domain.
absl::StatusOr<std::vector<ResolvedTarget>> ResolveTargets(const v1::PseudonymiseRequest& request,
                                                           privacy::Pseudonymiser& pseudonymiser);

// Fills `batch`, which is empty. kInvalidArgument: the request contradicts itself. Allocates
// nothing for a value.
absl::Status ReadBatch(const v1::PseudonymiseRequest& request,
                       std::span<const ResolvedTarget> targets, privacy::PseudonymBatch& batch);

// At most so many bytes are in the answer; computed before any of it is made.
uint64_t AnswerBytes(const v1::PseudonymiseRequest& request);

void WriteAnswer(const privacy::PseudonymBatch& batch, const privacy::PseudonymAnswer& answer,
                 std::span<const ResolvedTarget> targets, v1::PseudonymiseResponse& response);

}  // namespace sluice::pseudonymiser
