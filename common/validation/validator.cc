#include "common/validation/validator.h"

#include <algorithm>
#include <cmath>

#include "common/event/limits.h"
#include "common/event/time_text.h"

namespace sluice::validation {

using contract::Cardinality;
using contract::Node;
using contract::Type;
using event::Value;
using event::ValueKind;

struct Validator::Run {
  event::Event& event;
  base::Arena& arena;
  uint32_t indexes[event::kDepthMax + 1];
  size_t depth = 0;

  void Violate(std::string_view rule, const Node& node) {
    if (event.violations.size() >= event::kViolationsMax) return;
    event.violations.push_back({rule, event::RenderPath(node, indexes, depth, arena)});
  }
};

namespace {

// A field without presence has its type's default where it isn't in the input.
Value DefaultOf(const Node& node) {
  if (node.cardinality != Cardinality::kSingular) return Value::List(nullptr, 0);
  switch (node.type) {
    case Type::kBool:
      return Value::Bool(false);
    case Type::kInt32:
    case Type::kInt64:
    case Type::kEnum:
      return Value::Int(0);
    case Type::kUint32:
    case Type::kUint64:
      return Value::Uint(0);
    case Type::kFloat:
    case Type::kDouble:
      return Value::Double(0);
    default:
      return Value::Text("");
  }
}

bool IsZero(const Value& value) {
  switch (value.kind) {
    case ValueKind::kAbsent:
      return true;
    case ValueKind::kBool:
      return !value.boolean;
    case ValueKind::kInt:
      return value.integer == 0;
    case ValueKind::kUint:
      return value.unsigned_integer == 0;
    case ValueKind::kDouble:
      return value.number == 0;
    case ValueKind::kText:
    case ValueKind::kList:
      return value.size == 0;
    case ValueKind::kTime:
      return value.seconds == 0 && value.nanos == 0;
    case ValueKind::kRecord:
      return false;
  }
  return false;
}

size_t CodePoints(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

// -1, 0 or 1, as for any two values of one kind; used to find equal items.
int Compare(const Value& a, const Value& b) {
  auto order = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  switch (a.kind) {
    case ValueKind::kBool:
      return order(a.boolean, b.boolean);
    case ValueKind::kInt:
      return order(a.integer, b.integer);
    case ValueKind::kUint:
      return order(a.unsigned_integer, b.unsigned_integer);
    case ValueKind::kDouble:
      return order(a.number, b.number);
    case ValueKind::kText:
      return order(a.text(), b.text());
    case ValueKind::kTime:
      return a.seconds != b.seconds ? order(a.seconds, b.seconds) : order(a.nanos, b.nanos);
    default:
      return 0;
  }
}

bool AreUnique(const Value& list) {
  constexpr uint32_t kFew = 16;
  if (list.size <= kFew) {
    for (uint32_t i = 0; i < list.size; ++i) {
      for (uint32_t j = 0; j < i; ++j) {
        if (list.values[i].kind == list.values[j].kind &&
            Compare(list.values[i], list.values[j]) == 0)
          return false;
      }
    }
    return true;
  }
  std::vector<Value> sorted(list.values, list.values + list.size);
  std::sort(sorted.begin(), sorted.end(), [](const Value& a, const Value& b) {
    return a.kind != b.kind ? a.kind < b.kind : Compare(a, b) < 0;
  });
  return std::adjacent_find(sorted.begin(), sorted.end(), [](const Value& a, const Value& b) {
           return a.kind == b.kind && Compare(a, b) == 0;
         }) == sorted.end();
}

}  // namespace

void Validator::Check(event::Event& event, base::Arena& arena) const {
  Run run{event, arena, {}, 0};
  CheckMessage(messages_[0], event.fields, run);
}

std::vector<Validator::Rule> Validator::Rules() const {
  std::vector<Rule> rules;
  auto add = [&](contract::NodeId node, const Tests& tests) {
    if (tests.required) rules.push_back({node, "required"});
    for (uint32_t i = tests.first; i < tests.first + tests.count; ++i) {
      rules.push_back({node, tests_[i].rule});
      if (!tests_[i].empty_rule.empty()) rules.push_back({node, tests_[i].empty_rule});
    }
  };
  for (const Message& message : messages_) {
    for (const Field& field : message.fields) {
      for (const Tests* tests : {&field.own, &field.keys, &field.items}) add(field.node, *tests);
    }
    for (const Oneof& oneof : message.oneofs) rules.push_back({oneof.message, "required"});
  }
  std::stable_sort(rules.begin(), rules.end(),
                   [](const Rule& a, const Rule& b) { return a.node < b.node; });
  return rules;
}

void Validator::CheckMessage(const Message& message, const Value* record, Run& run) const {
  for (const Field& field : message.fields) CheckField(field, record[field.position], run);
  for (const Oneof& oneof : message.oneofs) {
    bool set = std::any_of(oneof.positions.begin(), oneof.positions.end(),
                           [&](uint32_t position) { return record[position].present(); });
    if (!set) run.Violate("required", plan_.node(oneof.message));
  }
}

void Validator::CheckField(const Field& field, const Value& value, Run& run) const {
  const Node& node = plan_.node(field.node);
  if (field.own.any()) CheckValue(field.own, node, value, run);
  if (!value.present()) return;
  if (node.cardinality == Cardinality::kSingular) {
    if (field.message != 0) CheckMessage(messages_[field.message], value.values, run);
    return;
  }
  if (!field.items.any() && !field.keys.any() && field.message == 0) return;
  for (uint32_t i = 0; i < value.size; ++i) {
    run.indexes[run.depth++] = i;
    const Value& item = value.values[i];
    if (node.cardinality == Cardinality::kMap) {
      CheckValue(field.keys, node, item.values[0], run);
      CheckValue(field.items, node, item.values[1], run);
      if (field.message != 0 && item.values[1].present()) {
        CheckMessage(messages_[field.message], item.values[1].values, run);
      }
    } else {
      CheckValue(field.items, node, item, run);
      if (field.message != 0 && item.present())
        CheckMessage(messages_[field.message], item.values, run);
    }
    --run.depth;
  }
}

void Validator::CheckValue(const Tests& tests, const Node& node, const Value& value,
                           Run& run) const {
  if (tests.required) {
    bool set = node.presence ? value.present() : !IsZero(value);
    if (!set) return run.Violate("required", node);
  }
  if (tests.count == 0) return;
  if (tests.when == When::kIfPresent && !value.present()) return;
  if (tests.when == When::kIfNotZero && IsZero(value)) return;
  const Value checked = value.present() ? value : DefaultOf(node);
  for (uint32_t i = tests.first; i < tests.first + tests.count; ++i) {
    const Test& test = tests_[i];
    if (Holds(test, node, checked)) continue;
    bool empty = test.op == Op::kFormat && checked.size == 0 && !test.empty_rule.empty();
    run.Violate(empty ? test.empty_rule : test.rule, node);
  }
}

bool Validator::Holds(const Test& test, const Node& node, const Value& value) const {
  auto in_range = [&](auto compare_low, auto compare_high) {
    // Each is <0, 0 or >0 as the value lies below, on or above the bound.
    bool above = !test.low_given || compare_low > 0 || (compare_low == 0 && test.low_inclusive);
    bool below = !test.high_given || compare_high < 0 || (compare_high == 0 && test.high_inclusive);
    return test.outside ? above || below : above && below;
  };
  auto order = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  auto equals = [&](const Operand& operand) {
    switch (value.kind) {
      case ValueKind::kBool:
        return value.boolean == (operand.integer != 0);
      case ValueKind::kInt:
        return value.integer == operand.integer;
      case ValueKind::kUint:
        return value.unsigned_integer == operand.unsigned_integer;
      case ValueKind::kDouble:
        return value.number == operand.number;
      case ValueKind::kText:
        return value.text() == operand.text;
      case ValueKind::kTime:
        return value.seconds == operand.integer && value.nanos == operand.nanos;
      default:
        return false;
    }
  };
  auto sized = [&](size_t size) { return size >= test.at_least && size <= test.at_most; };
  switch (test.op) {
    case Op::kIntegerRange:
      return in_range(order(value.integer, test.low.integer),
                      order(value.integer, test.high.integer));
    case Op::kUnsignedRange:
      return in_range(order(value.unsigned_integer, test.low.unsigned_integer),
                      order(value.unsigned_integer, test.high.unsigned_integer));
    case Op::kDoubleRange:
      if (std::isnan(value.number)) return false;
      return in_range(order(value.number, test.low.number), order(value.number, test.high.number));
    case Op::kTimeRange: {
      auto compare = [&](const Operand& bound) {
        int seconds = order(value.seconds, bound.integer);
        return seconds != 0 ? seconds : order(value.nanos, bound.nanos);
      };
      return in_range(compare(test.low), compare(test.high));
    }
    case Op::kFinite:
      return std::isfinite(value.number);
    case Op::kIn:
      return std::any_of(test.operands.begin(), test.operands.end(), equals);
    case Op::kNotIn:
      return std::none_of(test.operands.begin(), test.operands.end(), equals);
    case Op::kLength:
      return sized(CodePoints(value.text()));
    case Op::kBytes:
      return sized(value.size);
    case Op::kPrefix:
      return value.text().starts_with(test.operands[0].text);
    case Op::kSuffix:
      return value.text().ends_with(test.operands[0].text);
    case Op::kContains:
      return value.text().find(test.operands[0].text) != std::string_view::npos;
    case Op::kNotContains:
      return value.text().find(test.operands[0].text) == std::string_view::npos;
    case Op::kPattern:
      return RE2::PartialMatch(re2::StringPiece(value.bytes, value.size), *test.pattern);
    case Op::kFormat:
      return test.format(value.text());
    case Op::kDate:
      return value.size == 0 ? node.presence == false : event::ParseDate(value.text()).has_value();
    case Op::kItems:
      return sized(value.size);
    case Op::kUnique:
      return AreUnique(value);
  }
  return false;
}

}  // namespace sluice::validation
