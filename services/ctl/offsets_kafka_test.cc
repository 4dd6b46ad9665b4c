// Where a pipeline reads on, on a real Kafka: a group whose offsets are gone or were moved, and one
// that two pipelines share, publish nothing twice and lose nothing.
#include "services/ctl/offsets.h"
#include "services/ctl/pipeline_test.h"

namespace sluice::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class OffsetsKafkaTest : public PipelineTest {
 protected:
  void SetUp() override {
    PipelineTest::SetUp();
    // A static member stays in the group for its session after it has stopped.
    Rewrite(config(), "session_timeout_ms", "membership: dynamic, session_timeout_ms");
    MakeTopics(2);
  }
  static void Rewrite(const std::string& file, const std::string& from, const std::string& to) {
    std::string text = test_support::ReadFile(file);
    ASSERT_NE(text.find(from), std::string::npos);
    std::ofstream(file) << text.replace(text.find(from), from.size(), to);
  }

  // Until so many are in the stream that is given everything.
  void Process(size_t in_all) {
    auto process = StartProcessor();
    ASSERT_TRUE(WaitForRecords("desk." + name_, in_all)) << LogTail();
    Stop(*process);
    ASSERT_EQ(ReadAll("desk." + name_).size(), in_all);
  }
  std::string Address(ChildProcess& process) {
    EXPECT_TRUE(process.WaitForOutput("grpc_port", std::chrono::seconds(30)).ok());
    std::string text = test_support::ReadFile(log());
    return base::StrCat("127.0.0.1:", std::atoi(text.c_str() + text.rfind("\"grpc_port\":") + 12));
  }
  void LoseGroup() {
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15),
                                        [&] { return admin_->DeleteGroup(name_).ok(); }));
  }
  std::string Refusal() {
    std::filesystem::remove(log());
    auto process = StartProcessor();
    auto ended = process->Wait(std::chrono::seconds(30));
    EXPECT_TRUE(ended.ok()) << LogTail();
    EXPECT_NE(ended.value_or(test_support::Exit{}), test_support::Exit{});
    return test_support::ReadFile(log());
  }
  Ended Recover(std::vector<std::string> more = {}) {
    std::vector<std::string> call = {"offsets", "recover"};
    call.insert(call.end(), more.begin(), more.end());
    return Ctl(call);
  }
  std::vector<std::string> Yes() const { return {"--yes", "--reason", "the test lost it"}; }
};

TEST_F(OffsetsKafkaTest, AGroupWhoseOffsetsAreGoneRefusesAndGoesOnExactlyOnceRecovered) {
  Produce(20, "abc");
  Process(20);
  Ended agree = Ctl({"offsets", "list"});
  EXPECT_EQ(agree.code, 0) << agree.out << agree.err;
  LoseGroup();
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("nothing is committed"), HasSubstr("offsets recover")));
  EXPECT_EQ(Ctl({"offsets", "list"}).code, 1);
  Ended shown = Recover();
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.err, AllOf(HasSubstr("Nothing was changed"), Not(HasSubstr("not exact"))));
  EXPECT_EQ(Ctl({"offsets", "list"}).code, 1) << "shown is not done";
  EXPECT_EQ(Recover({"--yes"}).code, 2) << "without a reason";
  Ended done = Recover(Yes());
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(Ctl({"offsets", "list"}).code, 0);
  EXPECT_THAT(test_support::ReadFile(site_.trail),
              AllOf(HasSubstr("\"BeginSetOffsets\""), HasSubstr("\"EndSetOffsets\""),
                    HasSubstr("the test lost it")));
  Produce(5, "abc");
  Process(25);
  Ended audit = Ctl({"audit"});
  EXPECT_EQ(audit.code, 0) << audit.out;
}

