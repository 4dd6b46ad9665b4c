// Named points at which a test has the process die as by `kill -9`:
// SLUICE_FAILPOINT=<name>[:<count>] kills it on the count-th pass (default 1). Unset, a point costs
// one branch. Points: after_produce, after_send_offsets, during_commit.
#pragma once

#include <atomic>
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

}  // namespace sluice::stream
