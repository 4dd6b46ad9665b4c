#include "services/pseudonymiser/guard.h"

namespace sluice::pseudonymiser {
namespace {

using std::chrono::duration_cast;

constexpr int64_t kDayMs = 86'400'000;

}  // namespace

std::string_view LockReasonName(LockReason reason) {
  return reason == LockReason::kSweep ? "sweep" : "misses";
}

Guard::State& Guard::Of(std::string_view caller) {
  auto found = states_.find(caller);
  if (found == states_.end())
    found = states_.emplace(std::string(caller), std::make_unique<State>()).first;
  return *found->second;
}

Guard::Verdict Guard::Admit(std::string_view caller, const Limits& limits, uint64_t values) {
  const int64_t second =
      duration_cast<std::chrono::seconds>(clock_.Now().time_since_epoch()).count();
  const int64_t day = clock_.UnixMillis() / kDayMs;
  base::MutexLock lock(mutex_);
  State& state = Of(caller);
  if (state.locked) return Verdict::kLocked;
  if (state.second != second) state.in_second = 0;
  if (state.day != day) state.in_day = 0;
  state.second = second;
  state.day = day;
  if (limits.values_per_day != 0 && state.in_day + values > limits.values_per_day)
    return Verdict::kOverDay;
  if (limits.values_per_s != 0 && state.in_second + values > limits.values_per_s)
    return Verdict::kOverSecond;
  state.in_second += values;
  state.in_day += values;
  return Verdict::kAdmitted;
}

std::optional<LockReason> Guard::Saw(std::string_view caller, const Limits& limits,
                                     std::span<const uint64_t> hashes, uint64_t misses) {
  const int64_t hour = duration_cast<std::chrono::hours>(clock_.Now().time_since_epoch()).count();
  base::MutexLock lock(mutex_);
  State& state = Of(caller);
  if (state.locked) return std::nullopt;
  if (state.hour != hour) {
    state.hour = hour;
    state.misses = 0;
    state.distinct.Clear();
  }
  state.misses += misses;
  for (uint64_t hash : hashes) state.distinct.Add(hash);
  std::optional<LockReason> reason;
  if (limits.misses_per_hour != 0 && state.misses > limits.misses_per_hour)
    reason = LockReason::kMisses;
  if (limits.distinct_values_per_hour != 0 && !hashes.empty() &&
      state.distinct.Estimate() > static_cast<double>(limits.distinct_values_per_hour)) {
    reason = LockReason::kSweep;
  }
  if (reason) state.locked = Locked{std::string(caller), *reason, clock_.UnixMillis()};
  return reason;
}

std::vector<Guard::Locked> Guard::locked() const {
  base::MutexLock lock(mutex_);
  std::vector<Locked> locked;
  for (const auto& [caller, state] : states_) {
    if (state->locked) locked.push_back(*state->locked);
  }
  return locked;
}

bool Guard::Unlock(std::string_view caller) {
  base::MutexLock lock(mutex_);
  auto found = states_.find(caller);
  if (found == states_.end() || !found->second->locked) return false;
  states_.erase(found);
  return true;
}

void Guard::Keep(const Policy& policy) {
  base::MutexLock lock(mutex_);
  std::erase_if(states_, [&](const auto& entry) { return !policy.Knows(entry.first); });
}

}  // namespace sluice::pseudonymiser
