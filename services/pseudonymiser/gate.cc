#include "services/pseudonymiser/gate.h"

#include <algorithm>

namespace sluice::pseudonymiser {
namespace {

absl::Status Full(std::string_view what) {
  return absl::ResourceExhaustedError(
      std::string(what) + ": wait for the answers, or make fewer at a time (limits.calls)");
}

void Leave(std::map<std::string, size_t, std::less<>>& of, const std::string& caller) {
  auto found = of.find(caller);
  if (found != of.end() && --found->second == 0) of.erase(found);
}

size_t Of(const std::map<std::string, size_t, std::less<>>& of, std::string_view caller) {
  auto found = of.find(caller);
  return found == of.end() ? 0 : found->second;
}

}  // namespace

Gate::Gate(size_t calls) : calls_(std::max<size_t>(calls, 4)) {}

absl::StatusOr<Gate::Pass> Gate::Enter(std::string_view caller, bool bulk) {
  const size_t own_max = bulk ? calls_ * 3 / 4 : std::max<size_t>(calls_ / 8, 1);
  base::MutexLock lock(shared_->mutex);
  Places& places = shared_->places;
  if (Of(places.calls_of, caller) >= own_max) return Full("the caller has too many calls open");
  if (places.in_all >= calls_ || (!bulk && places.people >= calls_ / 2))
    return Full("the service has too many calls open");
  ++places.in_all;
  if (!bulk) ++places.people;
  const std::string name(caller);
  ++places.calls_of[name];
  return Pass(nullptr, [shared = shared_, name, bulk](void*) {
    base::MutexLock lock(shared->mutex);
    --shared->places.in_all;
    if (!bulk) --shared->places.people;
    Leave(shared->places.calls_of, name);
  });
}

absl::StatusOr<Gate::Pass> Gate::EnterStream(std::string_view caller) {
  base::MutexLock lock(shared_->mutex);
  Places& places = shared_->places;
  if (Of(places.streams_of, caller) >= std::max<size_t>(calls_ / 16, 1))
    return Full("the caller has too many streams open");
  if (places.streams >= std::max<size_t>(calls_ / 4, 1))
    return Full("the service has too many streams open");
  ++places.streams;
  const std::string name(caller);
  ++places.streams_of[name];
  return Pass(nullptr, [shared = shared_, name](void*) {
    base::MutexLock lock(shared->mutex);
    --shared->places.streams;
    Leave(shared->places.streams_of, name);
  });
}

}  // namespace sluice::pseudonymiser
