// What each caller has asked for lately: its volume, and whether it sweeps.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "services/pseudonymiser/authority.h"
#include "services/pseudonymiser/policy.h"
#include "services/pseudonymiser/sketch.h"

namespace sluice::pseudonymiser {

enum class LockReason { kSweep, kMisses };
std::string_view LockReasonName(LockReason reason);

// Counts callers of the policy only, so that its memory is bounded by it: about five kibibytes
// each. What it counts is this process's, and forgotten with it; that a caller is locked is every
// replica's. Thread-safe.
class Guard {
 public:
  // kNotKept: the caller could be locked, and there is nowhere to keep that. kUnknown: whether it
  // is can't be told.
  enum class Verdict { kAdmitted, kLocked, kOverSecond, kOverDay, kNotKept, kUnknown };
  struct Locked {
    std::string caller;
    std::string reason;
    int64_t since_unix_ms;
  };

  // They outlive it; nullptr: whoever a limit could lock isn't admitted.
  Guard(const base::Clock& clock, Authority* authority)
      : clock_(clock),
        authority_(authority),
        begun_unix_ms_(clock.UnixMillis()),
        begun_(clock.Now()) {}

  // Before a call: takes its values from what the caller may have.
  Verdict Admit(std::string_view caller, const Limits& limits, uint64_t values);
  // After it: hashes of the values, and how many of them missed. Why the caller is locked from now
  // on; nullopt: it isn't, or was already.
  std::optional<LockReason> Saw(std::string_view caller, const Limits& limits,
                                std::span<const uint64_t> hashes, uint64_t misses);

  absl::StatusOr<std::vector<Locked>> locked() const;
  // kNotFound: it isn't locked.
  absl::Status Unlock(std::string_view caller);
  // What isn't in the policy any more is forgotten.
  void Keep(const Policy& policy);

 private:
  struct State {
    int64_t second = -1, day = -1, hour = -1;  // that the counts are of
    uint64_t in_second = 0, in_day = 0, misses = 0;
    DistinctSketch distinct;  // of the hour
    // By this process, which couldn't tell the others.
    std::optional<Locked> locked;
  };
  State& Of(std::string_view caller) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Saw() without the others: whether it is to be locked; is from here on, in this process.
  std::optional<LockReason> Counted(std::string_view caller, const Limits& limits,
                                    std::span<const uint64_t> hashes, uint64_t misses);

  const base::Clock& clock_;
  Authority* const authority_;
  const int64_t begun_unix_ms_;
  const std::chrono::steady_clock::time_point begun_;
  mutable base::Mutex mutex_;
  std::map<std::string, std::unique_ptr<State>, std::less<>> states_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::pseudonymiser
