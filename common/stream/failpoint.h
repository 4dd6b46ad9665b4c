// Named points at which a test has the process die as by `kill -9`:
// SLUICE_FAILPOINT=<name>[:<count>] kills it on the count-th pass (default 1). Unset, a point costs
// one branch. Points: after_produce, after_send_offsets, during_commit. And an event at which a test
// has the process die by a fault of its own: SLUICE_FAILPOINT=fault_at_event:<partition>/<offset>.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace sluice::stream {

// Thread-safe.
class Failpoint {
 public:
  explicit Failpoint(std::string_view name);
  void Pass() {
    if (passes_left_.load(std::memory_order_relaxed) > 0) [[unlikely]]
      Count();
  }

 private:
  void Count();
  std::atomic<int> passes_left_{0};
};

// A wild pointer, at one event. Immutable.
class EventFault {
 public:
  EventFault();
  void Pass(int32_t partition, int64_t offset) const {
    if (offset == offset_ && partition == partition_) [[unlikely]]
      Fault();
  }

 private:
  [[noreturn]] static void Fault();
  int32_t partition_ = -1;
  int64_t offset_ = -1;
};

}  // namespace sluice::stream
