#include "services/pseudonymiser/guard.h"

#include <algorithm>

#include "common/base/status.h"

namespace sluice::pseudonymiser {
namespace {

using std::chrono::duration_cast;

constexpr int64_t kDayMs = 86'400'000;

}  // namespace

std::string_view LockReasonName(LockReason reason) {
  return reason == LockReason::kSweep ? "sweep" : "misses";
}

namespace {

bool MayLock(const Limits& limits) {
  return limits.distinct_values_per_hour != 0 || limits.misses_per_hour != 0;
}

template <typename Locks>
auto LockOf(Locks& locks, std::string_view caller) {
  return std::find_if(locks.begin(), locks.end(),
                      [&](const v1::KeptLock& lock) { return lock.caller() == caller; });
}

}  // namespace

Guard::State& Guard::Of(std::string_view caller) {
  auto found = states_.find(caller);
  if (found == states_.end())
    found = states_.emplace(std::string(caller), std::make_unique<State>()).first;
  return *found->second;
}

Guard::Verdict Guard::Admit(std::string_view caller, const Limits& limits, uint64_t values) {
  const int64_t second =
      duration_cast<std::chrono::seconds>(clock_.Now().time_since_epoch()).count();
  // A clock that is set doesn't give a day's values twice.
  const int64_t day =
      (begun_unix_ms_ + duration_cast<std::chrono::milliseconds>(clock_.Now() - begun_).count()) /
      kDayMs;
  if (MayLock(limits)) {
    if (authority_ == nullptr) return Verdict::kNotKept;
    bool locked = false;
    absl::Status known = authority_->See([&](const v1::AuthorityState& state, int64_t) {
      locked = LockOf(state.locks(), caller) != state.locks().end();
      return absl::OkStatus();
    });
    if (!known.ok()) return Verdict::kUnknown;
    if (locked) return Verdict::kLocked;
  }
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
  if (!MayLock(limits)) return std::nullopt;
  std::optional<LockReason> reason = Counted(caller, limits, hashes, misses);
  if (!reason) return reason;
  // Not under the mutex, which every caller's calls take: the file may be waited for.
  absl::Status kept = authority_ == nullptr
                          ? absl::UnavailableError("nowhere to keep it")
                          : authority_->With([&](v1::AuthorityState& kept, int64_t now_ms) {
                              if (LockOf(*kept.mutable_locks(), caller) != kept.locks().end())
                                return absl::OkStatus();
                              v1::KeptLock& added = *kept.add_locks();
                              added.set_caller(std::string(caller));
                              added.set_reason(std::string(LockReasonName(*reason)));
                              added.set_since_unix_ms(now_ms);
                              return absl::OkStatus();
                            });
  base::MutexLock lock(mutex_);
  State& state = Of(caller);
  // What can't be told to the others holds here, until the process ends or somebody unlocks it.
  if (kept.ok()) state.locked.reset();
  return reason;
}

std::optional<LockReason> Guard::Counted(std::string_view caller, const Limits& limits,
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
  if (!reason) return reason;
  // Locked here before it is told to the others.
  state.locked =
      Locked{std::string(caller), std::string(LockReasonName(*reason)), clock_.UnixMillis()};
  // Whoever unlocks the caller gives it a whole allowance.
  state.hour = -1;
  return reason;
}

absl::StatusOr<std::vector<Guard::Locked>> Guard::locked() const {
  std::vector<Locked> locked;
  {
    base::MutexLock lock(mutex_);
    for (const auto& [caller, state] : states_)
      if (state->locked) locked.push_back(*state->locked);
  }
  if (authority_ == nullptr) return locked;  // whom a change of limits locked meanwhile
  const size_t here = locked.size();
  SLUICE_RETURN_IF_ERROR(authority_->See([&](const v1::AuthorityState& state, int64_t) {
    for (const v1::KeptLock& lock : state.locks()) {
      const bool known =
          std::any_of(locked.begin(), locked.begin() + static_cast<std::ptrdiff_t>(here),
                      [&](const Locked& other) { return other.caller == lock.caller(); });
      if (!known) locked.push_back({lock.caller(), lock.reason(), lock.since_unix_ms()});
    }
    return absl::OkStatus();
  }));
  return locked;
}

absl::Status Guard::Unlock(std::string_view caller) {
  absl::Status unknown =
      absl::NotFoundError("there is no such locked caller: see ListLockedCallers");
  auto here = [&](bool unlock) {
    base::MutexLock lock(mutex_);
    auto found = states_.find(caller);
    const bool locked = found != states_.end() && found->second->locked;
    if (locked && unlock) found->second->locked.reset();
    return locked;
  };
  if (authority_ == nullptr) return here(true) ? absl::OkStatus() : unknown;
  const bool locked = here(false);
  SLUICE_RETURN_IF_ERROR(authority_->With([&](v1::AuthorityState& state, int64_t) {
    auto found = LockOf(*state.mutable_locks(), caller);
    if (found == state.locks().end()) return locked ? absl::OkStatus() : unknown;
    state.mutable_locks()->erase(found);
    return absl::OkStatus();
  }));
  // Not before: a caller that is said to be locked still is.
  here(true);
  return absl::OkStatus();
}

void Guard::Keep(const Policy& policy) {
  base::MutexLock lock(mutex_);
  std::erase_if(states_, [&](const auto& entry) { return !policy.Knows(entry.first); });
}

}  // namespace sluice::pseudonymiser
