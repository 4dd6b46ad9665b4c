#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_join.h"
#include "buf/validate/validate.pb.h"
#include "common/base/strings.h"
#include "common/validation/formats.h"
#include "common/validation/validator.h"

namespace sluice::validation {

namespace {

namespace pb = google::protobuf;
using contract::Cardinality;
using contract::Node;
using contract::NodeId;

bool IsAddress(std::string_view text) { return IsHostname(text) || IsIpv4(text) || IsIpv6(text); }
bool IsIp(std::string_view text) { return IsIpv4(text) || IsIpv6(text); }

struct Format {
  bool (*check)(std::string_view);
  bool own_empty_rule;  // protovalidate tells an empty text apart
};

const std::map<std::string, Format>& Formats() {
  static const auto& formats = *new std::map<std::string, Format>{
      {"email", {IsEmail, true}},
      {"hostname", {IsHostname, true}},
      {"ip", {IsIp, true}},
      {"ipv4", {IsIpv4, true}},
      {"ipv6", {IsIpv6, true}},
      {"uri", {IsUri, true}},
      {"uri_ref", {IsUriReference, false}},
      {"address", {IsAddress, true}},
      {"uuid", {IsUuid, true}},
      {"tuuid", {IsTrimmedUuid, true}},
  };
  return formats;
}

// The member of FieldRules' oneof that goes with a type.
std::string_view RulesName(const pb::FieldDescriptor& field) {
  using Field = pb::FieldDescriptor;
  switch (field.type()) {
    case Field::TYPE_MESSAGE:
      if (field.message_type()->full_name() == "google.protobuf.Timestamp") return "timestamp";
      if (field.message_type()->full_name() == "google.protobuf.Duration") return "duration";
      return "";
    case Field::TYPE_GROUP:
      return "";
    default:
      return field.type_name();
  }
}

}  // namespace

class RuleCompiler {
 public:
  explicit RuleCompiler(const contract::Plan& plan)
      : plan_(plan), validator_(new Validator(plan)) {}

  absl::StatusOr<std::unique_ptr<const Validator>> Compile() {
    CompileMessage(plan_.root());
    if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
    return std::move(validator_);
  }

 private:
  using Op = Validator::Op;
  using Operand = Validator::Operand;
  using Test = Validator::Test;
  using Tests = Validator::Tests;
  using When = Validator::When;

  void Error(const Node& node, std::string_view what) {
    errors_.push_back(base::StrCat(node.location.ToString(), ": ",
                                   node.path.empty() ? node.name : node.path, ": ", what));
  }

  void Unsupported(const Node& node, std::string_view rule) {
    Error(node,
          base::StrCat("the rule `", rule, "` isn't supported; remove it or say it with another"));
  }

  // Returns the message's index; 0 where nothing below is checked (0 itself is the event).
  uint32_t CompileMessage(const Node& message) {
    auto index = static_cast<uint32_t>(validator_->messages_.size());
    validator_->messages_.emplace_back();
    Validator::Message compiled;
    const pb::Descriptor& descriptor =
        message.id == 0 ? plan_.descriptor() : *message.descriptor->message_type();
    if (!only_enums_) CheckMessageRules(message, descriptor);
    for (const Node& node : plan_.children(message)) {
      Validator::Field field = CompileField(node);
      if (field.own.any() || field.items.any() || field.keys.any() || field.message != 0) {
        compiled.fields.push_back(field);
      }
    }
    for (int i = 0; i < descriptor.real_oneof_decl_count(); ++i) {
      const pb::OneofDescriptor& oneof = *descriptor.oneof_decl(i);
      if (only_enums_ || !oneof.options().GetExtension(buf::validate::oneof).required()) continue;
      Validator::Oneof required{{}, message.id};
      for (const Node& node : plan_.children(message)) {
        if (node.oneof == i) required.positions.push_back(plan_.position(node));
      }
      compiled.oneofs.push_back(std::move(required));
    }
    bool empty = compiled.fields.empty() && compiled.oneofs.empty();
    validator_->messages_[index] = std::move(compiled);
    return empty ? 0 : index;
  }

