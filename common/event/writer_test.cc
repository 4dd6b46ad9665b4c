// Both writers against protobuf itself: what is read from JSON and written again means the same.
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <random>

#include "common/base/strings.h"
#include "common/contract/testing.h"
#include "common/event/json_reader.h"
#include "common/event/json_writer.h"
#include "common/event/protobuf_writer.h"

namespace sluice::event {
namespace {

namespace pb = google::protobuf;
using contract::Cardinality;
using contract::Node;

constexpr std::string_view kContract = R"(
enum Colour { NONE = 0; RED = 1; BLUE = -2; }
message Person { option (sluice.contract.v1.not_personal) = {fields: ["name", "numbers", "aliases", "colour"]};
  string name = 1; repeated sint64 numbers = 2; repeated string aliases = 300; optional Colour colour = 4; }
message E {
  option (sluice.contract.v1.event) = {id: "event_id" time: "at"};
  option (sluice.contract.v1.not_personal) = {fields: [
    "took", "i32", "i64", "u32", "u64", "f", "d", "raw", "flag", "s32", "s64", "x32", "x64", "sx32", "sx64", "colour",
    "doubles", "fixed", "by_name.key", "by_number.key", "by_number.value", "bools", "by_truth.key", "by_truth.value"
  ]};
  string event_id = 1; google.protobuf.Timestamp at = 2; google.protobuf.Duration took = 3;
  int32 i32 = 4; int64 i64 = 5; uint32 u32 = 6; uint64 u64 = 7; float f = 8; double d = 9; bytes raw = 10; bool flag = 11;
  sint32 s32 = 12; sint64 s64 = 13; fixed32 x32 = 14; fixed64 x64 = 15; sfixed32 sx32 = 16; sfixed64 sx64 = 17;
  Colour colour = 18; Person subject = 19; repeated Person people = 20; repeated double doubles = 21;
  repeated fixed32 fixed = 22; map<string, Person> by_name = 23; map<int64, string> by_number = 24; repeated bool bools = 25;
  map<bool, google.protobuf.Duration> by_truth = 26;
}
)";

template <typename Writer>
class Walk {
 public:
  Walk(const contract::Plan& plan, base::Buffer& out) : plan_(plan), writer_(out) {}

  void Event(const Value* record) {
    size_t mark = writer_.BeginEvent();
    Fields(plan_.root(), record);
    writer_.EndEvent(mark);
  }

 private:
  void Fields(const Node& message, const Value* record) {
    for (const Node& node : plan_.children(message)) {
      const Value& value = record[plan_.position(node)];
      if (value.present()) Field(node, value);
    }
  }

  void Field(const Node& node, const Value& value) {
    OutputField field = OutputField::FromNode(node);
    if (node.cardinality == Cardinality::kMap) {
      for (const Node& part : plan_.children(node))
        field.entry.push_back(OutputField::FromNode(part));
      const Node& value_node = plan_.node(node.first_child + 1);
      size_t mark = writer_.BeginMap(field);
      for (uint32_t i = 0; i < value.size; ++i) {
        const Value* entry = value.values[i].values;
        size_t entry_mark = writer_.BeginEntry(field, entry[0]);
        if (value_node.is_message()) {
          size_t message = writer_.BeginEntryMessage(field);
          Fields(value_node, entry[1].values);
          writer_.EndMessage(message);
        } else {
          writer_.EntryValue(field, entry[1]);
        }
        writer_.EndEntry(entry_mark);
      }
      writer_.EndMap(mark);
    } else if (node.cardinality == Cardinality::kRepeated) {
      size_t mark = writer_.BeginList(field);
      for (uint32_t i = 0; i < value.size; ++i) {
        if (node.is_message()) {
          size_t item = writer_.BeginItemMessage(field);
          Fields(node, value.values[i].values);
          writer_.EndItemMessage(item);
        } else {
          writer_.Item(field, value.values[i]);
        }
      }
      writer_.EndList(field, mark);
    } else if (node.is_message()) {
      size_t mark = writer_.BeginMessage(field);
      Fields(node, value.values);
      writer_.EndMessage(mark);
    } else {
      writer_.Field(field, value);
    }
  }

