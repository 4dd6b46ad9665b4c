// What each treatment of an identifier or a date promises to its audience.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <set>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/engine.h"
#include "common/event/time_text.h"
#include "common/privacy/format_preserving.h"
#include "common/privacy/identifier.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/value_cipher.h"

namespace sluice::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kContract = R"(
message E {
  option (sluice.contract.v1.event) = {id: "id" time: "at"};
  string id = 1;
  google.protobuf.Timestamp at = 2;
  Person subject = 3;
  repeated Person others = 4;
  google.protobuf.Timestamp released_at = 5 [(sluice.contract.v1.field).quasi = EVENT_TIME];
  string seen_on = 6 [(sluice.contract.v1.field) = {date: true quasi: EVENT_TIME}];
  string grounds = 7 [(sluice.contract.v1.field).free_text = true];
}
message Person {
  string name = 1 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string phone = 2 [(sluice.contract.v1.field).identifier = PHONE];
  string pnc_id = 3 [(sluice.contract.v1.field).identifier = PNC_ID];
  string born = 4 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  uint64 uprn = 5 [(sluice.contract.v1.field).identifier = UPRN];
}
)";

// Two internal streams in two domains with the same treatments, given as text.
std::string Config(std::string_view treatments) {
  std::string out =
      "contract: 'test.E' input { topic: 'raw' } quarantine { topic: 'q' public_key: 'k' }";
  for (const char* domain : {"one", "two"}) {
    base::StrAppend(out, "streams { name: '", domain, "' topic: '", domain, "' domain: '", domain,
                    "' internal: true ", treatments, " }\n");
  }
  return out;
}

std::string Treat(std::string_view name, std::string_view how) {
  return base::StrCat("treat { key: '", name, "' value { ", how, " } }\n");
}

// Everything that isn't what a test is about is dropped.
std::string TreatOnly(std::string_view name, std::string_view how) {
  std::string out = Treat(name, how);
  for (std::string_view other :
       {"PERSON_NAME", "PHONE", "PNC_ID", "UPRN", "DATE_OF_BIRTH", "EVENT_TIME", "FREE_TEXT"}) {
    if (other != name) out += Treat(other, "drop {}");
  }
  return out;
}

Pipeline::Options Options(const std::string& text) {
  Pipeline::Options options;
  options.contract = contract::PlanFromProto(kContract, "E");
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &options.config)) << text;
  options.locate = [](std::string_view path) {
    return path.starts_with("pipeline.streams[0]") ? "p.yaml:7" : "p.yaml:9";
  };
  return options;
}

class TreatmentsTest : public ::testing::Test, private OutcomeSink {
 protected:
  using Json = google::protobuf::Struct;

