#include "common/event/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/base/strings.h"
#include "common/contract/testing.h"

namespace sluice::event {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kContract = R"(
enum Colour { NONE = 0; RED = 1 [(sluice.contract.v1.value).spellings = "rouge"]; }
message Person { option (sluice.contract.v1.not_personal) = {fields: ["name", "aliases"]}; string name = 1; repeated string aliases = 2; Person2 deep = 3; }
message Person2 { option (sluice.contract.v1.not_personal) = {fields: ["n"]}; int32 n = 1; }
message E {
  option (sluice.contract.v1.event) = {id: "event_id" time: "at"};
  option (sluice.contract.v1.not_personal) = {fields: [
    "took", "i32", "i64", "u32", "u64", "f", "d", "raw", "colour", "flag", "lat", "street", "outcome", "counts.key",
    "counts.value", "by_id.key", "left", "right"
  ]};
  string event_id = 1;
  google.protobuf.Timestamp at = 2 [(sluice.contract.v1.field).read.time_zone = "Europe/London"];
  google.protobuf.Duration took = 3;
  int32 i32 = 4; int64 i64 = 5; uint32 u32 = 6; uint64 u64 = 7; float f = 8; double d = 9; bytes raw = 10;
  Colour colour = 11;
  bool flag = 12 [(sluice.contract.v1.field).read = {true_values: "True" true_values: "1.0" false_values: "0.0" null_values: ""}];
  double lat = 13 [(sluice.contract.v1.field).read = {source: "place.lat" number_in_string: true}];
  string street = 14 [(sluice.contract.v1.field).read = {source: "place.street.name" trim: true null_values: "#N/A"}];
  string outcome = 15 [(sluice.contract.v1.field).read = {null_values: "" null_values: "false"}];
  Person subject = 16; repeated Person people = 17; map<string, int32> counts = 18; map<int32, Person> by_id = 19;
  oneof which { string left = 20; string right = 21; }
}
)";

class JsonReaderTest : public ::testing::Test {
 protected:
  const Event& Read(std::string_view json) {
    event_.Clear();
    arena_.Reset();
    reader_.Read(json, arena_, event_);
    return event_;
  }
  std::vector<std::string> Broken(std::string_view json) {
    std::vector<std::string> out;
    for (const Violation& v : Read(json).violations)
      out.push_back(base::StrCat(v.rule, "@", v.path));
    return out;
  }
  std::vector<std::string> Repairs(std::string_view json) {
    std::vector<std::string> out;
    for (const Repair& r : Read(json).repairs)
      out.push_back(base::StrCat(RepairName(r.kind), "@", plan_->node(r.node).path));
    return out;
  }
  const Value& At(std::string_view path) {
    const contract::Node* node = &plan_->node(plan_->Find(path));
    EXPECT_EQ(node->parent, 0u);
    return event_.fields[plan_->position(*node)];
  }

