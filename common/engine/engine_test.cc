#include "common/engine/engine.h"

#include <gmock/gmock.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <new>
#include <set>
#include <stdexcept>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/output_schema.h"
#include "common/engine/quarantine_payload.h"
#include "common/enrichment/exact_table.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "sluice/quarantine/v1/payload.pb.h"

namespace sluice::engine {

size_t AllocationCount();  // allocation_count_test.cc

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kContract = R"(
message E {
  option (sluice.contract.v1.event) = {id: "event_id" time: "occurred_at"};
  option (sluice.contract.v1.not_personal) = {fields: ["borough_code", "outcome", "linked", "notes.key", "notes.value"]};
  string event_id = 1 [(buf.validate.field).string.min_len = 1];
  google.protobuf.Timestamp occurred_at = 2 [(buf.validate.field).required = true];
  Person subject = 3;
  Location location = 4;
  string borough_code = 5;
  string outcome = 6 [(buf.validate.field).string = {in: ["", "arrest", "nothing"]}];
  repeated Person others = 7;
  string narrative = 8 [(sluice.contract.v1.field).free_text = true];
  bool linked = 9;
  map<string, string> notes = 10;
}
message Person {
  string name = 1 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string phone = 2 [(sluice.contract.v1.field).identifier = PHONE];
  string pnc_id = 3 [(sluice.contract.v1.field) = {identifier: PNC_ID check: true}];
  string date_of_birth = 4 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
}
message Location {
  double latitude = 1 [(sluice.contract.v1.field).quasi = LATITUDE];
  double longitude = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];
  string postcode = 3 [(sluice.contract.v1.field).identifier = POSTCODE];
}
)";

constexpr std::string_view kPipeline = R"(
contract: "test.E"
input { topic: "raw.e" }
quarantine { topic: "quarantine.e" public_key: "key.pem" }
enrich { set: "boroughs" key: "borough_code" into: "borough" on_missing: null }
streams {
  name: "intelligence" topic: "clean.e.intelligence" domain: "intelligence" internal: true
  treat { key: "PERSON_NAME" value { pseudonymise {} } }
  treat { key: "PHONE" value { pseudonymise {} } }
  treat { key: "PNC_ID" value { pseudonymise {} } }
  treat { key: "DATE_OF_BIRTH" value { generalise { age_bands { from: 18 from: 25 } } as: "age_band" } }
  treat { key: "LOCATION" value { keep {} } }
  treat { key: "POSTCODE" value { generalise { district {} } } }
  treat { key: "FREE_TEXT" value { drop {} } }
}
streams {
  name: "public" topic: "clean.e.public" domain: "public"
  treat { key: "PERSON_NAME" value { pseudonymise {} } }
  treat { key: "PHONE" value { drop {} } }
  treat { key: "PNC_ID" value { mask { keep_last: 1 } } }
  treat { key: "DATE_OF_BIRTH" value { generalise { year {} } } }
  treat { key: "LOCATION" value { generalise { grid_metres: 1000 } } }
  treat { key: "POSTCODE" value { generalise { area {} } } }
  treat { key: "FREE_TEXT" value { constant: "[removed]" } }
  treat { key: "OCCURRED_AT" value { generalise { month {} } } }
}
)";

constexpr std::string_view kEvent =
    R"({"event_id":"e-1","occurred_at":"2026-03-04T05:06:07.5+00:00","subject":{"name":"Ann Archer","phone":"07700 900123",)"
    R"("pnc_id":"1981/0000034U","date_of_birth":"2004-03-05"},"location":{"latitude":51.512345,"longitude":-0.123456,)"
    R"("postcode":"sw1a1aa"},"borough_code":"E07","outcome":"arrest","others":[{"name":"ANN  ARCHER"}],"linked":false,)"
    R"("narrative":"Ann was seen","notes":{"a":"b"},"extra":1})";

config::v1::Pipeline ParsePipeline(std::string_view text) {
  config::v1::Pipeline config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(std::string(text), &config));
  return config;
}

Pipeline::Options Options(config::v1::Pipeline config, std::string_view contract = kContract) {
  Pipeline::Options options;
  options.contract = contract::PlanFromProto(contract, "E");
  options.config = std::move(config);
  options.tables = {*enrichment::ExactTable::FromCsv("boroughs", "code", {"name"},
                                                     "code,name\nE07,Camden\n", "b.csv")};
  return options;
}

// Keeps what it is given.
class Collected final : public OutcomeSink {
 public:
  struct Record {
    size_t stream;
    std::optional<std::string> key;
    std::string value;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string header(std::string_view name) const {
      for (const auto& [header_name, text] : headers) {
        if (header_name == name) return text;
      }
      return "";
    }
  };
  absl::Status Clean(const InputRecord&, const CleanRecord& r) override {
    clean.push_back({r.stream,
                     r.key ? std::optional<std::string>(*r.key) : std::nullopt,
                     std::string(r.value),
                     {}});
    for (const Header& h : r.headers) clean.back().headers.emplace_back(h.name, h.value);
    return absl::OkStatus();
  }
  absl::Status Quarantined(const InputRecord&, const QuarantineRecord& r) override {
    quarantined.push_back({0, std::string(r.key), std::string(r.value), {}});
    for (const Header& h : r.headers) quarantined.back().headers.emplace_back(h.name, h.value);
    return absl::OkStatus();
  }
  void Suppressed(const InputRecord&) override { ++suppressed; }
  bool Fits(const CleanRecord& r) const override { return r.value.size() <= bytes_max; }
  bool Fits(const QuarantineRecord& r) const override { return r.value.size() <= bytes_max; }

