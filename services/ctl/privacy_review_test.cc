// What is accepted by name, what a stream gets of joined rows, and what links two audiences.
#include "services/ctl/privacy_review.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "common/base/strings.h"
#include "common/contract/testing.h"
#include "common/enrichment/testing.h"

namespace sluice::ctl {
namespace {

using enrichment::TableFromText;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr std::string_view kContract = R"(
message E {
  option (sluice.contract.v1.event) = {
    id: "id" time: "at" owner: "desk" purpose: "visits" lawful_basis: "s.35" retention: "P1Y"
  };
  option (sluice.contract.v1.not_personal) = {fields: ["beat", "unit"]};
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string host = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string guest = 4 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string phone = 5 [(sluice.contract.v1.field).identifier = PHONE];
  string badge = 6 [(sluice.contract.v1.field).identifier = WARRANT_NUMBER];
  string born = 7 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string issued = 8 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  repeated string births = 9 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  repeated Companion companions = 10;
  double weight = 11 [(sluice.contract.v1.field).sensitive = HEALTH];
  int32 age = 12 [(sluice.contract.v1.field).quasi = AGE];
  string gender = 13 [(sluice.contract.v1.field).quasi = GENDER];
  google.protobuf.Timestamp called = 14 [(sluice.contract.v1.field).quasi = NATIONALITY];
  string seen_on = 15 [(sluice.contract.v1.field) = {sensitive: RELIGION date: true}];
  Place place = 16;
  string beat = 17;
  string unit = 18;
}
message Companion { string born = 1 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH]; }
message Place {
  double latitude = 1 [(sluice.contract.v1.field).quasi = LATITUDE];
  double longitude = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];
}
)";

// A stream that has nothing of what is classified, but for `fields`, `path: how` each.
std::string Stream(std::string_view name, std::vector<std::pair<std::string, std::string>> fields,
                   std::string_view more = "") {
  std::string text =
      base::StrCat("streams { name: '", name, "' topic: 'clean.", name, "' purpose: 'p' ");
  if (more.find("domain:") == std::string_view::npos)
    base::StrAppend(text, "domain: 'd", name, "' ");
  for (const char* of_class :
       {"PERSON_NAME", "PHONE", "WARRANT_NUMBER", "DATE_OF_BIRTH", "HEALTH", "AGE", "GENDER",
        "NATIONALITY", "RELIGION", "LOCATION", "FREE_TEXT", "ADDRESS"})
    base::StrAppend(text, "treat { key: '", of_class, "' value { drop {} } } ");
  base::StrAppend(text, "treat { key: 'OCCURRED_AT' value { generalise { year {} } } } ");
  for (const auto& [path, how] : fields)
    base::StrAppend(text, "fields { key: '", path, "' value { ", how, " } } ");
  return base::StrCat(text, more, " } ");
}

std::string Accept(std::string_view name, std::string_view reason = "it is asked for") {
  return base::StrCat("accept { key: '", name, "' value: '", reason, "' } ");
}

absl::StatusOr<std::shared_ptr<const engine::Pipeline>> Compile(
    std::string_view streams, engine::Tables tables = {}, std::string_view contract = kContract) {
  engine::Pipeline::Options options;
  options.contract = contract::PlanFromProto(contract, "E");
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      base::StrCat("contract: 'test.E' input { topic: 'raw' } quarantine { topic: 'q' public_key: "
                   "'k' } ",
                   streams),
      &options.config))
      << streams;
  options.tables = std::move(tables);
  return engine::Pipeline::Compile(std::move(options));
}

std::string ErrorOf(std::string_view streams, engine::Tables tables = {}) {
  auto pipeline = Compile(streams, std::move(tables));
  return pipeline.ok() ? "" : std::string(pipeline.status().message());
}

Review ReviewOf(std::string_view streams, engine::Tables tables = {}) {
  auto pipeline = Compile(streams, std::move(tables));
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  return pipeline.ok() ? ReviewPipeline(**pipeline) : Review();
}

