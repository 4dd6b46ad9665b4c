// Processes of a simulated world: each has a stack of its own, and one runs at a time, until it
// waits. Who comes next is a matter of the simulated clock alone, so a run repeats exactly.
#pragma once

#include <ucontext.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace sluice::simulation {

// Thrown where a fiber waits: its process is killed in the midst of what it does.
struct Killed {};

// Single-threaded.
class Fibers {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Fibers() = default;
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;
  // Every fiber has ended by then.
  ~Fibers() = default;

  // Begins at the next Run(). `body` lets no exception out, and waits in no catch block.
  size_t Add(std::function<void()> body);
  // Of the fiber that runs: goes on no sooner than at `until`. Outside of one it does nothing.
  // Throws Killed.
  void Wait(Time until);
  bool inside() const { return running_ != nullptr; }

  // The fiber that is due first goes on until it waits; false: none is due at `now`.
  bool Run(Time now);
  // When the next one is due; Time::max(): none is left.
  Time next() const;

  void Kill(size_t fiber) { fibers_[fiber]->killed = true; }
  // Doesn't go on before then, whatever it waits for.
  void Hold(size_t fiber, Time until) { fibers_[fiber]->held_until = until; }
  bool ended(size_t fiber) const { return fibers_[fiber]->ended; }
  // Goes on with it at once, until it waits or ends.
  void Resume(size_t fiber) { Switch(*fibers_[fiber]); }

 private:
  struct Fiber {
    std::function<void()> body;
    std::unique_ptr<char[]> stack;
    ucontext_t context;
    Time due{};
    Time held_until{};
    uint64_t turn = 0;  // of those that are due at one time, who ran longest ago comes first
    bool killed = false;
    bool ended = false;
    Time at() const { return due > held_until ? due : held_until; }
  };

  static void Enter(unsigned high, unsigned low);
  void Switch(Fiber& fiber);

  ucontext_t scheduler_;
  Fiber* running_ = nullptr;
  uint64_t turns_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
};

}  // namespace sluice::simulation
