// Any bytes: the reader says what is wrong with them, or reads what protobuf's own JSON parser
// reads.
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <simdjson.h>

#include <cmath>

#include "common/contract/testing.h"
#include "common/event/json_reader.h"
#include "tests/fuzz/planted.h"

namespace {

constexpr const char* kContract = R"(
message Event {
  option (sluice.contract.v1.event) = { id: "id" time: "at" };
  option (sluice.contract.v1.not_personal) = {fields: [
    "small", "big", "huge", "real", "flag", "raw", "length", "counts.key", "counts.value", "texts", "kind", "deep",
    "left", "right"
  ]};
  string id = 1;
  int32 small = 2;
  int64 big = 3 [(sluice.contract.v1.field).read = { number_in_string: true }];
  uint64 huge = 4;
  double real = 5 [(sluice.contract.v1.field).read = { number_in_string: true }];
  bool flag = 6 [(sluice.contract.v1.field).read = { true_values: "yes" false_values: "no" }];
  bytes raw = 7;
  google.protobuf.Timestamp at = 8 [(sluice.contract.v1.field).read = { time_zone: "Europe/London" }];
  google.protobuf.Duration length = 9;
  Part part = 10;
  repeated Part parts = 11;
  map<string, int32> counts = 12;
  repeated string texts = 13 [(sluice.contract.v1.field).read = { trim: true null_values: "" }];
  Kind kind = 14;
  string deep = 15 [(sluice.contract.v1.field).read = { source: "outer.inner" }];
  oneof choice { string left = 16; int32 right = 17; }
}
message Part { option (sluice.contract.v1.not_personal) = {fields: ["name"]}; string name = 1; Part2 next = 2; }
message Part2 { option (sluice.contract.v1.not_personal) = {fields: ["values"]}; repeated double values = 1; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_ONE = 1; }
)";

// What both readers take, both read as the same: numbers and lists of the event itself.
void Compare(const sluice::contract::Plan& plan, const sluice::event::Event& event,
             std::string_view json) {
  using namespace sluice;
  static google::protobuf::DynamicMessageFactory factory;
  static const google::protobuf::Message* prototype = factory.GetPrototype(&plan.descriptor());
  std::unique_ptr<google::protobuf::Message> message(prototype->New());
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage({json.data(), json.size()}, message.get(),
                                                   options)
           .ok())
    return;
  const auto& reflection = *message->GetReflection();
  for (const contract::Node& node : plan.children(plan.root())) {
    const event::Value& value = event.fields[plan.position(node)];
    const google::protobuf::FieldDescriptor* field = node.descriptor;
    // What a contract reads otherwise than protobuf does, and other names' members.
    if (!value.present() || !node.read.source.empty() || node.read.trim ||
        !node.read.null_values.empty())
      continue;
    if (node.cardinality != contract::Cardinality::kSingular) {
      fuzz::Require(static_cast<int>(value.size) == reflection.FieldSize(*message, field),
                    "a list is as long as protobuf's");
      continue;
    }
    switch (node.type) {
      case contract::Type::kInt32:
        fuzz::Require(value.integer == reflection.GetInt32(*message, field), "int32");
        break;
      case contract::Type::kInt64:
        fuzz::Require(value.integer == reflection.GetInt64(*message, field), "int64");
        break;
      case contract::Type::kUint64:
        fuzz::Require(value.unsigned_integer == reflection.GetUInt64(*message, field), "uint64");
        break;
      case contract::Type::kBool:
        fuzz::Require(value.boolean == reflection.GetBool(*message, field), "bool");
        break;
      case contract::Type::kEnum:
        // protobuf 3.21 reads a number in a string that no value has as the first value.
        if (field->enum_type()->FindValueByNumber(static_cast<int>(value.integer)) == nullptr)
          break;
        fuzz::Require(value.integer == reflection.GetEnumValue(*message, field), "enum");
        break;
      case contract::Type::kDouble: {
        const double other = reflection.GetDouble(*message, field);
        fuzz::Require(value.number == other || (std::isnan(value.number) && std::isnan(other)),
                      "double");
        break;
      }
      default:
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  static const auto plan = contract::PlanFromProto(kContract, "Event");
  static event::JsonReader reader(plan);
  static base::Arena arena;
  static event::Event event;
  arena.Reset();
  event.Clear();
  std::string_view json(reinterpret_cast<const char*>(data), size);
  reader.Read(json, arena, event);
  fuzz::Require(event.fields != nullptr || !event.violations.empty(),
                "neither an event nor a reason");
  for (const event::Violation& violation : event.violations)
    fuzz::Require(!violation.rule.empty(), "a violation without a rule");
  fuzz::Require(event.violations.size() <= event::kViolationsMax, "more violations than the bound");
  if (!event.violations.empty()) return 0;
  // What the reader takes, an independent parser must take, too; but for numbers of more than 64
  // bits.
  if (json.starts_with("\xEF\xBB\xBF")) json.remove_prefix(3);
  simdjson::dom::parser parser;
  auto error = parser.parse(json.data(), json.size()).error();
  fuzz::Require(error == simdjson::SUCCESS || error == simdjson::NUMBER_ERROR,
                "the reader took what isn't JSON");
  Compare(*plan, event, json);
  const event::Value& kind = event.fields[plan->position(plan->node(plan->Find("kind")))];
  fuzz::Planted(kind.present() && kind.integer == 1 && event.unknown_fields > 1);
  return 0;
}
