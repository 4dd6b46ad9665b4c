#include "common/event/protobuf_reader.h"

#include <gmock/gmock.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <random>

#include "common/base/strings.h"
#include "common/contract/testing.h"

namespace sluice::event {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kContract = R"(
message Event {
  option (sluice.contract.v1.event) = { id: "id" time: "at" };
  option (sluice.contract.v1.not_personal) = {fields: [
    "i32", "i64", "u32", "u64", "s32", "s64", "f32", "f64", "sf32", "sf64", "real", "wide", "flag", "raw", "kind",
    "length", "numbers", "loose", "texts", "counts.key", "counts.value", "named.key", "left", "right", "doubles"
  ]};
  string id = 1 [(sluice.contract.v1.field).read = { trim: true null_values: "#N/A" }];
  google.protobuf.Timestamp at = 2;
  int32 i32 = 3; int64 i64 = 4; uint32 u32 = 5; uint64 u64 = 6; sint32 s32 = 7; sint64 s64 = 8;
  fixed32 f32 = 9; fixed64 f64 = 10; sfixed32 sf32 = 11; sfixed64 sf64 = 12;
  float real = 13; double wide = 14; bool flag = 15; bytes raw = 16; Kind kind = 17;
  google.protobuf.Duration length = 18;
  Part part = 19;
  repeated Part parts = 20;
  repeated int32 numbers = 21;
  repeated int32 loose = 22 [packed = false];
  repeated string texts = 23;
  map<string, int32> counts = 24;
  map<int32, Part> named = 25;
  oneof choice { string left = 26; int32 right = 27; }
  repeated double doubles = 28;
}
message Part { option (sluice.contract.v1.not_personal) = {fields: ["name"]}; string name = 1; Part2 next = 2; }
message Part2 { option (sluice.contract.v1.not_personal) = {fields: ["name"]}; string name = 1; }
enum Kind { ZERO = 0; ONE = 1; }
)";

class ProtobufReaderTest : public ::testing::Test {
 protected:
  // What protobuf's own library writes for an event in JSON.
  std::string Bytes(const std::string& json) {
    std::unique_ptr<google::protobuf::Message> message(
        factory_.GetPrototype(&plan_->descriptor())->New());
    auto parsed = google::protobuf::util::JsonStringToMessage(json, message.get());
    EXPECT_TRUE(parsed.ok()) << parsed.ToString();
    return message->SerializeAsString();
  }

  // The event's texts stay in the bytes, which the fixture keeps.
  void Read(std::string bytes) {
    bytes_ = std::move(bytes);
    arena_.Reset();
    event_.Clear();
    reader_.Read(bytes_, arena_, event_);
  }
  std::vector<std::string> Violations() const {
    std::vector<std::string> out;
    for (const Violation& violation : event_.violations)
      out.push_back(base::StrCat(violation.path, ":", violation.rule));
    return out;
  }
  const Value& At(std::string_view field) {
    return event_.fields[plan_->position(plan_->node(plan_->Find(field)))];
  }

  std::shared_ptr<const contract::Plan> plan_ = contract::PlanFromProto(kContract, "Event");
  google::protobuf::DynamicMessageFactory factory_;
  ProtobufReader reader_{plan_};
  std::string bytes_;
  base::Arena arena_;
  Event event_;
};