std::vector<std::string> NamesOf(const std::vector<Warning>& warnings) {
  std::vector<std::string> names;
  for (const Warning& warning : warnings) names.push_back(warning.name);
  return names;
}

std::vector<std::string> WarningsOf(std::string_view streams, engine::Tables tables = {}) {
  return NamesOf(ReviewOf(streams, std::move(tables)).warnings);
}

TEST(Acceptance, CoversOneFieldOfOneClass) {
  const std::string host = Accept("kept:PERSON_NAME:host");
  EXPECT_THAT(WarningsOf(Stream("a", {{"host", "keep {}"}}, host)), IsEmpty());
  EXPECT_THAT(WarningsOf(Stream("a", {{"host", "keep {}"}, {"guest", "keep {}"}}, host)),
              ElementsAre("kept:PERSON_NAME:guest"));
  // Of both numbers of a point, each.
  EXPECT_THAT(
      WarningsOf(Stream("a", {{"place.latitude", "keep {}"}, {"place.longitude", "keep {}"}},
                        Accept("kept:LATITUDE:place.latitude"))),
      ElementsAre("kept:LONGITUDE:place.longitude"));
}

TEST(Acceptance, CoversOneDegree) {
  auto masked = [](int shown) {
    return Stream("a", {{"phone", base::StrCat("mask { keep_first: ", shown, " }")}},
                  Accept("mask-shows:PHONE:phone=4"));
  };
  EXPECT_THAT(WarningsOf(masked(4)), IsEmpty());
  EXPECT_THAT(WarningsOf(masked(10)),
              UnorderedElementsAre("mask-shows:PHONE:phone=10",
                                   "accepts-nothing:mask-shows:PHONE:phone=4"));
  const std::string month = Accept("linkable:PERSON_NAME:host=month");
  auto linked = [&](std::string_view how) {
    return WarningsOf(Stream("a", {{"host", std::string(how)}}, month));
  };
  EXPECT_THAT(linked("pseudonymise { linkage: period }"), IsEmpty());
  EXPECT_THAT(linked("pseudonymise { linkage: period every: year }"),
              Contains("linkable:PERSON_NAME:host=year"));
  EXPECT_THAT(linked("pseudonymise {}"), Contains("linkable:PERSON_NAME:host=domain"));
  EXPECT_THAT(linked("encrypt {}"), Contains("linkable:PERSON_NAME:host=encrypt"));
}

TEST(Acceptance, OfAttributesTogetherNamesHowMuchOfEach) {
  auto together = [](std::string_view bands) {
    std::vector<std::string> found;
    for (const std::string& name :
         WarningsOf(Stream("a", {{"born", base::StrCat("generalise { age_bands { ", bands, " } }")},
                                 {"gender", "keep {}"},
                                 {"age", "generalise { bucket: 10 }"},
                                 {"place.latitude", "generalise { grid_metres: 2000 }"},
                                 {"place.longitude", "generalise { grid_metres: 2000 }"}}))) {
      if (name.starts_with("together:")) found.push_back(name);
    }
    return found;
  };
  EXPECT_THAT(together("from: 18 from: 40"),
              ElementsAre("together:AGE(bucket 10)+DATE_OF_BIRTH(bands 18,40)+GENDER+PLACE(2000 "
                          "metres)"));
  EXPECT_NE(together("from: 18 from: 40"), together("from: 18 from: 25 from: 40"));
}

TEST(Acceptance, NeedsAReasonThatIsSeen) {
  for (const char* blank : {"", " ", "\t", "\u00A0", "\u200B"}) {
    EXPECT_THAT(WarningsOf(Stream(
                    "a", {{"host", "keep {}"}},
                    Accept("kept:PERSON_NAME:host", absl::StrReplaceAll(blank, {{"\t", "\\t"}})))),
                UnorderedElementsAre("kept:PERSON_NAME:host",
                                     "accepts-without-reason:kept:PERSON_NAME:host"));
  }
}