  std::vector<Record> clean, quarantined;
  int suppressed = 0;
  size_t bytes_max = 1'000'000;
};

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override { Make(ParsePipeline(kPipeline)); }

  void Make(config::v1::Pipeline config) {
    auto pipeline = Pipeline::Compile(Options(std::move(config)));
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
    pseudonymiser_ = *privacy::LocalPseudonymiser::Create(*keyring);
    keys_ = *privacy::NewSealingKeys(random_);
    sealer_ = *privacy::Sealer::Create(keys_.public_pem, random_);
    auto engine = Engine::Create(*pipeline, *pseudonymiser_, *sealer_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  InputRecord Record(std::string_view value, int64_t offset = 7) {
    InputRecord record;
    record.topic = "raw.e";
    record.partition = 3;
    record.offset = offset;
    record.timestamp_ms = 1000;
    record.key = "k";
    record.value = value;
    return record;
  }

  Collected Run(std::vector<InputRecord> records) {
    Collected out;
    EXPECT_TRUE(engine_->Process(records, out).ok());
    return out;
  }
  Collected Run(std::string_view value) { return Run(std::vector<InputRecord>{Record(value)}); }
  std::string ReasonOf(std::string_view value) {
    Collected out = Run(value);
    if (out.quarantined.size() != 1 || !out.clean.empty()) return "";
    return out.quarantined[0].header("sluice-reason") + "@" +
           out.quarantined[0].header("sluice-path");
  }

  base::CountingRandom random_;
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser_;
  privacy::SealingKeys keys_;
  std::unique_ptr<privacy::Sealer> sealer_;
  std::unique_ptr<Engine> engine_;
};

// Throws for batches that hold a value; keeps what it was asked for.
class Breaking final : public privacy::Pseudonymiser {
 public:
  explicit Breaking(privacy::Pseudonymiser& sound) : sound_(sound) {}
  absl::StatusOr<uint16_t> Domain(std::string_view name) override { return sound_.Domain(name); }
  absl::Status Pseudonymise(const privacy::PseudonymBatch& batch,
                            privacy::PseudonymAnswer& answer) override {
    asked_ += batch.bytes();
    largest_ = std::max(largest_, batch.used_bytes());
    if (batch.bytes().find("broken") != std::string::npos) throw std::out_of_range("broken");
    return sound_.Pseudonymise(batch, answer);
  }
  std::string asked_;
  size_t largest_ = 0;

 private:
  privacy::Pseudonymiser& sound_;
};

class EngineDefects : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    breaking_ = std::make_unique<Breaking>(*pseudonymiser_);
    engine_ = *Engine::Create(*Pipeline::Compile(Options(ParsePipeline(kPipeline))), *breaking_,
                              *sealer_);
  }
  static std::string Named(std::string_view name) {
    std::string event(kEvent);
    return event.replace(event.find("Ann Archer"), 10, name);
  }
  std::unique_ptr<Breaking> breaking_;
};

TEST_F(EngineDefects, AnExceptionSendsItsEventToQuarantineAndTheOthersGoOn) {
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) texts.push_back(Named(i == 3 || i == 11 ? "broken" : "Ann Archer"));
  std::vector<InputRecord> records;
  for (size_t i = 0; i < texts.size(); ++i)
    records.push_back(Record(texts[i], static_cast<int64_t>(i)));
  Collected out = Run(records);
  ASSERT_EQ(out.quarantined.size(), 2u);
  EXPECT_EQ(out.quarantined[0].header("sluice-src"), "raw.e/3/3");
  EXPECT_EQ(out.quarantined[1].header("sluice-src"), "raw.e/3/11");
  for (const Collected::Record& record : out.quarantined) {
    EXPECT_EQ(record.header("sluice-reason"), "sluice.defect");
    EXPECT_EQ(record.header("sluice-path"), ".");
  }
  EXPECT_EQ(engine_->tally().violations["sluice.defect"], 2u);
  EXPECT_EQ(engine_->tally().in, 20u);
  ASSERT_EQ(out.clean.size(), 36u);
  // The others' pseudonyms are the ones that they have in a sound chunk.
  Collected sound = Run({Record(kEvent, 0)});
  for (size_t i = 0; i < out.clean.size(); i += 2) {
    EXPECT_EQ(out.clean[i].value, sound.clean[0].value);
    EXPECT_EQ(out.clean[i + 1].value, sound.clean[1].value);
  }
}

