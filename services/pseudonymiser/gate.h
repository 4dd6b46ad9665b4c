// How many calls are served at a time, and of whom.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace sluice::pseudonymiser {

// Of the places that calls take, people's callers get half, and one of them an eighth; the rest is
// kept for `bulk` callers, the processors, of whom one gets three quarters. Streams stay, so that
// they have places of their own: a quarter as many, of which one caller gets a quarter.
// Thread-safe.
class Gate {
 public:
  explicit Gate(size_t calls);

  // Its place is free again when it goes.
  using Pass = std::shared_ptr<void>;
  // kResourceExhausted: there is no place for this caller.
  absl::StatusOr<Pass> Enter(std::string_view caller, bool bulk);
  absl::StatusOr<Pass> EnterStream(std::string_view caller);

  // Threads that so many calls need, and those that are being refused.
  static int Threads(size_t calls) { return static_cast<int>(2 * calls + calls / 4 + 4); }

 private:
  struct Places {
    size_t in_all = 0, people = 0, streams = 0;
    std::map<std::string, size_t, std::less<>> calls_of, streams_of;
  };
  // Outlives the gate where a pass does.
  struct Shared {
    base::Mutex mutex;
    Places places ABSL_GUARDED_BY(mutex);
  };
  const size_t calls_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace sluice::pseudonymiser
