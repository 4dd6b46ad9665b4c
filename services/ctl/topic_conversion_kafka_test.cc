// A topic of old pseudonyms into another one on a real Kafka, by a pseudonymiser over mutual TLS:
// each record once, whatever happens in the middle.
#include <array>
#include <numeric>
#include <set>

#include "common/kafka/batch_writer.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/rotation.h"
#include "services/ctl/pipeline_test.h"
#include "services/pseudonymiser/testing.h"

namespace sluice::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kPolicy = R"(callers:
  - caller: spiffe://force/admin
    may: [{calls: [rotate_domain, retire_epoch], domains: ["*"]}]
  - caller: spiffe://force/converter
    may: [{calls: [rotate], domains: [intelligence]}]
    limits: {bulk: true}
  - caller: spiffe://force/analyst
)";

class TopicConversionKafkaTest : public PipelineTest {
 protected:
  void SetUp() override {
    PipelineTest::SetUp();
    service_.SetPolicy(kPolicy);
    absl::Status started = service_.Start();
    ASSERT_TRUE(started.ok()) << started;
    from_ = "stored." + name_;
    to_ = "converted." + name_;
    for (const std::string& topic : {from_, to_}) {
      absl::Status made = admin_->CreateTopics(std::array{kafka::NewTopic{topic, 2}});
      ASSERT_TRUE(made.ok()) << made;
    }
  }

  std::vector<std::string> With(const std::string& who, std::vector<std::string> arguments) {
    auto [at, added] = callers_.try_emplace(who);
    if (added) at->second = service_.Caller("spiffe://force/" + who);
    for (const std::string& argument :
         {std::string("--pseudonymiser"), service_.address(), std::string("--tls-certificate"),
          at->second.certificate, std::string("--tls-private-key"), at->second.private_key,
          std::string("--tls-authority"), at->second.authority})
      arguments.push_back(argument);
    return arguments;
  }
  std::vector<std::string> Conversion(const std::string& who = "converter") {
    return With(who, {"pseudonyms", "rotate-topic", "--domain", "intelligence", "--from", from_,
                      "--to", to_, "--transaction-records", "200", "--output", "json"});
  }
  void RotateDomain() {
    Ended rotated = RunCtl(With("admin", {"domains", "rotate", "intelligence"}));
    ASSERT_EQ(rotated.code, 0) << rotated.err;
  }
  // In the domain's newest epoch.
  std::string Pseudonym(const std::string& domain, const std::string& phone) {
    auto keyring = privacy::Keyring::Load(service_.keyring(), service_.kek());
    auto local = *privacy::LocalPseudonymiser::Create(*keyring);
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    const uint16_t index = *local->Domain(domain);
    batch.Add(contract::v1::PHONE, phone, std::array<uint16_t, 1>{index});
    EXPECT_TRUE(local->Pseudonymise(batch, answer).ok());
    std::string text;
    privacy::AppendPseudonym(answer.domains[index], answer.blocks[0], text);
    return text;
  }
  // Records as clean streams have them, of `people` people in turn.
  void Store(int count, int people = 37) {
    std::vector<std::string> pseudonyms;
    for (int i = 0; i < people; ++i)
      pseudonyms.push_back(Pseudonym("intelligence", base::StrCat("+4477009001", 10 + i)));
    const std::string other = Pseudonym("public", "+447700900123");
    auto writer = kafka::TopicWriter::Create({site_.connection});
    for (int i = 0; i < count; ++i, ++stored_) {
      const std::string& who = pseudonyms[static_cast<size_t>(stored_ % people)];
      const std::string value =
          base::StrCat(R"({"id":)", stored_, R"(,"who":")", who, R"(","told":"by )", who,
                       R"(","other":")", other, "\"}");
      const std::array<stream::Header, 3> headers = {
          stream::Header{"ce_id", who}, {"content-type", "application/json"}, {"ce_source", "s"}};
      ASSERT_TRUE(
          (*writer)->Write({from_, std::nullopt, who, value, headers, 1'000 + stored_}).ok());
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }
  // A record that no read_committed reader sees.
  void StoreAborted() {
    class Nobody final : public kafka::GroupMember {
      std::unique_ptr<kafka::GroupMetadata> group_metadata() const override { return nullptr; }
    } nobody;
    auto before = *admin_->LogEnds(from_);
    auto transaction = kafka::KafkaTransaction::Create(
        {.connection = site_.connection, .transactional_id = "aborted." + name_, .topics = {from_}},
        nobody);
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20),
                                        [&] { return (*transaction)->Recreate().ok(); }));
    ASSERT_TRUE((*transaction)->Begin().ok());
    ASSERT_TRUE((*transaction)->Produce({.topic = 0, .key = "k", .value = "aborted"}).ok());
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20),
                                        [&] { return *admin_->LogEnds(from_) != before; }));
    ASSERT_TRUE((*transaction)->Abort().ok());
  }

  struct Record {
    std::string key, value, ce_id, source;
    int64_t timestamp_ms;
    auto operator<=>(const Record&) const = default;
  };
  // In order by key.
  std::map<std::string, std::vector<Record>> Read(const std::string& topic) {
    std::map<std::string, std::vector<Record>> records;
    const std::array topics = {topic};
    absl::Status read =
        kafka::TopicReader({site_.connection}).Read(topics, [&](const kafka::ReadRecord& record) {
          Record& one = records[std::string(record.key.value_or(""))].emplace_back();
          one = {std::string(record.key.value_or("")), std::string(record.value.value_or("")), "",
                 "", record.timestamp_ms};
          EXPECT_EQ(record.headers.size(), 3u);
          for (const auto& header : record.headers) {
            if (header.name == "ce_id") one.ce_id = header.value;
            if (header.name == "ce_source") one.source = header.value;
          }
          return absl::OkStatus();
        });
    EXPECT_TRUE(read.ok()) << read;
    return records;
  }
  // What the stored topic should have become, by the keyring itself.
  std::map<std::string, std::vector<Record>> Expected() {
    auto keyring = privacy::Keyring::Load(service_.keyring(), service_.kek());
    auto rotation = privacy::Rotation::Create(*keyring, "intelligence");
    privacy::Rotation::Counts counts;
    auto convert = [&](const std::string& text) {
      std::string out;
      EXPECT_TRUE(rotation->Convert(text, out, counts).ok());
      return out;
    };
    std::map<std::string, std::vector<Record>> expected;
    for (const auto& [key, records] : Read(from_)) {
      for (const Record& record : records)
        expected[convert(key)].push_back({convert(record.key), convert(record.value),
                                          convert(record.ce_id), record.source,
                                          record.timestamp_ms});
    }
    return expected;
  }
  static int64_t Member(const std::string& json, const std::string& name) {
    size_t at = json.find("\"" + name + "\": ");
    return at == std::string::npos ? -1 : std::atoll(json.c_str() + at + name.size() + 4);
  }

  pseudonymiser::TestService service_;
  std::map<std::string, rpc::TlsFiles> callers_;
  std::string from_, to_;
  int stored_ = 0;
};