TEST_F(EngineDefects, WhatIsCondemnedIsNotLookedAt) {
  std::vector<InputRecord> records = {Record(kEvent, 1), Record(Named("unseen"), 2)};
  std::string text = Named("unseen");
  records[1].value = text;
  const size_t condemned[] = {1};
  Collected out;
  engine_->Read(records, condemned);
  ASSERT_TRUE(engine_->Pseudonymise().ok());
  ASSERT_TRUE(engine_->Write(out).ok());
  EXPECT_EQ(out.clean.size(), 2u);
  ASSERT_EQ(out.quarantined.size(), 1u);
  EXPECT_EQ(out.quarantined[0].header("sluice-reason"), "sluice.defect");
  EXPECT_THAT(breaking_->asked_, Not(HasSubstr("unseen")));
}

TEST_F(EngineDefects, AnEventThatBrokeItsContractAsksForNothing) {
  std::string broken = Named("unasked");
  broken.replace(broken.find("\"arrest\""), 8, "\"flown\"");
  Collected out = Run({Record(kEvent, 1), Record(broken, 2), Record(kEvent, 3)});
  EXPECT_EQ(out.clean.size(), 4u);
  EXPECT_EQ(out.quarantined.size(), 1u);
  EXPECT_THAT(breaking_->asked_, Not(HasSubstr("unasked")));
  EXPECT_EQ(out.clean[2].value, out.clean[0].value);
}

