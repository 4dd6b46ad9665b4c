// The audit against topics made by hand: every planted fault is named by its kind, and nothing that
// is innocent raises an alarm. What each scenario must find follows from what was planted, not from
// the audit's own code.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/contract/testing.h"
#include "common/kafka/admin.h"
#include "common/kafka/batch_writer.h"
#include "common/kafka/transaction.h"
#include "common/kafka/writer.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "services/audit/audit.h"
#include "services/processor/positions.h"
#include "tests/support/shared_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::audit {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::string_view kContract = R"(
message E {
  option (sluice.contract.v1.event) = {id: "id" time: "at"};
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string name = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
}
)";
constexpr int kPartitions = 2, kEvents = 40;  // in each

enum class Fate { kClean, kQuarantined, kSuppressed };

// One result as it will be written.
struct Result {
  size_t topic;  // of AuditKafkaTest::outputs_
  int32_t partition;
  int32_t raw_partition;
  int64_t raw_offset;
  std::string source, plan;
};

class AuditKafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_.brokers = {test_support::SharedBroker().bootstrap()};
    connection_.log = [](int, std::string_view, std::string_view) {};
    name_ = test_support::UniqueName("audit");
    outputs_ = {"desk." + name_, "open." + name_, "quarantine." + name_};
    config::v1::Pipeline config;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        base::StrCat(R"(contract: "test.E" input { topic: ")", raw(), R"(" tombstones: suppress }
quarantine { topic: ")",
                     outputs_[2], R"(" public_key: "key.pem" }
streams { name: "desk" topic: ")",
                     outputs_[0], R"(" domain: "desk" internal: true
  treat { key: "PERSON_NAME" value { pseudonymise {} } } }
streams { name: "open" topic: ")",
                     outputs_[1], R"(" domain: "open"
  treat { key: "PERSON_NAME" value { drop {} } } treat { key: "OCCURRED_AT" value { drop {} } } })"),
        &config));
    engine::Pipeline::Options options;
    options.contract = contract::PlanFromProto(kContract, "E");
    options.config = config;
    auto pipeline = engine::Pipeline::Compile(std::move(options));
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    pipeline_ = *pipeline;
    auto keyring = privacy::Keyring::Create({{"desk", "desk"}, {"open", "open"}}, random_);
    pseudonymiser_ = *privacy::LocalPseudonymiser::Create(*keyring);
    admin_ = *kafka::Admin::Create(connection_);
    std::vector<kafka::NewTopic> topics = {{raw(), kPartitions}, {positions(), 1}};
    for (const std::string& topic : outputs_) topics.push_back({topic, 2});
    ASSERT_TRUE(admin_->CreateTopics(topics).ok());
    writer_ = *kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15),
                                        [&] { return admin_->LogEnds(raw()).ok(); }));
    MakeWorld();
  }

  std::string raw() const { return "raw." + name_; }
  std::string positions() const { return outputs_[2] + ".positions"; }

  std::string Pseudonym(int32_t partition, int64_t offset, uint32_t epoch = 0) {
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    uint16_t domain = *pseudonymiser_->Domain("open");
    batch.Add(contract::v1::SOURCE_POSITION, base::StrCat(raw(), "/", partition, "/", offset),
              std::vector<uint16_t>{domain});
    EXPECT_TRUE(pseudonymiser_->Pseudonymise(batch, answer).ok());
    privacy::DomainEpoch named = answer.domains[domain];
    if (epoch != 0) named.epoch = epoch;
    std::string text;
    privacy::AppendPseudonym(named, answer.blocks[0], text);
    return text;
  }

  // What a faultless processor would have made of a seeded mix of events; `fates_` is the truth.
  void MakeWorld() {
    std::mt19937 random(20260304);
    for (int32_t partition = 0; partition < kPartitions; ++partition) {
      std::vector<Fate>& fates = fates_.emplace_back();
      for (int64_t offset = 0; offset < kEvents; ++offset) {
        Fate fate = random() % 5 == 0   ? Fate::kQuarantined
                    : random() % 9 == 0 ? Fate::kSuppressed
                                        : Fate::kClean;
        fates.push_back(fate);
        std::string source = base::StrCat(raw(), "/", partition, "/", offset);
        auto out = static_cast<int32_t>(random() % 2);
        if (fate == Fate::kQuarantined)
          results_.push_back({2, out, partition, offset, source, pipeline_->fingerprint()});
        if (fate != Fate::kClean) continue;
        results_.push_back({0, out, partition, offset, source, pipeline_->fingerprint()});
        results_.push_back(
            {1, out, partition, offset, Pseudonym(partition, offset), pipeline_->fingerprint()});
      }
    }
  }
  uint64_t Count(Fate fate) const {
    int64_t count = 0;
    for (const auto& fates : fates_) count += std::count(fates.begin(), fates.end(), fate);
    return static_cast<uint64_t>(count);
  }
  // The first clean event at or behind `offset` of partition 0.
  int64_t CleanFrom(int64_t offset) const {
    while (fates_[0][static_cast<size_t>(offset)] != Fate::kClean) ++offset;
    return offset;
  }
  // Takes out what `is` names; how many.
  template <typename Is>
  size_t Remove(Is is) {
    return static_cast<size_t>(std::erase_if(results_, is));
  }
  static auto Of(int32_t partition, int64_t offset) {
    return [=](const Result& r) { return r.raw_partition == partition && r.raw_offset == offset; };
  }
  Result& Find(size_t topic, int64_t offset) {
    return *std::find_if(results_.begin(), results_.end(), [&](const Result& r) {
      return r.topic == topic && r.raw_partition == 0 && r.raw_offset == offset;
    });
  }

  void WriteRaw() {
    for (int32_t partition = 0; partition < kPartitions; ++partition) {
      for (size_t i = 0; i < fates_[static_cast<size_t>(partition)].size(); ++i) {
        std::optional<std::string_view> value = "event";
        if (fates_[static_cast<size_t>(partition)][i] == Fate::kSuppressed) value = std::nullopt;
        ASSERT_TRUE(writer_->Write({raw(), partition, "k", value, {}, {}}).ok());
      }
    }
    ASSERT_TRUE(writer_->Flush().ok());
  }
  void WriteResults() {
    for (const Result& result : results_) {
      std::vector<stream::Header> headers;
      if (!result.source.empty()) headers.push_back({"sluice-src", result.source});
      headers.push_back({"sluice-plan", result.plan});
      // A key stands in one partition.
      std::string key = base::StrCat("key-", result.partition);
      ASSERT_TRUE(
          writer_->Write({outputs_[result.topic], result.partition, key, "v", headers, {}}).ok());
    }
    ASSERT_TRUE(writer_->Flush().ok());
  }
  void Commit(int64_t first, int64_t second) {
    std::vector<kafka::GroupOffset> offsets = {{raw(), 0, first, ""}, {raw(), 1, second, ""}};
    absl::Status set = admin_->SetGroupOffsets(name_, offsets);
    ASSERT_TRUE(set.ok()) << set;
  }
  void WriteAll() {
    WriteRaw();
    WriteResults();
    Commit(kEvents, kEvents);
  }

  absl::StatusOr<Findings> TryAudit() {
    return Audit({.connection = connection_, .group = name_, .idle_timeout_ms = 2'000}, *pipeline_,
                 *pseudonymiser_);
  }
  Findings Audited() {
    auto found = TryAudit();
    EXPECT_TRUE(found.ok()) << found.status();
    return found.value_or(Findings());
  }
  static std::string Faults(const Findings& f) {
    std::string text;
    for (auto [name, count] : {std::pair{"lost", f.lost},
                               {"doubled", f.doubled},
                               {"torn", f.torn},
                               {"unordered", f.unordered},
                               {"strays", f.strays},
                               {"misplaced", f.misplaced},
                               {"unknown", f.unknown}}) {
      if (count > 0) base::StrAppend(text, text.empty() ? "" : " ", name, "=", count);
    }
    return text;
  }

  kafka::ConnectionOptions connection_;
  std::string name_;
  std::vector<std::string> outputs_;
  base::SystemRandom random_;
  std::shared_ptr<const engine::Pipeline> pipeline_;
  std::unique_ptr<privacy::Pseudonymiser> pseudonymiser_;
  std::unique_ptr<kafka::Admin> admin_;
  std::unique_ptr<kafka::TopicWriter> writer_;
  std::vector<std::vector<Fate>> fates_;
  std::vector<Result> results_;
};