  void CheckMessageRules(const Node& node, const pb::Descriptor& descriptor) {
    const buf::validate::MessageRules& rules =
        descriptor.options().GetExtension(buf::validate::message);
    std::vector<const pb::FieldDescriptor*> set;
    rules.GetReflection()->ListFields(rules, &set);
    for (const pb::FieldDescriptor* rule : set)
      Unsupported(node, base::StrCat("message.", rule->name()));
    CheckUnknown(node, rules);
  }

  // Rules of a newer version, or extensions of somebody's own.
  void CheckUnknown(const Node& node, const pb::Message& rules) {
    const pb::UnknownFieldSet& unknown = rules.GetReflection()->GetUnknownFields(rules);
    for (int i = 0; i < unknown.field_count(); ++i) {
      Unsupported(node,
                  base::StrCat("number ", unknown.field(i).number(), " of ", rules.GetTypeName()));
    }
  }

  Validator::Field CompileField(const Node& node) {
    Validator::Field field;
    field.node = node.id;
    field.position = plan_.position(node);
    const buf::validate::FieldRules& given =
        node.descriptor->options().GetExtension(buf::validate::field);
    // A number that an enum doesn't declare could say anything, and nobody has decided about it: it
    // is refused also where every rule is ignored.
    const bool outside =
        std::exchange(only_enums_, only_enums_ || given.ignore() == buf::validate::IGNORE_ALWAYS);
    const buf::validate::FieldRules& rules =
        only_enums_ ? buf::validate::FieldRules::default_instance() : given;
    switch (node.cardinality) {
      case Cardinality::kSingular:
        field.own = CompileRules(node, rules, *node.descriptor, node.presence);
        break;
      case Cardinality::kRepeated:
        field.own = CompileList(node, rules);
        field.items = CompileRules(node, rules.repeated().items(), *node.descriptor, false);
        break;
      case Cardinality::kMap: {
        field.own = CompileMap(node, rules);
        const pb::Descriptor& entry = *node.descriptor->message_type();
        field.keys = CompileRules(node, rules.map().keys(), *entry.map_key(), false);
        field.items = CompileRules(node, rules.map().values(), *entry.map_value(), false);
        const Node& value = plan_.node(node.first_child + 1);
        if (value.is_message()) field.message = CompileMessage(value);
        break;
      }
    }
    if (node.is_message() && node.cardinality != Cardinality::kMap)
      field.message = CompileMessage(node);
    only_enums_ = outside;
    return field;
  }

  Tests Begin(const buf::validate::FieldRules& rules, bool presence) {
    Tests tests;
    tests.first = static_cast<uint32_t>(validator_->tests_.size());
    tests.required = rules.required();
    tests.when = rules.ignore() == buf::validate::IGNORE_IF_ZERO_VALUE ? When::kIfNotZero
                 : presence                                            ? When::kIfPresent
                                                                       : When::kAlways;
    return tests;
  }

  Tests End(Tests tests) {
    tests.count = static_cast<uint32_t>(validator_->tests_.size()) - tests.first;
    return tests;
  }

  Test& Add(Op op, std::string rule) {
    Test& test = validator_->tests_.emplace_back();
    test.op = op;
    test.rule = std::move(rule);
    return test;
  }

  // `cel` and what else isn't about one type.
  void CheckCommon(const Node& node, const buf::validate::FieldRules& rules) {
    CheckUnknown(node, rules);
    std::vector<const pb::FieldDescriptor*> set;
    rules.GetReflection()->ListFields(rules, &set);
    for (const pb::FieldDescriptor* rule : set) {
      if (rule->name() == "required" || rule->name() == "ignore" || rule->containing_oneof())
        continue;
      Unsupported(node, rule->name());
    }
  }