TEST_F(EngineDefects, AnIdentifierThatIsTooLongIsItsEventsFault) {
  EXPECT_TRUE(ReasonOf(Named(std::string(300'000, 'a'))) ==
              "sluice.identifier_too_long@subject.name");
  EXPECT_EQ(breaking_->asked_.size(), 0u);
}

// 60 events that each take some 3 MB: more than one piece may.
TEST_F(EngineDefects, AChunkThatTakesTooMuchIsWorkedOnInPieces) {
  std::string others;
  for (int i = 0; i < 9'000; ++i) others += ",{\"phone\":\"07700900123\"}";
  std::string large(kEvent);
  large.replace(large.find("\"others\":[") + 10, 0, "{}" + others + ",");
  std::vector<InputRecord> records;
  for (int i = 0; i < 60; ++i)
    records.push_back(Record(i % 7 == 6 ? std::string_view("{}") : std::string_view(large), i));
  Collected out = Run(records);
  EXPECT_EQ(out.clean.size() + 2 * out.quarantined.size(), 120u);
  ASSERT_EQ(out.quarantined.size(), 8u) << out.quarantined[0].header("sluice-reason");
  EXPECT_LT(engine_->memory_bytes(), 3 * Engine::kPieceBytesMax);
  EXPECT_LT(breaking_->largest_, Engine::kPieceBytesMax + 2'000'000);
  EXPECT_EQ(engine_->tally().in, 60u);
  Collected one = Run({Record(large, 0)});
  for (size_t i = 0; i < out.clean.size(); i += 2)
    ASSERT_EQ(out.clean[i].value, one.clean[0].value);
  engine_->NewBatch();
  EXPECT_LT(engine_->memory_bytes(), 3 * 4'194'304u) << "what each part keeps";
}

TEST_F(EngineTest, AnExceptionWhileARecordIsWrittenIsItsOwn) {
  struct Throwing final : OutcomeSink {
    absl::Status Clean(const InputRecord&, const CleanRecord&) override { return ++clean, Ok(); }
    absl::Status Quarantined(const InputRecord&, const QuarantineRecord& r) override {
      reason = r.violations[0].rule;
      return Ok();
    }
    void Suppressed(const InputRecord&) override {}
    bool Fits(const CleanRecord& r) const override {
      return r.stream == 0 || r.value.find("AG") != std::string_view::npos ? true
                                                                           : throw std::bad_alloc();
    }
    static absl::Status Ok() { return absl::OkStatus(); }
    int clean = 0;
    std::string reason;
  } sink;
  InputRecord record = Record(kEvent);
  ASSERT_TRUE(engine_->Process({&record, 1}, sink).ok());
  EXPECT_EQ(sink.clean, 0) << "no stream has it";
  EXPECT_EQ(sink.reason, "sluice.defect");
}

TEST_F(EngineTest, TraceparentPassesOnlyInTheFormOfTraceContext) {
  auto passed = [&](std::string_view traceparent) {
    InputRecord record = Record(kEvent);
    record.traceparent = traceparent;
    Collected out = Run(std::vector<InputRecord>{record});
    EXPECT_EQ(out.clean[1].header("traceparent"), "") << "the second stream isn't internal";
    return out.clean[0].header("traceparent");
  };
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_EQ(passed(good), good);
  for (std::string_view bad :
       {"", "07700900417", "1974-11-02", "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-07700900417",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"})
    EXPECT_EQ(passed(bad), "") << bad;
}

// Keys and values of maps are treated as fields are, and no output has two equal members.
TEST_F(EngineTest, KeysAndValuesOfMapsAreTreated) {
  Pipeline::Options options;
  options.contract = contract::PlanFromProto(
      R"(message E {
           option (sluice.contract.v1.event) = {id: "id" time: "at"};
           string id = 1; google.protobuf.Timestamp at = 2;
           map<string, string> people = 3 [(sluice.contract.v1.field) = {
             key: {identifier: PHONE} value: {identifier: PERSON_NAME}}];
         })",
      "E");
  auto compile = [&](std::string_view phone, std::string_view name) {
    options.config = ParsePipeline(base::StrCat(
        "contract: 'test.E' input { topic: 'raw' } quarantine { topic: 'q' } streams { name: 's' "
        "topic: 's' domain: 'public' internal: true treat { key: 'PHONE' value { ",
        phone, " {} } } treat { key: 'PERSON_NAME' value { ", name, " {} } } }"));
    return Pipeline::Compile(options);
  };
  auto value = [&](std::string_view phone, std::string_view name, std::string_view event) {
    auto engine = Engine::Create(*compile(phone, name), *pseudonymiser_, *sealer_);
    engine_ = *std::move(engine);
    Collected out = Run(event);
    return out.clean.empty() ? out.quarantined[0].header("sluice-reason") : out.clean[0].value;
  };
  constexpr std::string_view kPeople =
      R"({"people":{"07700 900123":"Ann Archer","07700 900124":"Ben Archer"}})";
  EXPECT_EQ(value("drop", "pseudonymise", kPeople), "{}");
  EXPECT_EQ(value("pseudonymise", "drop", kPeople), "{}");
  EXPECT_THAT(value("pseudonymise", "pseudonymise", kPeople),
              ::testing::MatchesRegex(R"(\{"people":\{"pub1-[a-z2-7]+":"pub1-[a-z2-7]+","pub1-)"
                                      R"([a-z2-7]+":"pub1-[a-z2-7]+"\}\})"));
  EXPECT_EQ(value("pseudonymise", "pseudonymise",
                  R"({"people":{"07700 900123":"Ann","+44 7700 900123":"Ben"}})"),
            "sluice.untreatable");
  EXPECT_THAT(std::string(compile("mask", "keep").status().message()), HasSubstr("is a map's key"));
}

TEST_F(EngineTest, JoinsAreCountedByWhetherTheyFoundTheirRow) {
  std::string elsewhere(kEvent), broken(kEvent);
  elsewhere.replace(elsewhere.find("E07"), 3, "E08");
  broken.replace(broken.find("2026-03-04T"), 11, "2026-13-04T");
  Run({Record(kEvent, 1), Record(elsewhere, 2), Record(kEvent, 3), Record(broken, 4),
       Record("{", 5)});
  EXPECT_EQ(engine_->tally().joined, 3u) << "what is broken anyway says nothing of the set";
  EXPECT_EQ(engine_->tally().hits, std::vector<uint64_t>{2});
  config::v1::Pipeline config = ParsePipeline(kPipeline);
  config.mutable_enrich(0)->set_on_missing(config::v1::Enrichment::quarantine);
  Make(config);
  Run({Record(kEvent, 1), Record(elsewhere, 2)});
  EXPECT_EQ(engine_->tally().quarantined, 1u);
  EXPECT_EQ(engine_->tally().joined, 2u) << "an event that only lacks its row counts";
  EXPECT_EQ(engine_->tally().hits, std::vector<uint64_t>{1});
  Tally sum;
  sum.Add(engine_->tally());
  sum.Add(engine_->tally());
  EXPECT_EQ(sum.joined, 4u);
  EXPECT_EQ(sum.hits, std::vector<uint64_t>{2});
  sum.Clear();
  EXPECT_EQ(sum.joined + sum.hits[0], 0u);
}

TEST_F(EngineTest, EveryStreamGetsItsOwnForm) {
  Collected out = Run(kEvent);
  ASSERT_EQ(out.clean.size(), 2u);
  EXPECT_EQ(
      out.clean[0].value,
      R"({"event_id":"e-1","occurred_at":"2026-03-04T05:06:07.500Z","subject":{"name":"int1-2q6ucj37z5ycmj6xlp4gx5slgm",)"
      R"("phone":"int1-cxt4plnuzr4kxi3hzkzcrtzbva","pnc_id":"int1-3zhdbvjxuoo3msoprf3d3t5j54","age_band":"18-24"},)"
      R"("location":{"latitude":51.512345,"longitude":-0.123456,"postcode":"SW1A"},"borough_code":"E07","outcome":"arrest",)"
      R"("others":[{"name":"int1-2q6ucj37z5ycmj6xlp4gx5slgm"}],"linked":false,"notes":{"a":"b"},"borough":{"name":"Camden"}})");
  EXPECT_EQ(
      out.clean[1].value,
      R"({"event_id":"pub1-mm5byqtq655l3nscghqpec5jb4","occurred_at":"2026-03","subject":{"name":"pub1-iv62h4dmt7nh2e3j2udomueo6u",)"
      R"("pnc_id":"************U","date_of_birth":"2004"},"location":{"latitude":51.508574,"longitude":-0.122819,"postcode":"SW"},)"
      R"("borough_code":"E07","outcome":"arrest","others":[{"name":"pub1-iv62h4dmt7nh2e3j2udomueo6u"}],"narrative":"[removed]",)"
      R"("linked":false,"notes":{"a":"b"},"borough":{"name":"Camden"}})");
}

TEST_F(EngineTest, HeadersFollowTheStream) {
  Collected out = Run(kEvent);
  ASSERT_EQ(out.clean.size(), 2u);
  const auto& internal = out.clean[0];
  EXPECT_EQ(internal.key, "e-1");
  EXPECT_EQ(internal.header("ce_id"), "e-1");
  EXPECT_EQ(internal.header("ce_time"), "2026-03-04T05:06:07.500Z");
  EXPECT_EQ(internal.header("sluice-src"), "raw.e/3/7");
  EXPECT_THAT(internal.header("sluice-ref"), ::testing::StartsWith("boroughs="));
  EXPECT_EQ(internal.header("sluice-plan").size(), 32u);
  const auto& open = out.clean[1];
  EXPECT_EQ(open.header("ce_time"), "2026-03-01T00:00:00Z");
  EXPECT_TRUE(privacy::ParsePseudonym(open.header("ce_id")).has_value());
  EXPECT_TRUE(privacy::ParsePseudonym(open.header("sluice-src")).has_value());
  EXPECT_EQ(open.key, open.header("ce_id"));
}

TEST_F(EngineTest, TwoStreamsThatAreNotInternalShareNoValueThatJoinsThem) {
  config::v1::Pipeline config = ParsePipeline(kPipeline);
  config.mutable_streams(0)->set_internal(false);
  auto month = config.streams(1).treat().at("OCCURRED_AT");
  (*config.mutable_streams(0)->mutable_treat())["OCCURRED_AT"] = month;
  (*config.mutable_streams(0)->mutable_treat())["LOCATION"].mutable_generalise()->set_grid_metres(
      5000);
  Make(config);
  std::vector<std::string> events;
  for (int i = 0; i < 200; ++i) {
    events.push_back(base::StrCat(R"({"event_id":"id-)", i, R"(","occurred_at":"2026-03-04T05:06:)",
                                  10 + i % 50, R"(Z","subject":{"name":"Person )", i, R"("}})"));
  }
  std::vector<InputRecord> records;
  for (size_t i = 0; i < events.size(); ++i)
    records.push_back(Record(events[i], static_cast<int64_t>(i)));
  Collected out = Run(records);
  ASSERT_EQ(out.clean.size(), 400u);
  // Of each event: all texts of more than a few characters that one stream has and the other too.
  std::set<std::string> shared_everywhere;
  for (size_t i = 0; i < out.clean.size(); i += 2) {
    std::string other = out.clean[i + 1].value + *out.clean[i + 1].key;
    for (const auto& [name, text] : out.clean[i + 1].headers) other += text;
    EXPECT_EQ(other.find(*out.clean[i].key), std::string::npos);
    for (const auto& [name, text] : out.clean[i].headers) {
      if (other.find(text) != std::string::npos)
        shared_everywhere.insert(base::StrCat(name, "=", text));
    }
    EXPECT_EQ(other.find(out.clean[i].value.substr(out.clean[i].value.find("int1-"), 31)),
              std::string::npos);
  }
  // What is left is the same for all events.
  EXPECT_EQ(shared_everywhere.size(), 7u) << ::testing::PrintToString(shared_everywhere);
}

TEST_F(EngineTest, SamePersonHasOnePseudonymInADomainWhateverTheSpelling) {
  Collected out = Run(kEvent);
  std::string name = out.clean[0].value.substr(out.clean[0].value.find("int1-"), 31);
  EXPECT_NE(out.clean[0].value.rfind(name), out.clean[0].value.find(name));
}

TEST_F(EngineTest, NothingOfADroppedFieldIsLeft) {
  Collected out = Run(kEvent);
  for (const auto& record : out.clean) {
    std::string all = record.value + *record.key;
    for (const auto& [name, text] : record.headers) all += text;
    for (std::string_view secret :
         {"Ann", "Archer", "900123", "0000034", "2004", "1AA", "seen", "extra"}) {
      if (record.stream == 1 && secret == "2004") continue;  // its year is what that stream keeps
      EXPECT_THAT(all, Not(HasSubstr(std::string(secret))));
    }
  }
}

TEST_F(EngineTest, BrokenEventsAreSealedWithReasonsInTheClear) {
  EXPECT_EQ(ReasonOf(R"({"event_id":"","occurred_at":"x"})"),
            "json.timestamp,string.min_len,required@occurred_at,event_id,occurred_at");
  EXPECT_EQ(ReasonOf("{"), "json.syntax@.");
  EXPECT_EQ(
      ReasonOf(
          R"({"event_id":"a","occurred_at":"2026-01-01T00:00:00Z","others":[{},{"pnc_id":"1981/0000034A"}]})"),
      "sluice.identifier@others[1].pnc_id");
  EXPECT_EQ(
      ReasonOf(
          R"({"event_id":"a","occurred_at":"2026-01-01T00:00:00Z","location":{"postcode":"nowhere"}})"),
      "sluice.untreatable@location.postcode");
  EXPECT_EQ(
      ReasonOf(
          R"({"event_id":"a","occurred_at":"2026-01-01T00:00:00Z","subject":{"date_of_birth":"2026-02-01"}})"),
      "sluice.untreatable@subject.date_of_birth");
  Collected out = Run("{\"secret\"");
  ASSERT_EQ(out.quarantined.size(), 1u);
  EXPECT_EQ(out.quarantined[0].key, "raw.e/3/7");
  EXPECT_THAT(out.quarantined[0].value, Not(HasSubstr("secret")));
  auto payload = (*privacy::Unsealer::Create(keys_.private_pem))
                     ->Unseal("raw.e/3/7", out.quarantined[0].value);
  ASSERT_TRUE(payload.ok()) << payload.status();
  quarantine::v1::Payload parsed;
  ASSERT_TRUE(parsed.ParseFromString(*payload));
  EXPECT_EQ(parsed.value(), "{\"secret\"");
  EXPECT_EQ(parsed.key(), "k");
}

TEST_F(EngineTest, WhatIsTooLargeBecomesAReference) {
  Collected out;
  out.bytes_max = 100;
  std::vector<InputRecord> records = {Record(kEvent)};
  ASSERT_TRUE(engine_->Process(records, out).ok());
  ASSERT_EQ(out.quarantined.size(), 1u);
  EXPECT_EQ(out.quarantined[0].header("sluice-reason"), "sluice.output_too_large");
  EXPECT_EQ(out.quarantined[0].header("content-type"), "application/vnd.sluice.reference");
  // Which proves what it refers to, and shows nothing of it.
  EXPECT_THAT(out.quarantined[0].value, Not(HasSubstr("Archer")));
  auto opened = (*privacy::Unsealer::Create(keys_.private_pem))
                    ->Unseal("raw.e/3/7", out.quarantined[0].value);
  ASSERT_TRUE(opened.ok()) << opened.status();
  quarantine::v1::Payload reference;
  ASSERT_TRUE(reference.ParseFromString(*opened));
  EXPECT_FALSE(reference.has_value());
  EXPECT_EQ(reference.reference().digest(), DigestOf(PayloadOf(records[0])));
}

TEST_F(EngineTest, QuarantineKeepsTheEventsHeadersAndNamesItsTopicsId) {
  const std::vector<Header> headers = {{"traceparent", "00-a-b-01"}, {"sluice-generation", "1"}};
  std::vector<InputRecord> records = {Record("{")};
  records[0].headers = headers;
  records[0].topic_id = "AbCdEfGhIjKlMnOpQrStUv";
  Collected out = Run(records);
  ASSERT_EQ(out.quarantined.size(), 1u);
  EXPECT_EQ(out.quarantined[0].header("sluice-src-id"), "AbCdEfGhIjKlMnOpQrStUv");
  EXPECT_EQ(out.quarantined[0].header("traceparent"), "") << "only inside the seal";
  auto opened = (*privacy::Unsealer::Create(keys_.private_pem))
                    ->Unseal("raw.e/3/7", out.quarantined[0].value);
  quarantine::v1::Payload payload;
  ASSERT_TRUE(payload.ParseFromString(*opened));
  ASSERT_EQ(payload.headers_size(), 1);
  EXPECT_EQ(payload.headers(0).name(), "traceparent");
}

TEST_F(EngineTest, EveryRecordHasOneOutcomeAndTheTallyAgrees) {
  InputRecord tombstone = Record("");
  tombstone.value = std::nullopt;
  Collected out =
      Run(std::vector<InputRecord>{Record(kEvent), Record("{}"), tombstone, Record(kEvent)});
  EXPECT_EQ(out.clean.size(), 4u);
  EXPECT_EQ(out.quarantined.size(), 2u);
  EXPECT_EQ(out.quarantined[1].header("sluice-reason"), "event.tombstone");
  EXPECT_EQ(engine_->tally().in, 4u);
  EXPECT_EQ(engine_->tally().clean, 2u);
  EXPECT_EQ(engine_->tally().quarantined, 2u);
  EXPECT_EQ(engine_->tally().unknown_fields, 2u);
  EXPECT_EQ(engine_->tally().violations.at("event.tombstone"), 1u);
}

TEST_F(EngineTest, SameInputGivesSameBytes) {
  Collected first = Run(kEvent), second = Run(kEvent);
  EXPECT_EQ(first.clean[1].value, second.clean[1].value);
  EXPECT_EQ(first.clean[1].headers, second.clean[1].headers);
}

TEST_F(EngineTest, AllocatesNothingPerEventInTheSteadyState) {
  class Discard final : public OutcomeSink {
    absl::Status Clean(const InputRecord&, const CleanRecord&) override { return absl::OkStatus(); }
    absl::Status Quarantined(const InputRecord&, const QuarantineRecord&) override {
      return absl::OkStatus();
    }
    void Suppressed(const InputRecord&) override {}
  } sink;
  std::vector<InputRecord> records(64, Record(kEvent));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(engine_->Process(records, sink).ok());
  size_t before = AllocationCount();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(engine_->Process(records, sink).ok());
  EXPECT_EQ(AllocationCount() - before, 0u);
}

TEST(Pipeline, AClassifiedFieldWithoutTreatmentIsAnErrorAtLoad) {
  for (const char* name : {"PERSON_NAME", "PHONE", "PNC_ID", "DATE_OF_BIRTH", "LOCATION",
                           "POSTCODE", "FREE_TEXT", "OCCURRED_AT"}) {
    config::v1::Pipeline config = ParsePipeline(kPipeline);
    config.mutable_streams(1)->mutable_treat()->erase(name);
    auto pipeline = Pipeline::Compile(Options(config));
    ASSERT_FALSE(pipeline.ok()) << name;
    EXPECT_THAT(std::string(pipeline.status().message()),
                HasSubstr("doesn't say what becomes of it"))
        << name;
  }
}

std::string ErrorOf(const std::function<void(config::v1::Pipeline&)>& change) {
  config::v1::Pipeline config = ParsePipeline(kPipeline);
  change(config);
  auto pipeline = Pipeline::Compile(Options(std::move(config)));
  return pipeline.ok() ? "" : std::string(base::View(pipeline.status().message()));
}

TEST(Pipeline, NamesEachMistake) {
  using P = config::v1::Pipeline;
  auto field = [](P& p, int stream, const char* path) -> config::v1::Treatment& {
    return (*p.mutable_streams(stream)->mutable_fields())[path];
  };
  EXPECT_THAT(
      ErrorOf([](P& p) { (*p.mutable_streams(0)->mutable_treat())["FONE"].mutable_keep(); }),
      HasSubstr("treat[FONE]: no such classification"));
  EXPECT_THAT(ErrorOf([&](P& p) { field(p, 0, "subject.nam").mutable_keep(); }),
              HasSubstr("fields[subject.nam]: the contract has no such field"));
  EXPECT_THAT(ErrorOf([&](P& p) { field(p, 0, "outcome").mutable_pseudonymise(); }),
              HasSubstr("only identifiers can"));
  EXPECT_THAT(ErrorOf([&](P& p) { field(p, 0, "outcome").mutable_generalise()->mutable_month(); }),
              HasSubstr("neither a time nor a date"));
  EXPECT_THAT(ErrorOf([&](P& p) { field(p, 0, "subject").mutable_mask(); }),
              HasSubstr("can only be dropped as a whole"));
  EXPECT_THAT(ErrorOf([&](P& p) { field(p, 1, "event_id").mutable_keep(); }),
              HasSubstr("an event's id links audiences"));
  EXPECT_THAT(ErrorOf([&](P& p) { field(p, 1, "occurred_at").mutable_keep(); }),
              HasSubstr("an exact time links audiences"));
  EXPECT_THAT(ErrorOf([&](P& p) {
                field(p, 0, "outcome").mutable_keep();
                field(p, 0, "outcome").set_as("linked");
              }),
              HasSubstr("two fields of 'intelligence' are named 'linked'"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_streams(0)->clear_domain(); }),
              HasSubstr("is pseudonymised"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_streams(1)->clear_domain(); }),
              HasSubstr("isn't internal needs one"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_streams(1)->set_topic("raw.e"); }),
              HasSubstr("the topic 'raw.e' is used twice"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_streams(1)->set_name("intelligence"); }),
              HasSubstr("two streams are named"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_streams(0)->set_key("others.name"); }),
              HasSubstr("isn't an output field with one value"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_streams(0)->set_key("raw"); }),
              HasSubstr("doesn't say that the raw key isn't personal"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_enrich(0)->set_set("wards"); }),
              HasSubstr("there is no reference set 'wards'"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_enrich(0)->set_key("subject.age"); }),
              HasSubstr("the contract has no field 'subject.age'"));
  EXPECT_THAT(ErrorOf([](P& p) { p.mutable_enrich(0)->set_into("outcome"); }),
              HasSubstr("has a field 'outcome' already"));
  EXPECT_THAT(ErrorOf([](P& p) { (*p.mutable_enrich(0)->mutable_fields())["x"] = "y"; }),
              HasSubstr("the set has no column 'x'; it has: code, name"));
  EXPECT_THAT(ErrorOf([](P& p) { p.clear_streams(); }), HasSubstr("name at least one"));
  EXPECT_EQ(ErrorOf([&](P& p) {
              field(p, 1, "subject").mutable_drop();
              p.mutable_streams(1)->mutable_treat()->erase("PNC_ID");
              field(p, 1, "others").mutable_drop();
            }),
            "");
}