TEST_F(AuditKafkaTest, AFaultlessWorldIsProvenAndCountedRight) {
  WriteAll();
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "") << ::testing::PrintToString(found.examples);
  EXPECT_TRUE(found.conserved());
  EXPECT_EQ(found.in, static_cast<uint64_t>(kPartitions * kEvents));
  EXPECT_EQ(found.clean, Count(Fate::kClean));
  EXPECT_EQ(found.quarantined, Count(Fate::kQuarantined));
  EXPECT_EQ(found.suppressed, Count(Fate::kSuppressed));
}

TEST_F(AuditKafkaTest, EachPlantedFaultIsNamedAndOnlyThat) {
  // Far apart, so that none hides another.
  int64_t lost = CleanFrom(0), torn = CleanFrom(lost + 1), doubled = CleanFrom(torn + 1),
          both = CleanFrom(doubled + 1), late = CleanFrom(both + 1);
  ASSERT_EQ(Remove(Of(0, lost)), 2u);
  ASSERT_EQ(Remove([&](const Result& r) { return r.topic == 1 && Of(0, torn)(r); }), 1u);
  results_.push_back(Find(0, doubled));  // behind later ones: also out of order
  Result quarantined = Find(0, both);
  quarantined.topic = 2;
  // In its order.
  auto behind = std::find_if(results_.begin(), results_.end(), [&](const Result& r) {
    return r.raw_partition == 0 && r.raw_offset > both;
  });
  results_.insert(behind, quarantined);
  Result& moved = Find(0, late);
  results_.push_back(moved);
  results_.erase(std::find_if(results_.begin(), results_.end(),
                              [&](const Result& r) { return r.topic == 0 && Of(0, late)(r); }));
  results_.push_back({0, 0, 1, -1, "", ""});                                     // no header
  results_.push_back({1, 0, 1, -1, Pseudonym(1, 99'999), ""});                   // of no event
  results_.push_back({2, 0, 1, -1, base::StrCat("elsewhere/0/", kEvents), ""});  // another topic
  WriteAll();
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "lost=1 doubled=2 torn=1 unordered=2 strays=3")
      << ::testing::PrintToString(found.examples);
  EXPECT_TRUE(found.faulty());
  for (int64_t offset : {lost, torn, doubled, both}) {
    EXPECT_THAT(found.examples, Contains(HasSubstr(base::StrCat(raw(), "/0/", offset, ": "))));
  }
}

TEST_F(AuditKafkaTest, AGroupAheadOfTheLogOrSetBackBehindItsResultsIsAFinding) {
  WriteRaw();
  WriteResults();
  Commit(500, 10);
  Findings found = Audited();
  EXPECT_EQ(found.misplaced, 2u);
  EXPECT_THAT(found.examples, Contains(HasSubstr("is at 500, and the log ends at 40")));
  EXPECT_THAT(found.examples, Contains(HasSubstr("is at 10, and there are results up to")));
  EXPECT_EQ(found.lost + found.torn + found.doubled, 0u);
}

TEST_F(AuditKafkaTest, WhatIsNotCommittedIsNotJudged) {
  Remove([](const Result& r) { return r.raw_offset >= 30; });
  WriteRaw();
  WriteResults();
  Commit(30, 30);
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "");
  EXPECT_EQ(found.waiting, 20u);
  EXPECT_EQ(found.in, 60u);
}

TEST_F(AuditKafkaTest, AStreamThatWasAddedLaterBeginsThere) {
  // `open` came with the version that judged from 20 on.
  for (Result& result : results_) {
    if (result.raw_offset < 20) result.plan = "before";
  }
  Remove([](const Result& r) { return r.topic == 1 && r.raw_offset < 20; });
  // And lost one event since.
  int64_t torn = CleanFrom(25);
  Remove([&](const Result& r) { return r.topic == 1 && Of(0, torn)(r); });
  WriteAll();
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "torn=1") << ::testing::PrintToString(found.examples);
}

