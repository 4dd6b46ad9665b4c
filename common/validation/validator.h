// buf.validate's standard rules, compiled to native checks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/event/event.h"
#include "re2/re2.h"

namespace sluice::validation {

// Checks events of one contract. Immutable; Check is thread-safe and allocates nothing for an event
// that breaks no rule.
//
// Rules: required and ignore; const, in, not_in; bounds of numbers, times and durations; finite;
// lengths of texts and bytes; prefix, suffix, contains, not_contains; pattern (RE2); the formats
// uuid, tuuid, email, hostname, ip, ipv4, ipv6, address, uri and uri_ref; enum.defined_only; sizes,
// uniqueness and items of lists; sizes, keys and values of maps; oneof.required. A rule that isn't
// among them is an error of Compile. Of our own: `sluice.date` (a text that is a calendar date).
//
// Rule ids are protovalidate's: string.max_len, int32.gte_lte, repeated.unique ...
class Validator {
 public:
  // Errors name file, line and field, all at once.
  static absl::StatusOr<std::unique_ptr<const Validator>> Compile(const contract::Plan& plan);

  // Appends what the event breaks to its violations. `event.fields` is there.
  void Check(event::Event& event, base::Arena& arena) const;

  // A rule that an event can break here, at the field's node (also where it is of the field's items
  // or keys), in the contract's order.
  struct Rule {
    contract::NodeId node = contract::kNoNode;
    std::string_view rule;
  };
  std::vector<Rule> Rules() const;

 private:
  friend class RuleCompiler;

  enum class Op : uint8_t {
    kIntegerRange,
    kUnsignedRange,
    kDoubleRange,
    kTimeRange,
    kFinite,
    kIn,  // also const: one value
    kNotIn,
    kLength,  // in code points
    kBytes,
    kPrefix,
    kSuffix,
    kContains,
    kNotContains,
    kPattern,
    kFormat,
    kDate,
    kItems,
    kUnique,
  };

  // What a value is compared with: the member that its kind has.
  struct Operand {
    std::string text;
    int64_t integer = 0;  // bool, int, enum, seconds
    uint64_t unsigned_integer = 0;
    double number = 0;
    int32_t nanos = 0;
  };

  struct Test {
    Op op = Op::kIn;
    bool low_given = false, low_inclusive = false, high_given = false, high_inclusive = false;
    bool outside = false;  // the bounds are crossed: the value must lie outside of them
    Operand low, high;
    uint64_t at_least = 0, at_most = ~uint64_t{0};  // kLength, kBytes, kItems
    std::vector<Operand> operands;                  // kIn, kNotIn; one for kPrefix and the like
    std::unique_ptr<RE2> pattern;
    bool (*format)(std::string_view) = nullptr;
    std::string rule;
    std::string empty_rule;  // kFormat: the rule that an empty text breaks
  };

  enum class When : uint8_t { kAlways, kIfPresent, kIfNotZero };

  // What is checked of one kind of value.
  struct Tests {
    uint32_t first = 0;
    uint32_t count = 0;
    bool required = false;
    When when = When::kAlways;
    bool any() const { return count > 0 || required; }
  };

  struct Field {
    contract::NodeId node = contract::kNoNode;
    uint32_t position = 0;
    Tests own;             // of the value, or of the list or map as a whole
    Tests items;           // of each item of a list, each value of a map
    Tests keys;            // of each key of a map
    uint32_t message = 0;  // messages_ index of what is below it; 0: nothing to check
  };
  struct Oneof {
    std::vector<uint32_t> positions;
    contract::NodeId message = 0;
  };
  struct Message {
    std::vector<Field> fields;
    std::vector<Oneof> oneofs;
  };

  struct Run;  // one event's check
  void CheckMessage(const Message& message, const event::Value* record, Run& run) const;
  void CheckField(const Field& field, const event::Value& value, Run& run) const;
  void CheckValue(const Tests& tests, const contract::Node& node, const event::Value& value,
                  Run& run) const;
  bool Holds(const Test& test, const contract::Node& node, const event::Value& value) const;

  explicit Validator(const contract::Plan& plan) : plan_(plan) {}

  const contract::Plan& plan_;
  std::vector<Message> messages_;  // messages_[0] is the event
  std::vector<Test> tests_;
};

}  // namespace sluice::validation
