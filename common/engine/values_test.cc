// What a stream has of a value that is absent, empty, blank, zero or a placeholder, of a list's
// items and of a record's key; and whose calendar it follows.
#include <gmock/gmock.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/engine.h"
#include "common/engine/output_schema.h"
#include "common/enrichment/table.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"

namespace sluice::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kContract = R"(
message Visit {
  option (sluice.contract.v1.event) = {id: "id" time: "at" time_zone: "Europe/London"};
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string guest = 3 [(sluice.contract.v1.field) = {identifier: PERSON_NAME placeholders: "Not Known"}];
  string nhs = 4 [(sluice.contract.v1.field) = {identifier: NHS_NUMBER placeholders: "4000000004"}];
  string born = 5 [(sluice.contract.v1.field) = {quasi: DATE_OF_BIRTH placeholders: "1901-01-01"}];
  string until = 6 [(sluice.contract.v1.field) = {quasi: DATE_OF_BIRTH}];
  google.protobuf.Timestamp left = 7
      [(sluice.contract.v1.field) = {quasi: EVENT_TIME placeholders: "1970-01-01"}];
  double lat = 8 [(sluice.contract.v1.field).quasi = LATITUDE];
  double lon = 9 [(sluice.contract.v1.field).quasi = LONGITUDE];
  Spot spot = 10;
  int64 room = 11 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  float score = 12 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  Sort sort = 13 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  repeated string phones = 14 [(sluice.contract.v1.field) = {identifier: PHONE placeholders: "07000 000000"}];
  repeated string births = 15 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  repeated google.protobuf.Timestamp calls = 16 [(sluice.contract.v1.field).quasi = EVENT_TIME];
  string postcode = 18 [(sluice.contract.v1.field).identifier = POSTCODE];
  optional bool seen = 19 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  string plate = 21 [(sluice.contract.v1.field) = {identifier: VRM check: true}];
}
message Spot {
  optional double lat = 1 [(sluice.contract.v1.field).quasi = LATITUDE];
  optional double lon = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];
}
enum Sort { SORT_UNSPECIFIED = 0; SHORT = 1; LONG = 2; }
)";

constexpr std::string_view kClasses[] = {
    "PERSON_NAME", "NHS_NUMBER", "DATE_OF_BIRTH", "EVENT_TIME", "LOCATION", "ATTRIBUTE",
    "PHONE",       "POSTCODE",   "OCCURRED_AT",   "EVENT_ID",   "VRM"};

// A field of a record, as JSON without white space; `-`: it isn't there.
using Fields = std::map<std::string, std::string>;

class ValuesTest : public ::testing::Test, private OutcomeSink {
 protected:
  struct Record {
    std::optional<std::string> key;
    std::string value, id, time;
  };

  static std::string Stream(const std::string& name, std::map<std::string, std::string> how,
                            const std::string& more = "internal: true") {
    std::string out = base::StrCat("streams { name: '", name, "' topic: 'clean.", name,
                                   "' domain: '", name == "b" ? "b" : "a", "' ", more, " ");
    for (std::string_view kind : kClasses) {
      std::string what = how.contains(std::string(kind)) ? how[std::string(kind)] : "drop {}";
      how.erase(std::string(kind));
      base::StrAppend(out, "treat { key: '", kind, "' value { ", what, " } } ");
    }
    for (const auto& [path, what] : how)
      base::StrAppend(out, "fields { key: '", path, "' value { ", what, " } } ");
    return out + "}\n";
  }