TEST_F(OffsetsKafkaTest, AGroupThatSomebodySetHaltsWithBothFiguresUntilBothAgree) {
  Produce(20, "abc");
  Process(20);
  std::vector<kafka::GroupOffset> begin = {{site_.raw(), 0, 0, ""}, {site_.raw(), 1, 0, ""}};
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15),
                                      [&] { return admin_->SetGroupOffsets(name_, begin).ok(); }));
  std::filesystem::remove(log());
  auto process = StartProcessor();
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20), [&] {
    return test_support::ReadFile(log()).find("recorded up to offset") != std::string::npos;
  })) << LogTail();
  EXPECT_THAT(test_support::ReadFile(log()),
              AllOf(HasSubstr("committed offset 0"), HasSubstr("halted")));
  Ended live = Recover(Yes());
  EXPECT_EQ(live.code, 2);
  EXPECT_THAT(live.err, AllOf(HasSubstr("live members"), HasSubstr("--processor")));
  Stop(*process);
  ASSERT_EQ(ReadAll("desk." + name_).size(), 20u) << "nothing is published twice";

  EXPECT_EQ(Ctl({"offsets", "set", "7=0"}).code, 2);
  EXPECT_EQ(Ctl({"offsets", "set", "0=999999"}).code, 2);
  EXPECT_EQ(Ctl({"offsets", "set", "0"}).code, 2);
  ASSERT_TRUE(
      test_support::WaitUntil(std::chrono::seconds(15), [&] { return Recover(Yes()).code == 0; }));
  Produce(5, "abc");
  Process(25);
  // A person may go back, and says so: then both are set.
  std::vector<std::string> set = {"offsets", "set", "0=begin", "1=begin"};
  Ended shown = Ctl(set);
  EXPECT_THAT(shown.out, HasSubstr("published a second time"));
  for (const std::string& word : Yes()) set.push_back(word);
  ASSERT_TRUE(
      test_support::WaitUntil(std::chrono::seconds(15), [&] { return Ctl(set).code == 0; }));
  Process(50);
}

TEST_F(OffsetsKafkaTest, ARunningProcessorSetsItsOwnOffsetsWhateverItsState) {
  Produce(20, "abc");
  auto process = StartProcessor();
  ASSERT_TRUE(WaitForRecords("desk." + name_, 20)) << LogTail();
  const std::string address = Address(*process);
  auto set = [&](std::vector<std::string> offsets) {
    std::vector<std::string> call = {"offsets", "set"};
    call.insert(call.end(), offsets.begin(), offsets.end());
    for (const std::string& word : Yes()) call.push_back(word);
    call.insert(call.end(), {"--processor", address});
    return Ctl(call);
  };
  // Running: the owner goes back by itself.
  Ended done = set({"0=begin", "1=begin"});
  EXPECT_EQ(done.code, 0) << done.err;
  ASSERT_TRUE(WaitForRecords("desk." + name_, 40)) << LogTail();
  EXPECT_EQ(Ctl({"offsets", "list"}).code, 0);
  EXPECT_THAT(test_support::ReadFile(site_.trail), HasSubstr("\"BeginSetOffsets\""));
  // Paused: it stays so, and goes on from there once it is resumed.
  ASSERT_EQ(RunCtl({"pause", address}, "", {}).code, 0);
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    return RunCtl({"status", address}, "", {}).out.find("paused") != std::string::npos;
  }));
  done = set({"0=begin"});
  EXPECT_EQ(done.code, 0) << done.err;
  Ended list = Ctl({"offsets", "list", "--output", "json"});
  EXPECT_EQ(list.code, 0) << list.out;
  EXPECT_THAT(list.out, HasSubstr("\"committed\": 0"));
  EXPECT_EQ(ReadAll("desk." + name_).size(), 40u);
  const size_t again = static_cast<size_t>((*admin_->LogEnds(site_.raw()))[0]);
  ASSERT_EQ(RunCtl({"resume", address}, "", {}).code, 0);
  ASSERT_TRUE(WaitForRecords("desk." + name_, 40 + again)) << LogTail();
  // What is asked of who doesn't have it isn't done.
  done = set({"0=end", "1=end"});
  EXPECT_EQ(done.code, 0) << done.err;
  Produce(5, "abc");
  ASSERT_TRUE(WaitForRecords("desk." + name_, 45 + again)) << LogTail();
  Stop(*process);
  EXPECT_EQ(ReadAll("desk." + name_).size(), 45 + again);
}

