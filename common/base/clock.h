// Time as a port: what decides by time is given a Clock, so that tests decide when time passes.
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice::base {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic; for intervals, deadlines and timers, which must survive a clock that jumps.
  virtual std::chrono::steady_clock::time_point Now() const = 0;
  // Milliseconds since the Unix epoch; for what is compared with other machines' times only.
  virtual int64_t UnixMillis() const = 0;
};

class SystemClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::now();
  }
  int64_t UnixMillis() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

// Stands still until told to move.
class ManualClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override { return now_; }
  int64_t UnixMillis() const override { return unix_millis_; }
  void Advance(std::chrono::milliseconds by) {
    now_ += by;
    unix_millis_ += by.count();
  }

 private:
  std::chrono::steady_clock::time_point now_{};
  int64_t unix_millis_ = 1'700'000'000'000;
};

}  // namespace sluice::base
