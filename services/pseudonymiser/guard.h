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

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "services/pseudonymiser/policy.h"
#include "services/pseudonymiser/sketch.h"

namespace sluice::pseudonymiser {

enum class LockReason { kSweep, kMisses };
std::string_view LockReasonName(LockReason reason);

// Knows callers of the policy only, so that its memory is bounded by it: about five kibibytes each.
// Forgets everything with the process. Thread-safe.
class Guard {
 public:
  enum class Verdict { kAdmitted, kLocked, kOverSecond, kOverDay };
  struct Locked {
    std::string caller;
    LockReason reason;
    int64_t since_unix_ms;
  };

  // `clock` outlives it.
  explicit Guard(const base::Clock& clock) : clock_(clock) {}

  // Before a call: takes its values from what the caller may have.
  Verdict Admit(std::string_view caller, const Limits& limits, uint64_t values);
  // After it: hashes of the values, and how many of them missed. Why the caller is locked from now
  // on; nullopt: it isn't, or was already.
  std::optional<LockReason> Saw(std::string_view caller, const Limits& limits,
                                std::span<const uint64_t> hashes, uint64_t misses);

  std::vector<Locked> locked() const;
  // False: it wasn't locked.
  bool Unlock(std::string_view caller);
  // What isn't in the policy any more is forgotten.
  void Keep(const Policy& policy);

 private:
  struct State {
    int64_t second = -1, day = -1, hour = -1;  // that the counts are of
    uint64_t in_second = 0, in_day = 0, misses = 0;
    DistinctSketch distinct;  // of the hour
    std::optional<Locked> locked;
  };
  State& Of(std::string_view caller) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::Clock& clock_;
  mutable base::Mutex mutex_;
  std::map<std::string, std::unique_ptr<State>, std::less<>> states_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::pseudonymiser