  void Make(const std::string& config) {
    auto pipeline = Pipeline::Compile(Options(config));
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    pseudonymiser_ = *privacy::LocalPseudonymiser::Create(keyring_);
    auto engine = Engine::Create(*pipeline, *pseudonymiser_, *sealer_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  // The event as stream `one` has it, or with `two`, that stream; empty when it went to quarantine.
  Json Run(std::string_view event, int64_t offset = 0, bool two = false) {
    InputRecord record;
    record.topic = "raw";
    record.offset = offset;
    record.value = event;
    clean_.clear();
    reasons_.clear();
    EXPECT_TRUE(engine_->Process({&record, 1}, *this).ok());
    Json json;
    if (clean_.size() == 2) {
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(clean_[two], &json).ok());
    }
    return json;
  }
  static std::string Field(const Json& json, const std::string& name) {
    auto found = json.fields().find(name);
    return found == json.fields().end() ? "" : found->second.string_value();
  }
  static const Json& Subject(const Json& json) {
    return json.fields().at("subject").struct_value();
  }
  static std::string Other(const Json& json, int index, const std::string& name) {
    return Field(json.fields().at("others").list_value().values(index).struct_value(), name);
  }

  absl::Status Clean(const InputRecord&, const CleanRecord& record) override {
    clean_.emplace_back(record.value);
    return absl::OkStatus();
  }
  absl::Status Quarantined(const InputRecord&, const QuarantineRecord& record) override {
    for (const auto& violation : record.violations)
      base::StrAppend(reasons_, violation.rule, '@', violation.path, ' ');
    return absl::OkStatus();
  }
  void Suppressed(const InputRecord&) override {}

  base::CountingRandom random_;
  privacy::Keyring keyring_ = *privacy::Keyring::Create({{"one", "one"}, {"two", "two"}}, random_);
  std::unique_ptr<privacy::Sealer> sealer_ =
      *privacy::Sealer::Create(privacy::NewSealingKeys(random_)->public_pem, random_);
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::string> clean_;
  std::string reasons_;
};

// An event at `at` about a person and two others, the second of whom is the person again.
std::string Event(std::string_view at) {
  return base::StrCat(R"({"id":"e","at":")", at, R"(","subject":{"name":"Ann Archer"},)",
                      R"("others":[{"name":"Bo Bell"},{"name":"ARCHER,  ann"},)",
                      R"({"name":"ann  ARCHER"}]})");
}

TEST_F(TreatmentsTest, LinkageDomainIsTheSameForAYearAndAnotherInAnotherDomain) {
  Make(Config(TreatOnly("PERSON_NAME", "pseudonymise {}")));
  std::string name = Field(Subject(Run(Event("2026-01-01T00:00:00Z"), 1)), "name");
  EXPECT_EQ(Field(Subject(Run(Event("2027-12-31T23:59:59Z"), 2)), "name"), name);
  EXPECT_EQ(Other(Run(Event("2026-01-01T00:00:00Z"), 3), 2, "name"), name);
  auto ours = privacy::ParsePseudonym(name);
  auto theirs =
      privacy::ParsePseudonym(Field(Subject(Run(Event("2026-01-01T00:00:00Z"), 1, true)), "name"));
  ASSERT_TRUE(ours && theirs);
  EXPECT_NE(ours->block, theirs->block);
}

TEST_F(TreatmentsTest, LinkagePeriodJoinsInsideAPeriodAndNotAcross) {
  struct Case {
    std::string_view every;
    std::string_view inside, outside;
  };
  for (const Case& c : {Case{"", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z"},
                        Case{"every: month", "2026-02-01T00:00:00Z", "2025-02-14T00:00:00Z"},
                        Case{"every: quarter", "2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z"},
                        Case{"every: year", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"}}) {
    SCOPED_TRACE(c.every);
    Make(Config(
        TreatOnly("PERSON_NAME", base::StrCat("pseudonymise { linkage: period ", c.every, "}"))));
    std::string name = Field(Subject(Run(Event("2026-02-14T12:00:00Z"), 1)), "name");
    EXPECT_TRUE(privacy::ParsePseudonym(name).has_value()) << name;
    EXPECT_EQ(Field(Subject(Run(Event(c.inside), 2)), "name"), name);
    EXPECT_EQ(Other(Run(Event(c.inside), 2), 2, "name"), name);
    EXPECT_NE(Field(Subject(Run(Event(c.outside), 3)), "name"), name);
  }
}

TEST_F(TreatmentsTest, LinkageEventJoinsInsideAnEventAndNotAcross) {
  Make(Config(TreatOnly("PERSON_NAME", "pseudonymise { linkage: event }")));
  Json first = Run(Event("2026-01-01T00:00:00Z"), 1);
  std::string name = Field(Subject(first), "name");
  EXPECT_EQ(Other(first, 2, "name"), name);
  EXPECT_NE(Other(first, 0, "name"), name);
  EXPECT_NE(Field(Subject(Run(Event("2026-01-01T00:00:00Z"), 2)), "name"), name);
}

TEST_F(TreatmentsTest, LinkageNoneJoinsNothingAndReplaysTheSame) {
  Make(Config(TreatOnly("PERSON_NAME", "pseudonymise { linkage: none }")));
  Json first = Run(Event("2026-01-01T00:00:00Z"), 1);
  Json second = Run(Event("2026-01-01T00:00:00Z"), 2);
  std::set<std::string> seen;
  for (const Json* json : {&first, &second}) {
    seen.insert(Field(Subject(*json), "name"));
    for (int i = 0; i < 3; ++i) seen.insert(Other(*json, i, "name"));
  }
  EXPECT_EQ(seen.size(), 8u);
  std::string once = clean_[0];
  Run(Event("2026-01-01T00:00:00Z"), 2);
  EXPECT_EQ(clean_[0], once);
}

TEST_F(TreatmentsTest, StreamsOfOneFieldMayDifferInEverything) {
  std::string config = Config(TreatOnly("PHONE", "pseudonymise {}"));
  size_t second = config.rfind("pseudonymise {}");
  config.replace(second, 15, "encrypt {}");
  Make(config);
  constexpr std::string_view kEvent =
      R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"phone":"07700 900123"}})";
  EXPECT_THAT(Field(Subject(Run(kEvent)), "phone"), StartsWith("one1-"));
  EXPECT_THAT(Field(Subject(Run(kEvent, 0, true)), "phone"), StartsWith("two1e-"));
}

TEST_F(TreatmentsTest, WithoutATimeThereIsNoPeriodAndNothingIsPublished) {
  Make(Config(TreatOnly("PERSON_NAME", "pseudonymise { linkage: period }")));
  Run(R"({"id":"e","subject":{"name":"Ann"}})");
  EXPECT_TRUE(clean_.empty());
  EXPECT_EQ(reasons_, "sluice.untreatable@subject.name ");
}

TEST_F(TreatmentsTest, EncryptedValuesComeBackAndJoin) {
  Make(Config(TreatOnly("PHONE", "encrypt {}")));
  std::string phone = Field(
      Subject(Run(R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"phone":"07700 900123"}})")),
      "phone");
  EXPECT_EQ(
      Field(Subject(Run(
                R"({"id":"f","at":"2026-01-02T00:00:00Z","subject":{"phone":"+44 7700 900123"}})")),
            "phone"),
      phone);
  auto parsed = privacy::ParseEncrypted(phone);
  ASSERT_TRUE(parsed.has_value()) << phone;
  EXPECT_EQ(parsed->label, "one");
  auto key = keyring_.EncryptionKey("one", parsed->epoch);
  auto cipher = privacy::ValueCipher::Create(key->Reveal(base::SecretAccess()), "one");
  std::string value;
  ASSERT_TRUE(cipher->Decrypt(contract::v1::PHONE, parsed->encrypted, value).ok());
  EXPECT_EQ(value, "+447700900123");
}