TEST_F(TopicConversionKafkaTest, KilledInTheMiddleItGoesOnAndNoRecordIsLostOrDoubled) {
  Store(2000);
  StoreAborted();
  RotateDomain();
  for (const char* failpoint : {"during_commit:4", "after_produce:2", "during_commit:1"})
    EXPECT_EQ(RunCtlUntil(failpoint, Conversion()).signal, SIGKILL) << failpoint;
  Ended rest = Ctl(Conversion());
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(Member(rest.out, "records"), 2000);
  EXPECT_GT(Member(rest.out, "written_before"), 0);
  EXPECT_EQ(Member(rest.out, "written") + Member(rest.out, "written_before"), 2000);
  // Key, header, and two in the value.
  EXPECT_EQ(Member(rest.out, "converted"), 4 * Member(rest.out, "written"));
  EXPECT_EQ(Read(to_), Expected());

  // Once more it does nothing; and what has come since is converted, what is new already kept.
  Ended again = Ctl(Conversion());
  EXPECT_EQ(Member(again.out, "written"), 0);
  EXPECT_EQ(Member(again.out, "written_before"), 2000);
  Store(100);
  Ended more = Ctl(Conversion());
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(Member(more.out, "written"), 100);
  EXPECT_EQ(Member(more.out, "already"), 400);
  EXPECT_EQ(Member(more.out, "converted"), 0);
  EXPECT_EQ(Read(to_), Expected());
}

TEST_F(TopicConversionKafkaTest, APseudonymiserThatGoesAwayStopsItBetweenTwoTransactions) {
  Store(300);
  RotateDomain();
  const std::string address = service_.address();
  EXPECT_EQ(RunCtlUntil("after_produce:1", Conversion()).signal, SIGKILL);
  std::vector<std::string> conversion = Conversion();
  service_.Stop();
  EXPECT_EQ(Ctl(conversion).code, 3);
  ASSERT_TRUE(service_.Start().ok());
  Ended rest = Ctl(Conversion());
  EXPECT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(Member(rest.out, "records"), 300);
  EXPECT_EQ(Read(to_), Expected());
}