TEST_F(OffsetsKafkaTest, AHaltedProcessorIsSetRightWithoutBeingStopped) {
  Produce(20, "abc");
  Process(20);
  std::vector<kafka::GroupOffset> begin = {{site_.raw(), 0, 0, ""}, {site_.raw(), 1, 0, ""}};
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15),
                                      [&] { return admin_->SetGroupOffsets(name_, begin).ok(); }));
  std::filesystem::remove(log());
  auto process = StartProcessor();
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20), [&] {
    return test_support::ReadFile(log()).find("recorded up to offset") != std::string::npos;
  })) << LogTail();
  const std::string address = Address(*process);
  Ended nobody = Recover(Yes());
  EXPECT_EQ(nobody.code, 2);
  EXPECT_THAT(nobody.err, HasSubstr("--processor"));
  std::vector<std::string> more = Yes();
  more.insert(more.end(), {"--processor", address});
  Ended done = Recover(more);
  EXPECT_EQ(done.code, 0) << done.err << LogTail();
  EXPECT_EQ(Ctl({"offsets", "list"}).code, 0);
  EXPECT_THAT(RunCtl({"status", address}, "", {}).out, HasSubstr("halted"));
  ASSERT_EQ(RunCtl({"resume", address}, "", {}).code, 0);
  Produce(5, "abc");
  ASSERT_TRUE(WaitForRecords("desk." + name_, 25)) << LogTail();
  Stop(*process);
  EXPECT_EQ(ReadAll("desk." + name_).size(), 25u) << "nothing is published twice";
}

TEST_F(OffsetsKafkaTest, AnotherKeyringIsRefusedAtAStartUntilAPersonForgetsTheOneBefore) {
  Produce(5, "abc");
  Process(5);
  // A wrong Secret: the same domains and labels, other keys.
  for (const char* file : {"keyring", "kek", "keyring.epochs"}) {
    if (std::filesystem::exists(path(file)))
      std::filesystem::rename(path(file), path(base::StrCat("right-", file)));
  }
  base::SystemRandom random;
  ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path("kek"), random).ok());
  auto other = privacy::Keyring::Create({{"desk", "desk"}, {"open", "open"}}, random);
  ASSERT_TRUE(other->Save(path("keyring"), path("kek"), random).ok());
  Produce(5, "abc");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("another secret"), HasSubstr("offsets forget-keys")));
  EXPECT_EQ(ReadAll("desk." + name_).size(), 5u);
  Ended shown = Ctl({"offsets", "forget-keys"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("desk"), HasSubstr("open")));
  EXPECT_THAT(Refusal(), HasSubstr("another secret")) << "shown is not done";
  Ended done = Ctl({"offsets", "forget-keys", "--yes", "--reason", "the keys were lost"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(test_support::ReadFile(site_.trail),
              AllOf(HasSubstr("\"BeginForgetKeys\""), HasSubstr("\"EndForgetKeys\"")));
  Process(10);
  // Now these are the right ones, and the others aren't.
  for (const char* file : {"keyring", "kek", "keyring.epochs"}) {
    std::filesystem::remove(path(file));
    if (std::filesystem::exists(path(base::StrCat("right-", file))))
      std::filesystem::rename(path(base::StrCat("right-", file)), path(file));
  }
  EXPECT_THAT(Refusal(), HasSubstr("another secret"));
}

TEST_F(OffsetsKafkaTest, ARotationPassesAStartAndAReloadAndAnOlderCopyDoesNot) {
  Produce(5, "abc");
  Process(5);
  base::SystemRandom random;
  // The copy stands alone, as one in a Secret does.
  std::filesystem::copy_file(path("keyring"), path("older"));
  auto rotate = [&](const std::string& name) {
    auto keyring = privacy::Keyring::Load(path(name), path("kek"));
    ASSERT_TRUE(keyring.ok()) << keyring.status();
    ASSERT_TRUE(keyring->Rotate("desk", random).ok());
    ASSERT_TRUE(keyring->Save(path(name), path("kek"), random).ok());
    std::filesystem::remove(path(name + ".epochs"));
  };
  auto put = [&](const std::string& name) {
    std::filesystem::copy_file(path(name), path("keyring.new"));
    std::filesystem::rename(path("keyring.new"), path("keyring"));
    std::filesystem::remove(path("keyring.epochs"));
  };
  std::filesystem::remove(log());  // it names the port of the one before
  auto process = StartProcessor();
  const std::string address = Address(*process);
  rotate("keyring");
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(20), [&] {
    return RunCtl({"status", address}, "", {}).out.find("desk=2") != std::string::npos;
  })) << LogTail();
  Produce(5, "abc");
  ASSERT_TRUE(WaitForRecords("desk." + name_, 10)) << LogTail();
  Stop(*process);
  Produce(5, "abc");
  Process(15);
  std::filesystem::copy_file(path("keyring"), path("newer"));
  put("older");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("older copy"), HasSubstr("epoch 2")));
  // Also where it is rotated, so that the number is there again.
  rotate("older");
  put("older");
  EXPECT_THAT(Refusal(), HasSubstr("another secret"));
  put("newer");
  Produce(1, "abc");
  Process(16);
}