TEST(Domains, ThatMayBeOneEpochAreShared) {
  auto shared = [](std::string_view one, std::string_view other) {
    for (const std::string& name :
         WarningsOf(Stream("a", {}, base::StrCat("domain: '", one, "' ")) +
                    Stream("b", {}, base::StrCat("domain: '", other, "' ")))) {
      if (name == base::StrCat("shared-domain:", other, "=a")) return true;
    }
    return false;
  };
  for (auto [one, other] :
       std::vector<std::pair<const char*, const char*>>{{"people", "people"},
                                                        {"people", "people@2"},
                                                        {"people@1", "people@previous"},
                                                        {"people@previous", "people"},
                                                        {"people@2", "people@2"}}) {
    EXPECT_TRUE(shared(one, other)) << one << " " << other;
    EXPECT_TRUE(shared(other, one)) << other << " " << one;
  }
  EXPECT_FALSE(shared("people@1", "people@2"));
  EXPECT_FALSE(shared("people@1", "peoples@1"));
}

TEST(Domains, ThatMayBeOneEpochHaveOneRangeOfShifts) {
  auto error = [](std::string_view other) {
    return ErrorOf(
        Stream("a", {{"born", "shift { person: 'host' days_max: 5 }"}}, "domain: 'people@1' ") +
        Stream("b", {{"issued", "shift { person: 'host' }"}},
               base::StrCat("domain: '", other, "' ")));
  };
  EXPECT_THAT(error("people"), HasSubstr("give both one days_max"));
  EXPECT_THAT(error("people@previous"), HasSubstr("give both one days_max"));
  EXPECT_EQ(error("people@2"), "");
  EXPECT_EQ(error("others"), "");
}

engine::Tables Hosts(std::string_view decided) {
  return {TableFromText("hosts",
                        base::StrCat("columns { name: 'beat' not_personal: true } columns { name: "
                                     "'room' ",
                                     decided,
                                     " } columns { name: 'floor' not_personal: true } key { "
                                     "column: 'beat' }"),
                        "beat,room,floor\nB1,R1,F1\n")};
}

constexpr std::string_view kJoin = "enrich { set: 'hosts' key: 'beat' into: 'row' } ";

TEST(JoinedColumns, AreJudgedAsFieldsAre) {
  // By their names.
  const engine::Tables named = {TableFromText(
      "hosts",
      "columns { name: 'beat' not_personal: true } columns { name: 'full_name' not_personal: true "
      "} columns { name: 'home_phone' not_personal: true } key { column: 'beat' }",
      "beat,full_name,home_phone\nB1,Ira Vale,07700900123\n")};
  EXPECT_THAT(
      WarningsOf(base::StrCat(Stream("a", {}), kJoin), named),
      UnorderedElementsAre("named-personal:row.full_name", "named-personal:row.home_phone"));
  // A column can be renamed; what it is called in its set counts.
  EXPECT_THAT(WarningsOf(base::StrCat(Stream("a", {}),
                                      "enrich { set: 'hosts' key: 'beat' into: 'row' fields { key: "
                                      "'home_phone' value: 'x' } } "),
                         named),
              ElementsAre("named-personal:row.x"));
  // By their classes: what is kept of one field isn't accepted for a column.
  EXPECT_THAT(
      WarningsOf(base::StrCat(Stream("a", {{"phone", "keep {}"}, {"row.room", "keep {}"}},
                                     Accept("kept:PHONE:phone") + Accept("joined:PHONE:row.room")),
                              kJoin),
                 Hosts("identifier: PHONE")),
      ElementsAre("kept:PHONE:row.room"));
  // As free text, and as what links.
  auto error = [](std::string_view decided, const std::string& more) {
    return ErrorOf(base::StrCat(Stream("a", {{"row.room", "keep {}"}}, more), kJoin),
                   Hosts(decided));
  };
  const std::string text = Accept("joined:FREE_TEXT:row.room");
  EXPECT_THAT(error("free_text: true", text), HasSubstr("`accept: {free-text:row.room: reason}`"));
  EXPECT_EQ(error("free_text: true", text + Accept("free-text:row.room")), "");
  EXPECT_EQ(error("free_text: true", text + "internal: true "), "");
  EXPECT_THAT(error("quasi: EVENT_TIME", Accept("joined:EVENT_TIME:row.room")),
              HasSubstr("'row.room' (EVENT_TIME) can't be kept"));
  // Together with the fields' attributes, and on the list of texts.
  Review review = ReviewOf(base::StrCat(Stream("a",
                                               {{"row.room", "keep {}"},
                                                {"born", "generalise { year {} }"},
                                                {"gender", "keep {}"},
                                                {"age", "generalise { bucket: 10 }"}},
                                               Accept("joined:HEALTH:row.room")),
                                        kJoin),
                           Hosts("sensitive: HEALTH"));
  EXPECT_THAT(NamesOf(review.warnings),
              Contains("together:AGE(bucket 10)+DATE_OF_BIRTH(year)+GENDER+HEALTH"));
}