TEST_F(TreatmentsTest, FormatPreservedValuesPassTheKindsOwnCheckAndComeBack) {
  Make(Config(TreatOnly("PNC_ID", "format_preserve {}")));
  std::string pnc =
      Field(Subject(Run(R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"pnc_id":"81/34U"}})")),
            "pnc_id");
  std::string canonical, back;
  EXPECT_TRUE(privacy::AppendCanonical(contract::v1::PNC_ID, pnc, canonical)) << pnc;
  EXPECT_NE(pnc, "1981/0000034U");
  auto key = keyring_.FormatKey("one", 1);
  auto preserver = privacy::FormatPreserver::Create(key->Reveal(base::SecretAccess()));
  ASSERT_TRUE(preserver->Decrypt(contract::v1::PNC_ID, pnc, back).ok());
  EXPECT_EQ(back, "1981/0000034U");
  // With a wrong letter it has no place among the valid ones.
  Run(R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"pnc_id":"81/34A"}})");
  EXPECT_EQ(reasons_, "sluice.untreatable@subject.pnc_id ");
  EXPECT_EQ(
      Field(Subject(Run(
                R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"pnc_id":"","name":"A"}})")),
            "pnc_id"),
      "");
  EXPECT_EQ(reasons_, "");
}

TEST_F(TreatmentsTest, NumbersThatIdentifyAreTreatedAsTheirDigits) {
  Make(Config(TreatOnly("UPRN", "format_preserve {}")));
  std::string uprn = Field(
      Subject(Run(R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"uprn":100023336956}})")),
      "uprn");
  EXPECT_FALSE(uprn.empty());
  EXPECT_NE(uprn, "100023336956");
  EXPECT_EQ(uprn.find_first_not_of("0123456789"), std::string::npos) << uprn;
}