TEST_F(TopicConversionKafkaTest, ASecondRunEndsTheFirstAndNoRecordIsDoubled) {
  Store(10'000);
  RotateDomain();
  auto first = StartCtl(Conversion());
  auto written = [&] {
    auto ends = *admin_->LogEnds(to_);
    return std::accumulate(ends.begin(), ends.end(), int64_t{0});
  };
  // Somewhere in its fifty transactions; it believes to be the only one until it goes on.
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(60), [&] { return written() > 0; }));
  ASSERT_TRUE(first->Signal(SIGSTOP).ok());
  EXPECT_LT(written(), 10'000);
  Ended second = Ctl(Conversion());
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(Member(second.out, "records"), 10'000);
  ASSERT_TRUE(first->Signal(SIGCONT).ok());
  auto ended = first->Wait(std::chrono::seconds(60));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_NE(ended->code, 0);
  EXPECT_THAT(first->Output(), HasSubstr("another run has taken this work over"));
  EXPECT_EQ(Read(to_), Expected());
}

TEST_F(TopicConversionKafkaTest, PseudonymsOfARetiredEpochStayAndAreToldOf) {
  Store(50);
  RotateDomain();
  ASSERT_EQ(RunCtl(With("admin", {"domains", "retire", "intelligence", "--epoch", "1"})).code, 0);
  Ended ended = Ctl(Conversion());
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_EQ(Member(ended.out, "untouched"), 200);
  EXPECT_EQ(Read(to_), Read(from_));
}

// From epoch 9 to 10 a pseudonym grows by a letter.
TEST_F(TopicConversionKafkaTest, WhatCannotGrowStopsItAtItsPlaceAndNothingOfItIsWritten) {
  for (int epoch = 1; epoch < 9; ++epoch) RotateDomain();
  const std::string who = Pseudonym("intelligence", "+44770090011");
  auto write = [&](std::string_view type, const std::string& value) {
    const std::array<stream::Header, 1> headers = {stream::Header{"content-type", type}};
    auto writer = kafka::TopicWriter::Create({site_.connection});
    ASSERT_TRUE((*writer)->Write({from_, 1, who, value, headers, 1'000}).ok());
    ASSERT_TRUE((*writer)->Flush().ok());
  };
  write("application/protobuf", base::StrCat("\x0a\x1f", who));
  RotateDomain();
  Ended protobuf = Ctl(Conversion());
  EXPECT_NE(protobuf.code, 0);
  EXPECT_THAT(protobuf.err,
              AllOf(HasSubstr(from_ + "/1/0"), HasSubstr("protobuf"), Not(HasSubstr(who))));
  EXPECT_TRUE(Read(to_).empty());

  // Of the same length it is only moved: what nobody needs to convert doesn't stop anybody.
  from_ = "large." + name_;
  const kafka::NewTopic large{from_, 2};
  ASSERT_TRUE(admin_->CreateTopics({&large, 1}).ok());
  write("application/protobuf", "nobody's");
  write("application/json", who + std::string(3'000, ' ') + who);
  ASSERT_TRUE(admin_->AlterTopic(to_, "max.message.bytes", "3200").ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20), [&] {
    return (*admin_->DescribeTopic(to_))["max.message.bytes"] == "3200";
  }));
  Ended size = Ctl(Conversion());
  EXPECT_NE(size.code, 0);
  EXPECT_THAT(size.err, AllOf(HasSubstr(from_ + "/1/1"), HasSubstr("max.message.bytes"),
                              Not(HasSubstr(who))));
  ASSERT_TRUE(admin_->AlterTopic(to_, "max.message.bytes", "1048588").ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20), [&] {
    return (*admin_->DescribeTopic(to_))["max.message.bytes"] == "1048588";
  }));
  Ended rest = Ctl(Conversion());
  EXPECT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(Member(rest.out, "records"), 2);
}

TEST_F(TopicConversionKafkaTest, MistakesAreNamedBeforeAnythingIsWritten) {
  Store(10);
  EXPECT_EQ(Ctl(Conversion("analyst")).code, 4);
  std::vector<std::string> same = Conversion();
  std::replace(same.begin(), same.end(), to_, from_);
  EXPECT_THAT(Ctl(same).err, HasSubstr("--to: name another topic"));
  std::vector<std::string> missing = Conversion();
  std::replace(missing.begin(), missing.end(), to_, "nowhere." + name_);
  Ended nowhere = Ctl(missing);
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("nowhere." + name_));
  ASSERT_TRUE(admin_->CreateTopics(std::array{kafka::NewTopic{"narrow." + name_, 1}}).ok());
  std::vector<std::string> narrow = Conversion();
  std::replace(narrow.begin(), narrow.end(), to_, "narrow." + name_);
  EXPECT_THAT(Ctl(narrow).err, AllOf(HasSubstr("has 1 partitions"), HasSubstr("as many")));
  EXPECT_TRUE(Read(to_).empty());
}

}  // namespace
}  // namespace sluice::ctl