TEST(Pipeline, FingerprintFollowsTheConfiguration) {
  auto fingerprint = [](const std::function<void(config::v1::Pipeline&)>& change) {
    config::v1::Pipeline config = ParsePipeline(kPipeline);
    change(config);
    return (*Pipeline::Compile(Options(config)))->fingerprint();
  };
  std::string same = fingerprint([](auto&) {});
  EXPECT_EQ(fingerprint([](auto& p) { p.mutable_quarantine()->set_public_key("elsewhere.pem"); }),
            same);
  EXPECT_EQ(fingerprint([](auto& p) { p.set_name("replay"); }), same);
  EXPECT_NE(fingerprint([](auto& p) { p.mutable_streams(1)->set_purpose("other"); }), same);
}

// The raw event in protobuf's binary form, by protobuf's own library.
std::string Binary(std::string_view json) {
  auto plan = contract::PlanFromProto(kContract, "E");
  google::protobuf::DynamicMessageFactory factory;
  std::unique_ptr<google::protobuf::Message> message(
      factory.GetPrototype(&plan->descriptor())->New());
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  EXPECT_TRUE(
      google::protobuf::util::JsonStringToMessage(std::string(json), message.get(), options).ok());
  return message->SerializeAsString();
}

TEST_F(EngineTest, ProtobufGivesTheCleanRecordsThatJsonGives) {
  // Without what only JSON can say: an explicit false.
  std::string json(kEvent);
  json.erase(json.find(R"("linked":false,)"), 15);
  Collected from_json = Run(json);
  config::v1::Pipeline config = ParsePipeline(kPipeline);
  config.mutable_input()->set_format(config::v1::protobuf);
  Make(config);
  Collected from_binary = Run(Binary(kEvent));
  ASSERT_EQ(from_binary.clean.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    // The keyring is another one: what is compared are the internal stream's plain values and form.
    EXPECT_EQ(from_binary.clean[i].value.size(), from_json.clean[i].value.size());
  }
  EXPECT_THAT(from_binary.clean[0].value, HasSubstr(R"("postcode":"SW1A")"));
  EXPECT_THAT(from_binary.clean[0].value, Not(HasSubstr("Archer")));
  EXPECT_EQ(ReasonOf("{}"), "protobuf.malformed@.");
}