int64_t DaysBetween(const std::string& from, const std::string& to) {
  auto a = event::ParseDate(from.substr(0, 10)), b = event::ParseDate(to.substr(0, 10));
  if (!a || !b) return 0;
  return event::DaysFromCivil(b->year, b->month, b->day) -
         event::DaysFromCivil(a->year, a->month, a->day);
}

TEST_F(TreatmentsTest, ShiftMovesAllDatesOfAPersonByTheSameDays) {
  std::string treatments = Treat("DATE_OF_BIRTH", "shift { person: 'name' days_max: 30 }") +
                           Treat("EVENT_TIME", "shift { person: 'subject.name' days_max: 30 }") +
                           "fields { key: 'seen_on' value { shift { person: 'subject.name' "
                           "days_max: 30 } } }";
  for (std::string_view other : {"PERSON_NAME", "PHONE", "PNC_ID", "UPRN", "FREE_TEXT"})
    treatments += Treat(other, "drop {}");
  Make(Config(treatments));
  std::set<int64_t> offsets;
  int differs_by_domain = 0;
  for (int person = 0; person < 200; ++person) {
    std::string event = base::StrCat(
        R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"name":"P )", person,
        R"(","born":"2000-03-01"},"others":[{"name":"p  )", person, R"(","born":"2000-02-28"},)",
        R"({"born":"1999-01-01"}],"released_at":"2026-06-01T10:20:30.5Z","seen_on":"2026-07-01"})");
    Json one = Run(event, person), two = Run(event, person, true);
    int64_t days = DaysBetween("2000-03-01", Field(Subject(one), "born"));
    EXPECT_NE(days, 0);
    EXPECT_LE(std::abs(days), 30);
    EXPECT_EQ(DaysBetween("2000-02-28", Other(one, 0, "born")), days);
    EXPECT_EQ(Other(one, 1, "born"), "");  // nobody's: left out
    EXPECT_EQ(DaysBetween("2026-07-01", Field(one, "seen_on")), days);
    std::string released = Field(one, "released_at");
    EXPECT_EQ(DaysBetween("2026-06-01", released), days);
    EXPECT_THAT(released, ::testing::EndsWith("T10:20:30.500Z"));
    offsets.insert(days);
    differs_by_domain += Field(Subject(two), "born") != Field(Subject(one), "born");
  }
  EXPECT_GT(offsets.size(), 45u);
  EXPECT_GT(differs_by_domain, 180);
}