TEST_F(ProtobufReaderTest, ReadsWhatProtobufsOwnLibraryWrites) {
  std::string bytes = Bytes(
      R"({"id":" a ","at":"2026-03-04T05:06:07.5Z","i32":-1,"i64":"-9223372036854775808","u32":4294967295,
      "u64":"18446744073709551615","s32":-2147483648,"s64":"-3","f32":4294967295,"f64":"5","sf32":-6,"sf64":"-7",
      "real":1.5,"wide":-2.25,"flag":true,"raw":"AAH/","kind":"ONE","length":"-1.5s","part":{"name":"p","next":{"name":"q"}},
      "parts":[{"name":"x"},{}],"numbers":[1,-2,300],"loose":[4,5],"texts":["é",""],"counts":{"a":1,"b":0},
      "named":{"-1":{"name":"n"}},"right":0,"doubles":[0.5]})");
  Read(bytes);
  ASSERT_NE(event_.fields, nullptr);
  EXPECT_THAT(Violations(), IsEmpty());
  EXPECT_EQ(event_.unknown_fields, 0u);
  EXPECT_EQ(At("id").text(), "a");
  ASSERT_EQ(event_.repairs.size(), 1u);
  EXPECT_EQ(event_.repairs[0].kind, RepairKind::kTrimmed);
  EXPECT_EQ(At("at").seconds, 1'772'600'767);
  EXPECT_EQ(At("at").nanos, 500'000'000);
  EXPECT_EQ(At("i32").integer, -1);
  EXPECT_EQ(At("i64").integer, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(At("u32").unsigned_integer, 4294967295u);
  EXPECT_EQ(At("u64").unsigned_integer, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(At("s32").integer, std::numeric_limits<int32_t>::min());
  EXPECT_EQ(At("s64").integer, -3);
  EXPECT_EQ(At("f32").unsigned_integer, 4294967295u);
  EXPECT_EQ(At("f64").unsigned_integer, 5u);
  EXPECT_EQ(At("sf32").integer, -6);
  EXPECT_EQ(At("sf64").integer, -7);
  EXPECT_EQ(At("real").number, 1.5);
  EXPECT_EQ(At("wide").number, -2.25);
  EXPECT_TRUE(At("flag").boolean);
  EXPECT_EQ(At("raw").text(), std::string_view("\0\1\xff", 3));
  EXPECT_EQ(At("kind").integer, 1);
  EXPECT_EQ(At("length").seconds, -1);
  EXPECT_EQ(At("length").nanos, -500'000'000);
  EXPECT_EQ(At("part").values[1].values[0].text(), "q");
  ASSERT_EQ(At("parts").size, 2u);
  EXPECT_FALSE(At("parts").values[1].values[0].present());
  ASSERT_EQ(At("numbers").size, 3u);
  EXPECT_EQ(At("numbers").values[1].integer, -2);
  EXPECT_EQ(At("loose").values[1].integer, 5);
  EXPECT_EQ(At("texts").values[1].text(), "");
  ASSERT_EQ(At("counts").size, 2u);
  EXPECT_EQ(At("named").values[0].values[0].integer, -1);
  EXPECT_FALSE(At("left").present());
  EXPECT_EQ(At("right").integer, 0);
  EXPECT_EQ(At("doubles").values[0].number, 0.5);
}

TEST_F(ProtobufReaderTest, RejectsWhatParsersMayReadDifferently) {
  std::string one = Bytes(R"({"id":"a"})");
  Read(one + one);
  EXPECT_THAT(Violations(), ElementsAre("id:protobuf.duplicate_field"));
  std::string part = Bytes(R"({"part":{"name":"a"}})");
  Read(part + part);
  EXPECT_THAT(Violations(), ElementsAre("part:protobuf.duplicate_field"));
  Read(Bytes(R"({"counts":{"a":1}})") + Bytes(R"({"counts":{"a":2}})"));
  EXPECT_THAT(Violations(), ElementsAre("counts:protobuf.duplicate_key"));
  Read(Bytes(R"({"left":"a"})") + Bytes(R"({"right":1})"));
  EXPECT_THAT(Violations(), ElementsAre("right:protobuf.oneof"));
}

TEST_F(ProtobufReaderTest, ListsMayComeInPieces) {
  Read(Bytes(R"({"numbers":[1,2],"texts":["a"]})") + Bytes(R"({"numbers":[3],"texts":["b"]})"));
  EXPECT_THAT(Violations(), IsEmpty());
  ASSERT_EQ(At("numbers").size, 3u);
  EXPECT_EQ(At("numbers").values[2].integer, 3);
  EXPECT_EQ(At("texts").values[1].text(), "b");
  // Unpacked where packed is declared, and the other way round.
  Read(std::string("\xA8\x01\x07\xB2\x01\x02\x08\x09", 8));
  EXPECT_THAT(Violations(), IsEmpty());
  EXPECT_EQ(At("numbers").values[0].integer, 7);
  ASSERT_EQ(At("loose").size, 2u);
  EXPECT_EQ(At("loose").values[1].integer, 9);
}

TEST_F(ProtobufReaderTest, NamesFieldAndRuleOfABadValue) {
  Read(std::string("\x0A\x01\xFF", 3));
  EXPECT_THAT(Violations(), ElementsAre("id:protobuf.utf8"));
  Read(std::string("\x0A\x01\0", 3));
  EXPECT_THAT(Violations(), ElementsAre("id:protobuf.nul"));
  Read(std::string("\x08\x01", 2));
  EXPECT_THAT(Violations(), ElementsAre("id:protobuf.wire_type"));
  Read(std::string("\x18\xFF\xFF\xFF\xFF\x1F", 6));
  EXPECT_THAT(Violations(), ElementsAre("i32:protobuf.range"));
  Read(std::string("\x0B\x0C", 2));
  EXPECT_THAT(Violations(), ElementsAre("id:protobuf.wire_type")) << "a group";
  Read(std::string("\x12\x02\x10\xFF", 4));
  EXPECT_THAT(Violations(), ElementsAre(":protobuf.malformed"));
  Read(std::string("\x12\x06\x10\x80\x94\xEB\xDC\x03", 8));
  EXPECT_THAT(Violations(), ElementsAre("at:protobuf.timestamp"));
  Read(std::string("\xBA\x01\x01\x61\xBA\x01\x01\xFF", 8));
  EXPECT_THAT(Violations(), ElementsAre("texts[1]:protobuf.utf8"));
}

TEST_F(ProtobufReaderTest, RefusesWhatIsNotProtobuf) {
  for (std::string_view bytes :
       {std::string_view("\x0A", 1), std::string_view("\x0A\x05\x61", 3),
        std::string_view("\x00", 1), std::string_view("\x0B\x14", 2),
        std::string_view("\x18\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 11),
        std::string_view("\x9A\x01\x02\x0A\x09", 5), std::string_view("{\"id\":1}", 8)}) {
    Read(std::string(bytes));
    EXPECT_EQ(event_.fields, nullptr);
    EXPECT_THAT(Violations(), ElementsAre(":protobuf.malformed"));
  }
  Read("");
  EXPECT_THAT(Violations(), ElementsAre(":event.empty"));
}

TEST_F(ProtobufReaderTest, CountsUnknownFieldsAndDropsThem) {
  Read(Bytes(R"({"id":"a"})") + std::string("\xC0\x3E\x01\xCA\x3E\x02hi\xCD\x3E\1\2\3\4", 14));
  EXPECT_THAT(Violations(), IsEmpty());
  EXPECT_EQ(event_.unknown_fields, 3u);
}

TEST_F(ProtobufReaderTest, ReadsThe32BitsThatSomeLibrariesWriteOfANegativeNumber) {
  Read(std::string("\x18\xFF\xFF\xFF\xFF\x0F\x78\x02\x88\x01\xFE\xFF\xFF\xFF\x0F", 15));
  EXPECT_THAT(Violations(), IsEmpty());
  EXPECT_EQ(At("i32").integer, -1);
  EXPECT_TRUE(At("flag").boolean) << "2";
  EXPECT_EQ(At("kind").integer, -2);
}

TEST_F(ProtobufReaderTest, SkipsUnknownGroupsWithAllThatIsInThem) {
  const std::string id = Bytes(R"({"id":"a"})");
  // 100 { 1: 5, 101 { 2: "hi" }, 3: fixed32, 4: fixed64 }
  Read(id +
       std::string("\xA3\x06\x08\x05\xAB\x06\x12\x02hi\xAC\x06\x1D\1\2\3\4\x21\1\2\3\4\5\6\7\x08"
                   "\xA4\x06",
                   28));
  EXPECT_THAT(Violations(), IsEmpty());
  EXPECT_EQ(event_.unknown_fields, 1u);
  EXPECT_EQ(At("id").text(), "a");
  for (std::string_view bad : {"\xA3\x06\x08\x05", "\xA3\x06\xAC\x06", "\xA4\x06",
                               "\xA3\x06\xAB\x06\xA4\x06\xAC\x06", "\xA3\x06\x0F\xA4\x06"}) {
    Read(id + std::string(bad));
    EXPECT_EQ(event_.fields, nullptr);
    EXPECT_THAT(Violations(), ElementsAre(":protobuf.malformed"));
  }
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "\xA3\x06";
  Read(deep);
  EXPECT_EQ(event_.fields, nullptr);
}

TEST_F(ProtobufReaderTest, BoundsWhatAnEventTakes) {
  ProtobufReader reader(plan_, {.parsed_bytes_max = 100'000});
  std::string bytes;
  for (int i = 0; i < 9'000; ++i) bytes += std::string("\xA2\x01\x02\x12\x00", 5);
  event_.Clear();
  arena_.Reset();
  reader.Read(bytes, arena_, event_);
  EXPECT_EQ(event_.fields, nullptr);
  EXPECT_THAT(Violations(), ElementsAre(":event.too_large_parsed"));
}

TEST_F(ProtobufReaderTest, BoundsListsAndSize) {
  ProtobufReader reader(plan_, {.event_bytes_max = 64, .list_items_max = 3});
  event_.Clear();
  reader.Read(std::string("\xAA\x01\x04\x01\x01\x01\x01", 7), arena_, event_);
  EXPECT_THAT(Violations(), ElementsAre("numbers:protobuf.too_many_items"));
  event_.Clear();
  reader.Read(std::string(65, 'a'), arena_, event_);
  EXPECT_THAT(Violations(), ElementsAre(":event.too_large"));
}

// What it takes, protobuf's own parser takes; nothing crashes it.
TEST_F(ProtobufReaderTest, TakesNothingThatProtobufRefuses) {
  std::string bytes = Bytes(
      R"({"id":"a","at":"2026-03-04T05:06:07Z","parts":[{"name":"x","next":{"name":"y"}}],"numbers":[1,2],"counts":{"a":1}})");
  std::mt19937 random(7);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string mutated = bytes;
    for (int change = 0; change < 1 + i % 3; ++change)
      mutated[random() % mutated.size()] = static_cast<char>(random());
    if (i % 5 == 0) mutated.resize(random() % mutated.size());
    Read(mutated);
    if (!event_.violations.empty()) continue;
    ++taken;
    std::unique_ptr<google::protobuf::Message> message(
        factory_.GetPrototype(&plan_->descriptor())->New());
    EXPECT_TRUE(message->ParseFromString(mutated)) << i;
  }
  EXPECT_GT(taken, 100);
}

}  // namespace
}  // namespace sluice::event