TEST_F(AuditKafkaTest, WhatRetentionTookIsOlderLostOrUnknownAsItWas) {
  // Partition 0: processed, then aged out. Partition 1: aged out before the group came to it.
  Remove([](const Result& r) { return r.raw_partition == 1 && r.raw_offset >= 10; });
  // Of the quarantine the first records are gone, of which some were of events that are there.
  WriteRaw();
  WriteResults();
  Commit(kEvents, 10);
  ASSERT_TRUE(admin_->DeleteRecords(raw(), 0, 5).ok());
  ASSERT_TRUE(admin_->DeleteRecords(raw(), 1, 17).ok());
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "lost=7") << ::testing::PrintToString(found.examples);
  EXPECT_THAT(found.examples, Contains(HasSubstr("offsets 10 to 16 aged out")));
  EXPECT_GT(found.older, 0u);

  auto ends = *admin_->LogEnds(outputs_[2]);
  for (size_t i = 0; i < ends.size(); ++i)
    ASSERT_TRUE(admin_->DeleteRecords(outputs_[2], static_cast<int32_t>(i), ends[i]).ok());
  found = Audited();
  EXPECT_EQ(found.lost, 7u) << "only that is a fault";
  EXPECT_EQ(found.torn, 0u);
  EXPECT_GT(found.unknown, 0u);
  EXPECT_THAT(found.reasons, Contains(HasSubstr("keeps its oldest records no longer")));
}