  static absl::StatusOr<std::shared_ptr<const Pipeline>> Compile(const std::string& streams,
                                                                 std::string_view format,
                                                                 Tables tables = {}) {
    Pipeline::Options options;
    options.contract = contract::PlanFromProto(kContract, "Visit");
    std::string text = base::StrCat("contract: 'test.Visit' input { topic: 'raw' format: ", format,
                                    "} quarantine { topic: 'q' public_key: 'k' } ", streams);
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &options.config)) << text;
    options.tables = std::move(tables);
    return Pipeline::Compile(std::move(options));
  }

  void Make(const std::string& streams, Tables tables = {}) {
    for (std::string_view format : {"json", "protobuf"}) {
      auto pipeline = Compile(streams, format, tables);
      ASSERT_TRUE(pipeline.ok()) << pipeline.status();
      pipeline_ = *pipeline;
      auto engine = Engine::Create(*pipeline, *pseudonymiser_, *sealer_);
      ASSERT_TRUE(engine.ok()) << engine.status();
      (format == "json" ? json_ : protobuf_) = *std::move(engine);
    }
  }

  // The event as all streams have it, read as JSON.
  std::vector<Record> Run(std::string_view event) { return Give(*json_, event); }
  // As protobuf binary.
  std::vector<Record> RunBinary(std::string_view event) {
    google::protobuf::DynamicMessageFactory factory;
    std::unique_ptr<google::protobuf::Message> message(
        factory.GetPrototype(&pipeline_->contract().descriptor())->New());
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(std::string(event), message.get()).ok())
        << event;
    return Give(*protobuf_, message->SerializeAsString());
  }
  // The same from both, or a failure.
  std::vector<Record> Both(std::string_view event) {
    std::vector<Record> json = Run(event), binary = RunBinary(event);
    EXPECT_EQ(json.size(), binary.size()) << event << ": " << reasons_;
    for (size_t i = 0; i < std::min(json.size(), binary.size()); ++i) {
      EXPECT_EQ(json[i].value, binary[i].value) << event;
      // Without an id, a record's key is the raw record's place.
      if (!json[i].key.value_or("").starts_with("raw/")) {
        EXPECT_EQ(json[i].key, binary[i].key) << event;
      }
    }
    return json;
  }
  static std::string Event(std::string_view members) {
    return base::StrCat(R"({"id":"v1","at":"2026-07-01T12:00:00Z")", members.empty() ? "" : ",",
                        members, "}");
  }

  std::vector<Record> Give(Engine& engine, std::string_view bytes) {
    InputRecord record;
    record.topic = "raw";
    record.offset = offset_++;
    record.value = bytes;
    clean_.clear();
    reasons_.clear();
    engine.tally().Clear();
    EXPECT_TRUE(engine.Process({&record, 1}, *this).ok());
    repairs_ = engine.tally().repairs;
    return clean_;
  }
  uint64_t Repaired(const std::string& path, event::RepairKind kind) const {
    return repairs_[pipeline_->contract().Find(path) * event::kRepairKinds +
                    static_cast<size_t>(kind)];
  }

  absl::Status Clean(const InputRecord&, const CleanRecord& record) override {
    Record out;
    if (record.key) out.key = *record.key;
    out.value = record.value;
    for (const Header& header : record.headers) {
      if (header.name == "ce_id") out.id = header.value;
      if (header.name == "ce_time") out.time = header.value;
    }
    clean_.push_back(std::move(out));
    return absl::OkStatus();
  }
  absl::Status Quarantined(const InputRecord&, const QuarantineRecord& record) override {
    for (const auto& violation : record.violations)
      base::StrAppend(reasons_, violation.rule, '@', violation.path, ' ');
    return absl::OkStatus();
  }
  void Suppressed(const InputRecord&) override {}

  base::CountingRandom random_;
  privacy::Keyring keyring_ = *privacy::Keyring::Create({{"a", "aa"}, {"b", "bb"}}, random_);
  std::unique_ptr<privacy::Sealer> sealer_ =
      *privacy::Sealer::Create(privacy::NewSealingKeys(random_)->public_pem, random_);
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser_ =
      *privacy::LocalPseudonymiser::Create(keyring_);
  std::shared_ptr<const Pipeline> pipeline_;
  std::unique_ptr<Engine> json_, protobuf_;
  int64_t offset_ = 0;
  std::vector<Record> clean_;
  std::vector<uint64_t> repairs_;
  std::string reasons_;
};

constexpr char kShift[] = "shift { person: 'guest' }";