  const pb::Message* TypeRules(const Node& node, const buf::validate::FieldRules& rules,
                               std::string_view wanted) {
    const pb::OneofDescriptor* type =
        buf::validate::FieldRules::descriptor()->FindOneofByName("type");
    const pb::FieldDescriptor* set = rules.GetReflection()->GetOneofFieldDescriptor(rules, type);
    if (set == nullptr) return nullptr;
    if (set->name() != wanted) {
      Error(node, base::StrCat(
                      "has rules for `", set->name(), "` and is ",
                      wanted.empty() ? "a message, which has none" : base::StrCat("a ", wanted)));
      return nullptr;
    }
    const pb::Message& message = rules.GetReflection()->GetMessage(rules, set);
    CheckUnknown(node, message);
    return &message;
  }

  Tests CompileList(const Node& node, const buf::validate::FieldRules& rules) {
    CheckCommon(node, rules);
    Tests tests = Begin(rules, false);
    if (const pb::Message* set = TypeRules(node, rules, "repeated")) {
      const auto& repeated = static_cast<const buf::validate::RepeatedRules&>(*set);
      if (repeated.has_min_items())
        Add(Op::kItems, "repeated.min_items").at_least = repeated.min_items();
      if (repeated.has_max_items())
        Add(Op::kItems, "repeated.max_items").at_most = repeated.max_items();
      if (repeated.unique()) {
        if (node.is_message()) Error(node, "repeated.unique is for lists of plain values");
        Add(Op::kUnique, "repeated.unique");
      }
    }
    return End(tests);
  }

  Tests CompileMap(const Node& node, const buf::validate::FieldRules& rules) {
    CheckCommon(node, rules);
    Tests tests = Begin(rules, false);
    if (const pb::Message* set = TypeRules(node, rules, "map")) {
      const auto& map = static_cast<const buf::validate::MapRules&>(*set);
      if (map.has_min_pairs()) Add(Op::kItems, "map.min_pairs").at_least = map.min_pairs();
      if (map.has_max_pairs()) Add(Op::kItems, "map.max_pairs").at_most = map.max_pairs();
    }
    return End(tests);
  }

  // Rules of one value: a field's own, or those of a list's items or a map's keys and values.
  Tests CompileRules(const Node& node, const buf::validate::FieldRules& rules,
                     const pb::FieldDescriptor& type, bool presence) {
    CheckCommon(node, rules);
    Tests tests = Begin(rules, presence);
    bool date = &type == node.descriptor && node.check_date && !only_enums_;
    std::string_view name = RulesName(type);
    const pb::Message* set = TypeRules(node, rules, name);
    if (set != nullptr) CompileTypeRules(node, std::string(name), *set, type);
    if (type.enum_type() != nullptr && !rules.enum_().defined_only())
      AddDefinedOnly(*type.enum_type(), "enum.defined_only");
    if (date) Add(Op::kDate, "sluice.date");
    return End(tests);
  }

  void CompileTypeRules(const Node& node, const std::string& type, const pb::Message& rules,
                        const pb::FieldDescriptor& field) {
    const pb::Reflection& reflection = *rules.GetReflection();
    std::vector<const pb::FieldDescriptor*> set;
    reflection.ListFields(rules, &set);
    CompileBounds(node, type, rules, set, field);
    for (const pb::FieldDescriptor* rule : set) {
      const std::string& name = rule->name();
      std::string id = base::StrCat(type, ".", name);
      if (name == "lt" || name == "lte" || name == "gt" || name == "gte" || name == "example")
        continue;
      if (name == "const") {
        Add(Op::kIn, id).operands.push_back(OperandOf(rules, *rule, -1));
      } else if (name == "in" || name == "not_in") {
        Test& test = Add(name == "in" ? Op::kIn : Op::kNotIn, id);
        for (int i = 0; i < reflection.FieldSize(rules, rule); ++i) {
          test.operands.push_back(OperandOf(rules, *rule, i));
        }
      } else if (name == "finite") {
        if (reflection.GetBool(rules, rule)) Add(Op::kFinite, id);
      } else if (name == "defined_only") {
        if (reflection.GetBool(rules, rule)) AddDefinedOnly(*field.enum_type(), id);
      } else if (name == "lt_now" || name == "gt_now" || name == "within") {
        Error(node,
              base::StrCat(
                  "the rule `", id,
                  "` depends on when the event is read, so that a replay could differ; bound it by "
                  "fixed times instead"));
      } else if (!CompileTextRule(node, type, rules, *rule, id)) {
        Unsupported(node, id);
      }
    }
  }

