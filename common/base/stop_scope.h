// Ends long work that waits for nothing: a sort of millions of rows, a map's tables. A process that
// is told to end has seconds.
#pragma once

#include <stop_token>
#include <utility>

namespace sluice::base {

// While it lives, work on this thread ends early once the token is requested. Whoever begins the
// work makes one; loops deep within it ask, so that no function between them has to hand a token
// on. Scopes nest: the innermost counts. What ended early is unfinished, and told by kCancelled.
class StopScope {
 public:
  explicit StopScope(std::stop_token stop)
      : stop_(std::move(stop)), before_(std::exchange(current, &stop_)) {}
  ~StopScope() { current = before_; }
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;

  // Cheap: for every row. False where there is no scope.
  static bool stop_requested() { return current != nullptr && current->stop_requested(); }

 private:
  static inline thread_local const std::stop_token* current = nullptr;

  const std::stop_token stop_;
  const std::stop_token* const before_;
};

}  // namespace sluice::base
