// Any bytes: the reader says what is wrong with them, or reads what protobuf's own parser reads.
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/unknown_field_set.h>

#include "common/contract/testing.h"
#include "common/event/protobuf_reader.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice;

constexpr const char* kContract = R"(
message Event {
  option (sluice.contract.v1.event) = { id: "id" time: "at" };
  option (sluice.contract.v1.not_personal) = {fields: [
    "small", "big", "u32", "s32", "f32", "sf64", "real", "wide", "flag", "raw", "kind", "length",
    "numbers", "counts.key", "counts.value", "named.key", "left", "right"]};
  string id = 1;
  google.protobuf.Timestamp at = 2;
  int32 small = 3; int64 big = 4; uint32 u32 = 5; sint32 s32 = 6; fixed32 f32 = 7; sfixed64 sf64 = 8;
  float real = 9; double wide = 10; bool flag = 11; bytes raw = 12; Kind kind = 13;
  google.protobuf.Duration length = 14;
  Part part = 15;
  repeated Part parts = 16;
  repeated int32 numbers = 17;
  map<string, int32> counts = 18;
  map<int32, Part> named = 19;
  oneof choice { string left = 20; int32 right = 21; }
}
message Part { option (sluice.contract.v1.not_personal) = {fields: ["name"]}; string name = 1; Part2 next = 2; }
message Part2 { option (sluice.contract.v1.not_personal) = {fields: ["values"]}; repeated double values = 1; }
enum Kind { ZERO = 0; ONE = 1; }
)";

// The singular numbers and texts of both are the same.
void Compare(const contract::Plan& plan, const event::Event& event,
             const google::protobuf::Message& message) {
  const auto& reflection = *message.GetReflection();
  for (const contract::Node& node : plan.children(plan.root())) {
    const event::Value& value = event.fields[plan.position(node)];
    const google::protobuf::FieldDescriptor* field = node.descriptor;
    if (node.cardinality != contract::Cardinality::kSingular) {
      fuzz::Require(static_cast<int>(value.present() ? value.size : 0) ==
                        reflection.FieldSize(message, field),
                    "a list is as long as protobuf's");
      continue;
    }
    if (!value.present()) continue;
    using google::protobuf::FieldDescriptor;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        fuzz::Require(value.integer == reflection.GetInt32(message, field), "int32");
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        fuzz::Require(value.integer == reflection.GetInt64(message, field), "int64");
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        fuzz::Require(value.unsigned_integer == reflection.GetUInt32(message, field), "uint32");
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        fuzz::Require(value.boolean == reflection.GetBool(message, field), "bool");
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        fuzz::Require(value.integer == reflection.GetEnumValue(message, field), "enum");
        break;
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string room;
        fuzz::Require(value.text() == reflection.GetStringReference(message, field, &room), "text");
        break;
      }
      default:
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto plan = contract::PlanFromProto(kContract, "Event");
  static google::protobuf::DynamicMessageFactory factory;
  static const google::protobuf::Message* prototype = factory.GetPrototype(&plan->descriptor());
  static event::ProtobufReader reader(plan);
  static base::Arena arena;
  static event::Event event;
  arena.Reset();
  event.Clear();
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  reader.Read(bytes, arena, event);
  fuzz::Require(event.fields != nullptr || !event.violations.empty(),
                "neither an event nor a reason");
  fuzz::Require(event.violations.size() <= event::kViolationsMax, "more violations than the bound");
  if (!event.violations.empty()) return 0;
  std::unique_ptr<google::protobuf::Message> message(prototype->New());
  fuzz::Require(message->ParseFromArray(data, static_cast<int>(size)),
                "the reader took what protobuf refuses");
  Compare(*plan, event, *message);
  const event::Value& named = event.fields[plan->position(plan->node(plan->Find("named")))];
  fuzz::Planted(named.present() && named.size == 2);
  return 0;
}