TEST_F(OffsetsKafkaTest, WithoutEitherALowerBoundIsFoundInTheResults) {
  Produce(20, "abc");
  Produce(4, "LONGCODE");
  Process(20);
  LoseGroup();
  const std::string positions = processor::PositionsTopic(site_.config.pipeline());
  const std::string before = *admin_->TopicId(positions);
  ASSERT_TRUE(admin_->DeleteTopics({positions}).ok());
  // Created again once the old one is gone, and known to the broker.
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    std::vector<kafka::NewTopic> again = {{positions, 1, 1, {{"cleanup.policy", "compact"}}}};
    if (!admin_->CreateTopics(again).ok()) return false;
    auto id = admin_->TopicId(positions);
    return id.ok() && !id->empty() && *id != before;
  }));
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("holds results"), HasSubstr("offsets recover")));
  Ended shown = Recover();
  EXPECT_THAT(shown.err, HasSubstr("not exact"));
  ASSERT_EQ(Recover(Yes()).code, 0);
  Produce(1, "abc");
  Process(21);
}

TEST_F(OffsetsKafkaTest, ASecondPipelineMustNotJoinTheGroupOfAnother) {
  Produce(20, "abc");
  auto first = StartProcessor();
  ASSERT_TRUE(WaitForRecords("desk." + name_, 20)) << LogTail();
  // The same raw topic and the same group by mistake, other outputs.
  std::filesystem::copy_file(config(), path("second.yaml"));
  Rewrite(path("second.yaml"), "instance: " + name_, "instance: second");
  Rewrite(path("second.yaml"), "topic: quarantine." + name_, "topic: quarantine.second." + name_);
  Ended made = RunCtl({"topics", "apply", "--replication-factor", "1", "--min-insync-replicas", "1",
                       "--config", path("second.yaml")},
                      "", {});
  ASSERT_NE(made.code, 2) << made.err;
  auto second =
      ChildProcess::Start({{Binary("processor/sluice-processor"), "--config", path("second.yaml")},
                           {},
                           path("second.log"),
                           ""});
  ASSERT_TRUE(second.ok());
  auto ended = (*second)->Wait(std::chrono::seconds(30));
  ASSERT_TRUE(ended.ok());
  EXPECT_NE(*ended, test_support::Exit{});
  EXPECT_THAT(test_support::ReadFile(path("second.log")),
              HasSubstr("belongs to pipeline 'quarantine." + name_ + "'"));
  Produce(20, "abc");
  ASSERT_TRUE(WaitForRecords("desk." + name_, 40)) << LogTail();
  Stop(*first);
  EXPECT_EQ(ReadAll("desk." + name_).size(), 40u);
}

TEST_F(OffsetsKafkaTest, PipelinesThatShareAGroupFromTheirFirstStartBothHalt) {
  std::filesystem::copy_file(config(), path("second.yaml"));
  Rewrite(path("second.yaml"), "instance: " + name_, "instance: second");
  Rewrite(path("second.yaml"), "contract: test.Report", "name: second\n  contract: test.Report");
  auto first = StartProcessor();
  auto second =
      ChildProcess::Start({{Binary("processor/sluice-processor"), "--config", path("second.yaml")},
                           {},
                           path("second.log"),
                           ""});
  ASSERT_TRUE(second.ok());
  // One partition each: neither can see the other's name before both have committed.
  for (ChildProcess* process : {first.get(), second->get()}) {
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
      return process->Output().find("\"partitions\":1") != std::string::npos;
    })) << process->Output();
  }
  Produce(40, "abc");
  for (ChildProcess* process : {first.get(), second->get()}) {
    EXPECT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
      return process->Output().find("positions_refused") != std::string::npos;
    })) << process->Output();
  }
  // What comes now is held, not published by one and missing for the other.
  Produce(10, "abc");
  for (ChildProcess* process : {first.get(), second->get()}) {
    EXPECT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
      return process->Output().find("halted") != std::string::npos;
    })) << process->Output();
  }
  EXPECT_LE(ReadAll("desk." + name_).size(), 40u);
}

}  // namespace
}  // namespace sluice::ctl