TEST_F(ValuesTest, BlankIdentifiersAreAbsentInEveryTreatment) {
  for (const char* how : {"pseudonymise {}", "encrypt {}", "pseudonymise { linkage: event }"}) {
    Make(Stream("a", {{"PERSON_NAME", how}, {"NHS_NUMBER", how}}));
    for (const char* blank : {"", " ", "\\t", "\\n ", "\u00A0", "\u200B", "\uFEFF\u2060", "\u3164",
                              "\u200E \u200F", "\u0301"}) {
      auto records = Run(Event(base::StrCat(R"("guest":")", blank, R"(","nhs":")", blank, '"')));
      ASSERT_EQ(records.size(), 1u) << reasons_;
      EXPECT_THAT(records[0].value, Not(HasSubstr("guest"))) << how;
      EXPECT_THAT(records[0].value, Not(HasSubstr("nhs"))) << how;
    }
    for (const char* sign : {"-", ".", "?", "-- / --", "\u2026", "\u2013"}) {
      auto records = Run(Event(base::StrCat(R"("guest":")", sign, R"(","nhs":")", sign, '"')));
      ASSERT_EQ(records.size(), 1u) << reasons_;
      EXPECT_THAT(records[0].value, Not(HasSubstr("guest"))) << sign;
      EXPECT_THAT(records[0].value, Not(HasSubstr("nhs"))) << sign;
    }
    EXPECT_THAT(Run(Event(R"("guest":"Bea\u200B")"))[0].value, HasSubstr("guest"));
  }
  // Nobody's dates.
  Make(Stream("a", {{"DATE_OF_BIRTH", kShift}}));
  EXPECT_THAT(Run(Event(R"("guest":" \u00A0","born":"1980-02-03")"))[0].value,
              Not(HasSubstr("born")));
}

TEST_F(ValuesTest, PlaceholdersAreAbsentAndCounted) {
  Make(Stream("a", {{"PERSON_NAME", "pseudonymise {}"},
                    {"NHS_NUMBER", "pseudonymise {}"},
                    {"DATE_OF_BIRTH", kShift},
                    {"EVENT_TIME", "generalise { month {} }"},
                    {"PHONE", "pseudonymise {}"}}) +
       Stream("b", {{"PERSON_NAME", "keep {}"}, {"DATE_OF_BIRTH", "generalise { year {} }"}}));
  auto records =
      Run(Event(R"("guest":"NOT  known","nhs":"400 000 0004","born":"1901-01-01",)"
                R"("left":"1970-01-01T17:00:00Z","phones":["07000000000","020 7946 0000"])"));
  ASSERT_EQ(records.size(), 2u) << reasons_;
  for (const char* name : {"guest", "nhs", "born", "left"}) {
    EXPECT_THAT(records[0].value, Not(HasSubstr(name)));
    EXPECT_EQ(Repaired(name, event::RepairKind::kPlaceholder), 1u) << name;
  }
  EXPECT_THAT(records[0].value, HasSubstr(R"("phones":["","aa1-)"));
  EXPECT_THAT(records[1].value, Not(HasSubstr("guest")));
  // Others aren't.
  records = Run(Event(R"("guest":"Not Knowne","nhs":"943 476 5919","born":"1901-01-02")"));
  ASSERT_EQ(records.size(), 2u) << reasons_;
  EXPECT_THAT(records[0].value, HasSubstr("nhs"));
  EXPECT_THAT(records[0].value, HasSubstr("born"));
  EXPECT_EQ(Repaired("nhs", event::RepairKind::kPlaceholder), 0u);
}

// On the wall clock of the event's zone: 23:30 in UTC is September in London.
TEST_F(ValuesTest, AMarkThatIsIssuedOnlyAfterTheEventIsRefused) {
  Make(Stream("a", {{"VRM", "pseudonymise {}"}}));
  auto refused = [&](const char* mark, const char* at) {
    Run(base::StrCat(R"({"id":"v1","at":")", at, R"(","plate":")", mark, R"("})"));
    return reasons_ == "sluice.identifier@plate ";
  };
  EXPECT_TRUE(refused("AB49 CDE", "2026-07-01T12:00:00Z"));
  EXPECT_TRUE(refused("AB76 CDE", "2026-08-31T22:30:00Z"));
  EXPECT_FALSE(refused("AB76 CDE", "2026-08-31T23:30:00Z"));
  EXPECT_TRUE(refused("262 D 1234", "2026-06-30T22:30:00Z"));
  EXPECT_FALSE(refused("262 D 1234", "2026-06-30T23:30:00Z"));
  EXPECT_FALSE(refused("AB26 CDE", "2026-07-01T12:00:00Z"));
}

TEST_F(ValuesTest, DatesAtTheCalendarsEndsAreNeverShifted) {
  Make(Stream("a", {{"DATE_OF_BIRTH", kShift}, {"EVENT_TIME", kShift}}) + Stream("b", {}));
  for (int person = 0; person < 40; ++person) {
    for (const char* date :
         {"9999-12-31", "9999-12-30", "9999-07-10", "0001-01-01", "0001-03-02"}) {
      auto records = Run(Event(base::StrCat(R"("guest":"Guest )", person, R"(","until":")", date,
                                            R"(","left":")", date, R"(T00:00:00Z")")));
      ASSERT_EQ(records.size(), 2u) << reasons_ << date;
      EXPECT_THAT(records[0].value, Not(HasSubstr("until"))) << date;
      EXPECT_THAT(records[0].value, Not(HasSubstr("left"))) << date;
      EXPECT_EQ(Repaired("until", event::RepairKind::kPlaceholder), 1u);
    }
  }
  EXPECT_THAT(Run(Event(R"("guest":"G","until":"9998-12-31")"))[0].value, HasSubstr("until"));
  // Nor has anyone an age by them.
  Make(Stream("a", {{"DATE_OF_BIRTH", "generalise { age_bands { from: 18 } }"}}));
  EXPECT_THAT(Both(Event(R"("born":"9999-12-31")"))[0].value, Not(HasSubstr("born")));
}

TEST_F(ValuesTest, OneDomainHasOneShiftForAPerson) {
  auto compiled = Compile(
      Stream("a", {{"DATE_OF_BIRTH", kShift}, {"until", "shift { person: 'guest' days_max: 7 }"}}),
      "json");
  ASSERT_FALSE(compiled.ok());
  EXPECT_THAT(
      std::string(compiled.status().message()),
      HasSubstr("'until' (DATE_OF_BIRTH) is shifted by at most 7 days and 'born' by at most "
                "183 in the same domain"));
  EXPECT_TRUE(Compile(Stream("a", {{"DATE_OF_BIRTH", kShift}}) +
                          Stream("b", {{"DATE_OF_BIRTH", "shift { person: 'guest' days_max: 7 }"}}),
                      "json")
                  .ok());
}

TEST_F(ValuesTest, ShiftedTimesInTwoAudiencesAreRefusedUnlessAccepted) {
  const std::string outside = "";
  auto with = [&](const char* how, const char* kind, const std::string& accept) {
    return Compile(Stream("a", {{kind, how}}, accept) + Stream("b", {{kind, how}}, accept), "json");
  };
  for (const char* kind : {"EVENT_TIME", "DATE_OF_BIRTH"}) {
    auto compiled = with(kShift, kind, "");
    ASSERT_FALSE(compiled.ok());
    EXPECT_THAT(std::string(compiled.status().message()),
                HasSubstr("`accept: {links-audiences:shift:"));
    EXPECT_TRUE(with(kShift, kind, "internal: true").ok());
    EXPECT_TRUE(with("generalise { year {} }", kind, "").ok());
  }
}

TEST_F(ValuesTest, WithoutPresenceAbsentIsZeroInEveryFormat) {
  Make(Stream("a", {{"LOCATION", "generalise { grid_metres: 1000 }"}}));
  // On the meridian and on the equator; protobuf leaves a zero without presence out.
  EXPECT_THAT(Both(Event(R"("lat":51.4,"lon":0)"))[0].value, HasSubstr("\"lon\":"));
  EXPECT_THAT(Both(Event(R"("lat":0,"lon":-3.2)"))[0].value, HasSubstr("\"lat\":"));
  EXPECT_THAT(Both(Event(R"("lat":51.4)"))[0].value, HasSubstr("\"lon\":"));
  // Nobody can say that both are there.
  EXPECT_THAT(Both(Event(R"("lat":0,"lon":0)"))[0].value, Not(HasSubstr("lat")));
  EXPECT_THAT(Both(Event(""))[0].value, Not(HasSubstr("lat")));
  // With presence half a point is none, and zeros are where they are.
  EXPECT_THAT(Both(Event(R"("spot":{"lat":51.4})"))[0].value, Not(HasSubstr("lat")));
  EXPECT_THAT(Both(Event(R"("spot":{"lat":51.4,"lon":0})"))[0].value, HasSubstr("\"lon\":"));
  EXPECT_THAT(Both(Event(R"("spot":{"lat":0,"lon":0})"))[0].value, HasSubstr("\"lat\":"));
}

TEST_F(ValuesTest, AConstantIsInEveryEvent) {
  Make(Stream("a", {{"PERSON_NAME", "constant: 'somebody'"}, {"seen", "constant: 'n'"}}));
  for (std::string_view members : {"", R"("guest":"")", R"("guest":"Cal","seen":true)"})
    EXPECT_THAT(Both(Event(members))[0].value, HasSubstr(R"("guest":"somebody","seen":"n")"));
}

TEST_F(ValuesTest, KeysAreBareOrNone) {
  auto key = [&](const std::string& field, const char* kind, const char* how,
                 std::string_view members) {
    Make(Stream("a", {{kind, how}}, base::StrCat("internal: true key: '", field, "'")));
    auto records = Run(Event(members)), binary = RunBinary(Event(members));
    if (records.size() != 1 || binary.size() != 1) return "quarantined: " + reasons_;
    EXPECT_EQ(records[0].key, binary[0].key) << field;
    return records[0].key.value_or("none");
  };
  EXPECT_EQ(key("room", "ATTRIBUTE", "keep {}", R"("room":"77")"), "77");
  EXPECT_EQ(key("room", "ATTRIBUTE", "keep {}", R"("room":"0")"), "0");
  EXPECT_EQ(key("room", "ATTRIBUTE", "keep {}", ""), "0");
  EXPECT_EQ(key("sort", "ATTRIBUTE", "keep {}", R"("sort":"LONG")"), "LONG");
  EXPECT_EQ(key("score", "score", "generalise { bucket: 0.5 }", R"("score":1.7)"), "1.5");
  EXPECT_EQ(key("seen", "ATTRIBUTE", "keep {}", ""), "none");
  EXPECT_EQ(key("seen", "ATTRIBUTE", "keep {}", R"("seen":false)"), "false");
  EXPECT_EQ(key("left", "EVENT_TIME", "keep {}", R"("left":"2026-01-02T03:04:05Z")"),
            "2026-01-02T03:04:05Z");
  EXPECT_EQ(key("guest", "PERSON_NAME", "pseudonymise {}", R"("guest":" ")"), "none");
  EXPECT_EQ(key("guest", "PERSON_NAME", "keep {}", R"("guest":"\u200b")"), "none");
  EXPECT_EQ(key("until", "DATE_OF_BIRTH", kShift, R"("until":"2026-01-01")"), "none");
}

TEST_F(ValuesTest, AnIdThatIsNoAttributeIsReplacedByThePlace) {
  Make(Stream("a", {{"EVENT_ID", "keep {}"}}));
  auto id = [&](std::string_view text) {
    return Run(base::StrCat(R"({"id":")", text, R"(","at":"2026-07-01T12:00:00Z"})"))[0].id;
  };
  EXPECT_EQ(id("v-7 \u00E9\U0001F600\u9F9F\u00C3"), "v-7 \u00E9\U0001F600\u9F9F\u00C3");
  for (std::string_view text :
       {"", " ", "a\\u0007b", "a\\u007f", "\\u0085x", "\uFFFE", "\uFDD0", "\U0001FFFF"})
    EXPECT_THAT(id(text), ::testing::StartsWith("raw/0/")) << text;
}

TEST_F(ValuesTest, ListsKeepTheirPlaces) {
  Make(Stream("a", {{"PHONE", "pseudonymise {}"}, {"DATE_OF_BIRTH", "generalise { year {} }"}}) +
       Stream("b", {{"PHONE", "mask { keep_last: 2 }"}, {"EVENT_TIME", kShift}}));
  auto records = Both(Event(
      R"("guest":"Dee","phones":["","07700 900456"," "],"births":["1991-05-06","1992-07-08",""],)"
      R"("calls":["2026-06-01T10:00:00Z","9999-12-31T00:00:00Z"])"));
  ASSERT_EQ(records.size(), 2u) << reasons_;
  EXPECT_THAT(records[0].value, ::testing::ContainsRegex(R"("phones":\["","aa1-[a-z2-7]*",""\])"));
  EXPECT_THAT(records[0].value, HasSubstr(R"("births":["1991","1992",""])"));
  EXPECT_THAT(records[1].value, HasSubstr(R"("phones":["","*********56",""])"));
  // Nothing can stand in for a time, so the list isn't there.
  EXPECT_THAT(records[1].value, Not(HasSubstr("calls")));
  records = Both(Event(R"("guest":"Dee","calls":["2026-06-01T10:00:00Z","2026-06-02T11:00:00Z"])"));
  EXPECT_THAT(records[1].value,
              ::testing::ContainsRegex(R"("calls":\["[^"]*T10:00:00Z","[^"]*T11:00:00Z"\])"));
}

TEST_F(ValuesTest, CalendarPartsAgesAndPeriodsFollowTheEventsOwnClock) {
  Make(Stream("a", {{"DATE_OF_BIRTH", "generalise { age_bands { from: 18 } }"},
                    {"PERSON_NAME", "pseudonymise { linkage: period }"},
                    {"EVENT_TIME", "generalise { day {} }"},
                    {"OCCURRED_AT", "generalise { month {} }"}}));
  auto at = [&](std::string_view time) {
    auto records = Both(base::StrCat(R"({"id":"v","guest":"Eve","born":"2008-08-01","at":")", time,
                                     R"(","left":")", time, R"("})"));
    EXPECT_EQ(records.size(), 1u) << reasons_;
    return records.empty() ? Record() : records[0];
  };
  // Half past midnight in London on the first of August.
  Record midnight = at("2026-07-31T23:30:00Z");
  EXPECT_THAT(midnight.value, HasSubstr(R"("born":"18+")"));
  EXPECT_THAT(midnight.value, HasSubstr(R"("at":"2026-08")"));
  EXPECT_THAT(midnight.value, HasSubstr(R"("left":"2026-08-01")"));
  EXPECT_EQ(midnight.time, "2026-08-01T00:00:00+01:00");
  Record before = at("2026-07-31T22:59:59Z");
  EXPECT_THAT(before.value, HasSubstr(R"("born":"0-17")"));
  EXPECT_THAT(before.value, HasSubstr(R"("at":"2026-07")"));
  auto guest = [](const Record& record) {
    size_t from = record.value.find("\"guest\":");
    return record.value.substr(from, record.value.find(',', from) - from);
  };
  EXPECT_EQ(guest(midnight), guest(at("2026-08-15T12:00:00Z")));
  EXPECT_NE(guest(midnight), guest(before));
  EXPECT_EQ(at("2026-01-31T23:30:00Z").time, "2026-01-01T00:00:00Z");
  // The last second in UTC is the next year's in no calendar.
  auto last = Both(R"({"id":"v","at":"9999-12-31T23:59:59Z"})");
  ASSERT_EQ(last.size(), 1u) << reasons_;
  EXPECT_THAT(last[0].value, HasSubstr(R"("at":"9999-12")"));
}

TEST_F(ValuesTest, PostcodesOfNoUsualFormHaveTheirParts) {
  auto part = [&](const char* what) {
    Make(Stream("a", {{"POSTCODE", base::StrCat("generalise { ", what, " {} }")}}));
    std::string value = Both(Event(R"("postcode":"gir0aa")"))[0].value;
    size_t from = value.find("\"postcode\":");
    return value.substr(from + 11, value.find('"', from + 12) - from - 10);
  };
  EXPECT_EQ(part("sector"), "\"GIR 0\"");
  EXPECT_EQ(part("district"), "\"GIR\"");
  EXPECT_EQ(part("area"), "\"GIR\"");
}

TEST_F(ValuesTest, WhatCompilesHasASchema) {
  auto named = [&](const std::string& as) {
    return Compile(
        Stream("a", {{"room", base::StrCat("keep {} as: '", as, "'")}, {"sort", "keep {}"}}),
        "json");
  };
  for (const char* name : {"room band", "2nd", "a-b", "\u00E9tage", "a.b", "a\"b"}) {
    auto compiled = named(name);
    ASSERT_FALSE(compiled.ok()) << name;
    EXPECT_THAT(std::string(compiled.status().message()), HasSubstr("a name is a letter or _"));
  }
  // A type's name: types give way.
  for (const char* name : {"SortValues", "Value"}) {
    auto compiled = named(name);
    ASSERT_TRUE(compiled.ok()) << name << compiled.status();
    EXPECT_TRUE(OutputSchemaText(**compiled, (*compiled)->streams()[0]).ok()) << name;
  }
  // Readers can tell false, and a point that is none, from absence.
  auto compiled = Compile(
      Stream("a", {{"seen", "keep {}"}, {"LOCATION", "generalise { grid_metres: 500 }"}}), "json");
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  auto text = OutputSchemaText(**compiled, (*compiled)->streams()[0]);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("optional bool seen = 19"));
  EXPECT_THAT(*text, HasSubstr("optional double lat = 8"));
}

}  // namespace
}  // namespace sluice::engine