  void AddDefinedOnly(const pb::EnumDescriptor& type, const std::string& id) {
    Test& test = Add(Op::kIn, id);
    for (int i = 0; i < type.value_count(); ++i) {
      Operand operand;
      operand.integer = type.value(i)->number();
      test.operands.push_back(operand);
    }
  }

  // lt or lte with gt or gte, as one test: together they may mean "outside".
  void CompileBounds(const Node& node, const std::string& type, const pb::Message& rules,
                     const std::vector<const pb::FieldDescriptor*>& set,
                     const pb::FieldDescriptor& field) {
    std::string low_name, high_name;
    Test test;
    for (const pb::FieldDescriptor* rule : set) {
      if (rule->name() == "gt" || rule->name() == "gte") {
        test.low = OperandOf(rules, *rule, -1);
        test.low_given = true;
        test.low_inclusive = rule->name() == "gte";
        low_name = rule->name();
      } else if (rule->name() == "lt" || rule->name() == "lte") {
        test.high = OperandOf(rules, *rule, -1);
        test.high_given = true;
        test.high_inclusive = rule->name() == "lte";
        high_name = rule->name();
      }
    }
    if (!test.low_given && !test.high_given) return;
    using Field = pb::FieldDescriptor;
    bool crossed = false;
    switch (field.cpp_type()) {
      case Field::CPPTYPE_INT32:
      case Field::CPPTYPE_INT64:
        test.op = Op::kIntegerRange;
        crossed = test.low.integer > test.high.integer;
        break;
      case Field::CPPTYPE_UINT32:
      case Field::CPPTYPE_UINT64:
        test.op = Op::kUnsignedRange;
        crossed = test.low.unsigned_integer > test.high.unsigned_integer;
        break;
      case Field::CPPTYPE_FLOAT:
      case Field::CPPTYPE_DOUBLE:
        test.op = Op::kDoubleRange;
        crossed = test.low.number > test.high.number;
        if (std::isnan(test.low.number) || std::isnan(test.high.number))
          Error(node, "a bound isn't a number");
        break;
      default:
        test.op = Op::kTimeRange;
        crossed = std::pair(test.low.integer, test.low.nanos) >
                  std::pair(test.high.integer, test.high.nanos);
    }
    test.outside = test.low_given && test.high_given && crossed;
    test.rule = base::StrCat(type, ".", low_name, low_name.empty() || high_name.empty() ? "" : "_",
                             high_name, test.outside ? "_exclusive" : "");
    validator_->tests_.push_back(std::move(test));
  }