  const contract::Plan& plan_;
  Writer writer_;
};

// Random messages of the contract, the same for the same seed.
class RandomMessage {
 public:
  explicit RandomMessage(uint32_t seed) : random_(seed) {}

  void Fill(pb::Message& message, int depth) {
    const pb::Reflection& reflection = *message.GetReflection();
    const std::string& type = message.GetDescriptor()->full_name();
    if (type == "google.protobuf.Timestamp" || type == "google.protobuf.Duration") {
      auto set = [&](const char* field, int64_t value) {
        const auto* descriptor = message.GetDescriptor()->FindFieldByName(field);
        if (descriptor->cpp_type() == pb::FieldDescriptor::CPPTYPE_INT64)
          reflection.SetInt64(&message, descriptor, value);
        else
          reflection.SetInt32(&message, descriptor, static_cast<int32_t>(value));
      };
      set("seconds", static_cast<int64_t>(random_() % 4'000'000'000u));
      constexpr int32_t kScales[] = {0, 1, 1000, 1'000'000};
      int32_t scale = kScales[random_() % 4];
      set("nanos",
          scale == 0 ? 0 : static_cast<int32_t>(random_() % (1'000'000'000 / scale)) * scale);
      return;
    }
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const pb::FieldDescriptor& field = *message.GetDescriptor()->field(i);
      if (random_() % 4 == 0) continue;
      if (!field.is_repeated()) {
        Set(message, field, depth);
      } else if (!field.is_map()) {
        for (uint32_t n = random_() % 40; n > 0 && depth < 2; --n) Add(message, field, depth);
      } else if (depth < 2) {
        pb::Message* entry = reflection.AddMessage(&message, &field);
        Set(*entry, *entry->GetDescriptor()->map_key(), depth + 1);
        Set(*entry, *entry->GetDescriptor()->map_value(), depth + 1);
      }
    }
  }

 private:
  std::string Text() {
    constexpr std::string_view kPieces[] = {"a",
                                            "\"",
                                            "\\",
                                            "\n",
                                            "\x01",
                                            "\x1f",
                                            "\x7f",
                                            "/",
                                            "\xC3\xA9",
                                            "\xE2\x80\xA8",
                                            "\xF0\x9F\x9A\x94",
                                            "plain text that is longer than a word",
                                            "\t\r\b\f"};
    std::string text;
    for (uint32_t n = random_() % 8; n > 0; --n) text += kPieces[random_() % std::size(kPieces)];
    return text;
  }
  uint64_t Bits() { return (uint64_t{random_()} << 32 | random_()) >> (random_() % 64); }

#define SLUICE_SET_OR_ADD(verb)                                                                   \
  const pb::Reflection& r = *message.GetReflection();                                             \
  using F = pb::FieldDescriptor;                                                                  \
  switch (field.cpp_type()) {                                                                     \
    case F::CPPTYPE_BOOL:                                                                         \
      r.verb##Bool(&message, &field, random_() % 2);                                              \
      break;                                                                                      \
    case F::CPPTYPE_INT32:                                                                        \
      r.verb##Int32(&message, &field, static_cast<int32_t>(Bits()));                              \
      break;                                                                                      \
    case F::CPPTYPE_INT64:                                                                        \
      r.verb##Int64(&message, &field, static_cast<int64_t>(Bits()));                              \
      break;                                                                                      \
    case F::CPPTYPE_UINT32:                                                                       \
      r.verb##UInt32(&message, &field, static_cast<uint32_t>(Bits()));                            \
      break;                                                                                      \
    case F::CPPTYPE_UINT64:                                                                       \
      r.verb##UInt64(&message, &field, Bits());                                                   \
      break;                                                                                      \
    case F::CPPTYPE_FLOAT:                                                                        \
      r.verb##Float(&message, &field, static_cast<float>(static_cast<int32_t>(Bits())) / 7);      \
      break;                                                                                      \
    case F::CPPTYPE_DOUBLE:                                                                       \
      r.verb##Double(&message, &field, static_cast<double>(static_cast<int64_t>(Bits())) / 3);    \
      break;                                                                                      \
    case F::CPPTYPE_STRING:                                                                       \
      r.verb##String(&message, &field, field.type() == F::TYPE_BYTES ? Text() + '\xFF' : Text()); \
      break;                                                                                      \
    case F::CPPTYPE_ENUM:                                                                         \
      r.verb##Enum(&message, &field, field.enum_type()->value(static_cast<int>(random_() % 3)));  \
      break;                                                                                      \
    default:                                                                                      \
      break;                                                                                      \
  }
  void Set(pb::Message& message, const pb::FieldDescriptor& field, int depth) {
    if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      return Fill(*message.GetReflection()->MutableMessage(&message, &field), depth + 1);
    }
    SLUICE_SET_OR_ADD(Set)
  }
  void Add(pb::Message& message, const pb::FieldDescriptor& field, int depth) {
    if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      return Fill(*message.GetReflection()->AddMessage(&message, &field), depth + 1);
    }
    SLUICE_SET_OR_ADD(Add)
  }
#undef SLUICE_SET_OR_ADD

  std::mt19937 random_;
};

TEST(Writers, MeanTheSameAsProtobufForRandomMessages) {
  auto plan = contract::PlanFromProto(kContract, "E");
  JsonReader reader(plan);
  pb::DynamicMessageFactory factory;
  const pb::Message& prototype = *factory.GetPrototype(&plan->descriptor());
  base::Arena arena;
  Event event;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::unique_ptr<pb::Message> original(prototype.New());
    RandomMessage(seed).Fill(*original, 0);
    pb::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    ASSERT_TRUE(pb::util::MessageToJsonString(*original, &json, options).ok());

    arena.Reset();
    event.Clear();
    reader.Read(json, arena, event);
    if (json.find("\\u0000") != std::string::npos) continue;
    ASSERT_TRUE(event.violations.empty()) << "seed " << seed << " " << event.violations[0].rule
                                          << " " << event.violations[0].path << "\n"
                                          << json;

    base::Buffer text, binary;
    Walk<JsonWriter>(*plan, text).Event(event.fields);
    Walk<ProtobufWriter>(*plan, binary).Event(event.fields);
    std::unique_ptr<pb::Message> from_text(prototype.New()), from_binary(prototype.New());
    ASSERT_TRUE(pb::util::JsonStringToMessage(std::string(text.view()), from_text.get()).ok())
        << text.view();
    ASSERT_TRUE(from_binary->ParseFromArray(binary.data(), static_cast<int>(binary.size())))
        << "seed " << seed;
    EXPECT_TRUE(pb::util::MessageDifferencer::Equals(*original, *from_text))
        << "seed " << seed << "\n"
        << json << "\n"
        << text.view();
    EXPECT_TRUE(pb::util::MessageDifferencer::Equals(*original, *from_binary))
        << "seed " << seed << "\n"
        << json;
  }
}

TEST(JsonWriter, EmptyMessagesAndListsKeepTheirBrackets) {
  base::Buffer out;
  JsonWriter writer(out);
  size_t event = writer.BeginEvent();
  size_t message = writer.BeginMessage(OutputField::Make("m", 1, contract::Type::kMessage));
  writer.EndMessage(message);
  OutputField list = OutputField::Make("l", 2, contract::Type::kString);
  size_t mark = writer.BeginList(list);
  writer.EndList(list, mark);
  writer.Null(OutputField::Make("n", 3, contract::Type::kString));
  writer.EndEvent(event);
  EXPECT_EQ(out.view(), R"({"m":{},"l":[],"n":null})");
  out.Clear();
  writer.EndEvent(writer.BeginEvent());
  EXPECT_EQ(out.view(), "{}");
}

}  // namespace
}  // namespace sluice::event