TEST_F(AuditKafkaTest, CompactionLeavesTheUnknowable) {
  int64_t gone = CleanFrom(3);
  Remove([&](const Result& r) { return r.topic == 0 && Of(0, gone)(r); });
  WriteAll();
  ASSERT_TRUE(admin_->AlterTopic(outputs_[0], "cleanup.policy", "compact").ok());
  Findings found;
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    found = Audited();
    return found.unknown > 0;
  }));
  EXPECT_EQ(Faults(found), "unknown=1");
  EXPECT_FALSE(found.conserved());
  EXPECT_FALSE(found.faulty());
  EXPECT_THAT(found.reasons, Contains(HasSubstr("is compacted")));
}

TEST_F(AuditKafkaTest, ResultsOfRawEventsThatCompactionTookAreOlder) {
  // A transaction's marker is an offset without a record, as compaction leaves them.
  auto batch = *kafka::BatchWriter::Create(
      {.connection = connection_, .transactional_id = name_, .topics = {raw()}});
  stream::OutputRecord record{.topic = 0, .key = "k", .value = "v", .partition = 0};
  WriteAll();
  ASSERT_TRUE(batch->Write({&record, 1}, std::nullopt).ok());  // offset 40, and its marker 41
  for (int64_t offset : {40, 41}) {
    results_ = {{0, 0, 0, offset, base::StrCat(raw(), "/0/", offset), pipeline_->fingerprint()},
                {1, 0, 0, offset, Pseudonym(0, offset), pipeline_->fingerprint()}};
    WriteResults();
  }
  Commit(kEvents + 2, kEvents);
  EXPECT_EQ(Faults(Audited()), "strays=2") << "nobody took it";
  ASSERT_TRUE(admin_->AlterTopic(raw(), "cleanup.policy", "compact").ok());
  ASSERT_TRUE(
      test_support::WaitUntil(std::chrono::seconds(15), [&] { return Audited().strays == 0; }));
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "");
  EXPECT_EQ(found.older, 2u);
}

