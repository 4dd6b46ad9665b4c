// Synthetic events that an engine sends through itself: a marker in every leaf that is about a
// person, valid for its kind. What a stream would publish of them is looked through before anything
// else is published.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/arena.h"
#include "common/engine/pipeline.h"
#include "common/event/event.h"

namespace sluice::engine {

// Immutable. The events enter behind the contract's rules, which is why their values needn't keep
// them.
class SelfCheck {
 public:
  explicit SelfCheck(const Pipeline& pipeline);

  // So many events, so that each member of a oneof is in one of them; at least one.
  size_t events() const { return events_; }
  // One of them: its record, in the arena.
  event::Value* Fill(size_t event, base::Arena& arena) const;
  // Classified leaves that no marker can stand in: booleans, enums, durations, bytes, small
  // numbers.
  size_t unmarked() const { return unmarked_; }

  // The path of the first leaf of which the record shows more than the stream's treatment of it
  // may; empty: none. `record` is all that would be published: value, key and headers.
  std::string_view Leak(const StreamPlan& stream, std::string_view record) const;

 private:
  struct Marker {
    contract::NodeId node = contract::kNoNode;
    std::string text;
    bool number = false;  // shows in JSON only
    bool time = false;    // likewise
  };
  void Mark(const contract::Node& node);
  bool CanBeTreated(const contract::Node& node, std::string_view text) const;
  event::Value ValueOf(const contract::Node& node, size_t event, base::Arena& arena) const;
  event::Value LeafOf(const contract::Node& node) const;
  const Marker* MarkerOf(contract::NodeId node) const;

  const Pipeline& pipeline_;
  const contract::Plan& plan_;
  std::vector<Marker> markers_;  // ascending by node
  std::vector<bool> absent_;     // by node
  size_t events_ = 1;
  size_t unmarked_ = 0;
};

}  // namespace sluice::engine