  std::shared_ptr<const contract::Plan> plan_ = contract::PlanFromProto(kContract, "E");
  JsonReader reader_{plan_, {.event_bytes_max = 100'000, .list_items_max = 5}};
  base::Arena arena_;
  Event event_;
};

TEST_F(JsonReaderTest, ReadsEveryType) {
  EXPECT_THAT(
      Broken(
          R"({"event_id":"a\"\u00e9","at":"2026-03-04T05:06:07.5+01:00","took":"-1.5s","i32":-7,"i64":"9007199254740993",
    "u32":1.0,"u64":18446744073709551615,"f":0.5,"d":1e3,"raw":"AQI=","colour":"RED","flag":true,"left":"x",
    "subject":{"name":"N","aliases":["a","b"]},"people":[{"name":"P"},{}],"counts":{"a":1},"by_id":{"5":{"name":"Q"}}})"),
      IsEmpty());
  EXPECT_EQ(At("event_id").text(), "a\"\xC3\xA9");
  EXPECT_EQ(At("at").seconds, 1772597167);
  EXPECT_EQ(At("at").nanos, 500'000'000);
  EXPECT_EQ(At("took").seconds, -1);
  EXPECT_EQ(At("took").nanos, -500'000'000);
  EXPECT_EQ(At("i32").integer, -7);
  EXPECT_EQ(At("i64").integer, 9007199254740993);
  EXPECT_EQ(At("u32").unsigned_integer, 1u);
  EXPECT_EQ(At("u64").unsigned_integer, ~uint64_t{0});
  EXPECT_EQ(At("d").number, 1000);
  EXPECT_EQ(At("raw").text(), "\x01\x02");
  EXPECT_EQ(At("colour").integer, 1);
  EXPECT_TRUE(At("flag").boolean);
  ASSERT_EQ(At("people").size, 2u);
  EXPECT_EQ(At("people").values[0].values[0].text(), "P");
  EXPECT_EQ(At("counts").values[0].values[0].text(), "a");
  EXPECT_EQ(At("by_id").values[0].values[0].integer, 5);
  EXPECT_FALSE(At("right").present());
}

TEST_F(JsonReaderTest, AnHourThatAnOctoberNightHasTwiceIsCounted) {
  EXPECT_THAT(Repairs(R"({"at":"2026-10-25T01:15:00"})"),
              ElementsAre("local_time@at", "ambiguous_time@at"));
  EXPECT_EQ(At("at").seconds, 1792887300);  // the earlier, 00:15 UTC
  EXPECT_THAT(Repairs(R"({"at":"2026-10-25T00:59:59"})"), ElementsAre("local_time@at"));
  EXPECT_THAT(Repairs(R"({"at":"2026-10-25T02:00:00"})"), ElementsAre("local_time@at"));
  EXPECT_THAT(Repairs(R"({"at":"2026-10-25T01:15:00Z"})"), IsEmpty());
}

TEST_F(JsonReaderTest, RepairsWhatTheContractSaysAndCountsIt) {
  EXPECT_THAT(Repairs(R"({"at":"2026-07-01T12:00:00","flag":"True","colour":"rouge","outcome":false,
    "place":{"lat":"51.5","street":{"name":" High Street "}}})"),
              ElementsAre("local_time@at", "bool_spelling@flag", "enum_spelling@colour",
                          "null_spelling@outcome", "number_in_string@lat", "trimmed@street"));
  EXPECT_THAT(event_.violations, IsEmpty());
  EXPECT_EQ(At("at").seconds, 1782903600);  // 11:00 UTC
  EXPECT_EQ(At("lat").number, 51.5);
  EXPECT_EQ(At("street").text(), "High Street");
  EXPECT_FALSE(At("outcome").present());
  EXPECT_THAT(Repairs(R"({"flag":1.0})"), ElementsAre("bool_spelling@flag"));
  EXPECT_THAT(Repairs(R"({"flag":"","place":{"street":{"name":" #N/A"}}})"),
              ElementsAre("null_spelling@flag", "trimmed@street", "null_spelling@street"));
}

TEST_F(JsonReaderTest, RejectsWhatIsNoJsonObject) {
  EXPECT_THAT(Broken(""), ElementsAre("event.empty@"));
  EXPECT_THAT(Broken("   "), ElementsAre("event.empty@"));
  EXPECT_THAT(Broken("[1]"), ElementsAre("json.not_object@"));
  EXPECT_THAT(Broken("{\"event_id\":\"\xFF\"}"), ElementsAre("json.utf8@"));
  EXPECT_THAT(Broken(base::StrCat("{\"event_id\":\"", std::string(100'001, 'x'), "\"}")),
              ElementsAre("event.too_large@"));
  for (std::string_view bad :
       {R"({"a":tru})", R"({"a":1}{})", R"({"a":1} x)", R"({"a":[1,2}})", R"({"a":"\q"})",
        R"({"a":"\ud800"})", R"({"a":1,})", R"({'a':1})", "{\"a\":\"\n\"}", R"({"a")"}) {
    EXPECT_THAT(Broken(bad), ElementsAre("json.syntax@")) << bad;
    EXPECT_EQ(event_.fields, nullptr);
  }
  for (std::string_view bad : {R"({"a":01})", R"({"a":1.})", R"({"a":-})", R"({"a":1e})",
                               R"({"d":100000000000000000000,"a":01})"})
    EXPECT_THAT(Broken(bad), ElementsAre("json.number@")) << bad;
  EXPECT_THAT(Broken(base::StrCat("{\"a\":", std::string(40, '['), std::string(40, ']'), "}")),
              ElementsAre("json.depth@"));
}

TEST_F(JsonReaderTest, NumbersBeyond64BitsDecideOnlyWhereAFieldReadsThem) {
  EXPECT_THAT(
      Broken(R"({"event_id":"\"1e999,","d":100000000000000000000,"f":-340000000000000000000000,
    "x":{"y":[18446744073709551616,-99999999999999999999999,1e99999,-1e99999,1e-99999]}})"),
      IsEmpty());
  EXPECT_EQ(At("event_id").text(), "\"1e999,");
  EXPECT_EQ(At("d").number, 1e20);
  EXPECT_EQ(At("f").number, static_cast<float>(-3.4e23));
  EXPECT_EQ(event_.unknown_fields, 1u);
  EXPECT_THAT(
      Broken(R"({"d":1e400,"i64":18446744073709551616,"u64":-100000000000000000000,"lat":2})"),
      ElementsAre("json.range@d", "json.range@i64", "json.range@u64"));
  EXPECT_THAT(Broken(R"({"i64":9223372036854775807,"u64":18446744073709551615,"x":1e999})"),
              IsEmpty())
      << "the others stay what they are";
  EXPECT_EQ(At("i64").integer, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(At("u64").unsigned_integer, ~uint64_t{0});
  EXPECT_THAT(Broken(R"({"d":0.0000000001e-99999,"f":-0.1e-500})"), IsEmpty()) << "nearly zero";
  EXPECT_EQ(At("d").number, 0);
  EXPECT_THAT(Broken(R"({"d":1.7976931348623157e308})"), IsEmpty());
  EXPECT_THAT(Broken(R"({"event_id":1e999,"subject":1e999,"people":[1e999],"flag":1e999})"),
              ElementsAre("json.type@event_id", "json.type@subject", "json.type@people[0]",
                          "json.type@flag"));
}

TEST_F(JsonReaderTest, NumbersMayBeTextsAsProtobufsMappingHasThem) {
  EXPECT_THAT(Broken(R"({"d":"1.5","f":"-2e3","i32":"7","u32":"1e3","colour":"4"})"), IsEmpty());
  EXPECT_EQ(At("d").number, 1.5);
  EXPECT_EQ(At("f").number, -2000);
  EXPECT_EQ(At("i32").integer, 7);
  EXPECT_EQ(At("u32").unsigned_integer, 1000u);
  EXPECT_EQ(At("colour").integer, 4) << "whether a value has it is for enum.defined_only to say";
  EXPECT_THAT(event_.repairs, IsEmpty());
  EXPECT_THAT(Broken(R"({"d":"NaN","f":"-Infinity","place":{"lat":"Infinity"}})"), IsEmpty());
  EXPECT_TRUE(std::isnan(At("d").number));
  EXPECT_EQ(At("f").number, -std::numeric_limits<double>::infinity());
  EXPECT_THAT(Broken(R"({"d":"nan","f":"","i32":"NaN","u32":" 1","colour":"4x"})"),
              ElementsAre("json.type@d", "json.type@f", "json.type@i32", "json.type@u32",
                          "json.enum@colour"));
}

TEST_F(JsonReaderTest, AByteOrderMarkIsReadAndCounted) {
  EXPECT_THAT(Repairs("\xEF\xBB\xBF{\"event_id\":\"a\"}"), ElementsAre("byte_order_mark@"));
  EXPECT_THAT(event_.violations, IsEmpty());
  EXPECT_EQ(At("event_id").text(), "a");
  EXPECT_THAT(Broken("\xEF\xBB\xBF"), ElementsAre("event.empty@"));
  EXPECT_THAT(Broken("\xEF\xBB\xBF\xEF\xBB\xBF{}"), ElementsAre("json.syntax@"));
}

TEST_F(JsonReaderTest, MapKeysThatAreOneNumberAreDuplicates) {
  for (std::string_view keys : {R"("1":{},"01":{})", R"("0":{},"-0":{})", R"("5":{},"5.0":{})",
                                R"("10":{},"7":{},"1e1":{})"}) {
    std::vector<std::string> broken = Broken(base::StrCat("{\"by_id\":{", keys, "}}"));
    EXPECT_THAT(broken, ElementsAre("json.duplicate_key@by_id")) << keys;
  }
  EXPECT_THAT(Broken(R"({"by_id":{"1":{},"2":{}},"counts":{"1":1,"01":1}})"), IsEmpty());
}

// A list of small messages takes many times its own bytes.
TEST_F(JsonReaderTest, WhatAnEventTakesIsBounded) {
  JsonReader reader(plan_, {.event_bytes_max = 1'000'000, .parsed_bytes_max = 1'000'000});
  auto read = [&](int people) {
    std::string json = R"({"x":1,"x":1,"people":[{})";
    for (int i = 0; i < people; ++i) json += ",{\"aliases\":[\"a\"]}";
    arena_.Reset();
    event_.Clear();
    reader.Read(json + "]}", arena_, event_);
    return arena_.used();
  };
  read(5'000);
  EXPECT_NE(event_.fields, nullptr);
  EXPECT_LT(read(9'990), 1'500'000u);
  EXPECT_EQ(event_.fields, nullptr);
  ASSERT_EQ(event_.violations.size(), 1u);
  EXPECT_EQ(event_.violations[0].rule, "event.too_large_parsed");
  EXPECT_EQ(event_.unknown_fields, 0u);
  reader.Trim();
  read(1);
  EXPECT_EQ(event_.violations.size(), 1u) << "the double key";
}

TEST_F(JsonReaderTest, RejectsDuplicateKeysWhereverTheyStand) {
  EXPECT_THAT(Broken(R"({"event_id":"a","event_id":"b"})"),
              ElementsAre("json.duplicate_key@event_id"));
  EXPECT_THAT(Broken(R"({"event_id":"a","eventId":"b"})"),
              ElementsAre("json.duplicate_key@event_id"));
  EXPECT_THAT(Broken(R"({"event_id":"a","\u0065vent_id":"b"})"),
              ElementsAre("json.duplicate_key@event_id"));
  EXPECT_THAT(Broken(R"({"x":1,"x":2})"), ElementsAre("json.duplicate_key@"));
  EXPECT_THAT(Broken(R"({"x":{"y":1,"z":[{"k":1,"k":2}]}})"), ElementsAre("json.duplicate_key@"));
  EXPECT_THAT(Broken(R"({"people":[{},{"q":1,"q":1}]})"),
              ElementsAre("json.duplicate_key@people[1]"));
  EXPECT_THAT(Broken(R"({"counts":{"a":1,"a":2}})"), ElementsAre("json.duplicate_key@counts"));
  EXPECT_THAT(Broken(R"({"place":{"lat":1,"lat":2}})"), ElementsAre("json.duplicate_key@lat"));
  EXPECT_THAT(Broken(R"({"event_id":null,"event_id":"b"})"),
              ElementsAre("json.duplicate_key@event_id"));
}

TEST_F(JsonReaderTest, CountsUnknownFieldsAndKeepsNone) {
  EXPECT_THAT(Broken(R"({"event_id":"a","x":1,"y":{"z":2},"subject":{"w":3}})"), IsEmpty());
  EXPECT_EQ(event_.unknown_fields, 3u);
}

TEST_F(JsonReaderTest, NamesTheFieldOfAWrongValueAndReadsOn) {
  EXPECT_THAT(
      Broken(
          R"({"event_id":1,"at":"yesterday","took":"1","i32":2147483648,"i64":"x","u32":-1,"u64":1.5,"f":1e39,
    "d":"1,5","raw":"*","colour":"blue","flag":"maybe","subject":[],"people":[{"deep":{"n":"x"}},null],"counts":{"a":"b"},
    "place":7,"left":"a","right":"b"})"),
      ElementsAre("json.type@event_id", "json.timestamp@at", "json.duration@took", "json.range@i32",
                  "json.type@i64", "json.range@u32", "json.type@u64", "json.range@f", "json.type@d",
                  "json.base64@raw", "json.enum@colour", "json.type@flag", "json.type@subject",
                  "json.type@people[0].deep.n", "json.null_item@people[1]",
                  "json.type@counts[0].value", "json.type@", "json.oneof@right"));
  EXPECT_THAT(Broken(R"({"subject":{"aliases":["a",3]}})"),
              ElementsAre("json.type@subject.aliases[1]"));
  EXPECT_THAT(Broken(R"({"people":[{},{},{},{},{},{}]})"),
              ElementsAre("json.too_many_items@people"));
  EXPECT_THAT(Broken(R"({"event_id":"a\u0000b"})"), ElementsAre("json.nul@event_id"));
}

TEST_F(JsonReaderTest, RefusesLocalTimesThatDoNotExistAndTakesTheEarlierOfTwo) {
  EXPECT_THAT(Broken(R"({"at":"2026-03-29T01:30:00"})"), ElementsAre("json.timestamp@at"));
  EXPECT_THAT(Broken(R"({"at":"2026-10-25T01:30:00"})"), IsEmpty());
  EXPECT_EQ(At("at").seconds, 1792888200);  // 00:30 UTC
}

TEST_F(JsonReaderTest, TimestampsAreRfc3339) {
  for (std::string_view good :
       {"2026-02-28T23:59:59Z", "2024-02-29t00:00:00z", "2026-01-01 00:00:00.123456789-23:59"}) {
    EXPECT_THAT(Broken(base::StrCat("{\"at\":\"", good, "\"}")), IsEmpty()) << good;
  }
  for (std::string_view bad :
       {"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
        "2016-12-31T23:59:60Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00Z", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+24:00",
        "0001-01-01T00:00:00+00:01", "2026-01-01", "2026-01-01T00:00:00ZZ"}) {
    EXPECT_THAT(Broken(base::StrCat("{\"at\":\"", bad, "\"}")), ElementsAre("json.timestamp@at"))
        << bad;
  }
}

}  // namespace
}  // namespace sluice::event
