// What an event may be at most. Beyond it, an event breaks its contract; nothing is cut off.
#pragma once

#include <cstddef>

namespace sluice::event {

struct Limits {
  size_t event_bytes_max = 1024 * 1024;  // rule event.too_large
  // What the event's values take once they are read: a list of small messages can take a hundred
  // times its own bytes. Rule event.too_large_parsed.
  size_t parsed_bytes_max = 16 * 1024 * 1024;
  size_t list_items_max =
      10'000;  // of one list or map; rules json.too_many_items, protobuf.too_many_items
};

// Nested objects and lists. simdjson's default of 1024 invites deep recursion in whoever reads the
// event next.
inline constexpr int kDepthMax = 32;
// Violations that are listed for one event; those beyond say nothing new.
inline constexpr size_t kViolationsMax = 64;

}  // namespace sluice::event
