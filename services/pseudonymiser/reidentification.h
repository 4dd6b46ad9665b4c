// Re-identification: one asks, two others approve, and the first redeems the grant, once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "services/pseudonymiser/authority.h"

namespace sluice::pseudonymiser {

inline constexpr size_t kApprovalsNeeded = 2;

using Reidentification = v1::KeptReidentification;

inline bool IsApproved(const Reidentification& one) {
  return one.approvers_size() >= static_cast<int>(kApprovalsNeeded);
}

// Every act is recorded before it takes effect, and isn't done when that fails; it is done for all
// replicas, or for none. kUnavailable: what they know together can't be had. Thread-safe.
class Reidentifications {
 public:
  struct Options {
    int64_t request_valid_ms = 86'400'000;
    int64_t grant_valid_ms_max = 3'600'000;
    uint32_t values_max = 100;
    size_t requests_max = 1'000;
    size_t requests_per_caller_max = 100;
  };
  using Record = absl::FunctionRef<absl::Status(const Reidentification&)>;

  struct Seen {
    Reidentification request;
    v1::Reidentification::State state;
  };

  // They outlive it; nullptr: nobody is re-identified, kFailedPrecondition.
  Reidentifications(Options options, Authority* authority, base::RandomSource& random)
      : options_(options), authority_(authority), random_(random) {}

  // kInvalidArgument names the field. kResourceExhausted: too many are waiting.
  absl::StatusOr<Reidentification> Request(std::string_view caller,
                                           const v1::RequestReidentificationRequest& request,
                                           Record record);

  // kNotFound: there is no such request, or it was forgotten. kFailedPrecondition: it has expired,
  // or is approved or redeemed already. kPermissionDenied: the caller asked for it, or has approved
  // it before. kInvalidArgument: its scope isn't what the approver names.
  absl::StatusOr<Reidentification> Approve(std::string_view caller, std::string_view id,
                                           const v1::Scope& scope, Record record);

  // Uses the grant up; before that `check` has the last word. kPermissionDenied: another asked for
  // it. kFailedPrecondition: it isn't approved, was redeemed, or has expired.
  absl::StatusOr<Reidentification> Redeem(std::string_view caller, std::string_view id,
                                          Record check);

  // kNotFound as above.
  absl::StatusOr<Seen> Find(std::string_view id) const;
  using State = v1::Reidentification::State;
  // Those whose ids come after `after`, in the order of ids, until `each` is false.
  absl::Status ForEach(std::string_view after,
                       absl::FunctionRef<bool(const Reidentification&, State)> each) const;

 private:
  absl::StatusOr<Authority*> Kept() const;
  absl::Status With(Authority::Work work) const;
  absl::Status See(Authority::Look look) const;

  const Options options_;
  Authority* const authority_;
  base::RandomSource& random_;
};

}  // namespace sluice::pseudonymiser
