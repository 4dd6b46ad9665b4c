// One parsed event: values by position, text by reference, nothing allocated one by one.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/arena.h"
#include "common/contract/plan.h"

namespace sluice::event {

enum class ValueKind : uint8_t {
  kAbsent,  // not in the input, or a spelling of null
  kBool,
  kInt,  // int32, int64 and enum numbers
  kUint,
  kDouble,  // float and double
  kText,    // string (valid UTF-8) and bytes (decoded)
  kTime,    // timestamp: seconds since the epoch and nanos; duration: seconds and nanos of one sign
  kRecord,  // message: its fields' values, child_count of them
  kList,    // repeated: `size` items; map: `size` records of two values
};

// 16 bytes, trivially copyable; what it points to lives in the chunk's arena.
struct Value {
  ValueKind kind = ValueKind::kAbsent;
  // For an identifier's value: 1 + its place among the event's identifiers; 0: none. Set by the
  // engine.
  uint16_t identifier = 0;
  union {
    uint32_t size = 0;  // kText: bytes; kList: items
    int32_t nanos;      // kTime
  };
  union {
    bool boolean;
    int64_t integer = 0;
    uint64_t unsigned_integer;
    double number;
    int64_t seconds;
    const char* bytes;
    Value* values;  // kRecord, kList
  };

  bool present() const { return kind != ValueKind::kAbsent; }
  std::string_view text() const { return {bytes, size}; }

  static Value Bool(bool value) {
    Value v;
    v.kind = ValueKind::kBool;
    v.boolean = value;
    return v;
  }
  static Value Int(int64_t value) {
    Value v;
    v.kind = ValueKind::kInt;
    v.integer = value;
    return v;
  }
  static Value Uint(uint64_t value) {
    Value v;
    v.kind = ValueKind::kUint;
    v.unsigned_integer = value;
    return v;
  }
  static Value Double(double value) {
    Value v;
    v.kind = ValueKind::kDouble;
    v.number = value;
    return v;
  }
  static Value Text(std::string_view value) {
    Value v;
    v.kind = ValueKind::kText;
    v.size = static_cast<uint32_t>(value.size());
    v.bytes = value.data();
    return v;
  }
  static Value Time(int64_t seconds, int32_t nanos) {
    Value v;
    v.kind = ValueKind::kTime;
    v.nanos = nanos;
    v.seconds = seconds;
    return v;
  }
  static Value Record(Value* fields) {
    Value v;
    v.kind = ValueKind::kRecord;
    v.values = fields;
    return v;
  }
  static Value List(Value* items, uint32_t count) {
    Value v;
    v.kind = ValueKind::kList;
    v.size = count;
    v.values = items;
    return v;
  }
};
static_assert(sizeof(Value) == 16);

// A rule that an event breaks. Names rule and place, never the value.
struct Violation {
  std::string_view rule;  // static text
  std::string_view path;  // people[2].name; empty: the whole event. In the arena or static
};

enum class RepairKind : uint8_t {
  kNullSpelling,
  kBoolSpelling,
  kNumberInString,
  kTrimmed,
  kLocalTime,
  kEnumSpelling,
  kByteOrderMark,  // before the whole event
  kAmbiguousTime,  // a local time that an autumn night has twice: the earlier is meant
  kPlaceholder,    // a value that stands for "not known"
};
inline constexpr int kRepairKinds = 9;
// null_spelling, bool_spelling, number_in_string, trimmed, local_time, enum_spelling,
// byte_order_mark, ambiguous_time, placeholder.
std::string_view RepairName(RepairKind kind);

// Something untidy that the contract says how to read.
struct Repair {
  contract::NodeId node;
  RepairKind kind;
};

// Reused from event to event: its vectors keep their room. Values live in the arena given to the
// reader, and die with its Reset().
struct Event {
  // The record of the event's message; null when the input couldn't be read as one.
  Value* fields = nullptr;
  std::vector<Violation> violations;
  std::vector<Repair> repairs;
  uint32_t unknown_fields = 0;

  void Clear() {
    fields = nullptr;
    violations.clear();
    repairs.clear();
    unknown_fields = 0;
  }
};

// Whether two keys of a map that was read are the same value. Absent keys are none. `room` is the
// caller's, so that it keeps its memory.
bool HasEqualKeys(const Value& map, std::vector<Value>& room);

// The path of a value for a Violation: the node's path with its list markers filled in with
// `indexes` (one for each list on the way, outermost first; a map's entries count as a list),
// copied into the arena.
std::string_view RenderPath(const contract::Node& node, const uint32_t* indexes, size_t index_count,
                            base::Arena& arena);

}  // namespace sluice::event