TEST_F(AuditKafkaTest, WhatOnlyARetiredEpochCouldNameIsUnknown) {
  int64_t retired = CleanFrom(7);
  std::string text = Pseudonym(0, retired, /*epoch=*/7);
  // Its block is another one under other keys.
  char& letter = text[text.find('-') + 3];
  letter = letter == 'a' ? 'b' : 'a';
  Find(1, retired).source = text;
  WriteAll();
  Findings found = Audited();
  EXPECT_EQ(Faults(found), "unknown=1") << ::testing::PrintToString(found.examples);
  EXPECT_THAT(found.reasons, Contains(HasSubstr("retired")));
}

TEST_F(AuditKafkaTest, AnOpenTransactionIsNamedWithItsTopicAndOffset) {
  WriteAll();
  class NoGroup final : public kafka::GroupMember {
    std::unique_ptr<kafka::GroupMetadata> group_metadata() const override { return nullptr; }
  } group;
  auto open = *kafka::KafkaTransaction::Create({.connection = connection_,
                                                .transactional_id = name_ + ".open",
                                                .topics = {outputs_[0]},
                                                .transaction_timeout_ms = 60'000},
                                               group);
  ASSERT_TRUE(open->Recreate().ok());
  ASSERT_TRUE(open->Begin().ok());
  auto before = *admin_->LogEnds(outputs_[0]);
  ASSERT_TRUE(open->Produce({.topic = 0, .key = "k", .value = "v", .partition = 1}).ok());
  ASSERT_TRUE(test_support::WaitUntil(
      std::chrono::seconds(15), [&] { return (*admin_->LogEnds(outputs_[0]))[1] > before[1]; }));
  auto found = TryAudit();
  ASSERT_TRUE(absl::IsDeadlineExceeded(found.status())) << found.status();
  EXPECT_THAT(std::string(found.status().message()),
              HasSubstr(base::StrCat(outputs_[0], "/1 is open since offset ", before[1])));
  ASSERT_TRUE(open->Abort().ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] { return TryAudit().ok(); }));
  EXPECT_EQ(Faults(Audited()), "") << "an aborted record is no result";
}

TEST_F(AuditKafkaTest, ARawTopicThatWasCreatedAgainHasNoResults) {
  WriteAll();
  positions::v1::Position position;
  position.set_next_offset(kEvents);
  position.set_topic(raw());
  std::string value = position.SerializeAsString();
  std::string pipeline = processor::PipelineName(pipeline_->config());
  auto record = [&](const std::string& id) {
    std::string key = processor::PositionKeyText(pipeline, id, 0);
    ASSERT_TRUE(writer_->Write({positions(), 0, key, value, {}, {}}).ok());
    ASSERT_TRUE(writer_->Flush().ok());
  };
  record("another");
  Findings found = Audited();
  EXPECT_EQ(found.misplaced, 1u);
  EXPECT_EQ(found.lost, static_cast<uint64_t>(kPartitions * kEvents) - Count(Fate::kSuppressed))
      << "what has these names are results of the former topic";
  EXPECT_THAT(found.examples, Contains(HasSubstr("created again")));
  // Once the new one has results too, the two can't be told apart.
  record(*admin_->TopicId(raw()));
  found = Audited();
  EXPECT_FALSE(found.faulty());
  EXPECT_FALSE(found.conserved());
  EXPECT_THAT(found.reasons, Contains(HasSubstr("created again")));
}

}  // namespace
}  // namespace sluice::audit
