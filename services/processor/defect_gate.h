// Halts a worker that finds more defects than events can be the cause of.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

#include "absl/status/status.h"
#include "common/base/strings.h"

namespace sluice::processor {

// Counts a worker's events and defects over the last minute. More defects than 20 and than one
// event in a hundred mean that the program or its surroundings are at fault: the flow is to halt
// before the whole topic is in quarantine. A worker that is resumed begins a new count, so that a
// person can let what is left through, a minute's allowance at a time. Not thread-safe.
class DefectGate {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void Add(Time now, uint64_t events, uint64_t defects) {
    Slot& slot = SlotAt(now);
    slot.events += events;
    slot.defects += defects;
    total_defects_ += defects;
  }

  // kInternal: halt; the next call begins anew.
  absl::Status Check(Time now) {
    if (total_defects_ <= kDefectsMin) return absl::OkStatus();
    SlotAt(now);
    uint64_t events = 0, defects = 0;
    for (const Slot& slot : slots_) {
      if (SecondOf(now) - slot.second >= kSeconds) continue;
      events += slot.events;
      defects += slot.defects;
    }
    if (defects <= std::max(kDefectsMin, events / 100)) {
      if (defects == 0) total_defects_ = 0;
      return absl::OkStatus();
    }
    *this = DefectGate();
    return absl::InternalError(base::StrCat(
        defects, " of ", events,
        " events in a minute went to quarantine as defects (sluice.defect): the program or its "
        "surroundings are at fault, not single events. Nothing more is read until `sluicectl "
        "resume`"));
  }

 private:
  static constexpr int64_t kSeconds = 60;
  static constexpr uint64_t kDefectsMin = 20;
  struct Slot {
    int64_t second = -kSeconds;
    uint64_t events = 0, defects = 0;
  };

  static int64_t SecondOf(Time now) {
    return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  }
  Slot& SlotAt(Time now) {
    const int64_t second = SecondOf(now);
    Slot& slot = slots_[static_cast<size_t>(second % kSeconds)];
    if (slot.second != second) slot = {second, 0, 0};
    return slot;
  }

  std::array<Slot, kSeconds> slots_;
  uint64_t total_defects_ = 0;  // cheap to look at; no fewer than the window's
};

}  // namespace sluice::processor
