#include "tests/simulation/fibers.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace sluice::simulation {
namespace {

constexpr size_t kStackBytes = 512 * 1024;

}  // namespace

size_t Fibers::Add(std::function<void()> body) {
  auto fiber = std::make_unique<Fiber>();
  fiber->body = std::move(body);
  fiber->stack = std::make_unique<char[]>(kStackBytes);
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = &scheduler_;
  // makecontext passes ints.
  auto address = reinterpret_cast<uintptr_t>(fiber.get());
  makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Fibers::Enter), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
  fibers_.push_back(std::move(fiber));
  return fibers_.size() - 1;
}

void Fibers::Enter(unsigned high, unsigned low) {
  auto* fiber = reinterpret_cast<Fiber*>((uintptr_t{high} << 32) | low);
  fiber->body();
  fiber->ended = true;
}

void Fibers::Switch(Fiber& fiber) {
  if (fiber.ended) return;
  fiber.turn = ++turns_;
  running_ = &fiber;
  swapcontext(&scheduler_, &fiber.context);
  running_ = nullptr;
}

void Fibers::Wait(Time until) {
  // Who is being unwound waits for nothing.
  if (running_ == nullptr || std::uncaught_exceptions() > 0) return;
  Fiber& fiber = *running_;
  fiber.due = until;
  swapcontext(&fiber.context, &scheduler_);
  if (std::exchange(fiber.killed, false)) throw Killed{};
}

bool Fibers::Run(Time now) {
  Fiber* first = nullptr;
  for (const auto& fiber : fibers_) {
    if (fiber->ended || fiber->at() > now) continue;
    if (first == nullptr ||
        std::pair(fiber->at(), fiber->turn) < std::pair(first->at(), first->turn))
      first = fiber.get();
  }
  if (first != nullptr) Switch(*first);
  return first != nullptr;
}

Fibers::Time Fibers::next() const {
  Time next = Time::max();
  for (const auto& fiber : fibers_) {
    if (!fiber->ended) next = std::min(next, fiber->at());
  }
  return next;
}

}  // namespace sluice::simulation