  // Rules of strings and bytes; false when it isn't one that is supported.
  bool CompileTextRule(const Node& node, const std::string& type, const pb::Message& rules,
                       const pb::FieldDescriptor& rule, const std::string& id) {
    const pb::Reflection& reflection = *rules.GetReflection();
    const std::string& name = rule.name();
    bool text = type == "string";
    if (name == "len" || name == "min_len" || name == "max_len" || name == "len_bytes" ||
        name == "min_bytes" || name == "max_bytes") {
      bool code_points = text && name.ends_with("len");
      uint64_t size = reflection.GetUInt64(rules, &rule);
      Test& test = Add(code_points ? Op::kLength : Op::kBytes, id);
      if (!name.starts_with("max")) test.at_least = size;
      if (!name.starts_with("min")) test.at_most = size;
      return true;
    }
    static const auto& kSearches =
        *new std::map<std::string, Op>{{"prefix", Op::kPrefix},
                                       {"suffix", Op::kSuffix},
                                       {"contains", Op::kContains},
                                       {"not_contains", Op::kNotContains}};
    if (auto search = kSearches.find(name); search != kSearches.end()) {
      Add(search->second, id).operands.push_back(OperandOf(rules, rule, -1));
      return true;
    }
    if (name == "pattern") {
      RE2::Options options;
      options.set_log_errors(false);
      if (!text) options.set_encoding(RE2::Options::EncodingLatin1);
      auto pattern = std::make_unique<RE2>(reflection.GetString(rules, &rule), options);
      if (!pattern->ok()) {
        Error(node,
              base::StrCat("its pattern isn't a regular expression of RE2: ", pattern->error()));
      }
      Add(Op::kPattern, id).pattern = std::move(pattern);
      return true;
    }
    if (!text || rule.cpp_type() != pb::FieldDescriptor::CPPTYPE_BOOL) return false;
    auto format = Formats().find(name);
    if (format == Formats().end()) return false;
    if (!reflection.GetBool(rules, &rule)) return true;
    Test& test = Add(Op::kFormat, id);
    test.format = format->second.check;
    if (format->second.own_empty_rule) test.empty_rule = id + "_empty";
    return true;
  }

  // A rule's value, or one of them.
  static Operand OperandOf(const pb::Message& rules, const pb::FieldDescriptor& rule, int index) {
    const pb::Reflection& reflection = *rules.GetReflection();
    Operand operand;
    using Field = pb::FieldDescriptor;
    auto get = [&](auto single, auto repeated) {
      return index < 0 ? (reflection.*single)(rules, &rule)
                       : (reflection.*repeated)(rules, &rule, index);
    };
    using R = pb::Reflection;
    switch (rule.cpp_type()) {
      case Field::CPPTYPE_BOOL:
        operand.integer = get(&R::GetBool, &R::GetRepeatedBool);
        break;
      case Field::CPPTYPE_INT32:
        operand.integer = get(&R::GetInt32, &R::GetRepeatedInt32);
        break;
      case Field::CPPTYPE_INT64:
        operand.integer = get(&R::GetInt64, &R::GetRepeatedInt64);
        break;
      case Field::CPPTYPE_UINT32:
        operand.unsigned_integer = get(&R::GetUInt32, &R::GetRepeatedUInt32);
        break;
      case Field::CPPTYPE_UINT64:
        operand.unsigned_integer = get(&R::GetUInt64, &R::GetRepeatedUInt64);
        break;
      // A float field's value is widened too, so that equal stays equal.
      case Field::CPPTYPE_FLOAT:
        operand.number = get(&R::GetFloat, &R::GetRepeatedFloat);
        break;
      case Field::CPPTYPE_DOUBLE:
        operand.number = get(&R::GetDouble, &R::GetRepeatedDouble);
        break;
      case Field::CPPTYPE_STRING:
        operand.text = get(&R::GetString, &R::GetRepeatedString);
        break;
      case Field::CPPTYPE_MESSAGE: {
        const pb::Message& message = index < 0 ? reflection.GetMessage(rules, &rule)
                                               : reflection.GetRepeatedMessage(rules, &rule, index);
        const pb::Descriptor& type = *message.GetDescriptor();
        operand.integer =
            message.GetReflection()->GetInt64(message, type.FindFieldByName("seconds"));
        operand.nanos = message.GetReflection()->GetInt32(message, type.FindFieldByName("nanos"));
        break;
      }
      case Field::CPPTYPE_ENUM:
        break;
    }
    return operand;
  }

  const contract::Plan& plan_;
  std::unique_ptr<Validator> validator_;
  bool only_enums_ = false;  // inside what IGNORE_ALWAYS leaves out
  std::vector<std::string> errors_;
};

absl::StatusOr<std::unique_ptr<const Validator>> Validator::Compile(const contract::Plan& plan) {
  return RuleCompiler(plan).Compile();
}

}  // namespace sluice::validation