// Who has a person's pseudonym doesn't have the number that their dates are moved by.
TEST_F(TreatmentsTest, ShiftDoesNotFollowFromThePseudonym) {
  std::string treatments = Treat("DATE_OF_BIRTH", "shift { person: 'name' days_max: 36500 }") +
                           Treat("PERSON_NAME", "pseudonymise {}");
  for (std::string_view other : {"PHONE", "PNC_ID", "UPRN", "EVENT_TIME", "FREE_TEXT"})
    treatments += Treat(other, "drop {}");
  Make(Config(treatments));
  Json json =
      Run(R"({"id":"e","at":"2026-01-01T00:00:00Z","subject":{"name":"Ann","born":"1990-01-01"}})");
  auto name = privacy::ParsePseudonym(Field(Subject(json), "name"));
  ASSERT_TRUE(name.has_value());
  uint64_t number = 0;
  for (size_t i = 0; i < 8; ++i) number = number << 8 | name->block[i];
  auto days = static_cast<int64_t>(number % 73'000) - 36'500;
  EXPECT_NE(DaysBetween("1990-01-01", Field(Subject(json), "born")), days < 0 ? days : days + 1);
}

constexpr std::string_view kTold =
    R"({"id":"e","at":"2026-03-04T00:00:00Z","subject":{"name":"Ann Archer","phone":"07700 900123",)"
    R"("born":"2001-02-03"},"grounds":"ARCHER, Ann (03/02/2001) on +44 7700 900123; Ann's car AB12 CDE."})";

TEST_F(TreatmentsTest, ScrubbedTextAgreesWithFields) {
  Make(Config(Treat("PERSON_NAME", "pseudonymise {}") + Treat("PHONE", "encrypt {}") +
              Treat("PNC_ID", "drop {}") + Treat("UPRN", "drop {}") +
              Treat("DATE_OF_BIRTH", "drop {}") + Treat("EVENT_TIME", "drop {}") +
              Treat("VRM", "format_preserve {}") + Treat("FREE_TEXT", "scrub {}")));
  Json json = Run(kTold);
  std::string name = Field(Subject(json), "name"), phone = Field(Subject(json), "phone");
  std::string grounds = Field(json, "grounds");
  EXPECT_THAT(grounds,
              StartsWith(base::StrCat(name, " ([DATE_OF_BIRTH]) on ", phone, "; ", name, " car ")));
  EXPECT_THAT(grounds, ::testing::Not(HasSubstr("CDE")));
  EXPECT_THAT(grounds, ::testing::Not(HasSubstr("[VRM]")));
  EXPECT_EQ(engine_->tally().scrubbed[contract::v1::PERSON_NAME], 2u);
  EXPECT_EQ(engine_->tally().scrubbed[contract::v1::PHONE], 1u);
  EXPECT_EQ(engine_->tally().scrubbed[contract::v1::VRM], 1u);
  EXPECT_EQ(engine_->tally().scrubbed[0], 1u);
  Json again = Run(kTold);
  EXPECT_EQ(Field(again, "grounds"), grounds);
  Json two = Run(kTold, 0, true);
  EXPECT_THAT(Field(two, "grounds"), StartsWith(Field(Subject(two), "name")));
}

TEST_F(TreatmentsTest, WhatTheStreamDoesNotPseudonymiseGetsAPlaceholder) {
  Make(Config(TreatOnly("FREE_TEXT", "scrub {}")));
  EXPECT_EQ(Field(Run(kTold), "grounds"),
            "[PERSON_NAME] ([DATE_OF_BIRTH]) on [PHONE]; [PERSON_NAME] car [VRM].");
  Make(Config(Treat("PERSON_NAME", "pseudonymise {}") + Treat("PHONE", "pseudonymise {}") +
              Treat("PNC_ID", "drop {}") + Treat("UPRN", "drop {}") +
              Treat("DATE_OF_BIRTH", "drop {}") + Treat("EVENT_TIME", "drop {}") +
              Treat("FREE_TEXT", "scrub { replace: placeholders }")));
  EXPECT_EQ(Field(Run(kTold), "grounds"),
            "[PERSON_NAME] ([DATE_OF_BIRTH]) on [PHONE]; [PERSON_NAME] car [VRM].");
}

TEST_F(TreatmentsTest, ScrubbedTextFollowsTheLinkage) {
  Make(Config(Treat("PERSON_NAME", "pseudonymise { linkage: none }") + Treat("PHONE", "drop {}") +
              Treat("PNC_ID", "drop {}") + Treat("UPRN", "drop {}") +
              Treat("DATE_OF_BIRTH", "drop {}") + Treat("EVENT_TIME", "drop {}") +
              Treat("FREE_TEXT", "scrub {}")));
  Json json = Run(kTold);
  std::string grounds = Field(json, "grounds");
  size_t second = grounds.rfind("one1-");
  ASSERT_NE(second, grounds.find("one1-"));
  EXPECT_NE(grounds.substr(0, 31), grounds.substr(second, 31));
  EXPECT_EQ(grounds.find(Field(Subject(json), "name")), std::string::npos);
}

std::string ErrorOf(std::string_view treatments) {
  auto pipeline = Pipeline::Compile(Options(Config(treatments)));
  return pipeline.ok() ? "" : std::string(base::View(pipeline.status().message()));
}

TEST(Treatments, MisuseIsRefusedAtLoadWithItsPlace) {
  auto error = [](std::string_view name, std::string_view how) {
    std::string text = ErrorOf(TreatOnly(name, how));
    EXPECT_THAT(text, StartsWith("p.yaml:7: pipeline.streams[0]")) << name << ": " << how;
    return text;
  };
  EXPECT_THAT(error("PERSON_NAME", "format_preserve {}"),
              HasSubstr("'subject.name' (PERSON_NAME) can't be format-preserved"));
  EXPECT_THAT(error("DATE_OF_BIRTH", "format_preserve {}"), HasSubstr("only identifiers can"));
  EXPECT_THAT(error("DATE_OF_BIRTH", "encrypt {}"), HasSubstr("only identifiers can"));
  EXPECT_THAT(error("FREE_TEXT", "encrypt {}"), HasSubstr("only identifiers can"));
  EXPECT_THAT(error("PHONE", "scrub {}"), HasSubstr("can't be scrubbed"));
  EXPECT_THAT(error("PHONE", "pseudonymise { every: year }"), HasSubstr("for linkage: period"));
  EXPECT_THAT(error("PHONE", "pseudonymise { linkage: event every: month }"),
              HasSubstr("for linkage: period"));
  EXPECT_THAT(error("PHONE", "shift { person: 'name' }"),
              HasSubstr("can't be shifted: it is neither a time nor a date"));
  EXPECT_THAT(error("DATE_OF_BIRTH", "shift { person: 'born' }"),
              HasSubstr("neither an identifier beside it"));
  EXPECT_THAT(error("DATE_OF_BIRTH", "shift { person: 'nobody' }"),
              HasSubstr("shifted by 'nobody'"));
  EXPECT_THAT(error("EVENT_TIME", "shift { person: 'others.name' }"),
              HasSubstr("the path of one with one value"));
  EXPECT_THAT(error("DATE_OF_BIRTH", "shift { person: 'name' days_max: 36501 }"),
              HasSubstr("days_max that isn't 1 to 36,500"));
  EXPECT_THAT(error("DATE_OF_BIRTH", "shift { person: 'name' days_max: -1 }"),
              HasSubstr("days_max that isn't 1 to 36,500"));
  EXPECT_THAT(ErrorOf(TreatOnly("PHONE", "drop {}") +
                      "fields { key: 'at' value { shift { person: 'subject.name' } } }"),
              HasSubstr("the event's own time is known from its place in the topic"));
}

TEST(Treatments, WhatNeedsKeysNeedsADomain) {
  for (const auto& [name, how] : std::initializer_list<std::pair<const char*, const char*>>{
           {"PHONE", "encrypt {}"},
           {"PHONE", "format_preserve {}"},
           {"PHONE", "pseudonymise { linkage: event }"},
           {"DATE_OF_BIRTH", "shift { person: 'name' }"}}) {
    std::string config = Config(TreatOnly(name, how));
    for (std::string domain : {" domain: 'one'", " domain: 'two'"})
      config.erase(config.find(domain), domain.size());
    auto pipeline = Pipeline::Compile(Options(config));
    ASSERT_FALSE(pipeline.ok()) << how;
    EXPECT_THAT(std::string(pipeline.status().message()),
                HasSubstr("pipeline.streams[0].domain: is needed"));
  }
}

}  // namespace
}  // namespace sluice::engine
