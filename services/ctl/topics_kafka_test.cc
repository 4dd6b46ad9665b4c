// The topics of a pipeline and its audit on a real Kafka.
#include "services/ctl/pipeline_test.h"

namespace sluice::ctl {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

using TopicsKafkaTest = PipelineTest;

TEST_F(TopicsKafkaTest, ApplyMakesWhatIsMissingAndChangesNothing) {
  std::vector<std::string> options = {"--replication-factor", "1", "--min-insync-replicas", "1",
                                      "--raw-retention",      "2d"};
  auto topics = [&](const char* what) {
    std::vector<std::string> arguments = {"topics", what};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return Ctl(arguments);
  };
  Ended plan = topics("plan");
  EXPECT_EQ(plan.code, 1) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("missing"));
  EXPECT_TRUE(absl::IsNotFound(admin_->PartitionCount(site_.raw()).status()))
      << "a plan makes nothing";
  Ended applied = topics("apply");
  EXPECT_EQ(applied.code, 0) << applied.err;
  EXPECT_THAT(applied.out, HasSubstr("created"));
  EXPECT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    return topics("plan").code == 0;
  })) << topics("plan").out;
  EXPECT_EQ((*admin_->DescribeTopic(site_.raw()))["retention.ms"], "172800000");
  EXPECT_EQ((*admin_->DescribeTopic(site_.ledger()))["cleanup.policy"], "compact");
  EXPECT_EQ(*admin_->PartitionCount(site_.ledger()), 1);

  ASSERT_TRUE(admin_->AlterTopic(site_.raw(), "cleanup.policy", "compact").ok());
  ASSERT_TRUE(admin_->AlterTopic(site_.quarantine(), "retention.ms", "1000").ok());
  // A broker follows its controller.
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    return (*admin_->DescribeTopic(site_.raw()))["cleanup.policy"] == "compact" &&
           (*admin_->DescribeTopic(site_.quarantine()))["retention.ms"] == "1000";
  }));
  applied = topics("apply");
  EXPECT_EQ(applied.code, 1);
  EXPECT_THAT(applied.out, AllOf(HasSubstr("events of equal key would replace each other"),
                                 HasSubstr("keeps less than the raw topic (2d)")));
  EXPECT_EQ((*admin_->DescribeTopic(site_.raw()))["cleanup.policy"], "compact");
}

TEST_F(TopicsKafkaTest, AControlTopicIsMadeOfOnePartitionAndToBeKeptForEver) {
  const std::string control = "control." + name_;
  std::ofstream(config(), std::ios::app) << "reference: {control: {topic: " << control << "}}\n";
  MakeTopics(2);
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15),
                                      [&] { return admin_->PartitionCount(control).ok(); }));
  EXPECT_EQ(*admin_->PartitionCount(control), 1);
  auto there = *admin_->DescribeTopic(control);
  EXPECT_EQ(there["cleanup.policy"], "delete");
  EXPECT_EQ(there["retention.ms"], "-1");
  ASSERT_TRUE(admin_->AlterTopic(control, "cleanup.policy", "compact").ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    return (*admin_->DescribeTopic(control))["cleanup.policy"] == "compact";
  }));
  EXPECT_THAT(
      Ctl({"topics", "plan"}).out,
      HasSubstr(control + ": cleanup.policy compact instead of delete: pins would be lost"));
}

TEST_F(TopicsKafkaTest, OptionsThatContradictEachOtherAreRefused) {
  EXPECT_THAT(Ctl({"topics", "plan", "--min-insync-replicas", "4"}).err,
              HasSubstr("min_insync_replicas must not be more"));
  EXPECT_THAT(Ctl({"topics", "plan", "--quarantine-retention", "1d"}).err,
              HasSubstr("retention_hours must not be less than the raw topic's"));
  EXPECT_THAT(Ctl({"topics", "plan", "--raw-retention", "seven"}).err, HasSubstr("such as 7d"));
  EXPECT_EQ(Ctl({"topics", "apply", "--partitions", "0"}).code, 2);
  EXPECT_THAT(Ctl({"topics", "plan", "--raw-retention", "90m"}).err, HasSubstr("whole hours"));
}

TEST_F(TopicsKafkaTest, TheConfigurationSaysWhatEachTopicIsToBeAndOptionsStandAboveIt) {
  std::ofstream(config(), std::ios::app)
      << "topics:\n"
      << "  partitions: 3\n"
      << "  replication_factor: 1\n"
      << "  min_insync_replicas: 1\n"
      << "  each:\n"
      << "    raw." << name_ << ": {partitions: 5, retention_hours: 48}\n"
      << "    open." << name_ << ": {cleanup: compact_delete, retention_hours: -1}\n";
  Ended applied = Ctl({"topics", "apply"});
  EXPECT_EQ(applied.code, 0) << applied.err;
  EXPECT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    return Ctl({"topics", "plan"}).code == 0;
  })) << Ctl({"topics", "plan"}).out;
  EXPECT_EQ(*admin_->PartitionCount(site_.raw()), 5);
  EXPECT_EQ(*admin_->PartitionCount("desk." + name_), 3);
  EXPECT_EQ((*admin_->DescribeTopic(site_.raw()))["retention.ms"], "172800000");
  EXPECT_EQ((*admin_->DescribeTopic("desk." + name_))["retention.ms"], "31536000000");
  EXPECT_EQ((*admin_->DescribeTopic("open." + name_))["retention.ms"], "-1");
  EXPECT_EQ((*admin_->DescribeTopic("open." + name_))["cleanup.policy"], "compact,delete");
  EXPECT_THAT(Ctl({"topics", "plan", "--partitions", "4", "--raw-retention", "3d"}).out,
              AllOf(HasSubstr("raw." + name_ + ": 5 partitions instead of 4"),
                    HasSubstr("desk." + name_ + ": 3 partitions instead of 4"),
                    HasSubstr("retention 2d instead of 3d")));
  // The processor reads the same file.
  Ended lint = RunCtl({"lint", config()});
  EXPECT_EQ(lint.code, 0) << lint.out << lint.err;
}