engine::Tables Squares(double degrees) {
  std::string features;
  for (int i = 0; i < 2; ++i) {
    const double west = i * 10, east = west + (i + 1) * degrees, north = (i + 1) * degrees;
    base::StrAppend(features, i == 0 ? "" : ",", R"({"properties":{"code":"S)", i,
                    R"("},"geometry":{"type":"Polygon","coordinates":[[[)", west, ",0],[", east,
                    ",0],[", east, ",", north, "],[", west, ",", north, "],[", west, ",0]]]}}");
  }
  return {TableFromText(
      "squares",
      "kind: area columns { name: 'code' not_personal: true } columns { name: 'shape' type: area } "
      "key { column: 'code' }",
      base::StrCat(R"({"type":"FeatureCollection","features":[)", features, "]}"),
      enrichment::ReadGeoJson)};
}

TEST(Precision, OfAreasIsTheSmallestOnesSize) {
  const std::string stream = Stream("a", {{"place.latitude",
                                           "generalise { area_of { set: "
                                           "'squares' } }"},
                                          {"place.longitude",
                                           "generalise { area_of { set: "
                                           "'squares' } }"}});
  // A degree is 111 km.
  EXPECT_NEAR(Squares(0.001)[0]->smallest_metres(), 111.2, 0.5);
  EXPECT_THAT(WarningsOf(stream, Squares(0.00006)),
              Contains("precise:LATITUDE:place.latitude=area_of squares under 10 metres"));
  EXPECT_THAT(WarningsOf(stream, Squares(0.005)),
              Contains("precise:LATITUDE:place.latitude=area_of squares under 1000 metres"));
  EXPECT_THAT(WarningsOf(stream, Squares(0.02)), IsEmpty());
}

TEST(Precision, OfBucketsIsWarnedOfOrRefused) {
  auto bucket = [](std::string_view field, std::string_view width, bool internal = false) {
    return Stream("a", {{std::string(field), base::StrCat("generalise { bucket: ", width, " }")}},
                  internal ? "internal: true " : "");
  };
  for (std::string_view nothing : {"1e-15", "0.0009"})
    EXPECT_THAT(ErrorOf(bucket("weight", nothing)), HasSubstr("narrower than 0.001")) << nothing;
  EXPECT_THAT(ErrorOf(bucket("age", "1.0000001")), HasSubstr("narrower than 2"));
  EXPECT_THAT(ErrorOf(bucket("age", "1.0000001", true)), HasSubstr("narrower than 2"));
  EXPECT_THAT(WarningsOf(bucket("age", "4")), ElementsAre("precise:AGE:age=bucket 4"));
  EXPECT_THAT(WarningsOf(bucket("age", "5")), IsEmpty());
  EXPECT_THAT(WarningsOf(bucket("weight", "20")), ElementsAre("precise:HEALTH:weight=bucket 20"));
  EXPECT_THAT(ErrorOf(bucket("weight", "1e15")), HasSubstr("1e-15 or more and below 1e15"));
}

TEST(Precision, OfMasksIsThatOfTheirKind) {
  auto shown = [](std::string_view field, int characters) {
    return WarningsOf(
        Stream("a", {{std::string(field), base::StrCat("mask { keep_last: ", characters, " }")}}));
  };
  EXPECT_THAT(shown("phone", 3), IsEmpty());
  EXPECT_THAT(shown("phone", 4), ElementsAre("mask-shows:PHONE:phone=4"));
  // 1234 would be *234.
  EXPECT_THAT(shown("badge", 1), IsEmpty());
  EXPECT_THAT(shown("badge", 3), ElementsAre("mask-shows:WARRANT_NUMBER:badge=3"));
  // Four signs are a man's, six a woman's.
  EXPECT_THAT(shown("gender", 0), ElementsAre("mask-shows:GENDER:gender=0"));
  EXPECT_FALSE(ReviewOf(Stream("a", {{"badge", "mask { keep_last: 3 }"}})).proven());
}

TEST(Times, OfAnyClassAreNotKeptOutside) {
  for (const char* time : {"called", "seen_on"}) {
    EXPECT_THAT(ErrorOf(Stream("a", {{time, "keep {}"}})),
                HasSubstr("an exact time links audiences"))
        << time;
    EXPECT_EQ(ErrorOf(Stream("a", {{time, "keep {}"}}, "internal: true ")), "") << time;
    EXPECT_EQ(ErrorOf(Stream("a", {{time, "generalise { month {} }"}})), "") << time;
  }
  EXPECT_EQ(ErrorOf(Stream("a", {{"born", "keep {}"}})), "") << "no time of the event";
}

constexpr char kShift[] = "shift { person: 'host' }";

TEST(Audiences, AreLinkedByWhatLiesBetweenShiftedDates) {
  auto error = [](std::vector<std::pair<std::string, std::string>> a,
                  std::vector<std::pair<std::string, std::string>> b, std::string_view more = "") {
    return ErrorOf(Stream("a", std::move(a), more) + Stream("b", std::move(b)));
  };
  for (const char* many : {"births", "companions[].born"}) {
    EXPECT_THAT(error({{many, kShift}}, {{many, kShift}}),
                HasSubstr(base::StrCat("links-audiences:shift:", many, "=b")));
    EXPECT_THAT(error({{many, kShift}}, {{many, "keep {}"}}), HasSubstr("links-audiences:shift:"));
    EXPECT_EQ(error({{many, kShift}}, {{many, kShift}}, "internal: true "), "");
    EXPECT_EQ(error({{many, kShift}}, {{many, "generalise { year {} }"}}), "");
  }
  // One date alone tells nothing, unless both follow its person.
  EXPECT_EQ(error({{"born", kShift}}, {{"born", kShift}}), "");
  const char kFollowed[] = "pseudonymise {}", kNot[] = "pseudonymise { linkage: event }";
  EXPECT_THAT(
      error({{"born", kShift}, {"host", kFollowed}}, {{"born", kShift}, {"host", "keep {}"}}),
      HasSubstr("`accept: {links-audiences:shift:born=a: reason}`"));
  EXPECT_EQ(error({{"born", kShift}, {"host", kFollowed}}, {{"born", kShift}, {"host", kNot}}), "");
  // Both accept it, for this field and that stream.
  auto accepting = [](std::string_view field) {
    return ErrorOf(Stream("a", {{"births", kShift}},
                          Accept(base::StrCat("links-audiences:shift:", field, "=b"))) +
                   Stream("b", {{"births", kShift}},
                          Accept(base::StrCat("links-audiences:shift:", field, "=a"))));
  };
  EXPECT_EQ(accepting("births"), "");
  EXPECT_NE(accepting("born"), "");
}

TEST(Audiences, AreLinkedByTheLengthsOfMasks) {
  const std::pair<std::string, std::string> masked{"host", "mask {}"};
  EXPECT_THAT(WarningsOf(Stream("a", {masked}) + Stream("b", {masked})),
              UnorderedElementsAre("links-audiences:mask:host=b", "links-audiences:mask:host=a"));
  EXPECT_THAT(WarningsOf(Stream("a", {masked}) + Stream("b", {{"host", "pseudonymise {}"}})),
              ElementsAre("linkable:PERSON_NAME:host=domain"));
  EXPECT_THAT(WarningsOf(Stream("a", {masked}) + Stream("b", {masked}, "internal: true ")),
              IsEmpty());
}

TEST(Audiences, AreToldWhatTheyShare) {
  const std::string streams =
      Stream("a", {{"gender", "keep {}"}, {"host", "pseudonymise {}"}, {"born", "keep {}"}}) +
      Stream("b", {{"gender", "keep {}"}, {"host", "pseudonymise {}"}}) +
      Stream("c", {{"born", "keep {}"}}, "internal: true ");
  EXPECT_THAT(ReviewOf(streams).notes,
              ElementsAre(HasSubstr("'a' and 'b' both tell of an event: at, gender, beat, unit:")));
}

std::vector<std::string> Against(
    std::string_view before, std::string_view now,
    std::vector<std::pair<absl::string_view, absl::string_view>> contract = {}) {
  auto then = Compile(before);
  auto is = Compile(now, {}, absl::StrReplaceAll(std::string(kContract), contract));
  EXPECT_TRUE(then.ok() && is.ok()) << then.status() << is.status();
  return NamesOf(CompareStrength(**then, **is));
}

TEST(Against, SeesWhereAFieldIsReadFrom) {
  const std::string stream = Stream("a", {});
  EXPECT_THAT(Against(stream, stream), IsEmpty());
  EXPECT_THAT(
      Against(stream, stream,
              {{"[\"beat\", \"unit\"]", "[\"unit\"]"},
               {"string beat = 17;",
                "string beat = 17 [(sluice.contract.v1.field) = {not_personal: true read: {source: "
                "\"guest\"}}];"},
               {"string guest = 4 [(sluice.contract.v1.field).identifier = PERSON_NAME]",
                "string guest = 4 [(sluice.contract.v1.field) = {identifier: PERSON_NAME read: "
                "{source: \"visitor\"}}]"}}),
      ElementsAre("weaker:beat"));
  // Of a field that no stream has, where it comes from says nothing.
  EXPECT_THAT(Against(stream, stream,
                      {{"string guest = 4 [(sluice.contract.v1.field).identifier = PERSON_NAME]",
                        "string guest = 4 [(sluice.contract.v1.field) = {identifier: PERSON_NAME "
                        "read: {source: \"visitor\"}}]"}}),
              IsEmpty());
  // In protobuf a field is its number.
  auto compile = [&](std::vector<std::pair<absl::string_view, absl::string_view>> contract) {
    engine::Pipeline::Options options;
    options.contract =
        contract::PlanFromProto(absl::StrReplaceAll(std::string(kContract), contract), "E");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "contract: 'test.E' input { topic: 'raw' format: protobuf } quarantine { topic: 'q' "
        "public_key: 'k' } " +
            stream,
        &options.config));
    return *engine::Pipeline::Compile(std::move(options));
  };
  EXPECT_THAT(NamesOf(CompareStrength(*compile({}), *compile({{"beat = 17", "beat = 4"},
                                                              {"guest = 4", "guest = 17"}}))),
              ElementsAre("weaker:beat"));
}

TEST(Against, SeesWhoGetsItAndHowFineItsTimestampsAre) {
  const std::string stream = Stream("a", {}, "timestamp_grid_seconds: 86400 ");
  EXPECT_THAT(Against(stream, Stream("a", {})), ElementsAre("weaker:timestamp_grid_seconds"));
  EXPECT_THAT(Against(Stream("a", {}), stream), IsEmpty());
  EXPECT_THAT(Against(stream, absl::StrReplaceAll(stream, {{"'clean.a'", "'clean.other'"}})),
              ElementsAre("weaker:topic"));
  EXPECT_THAT(Against(Stream("a", {}), Stream("a", {}, "domain: 'da@1' ")),
              ElementsAre("weaker:domain"));
  EXPECT_THAT(Against(Stream("a", {}, "internal: true "), Stream("a", {})),
              Contains("weaker:internal"));
  EXPECT_THAT(Against(Stream("a", {}), Stream("a", {}, "internal: true ")),
              Contains("weaker:internal"));
}

}  // namespace
}  // namespace sluice::ctl
