// Re-identification: one asks, two others approve, and the first redeems the grant, once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "sluice/pseudonymiser/v1/pseudonymiser.pb.h"

namespace sluice::pseudonymiser {

inline constexpr size_t kApprovalsNeeded = 2;

struct Reidentification {
  std::string id;
  std::string requester;
  v1::Scope scope;
  v1::Justification justification;
  std::vector<std::string> recipients;
  std::vector<std::string> approvers;
  int64_t requested_unix_ms = 0;
  int64_t valid_ms = 0;  // of the grant
  bool redeemed = false;
  int64_t expires_unix_ms = 0;

  bool approved() const { return approvers.size() >= kApprovalsNeeded; }
};

// In memory only: after a restart there is no grant. Every act is recorded before it takes effect,
// and isn't done when that fails. Times are of the clock's monotonic side, so that nobody extends a
// grant by setting a clock. Thread-safe.
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

  // They outlive it.
  Reidentifications(Options options, const base::Clock& clock, base::RandomSource& random)
      : options_(options), clock_(clock), random_(random) {}

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
  absl::StatusOr<Reidentification> Find(std::string_view id) const;
  std::vector<Reidentification> all() const;
  v1::Reidentification::State StateOf(const Reidentification& one) const;

 private:
  struct Entry {
    Reidentification request;
    std::chrono::steady_clock::time_point expires;
  };
  absl::StatusOr<Entry*> Alive(std::string_view id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetExpiry(Entry& entry, int64_t valid_ms);
  // Of those that ended, what nobody needs to be told apart from an unknown one any more.
  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const base::Clock& clock_;
  base::RandomSource& random_;
  mutable base::Mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::pseudonymiser