TEST_F(EngineTest, FramedProtobufMustNameTheContractsMessage) {
  config::v1::Pipeline config = ParsePipeline(kPipeline);
  config.mutable_input()->set_format(config::v1::protobuf);
  config.mutable_input()->add_schema_ids(258);
  Make(config);
  std::string frame("\0\0\0\1\2", 5), event = Binary(kEvent);
  EXPECT_EQ(Run(frame + std::string(1, '\0') + event).clean.size(), 2u);
  EXPECT_EQ(Run(frame + std::string("\2\0", 2) + event).clean.size(), 2u) << "its long form";
  EXPECT_EQ(ReasonOf(frame + std::string("\2\2", 2) + event), "framing.message_index@.");
  for (std::string_view index :
       {std::string_view("\2", 1), std::string_view("\1", 1), std::string_view("\4\0\0", 3),
        std::string_view("\x80\x80\x80\x80\x80\0", 6)})
    EXPECT_EQ(ReasonOf(frame + std::string(index)), "framing.message_index@.");
  EXPECT_EQ(ReasonOf(frame), "framing.message_index@.");
  EXPECT_EQ(ReasonOf(std::string("\0\0\0\1\3\0", 6) + event), "framing.schema_id@.");
  EXPECT_EQ(ReasonOf(event), "framing.missing@.");
}