TEST_F(TopicsKafkaTest, WhatTheConfigurationSaysWrongOfATopicIsNamedWithItsLine) {
  const std::string before = test_support::ReadFile(config());
  const auto line = [lines = std::count(before.begin(), before.end(), '\n')](int added) {
    return base::StrCat("processor.yaml:", lines + added, ": ");
  };
  std::ofstream(config(), std::ios::app) << "topics:\n"
                                         << "  each:\n"
                                         << "    raws: {partitions: 5}\n"
                                         << "    raw." << name_ << ": {cleanup: compact}\n"
                                         << "    open." << name_ << ": {retention_hours: -2}\n";
  Ended plan = Ctl({"topics", "plan"});
  EXPECT_EQ(plan.code, 2);
  EXPECT_THAT(plan.err,
              AllOf(HasSubstr(line(3) + "topics.each[raws]: the pipeline has no"),
                    HasSubstr(line(4)), HasSubstr("may be compacted"), HasSubstr(line(5))));
  EXPECT_THAT(RunCtl({"lint", config()}).out, HasSubstr("topics.each[raws]"));
}

TEST_F(TopicsKafkaTest, AnAuditEndsWithOneWhereAResultIsDoubledOrAnEventIsLost) {
  MakeTopics(1);
  Produce(5, "abc");
  auto process = StartProcessor();
  ASSERT_TRUE(WaitForRecords("open." + name_, 5)) << LogTail();
  Stop(*process);
  Ended good = Ctl({"audit"});
  EXPECT_EQ(good.code, 0) << good.out << good.err;
  EXPECT_THAT(good.out, HasSubstr("Every event has exactly one result."));

  // A second copy of one, in the stream whose subscribers know it by pseudonym only.
  Seen copy = ReadAll("open." + name_)[2];
  std::string source = copy.headers["sluice-src"];
  EXPECT_THAT(source, AllOf(HasSubstr("open1-"), Not(HasSubstr("raw."))));
  auto writer = *kafka::TopicWriter::Create({site_.connection});
  std::vector<stream::Header> headers = {{"sluice-src", source}};
  ASSERT_TRUE(writer->Write({"open." + name_, 0, copy.key, copy.value, headers, {}}).ok());
  ASSERT_TRUE(writer->Flush().ok());
  Ended bad = Ctl({"audit", "--output", "json"});
  EXPECT_EQ(bad.code, 1) << bad.err;
  EXPECT_THAT(bad.out, AllOf(HasSubstr("\"conserved\": false"), HasSubstr("\"doubled\": 1"),
                             ContainsRegex("raw\\." + name_ + "/0/[0-4]: doubled")));
}

TEST_F(TopicsKafkaTest, AnAuditKnowsTheResultsOfBothSidesOfARotation) {
  MakeTopics(1);
  Produce(3, "abc");
  auto process = StartProcessor();
  ASSERT_TRUE(WaitForRecords("open." + name_, 3)) << LogTail();
  Stop(*process);
  base::SystemRandom random;
  auto keyring = privacy::Keyring::Load(path("keyring"), path("kek"));
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  ASSERT_EQ(*keyring->Rotate("open", random), 2u);
  ASSERT_TRUE(keyring->Save(path("keyring"), path("kek"), random).ok());
  Produce(2, "abc");
  process = StartProcessor();
  ASSERT_TRUE(WaitForRecords("open." + name_, 5)) << LogTail();
  Stop(*process);
  EXPECT_THAT(ReadAll("open." + name_)[4].headers["sluice-src"], HasSubstr("open2-"));
  Ended ended = Ctl({"audit", "--output", "json"});
  EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("\"in\": 5"), HasSubstr("\"clean\": 5")));
}

TEST_F(TopicsKafkaTest, AnAuditWaitsForWhatIsNotCommittedAndNamesWhatCannotBeReached) {
  MakeTopics(1);
  Produce(3, "abc");
  Ended ended = Ctl({"audit", "--output", "json"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("\"in\": 0"), HasSubstr("\"waiting\": 3")));
  EXPECT_THAT(RunCtl({"audit", "--config", path("none.yaml")}).err, HasSubstr("none.yaml"));
}

}  // namespace
}  // namespace sluice::ctl
