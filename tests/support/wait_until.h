// Waiting for what nothing announces: a line in another process's log, the end of a process.
#pragma once

#include <chrono>
#include <thread>

namespace sluice::test_support {

// Asks `ready` every 5 ms until it says yes or `timeout` has passed; returns its last answer.
template <typename Predicate>
bool WaitUntil(std::chrono::milliseconds timeout, Predicate ready) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!ready()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace sluice::test_support