google::protobuf::Struct AsStruct(const std::string& json) {
  google::protobuf::Struct out;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &out).ok()) << json;
  return out;
}

// A subscriber who knows only the schema reads the same from a binary stream as from a JSON one.
TEST_F(EngineTest, TheOutputSchemaIsWhatIsWritten) {
  for (size_t original = 0; original < 2; ++original) {
    config::v1::Pipeline config = ParsePipeline(kPipeline);
    config::v1::Stream& copy = *config.add_streams();
    copy = config.streams(static_cast<int>(original));
    copy.set_name("binary");
    copy.set_topic("clean.e.binary");
    copy.set_format(config::v1::protobuf);
    Make(config);
    auto pipeline = *Pipeline::Compile(Options(config));
    std::string json(kEvent);
    // An explicit false is the same as nothing to a proto3 reader.
    json.erase(json.find(R"("linked":false,)"), 15);
    Collected out = Run(json);
    ASSERT_EQ(out.clean.size(), 3u);

    const StreamPlan& stream = pipeline->streams()[2];
    google::protobuf::DescriptorPool pool(google::protobuf::DescriptorPool::generated_pool());
    const auto* file = pool.BuildFile(OutputSchema(*pipeline, stream));
    ASSERT_NE(file, nullptr);
    google::protobuf::DynamicMessageFactory factory(&pool);
    std::unique_ptr<google::protobuf::Message> message(
        factory.GetPrototype(file->message_type(0))->New());
    ASSERT_TRUE(message->ParseFromString(out.clean[2].value));
    EXPECT_EQ(message->GetReflection()->GetUnknownFields(*message).field_count(), 0);
    std::string read;
    google::protobuf::util::JsonPrintOptions print;
    print.preserve_proto_field_names = true;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(*message, &read, print).ok());
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
        AsStruct(read), AsStruct(out.clean[original].value)))
        << read << "\n"
        << out.clean[original].value;
    auto text = OutputSchemaText(*pipeline, stream);
    ASSERT_TRUE(text.ok()) << text.status();
    // Dropped from the first, a constant in the second.
    EXPECT_EQ(text->find("narrative") != std::string::npos, original == 1);
  }
}

}  // namespace
}  // namespace sluice::engine
