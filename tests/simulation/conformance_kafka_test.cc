// The simulated client and broker against librdkafka and a real Kafka: the same histories, through
// the same port, must look the same. Where they don't, the simulation is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/client.h"
#include "common/kafka/writer.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/world.h"
#include "tests/support/shared_broker.h"

namespace sluice::simulation {
namespace {

using kafka::ConsumerClient;
using kafka::ErrorCode;
using kafka::Message;
using kafka::PartitionOffsets;
using kafka::ProducerClient;

constexpr int64_t kFarAhead = 4'000'000'000'000;

// Where a history takes place.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual kafka::ClientFactory& factory() = 0;
  virtual Time Now() const = 0;
  virtual void Wait(milliseconds time) = 0;
  // One partition; `bytes_max` and whether it takes timestamps far ahead.
  virtual void MakeTopic(const std::string& name, int64_t bytes_max, bool takes_any_time) = 0;
  virtual void DeleteTopic(const std::string& name) = 0;
  virtual void DeleteRecords(const std::string& name, int64_t before) = 0;
  virtual void SetBytesMax(const std::string& name, int64_t bytes_max) = 0;
  virtual void Write(const std::string& name, int count) = 0;

  kafka::ConnectionOptions connection;
};

class RealStage final : public Stage {
 public:
  RealStage() {
    connection.brokers = {test_support::SharedBroker().bootstrap()};
    admin_ = *kafka::Admin::Create(connection);
  }
  kafka::ClientFactory& factory() override { return kafka::RdKafka(); }
  Time Now() const override { return std::chrono::steady_clock::now(); }
  void Wait(milliseconds time) override { std::this_thread::sleep_for(time); }
  void MakeTopic(const std::string& name, int64_t bytes_max, bool takes_any_time) override {
    kafka::NewTopic topic{name, 1, 1, {{"max.message.bytes", std::to_string(bytes_max)}}};
    if (!takes_any_time) topic.config["message.timestamp.after.max.ms"] = "3600000";
    absl::Status made = admin_->CreateTopics({&topic, 1});
    EXPECT_TRUE(made.ok()) << made;
  }
  void DeleteTopic(const std::string& name) override {
    absl::Status deleted = admin_->DeleteTopics({name});
    EXPECT_TRUE(deleted.ok()) << deleted;
  }
  void DeleteRecords(const std::string& name, int64_t before) override {
    absl::Status deleted = admin_->DeleteRecords(name, 0, before);
    EXPECT_TRUE(deleted.ok()) << deleted;
  }
  void SetBytesMax(const std::string& name, int64_t bytes_max) override {
    absl::Status set = admin_->AlterTopic(name, "max.message.bytes", std::to_string(bytes_max));
    EXPECT_TRUE(set.ok()) << set;
  }
  void Write(const std::string& name, int count) override {
    auto writer = kafka::TopicWriter::Create({.connection = connection});
    for (int i = 0; i < count; ++i) {
      absl::Status written = (*writer)->Write({.topic = name, .partition = 0, .value = "v"});
      EXPECT_TRUE(written.ok()) << written;
    }
    absl::Status flushed = (*writer)->Flush();
    EXPECT_TRUE(flushed.ok()) << flushed;
  }

 private:
  std::unique_ptr<kafka::Admin> admin_;
};

class SimulatedStage final : public Stage {
 public:
  SimulatedStage() : world_(1), factory_(world_, network_) {
    connection.brokers = {"simulated:1"};
    world_.checks = false;
  }
  kafka::ClientFactory& factory() override { return factory_; }
  Time Now() const override { return world_.Now(); }
  void Wait(milliseconds time) override { world_.Pass(time); }
  void MakeTopic(const std::string& name, int64_t bytes_max, bool takes_any_time) override {
    world_.MakeTopic(name, 1);
    world_.topic(name).bytes_max = bytes_max;
    world_.topic(name).takes_late_timestamps = takes_any_time;
  }
  void DeleteTopic(const std::string& name) override { world_.DeleteTopic(name, /*forgets=*/true); }
  void DeleteRecords(const std::string& name, int64_t before) override {
    world_.topic(name).partitions[0].start = before;
  }
  void SetBytesMax(const std::string& name, int64_t bytes_max) override {
    world_.topic(name).bytes_max = bytes_max;
  }
  void Write(const std::string& name, int count) override {
    for (int i = 0; i < count; ++i) world_.Append(name, 0, false);
  }

 private:
  World world_;
  Network network_;
  SimulatedFactory factory_;
};

using Story = std::vector<std::string>;

std::string NameOf(ErrorCode error) {
  return rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(error));
}

// A consumer, and what comes of it.
class Reader final : public kafka::RebalanceListener {
 public:
  // Without `group` it belongs to none that it joins.
  Reader(Stage& stage, const std::string& topic, bool joins) : stage_(stage), topic_(topic) {
    kafka::Settings settings = {{"group.id", topic},
                                {"session.timeout.ms", "6000"},
                                {"enable.auto.commit", "false"},
                                {"enable.auto.offset.store", "false"},
                                {"isolation.level", "read_committed"},
                                {"auto.offset.reset", "error"},
                                {"allow.auto.create.topics", "false"},
                                {"fetch.wait.max.ms", "20"},
                                {"topic.metadata.refresh.interval.ms", "1000"}};
    client = *stage.factory().MakeConsumer(stage.connection, settings, *this);
    if (joins) {
      EXPECT_EQ(client->Subscribe({topic}), 0);
      Until([this] { return assigned; });
      EXPECT_TRUE(assigned);
    }
  }
  ~Reader() override { client->Close(/*leave=*/false); }

  void OnAssign(PartitionOffsets partitions) override {
    for (auto& partition : partitions) partition.offset = 0;
    client->Assign(partitions);
    assigned = true;
  }
  void OnRevoke(bool) override { client->Assign({}); }

  void AssignAt(int64_t offset) { client->Assign({{topic_, 0, offset}}); }
  // Offsets and errors that are handed out until none has come for a while.
  std::string Read(size_t at_least = 1) {
    std::string all;
    size_t seen = 0;
    Time until = stage_.Now() + milliseconds(at_least > 0 ? 10'000 : 700);
    while (stage_.Now() < until) {
      std::vector<Message> messages;
      client->Fetch(10, milliseconds(50), messages);
      for (const Message& message : messages) {
        base::StrAppend(all, all.empty() ? "" : " ");
        if (message.error != 0) {
          base::StrAppend(all, NameOf(message.error),
                          message.of_partition ? "" : " (of no partition)");
        } else {
          base::StrAppend(all, message.record.offset);
        }
      }
      seen += messages.size();
      client->Release(messages);
      if (at_least > 0 && seen >= at_least)
        until = std::min(until, stage_.Now() + milliseconds(300));
    }
    return all.empty() ? "nothing" : all;
  }
  std::string Position() {
    PartitionOffsets at = {{topic_, 0}};
    client->Positions(at);
    return at[0].offset < 0 ? "unknown" : std::to_string(at[0].offset);
  }
  std::string Committed(milliseconds timeout = milliseconds(5'000)) {
    std::string text;
    // A coordinator that has only just come up is asked again.
    Until([&] {
      PartitionOffsets at = {{topic_, 0}};
      ErrorCode error = client->Committed(at, timeout);
      if (error == 0) error = at[0].error;
      text = error != 0         ? NameOf(error)
             : at[0].offset < 0 ? "nothing"
                                : base::StrCat(at[0].offset, " '", at[0].metadata, "'");
      return error != RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
    });
    return text;
  }
  std::string Log() {
    std::optional<std::vector<kafka::LogOffsets>> answer;
    client->AskLogOffsets({{topic_, 0}});
    Until([&] { return (answer = client->TakeLogOffsets()).has_value(); });
    if (!answer || answer->size() != 1) return "no answer";
    return base::StrCat("from ", (*answer)[0].begin, ", stable to ", (*answer)[0].stable, ", to ",
                        (*answer)[0].end);
  }
  kafka::TopicIdentity Identity() {
    std::optional<std::vector<kafka::TopicIdentity>> answer;
    client->AskTopics({topic_});
    Until([&] { return (answer = client->TakeTopics()).has_value(); });
    return answer && answer->size() == 1 ? (*answer)[0] : kafka::TopicIdentity();
  }
  // Serves the client meanwhile.
  void Until(const std::function<bool()>& done) {
    Time until = stage_.Now() + milliseconds(20'000);
    while (!done() && stage_.Now() < until) {
      std::vector<Message> messages;
      client->Fetch(1, milliseconds(20), messages);
      client->Release(messages);
    }
  }

  bool assigned = false;
  std::unique_ptr<ConsumerClient> client;

 private:
  Stage& stage_;
  const std::string topic_;
};

class Writer {
 public:
  Writer(Stage& stage, const std::string& id, const std::string& topic,
         int64_t bytes_max = 1'000'000) {
    kafka::Settings settings = {{"transactional.id", id},
                                {"transaction.timeout.ms", "12000"},
                                {"message.timeout.ms", "12000"},
                                {"delivery.report.only.error", "true"},
                                {"message.max.bytes", std::to_string(bytes_max)},
                                {"linger.ms", "5"}};
    client = *stage.factory().MakeProducer(stage.connection, settings, {topic});
    kafka::CallError error;
    for (int i = 0; i < 20; ++i) {
      error = client->InitTransactions(milliseconds(5'000));
      if (error.ok()) break;
    }
    EXPECT_TRUE(error.ok()) << error.text;
  }
  std::string Begin() { return Text(client->Begin()); }
  std::string Produce(size_t bytes = 1, int64_t timestamp_ms = 1) {
    std::string value(bytes, 'v');
    stream::OutputRecord record{.topic = 0, .value = value};
    if (timestamp_ms > 1) record.timestamp_ms = timestamp_ms;
    return NameOf(client->Produce(record, {}));
  }
  std::string Send(const std::string& topic, int64_t offset, const kafka::GroupMetadata& member) {
    stream::Position next{topic, 0, offset};
    return Text(client->SendOffsets({&next, 1}, member, "pipeline"));
  }
  std::string Commit() { return Text(client->Commit()); }
  std::string Abort() {
    client->Flush(milliseconds(500));
    return Text(client->Abort(std::nullopt));
  }
  std::string Delivery() {
    client->Flush(milliseconds(5'000));
    client->Poll(milliseconds(0));
    return NameOf(client->delivery_error().code);
  }
  // What the code makes of it; the client's own words differ from state to state.
  static std::string Text(const kafka::CallError& error) {
    if (error.ok()) return "ok";
    return error.fatal            ? "fatal"
           : error.requires_abort ? "abort"
           : error.retriable      ? "retry"
                                  : "other";
  }

  std::unique_ptr<ProducerClient> client;
};

// One history in both worlds, each in a topic of its own.
class ConformanceTest : public testing::Test {
 protected:
  using History = std::function<void(Stage&, const std::string& topic, Story& story)>;
  void Same(const History& history, int64_t bytes_max = 1'000'000, bool takes_any_time = true) {
    std::string topic = testing::UnitTest::GetInstance()->current_test_info()->name();
    Story real, simulated;
    {
      RealStage stage;
      stage.MakeTopic(topic, bytes_max, takes_any_time);
      history(stage, topic, real);
    }
    {
      SimulatedStage stage;
      stage.MakeTopic(topic, bytes_max, takes_any_time);
      try {
        history(stage, topic, simulated);
      } catch (const Violation& violation) {
        simulated.push_back(violation.text);
      }
    }
    EXPECT_EQ(simulated, real);
    EXPECT_FALSE(real.empty());
  }
};

TEST_F(ConformanceTest, FetchingStopsAtAnOffsetThatIsOutOfRangeUntilItIsAssignedAgain) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    stage.Write(topic, 6);
    Reader reader(stage, topic, false);
    story.push_back(reader.Position());
    reader.AssignAt(0);
    story.push_back(reader.Read(6));
    story.push_back(reader.Position());
    reader.AssignAt(50);
    story.push_back(reader.Read());
    stage.Write(topic, 60);
    story.push_back("it stays stopped: " + reader.Read(0));
    reader.AssignAt(64);
    story.push_back(reader.Read(2));
    stage.DeleteRecords(topic, 10);
    story.push_back(reader.Log());
    reader.AssignAt(9);
    story.push_back(reader.Read());
    reader.AssignAt(kafka::kOffsetBeginning);
    story.push_back(reader.Read(56).substr(0, 8));
    reader.AssignAt(kafka::kOffsetEnd);
    story.push_back(reader.Read(0));
  });
}

TEST_F(ConformanceTest, APartitionStaysPausedThroughItsNextAssignment) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    stage.Write(topic, 3);
    Reader reader(stage, topic, false);
    reader.AssignAt(0);
    reader.client->Pause({{topic, 0}});
    reader.Read(0);
    reader.AssignAt(1);
    story.push_back(reader.Read(0));
    reader.client->Resume({{topic, 0}});
    story.push_back(reader.Read(2));
  });
}

TEST_F(ConformanceTest, WhatIsBehindAnOpenTransactionIsReadOnceItEnds) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    stage.Write(topic, 2);
    Reader reader(stage, topic, false);
    reader.AssignAt(0);
    Writer foreign(stage, topic + "-foreign", topic);
    foreign.Begin();
    foreign.Produce();
    story.push_back(foreign.Delivery());
    stage.Write(topic, 3);
    story.push_back(reader.Read(2));
    story.push_back(reader.Log());
    story.push_back(foreign.Commit());
    story.push_back(reader.Read(4));
    story.push_back(reader.Log());
    foreign.Begin();
    foreign.Produce();
    foreign.Produce();
    story.push_back(foreign.Abort());
    stage.Write(topic, 1);
    story.push_back("without what was aborted: " + reader.Read(1));
    story.push_back(reader.Position());
  });
}

TEST_F(ConformanceTest, OffsetsAreCommittedWithTheTransactionAndHiddenUntilThen) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    stage.Write(topic, 10);
    Reader reader(stage, topic, true);
    Writer writer(stage, topic, topic);
    story.push_back(reader.Committed());
    auto member = reader.client->Metadata();
    writer.Begin();
    writer.Produce();
    story.push_back(writer.Send(topic, 3, *member));
    story.push_back(writer.Commit());
    story.push_back(reader.Committed());
    story.push_back(writer.Begin());
    story.push_back(writer.Send(topic, 5, *member));
    story.push_back("pending: " + reader.Committed(milliseconds(1'000)));
    story.push_back(writer.Abort());
    story.push_back(reader.Committed());
    story.push_back(writer.Begin());
    story.push_back("without anything: " + writer.Commit());
  });
}

TEST_F(ConformanceTest, AMemberThatHasLeftCommitsNothing) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    stage.Write(topic, 10);
    std::unique_ptr<kafka::GroupMetadata> member;
    {
      Reader left(stage, topic, true);
      member = left.client->Metadata();
    }
    Reader reader(stage, topic, true);
    Writer writer(stage, topic, topic);
    writer.Begin();
    writer.Produce();
    story.push_back(writer.Send(topic, 3, *member));
    story.push_back(writer.Abort());
    story.push_back(reader.Committed());
    writer.Begin();
    story.push_back(writer.Send(topic, 3, *reader.client->Metadata()));
    story.push_back(writer.Commit());
    story.push_back(reader.Committed());
  });
}

TEST_F(ConformanceTest, TheLaterOfTwoProducersFencesTheOther) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    Writer first(stage, topic, topic);
    first.Begin();
    first.Produce();
    story.push_back(first.Delivery());
    Writer second(stage, topic, topic);
    first.Produce();
    story.push_back(first.Commit());
    story.push_back(second.Begin());
    second.Produce();
    story.push_back(second.Commit());
    Reader reader(stage, topic, false);
    reader.AssignAt(0);
    story.push_back(reader.Read(1));
  });
}

TEST_F(ConformanceTest, ARecordThatIsTooLargeForTheTopicAbortsAndTheClientRemembersItsOwnLimit) {
  Same(
      [](Stage& stage, const std::string& topic, Story& story) {
        Writer writer(stage, topic, topic);
        writer.Begin();
        story.push_back(writer.Produce(5'000));
        story.push_back(writer.Delivery());
        story.push_back(writer.Commit());
        story.push_back(writer.Abort());
        story.push_back(writer.Begin());
        story.push_back(writer.Produce(100));
        story.push_back(writer.Commit());
        Writer small(stage, topic + "-small", topic, 2'000);
        small.Begin();
        story.push_back("refused at once: " + small.Produce(5'000));
        stage.SetBytesMax(topic, 100'000);
        story.push_back("and still: " + small.Produce(5'000));
        story.push_back(small.Produce(100));
        story.push_back(small.Commit());
        writer.Begin();
        story.push_back(writer.Produce(5'000));
        story.push_back(writer.Commit());
      },
      2'000);
}

TEST_F(ConformanceTest, ATimestampThatTheTopicDoesNotTakeAborts) {
  Same(
      [](Stage& stage, const std::string& topic, Story& story) {
        Writer writer(stage, topic, topic);
        writer.Begin();
        story.push_back(writer.Produce(1, kFarAhead));
        story.push_back(writer.Delivery());
        story.push_back(writer.Commit());
        story.push_back(writer.Delivery());
        story.push_back(writer.Abort());
        story.push_back(writer.Begin());
        story.push_back(writer.Produce());
        story.push_back(writer.Commit());
      },
      1'000'000, /*takes_any_time=*/false);
}

TEST_F(ConformanceTest, ATopicIsMissedAndKnownAgainByAnotherId) {
  Same([](Stage& stage, const std::string& topic, Story& story) {
    stage.Write(topic, 10);
    Reader reader(stage, topic, true);
    {
      Writer writer(stage, topic, topic);
      writer.Begin();
      writer.Produce();
      writer.Send(topic, 7, *reader.client->Metadata());
      story.push_back(writer.Commit());
    }
    story.push_back(reader.Committed());
    kafka::TopicIdentity before = reader.Identity();
    story.push_back(base::StrCat(NameOf(before.error), before.id.empty() ? " without id" : ""));
    stage.DeleteTopic(topic);
    kafka::TopicIdentity gone;
    reader.Until([&] { return (gone = reader.Identity()).error != 0; });
    story.push_back(NameOf(gone.error));
    story.push_back(NameOf(reader.client->LookUp(topic, milliseconds(5'000))));
    std::string committed;
    reader.Until([&] { return (committed = reader.Committed()) == "nothing"; });
    story.push_back("the group's offset goes with it: " + committed);
    stage.MakeTopic(topic, 1'000'000, true);
    kafka::TopicIdentity after;
    reader.Until([&] {
      after = reader.Identity();
      return after.error == 0 && !after.id.empty();
    });
    story.push_back(NameOf(after.error));
    story.push_back(after.id == before.id ? "the same" : "another");
    story.push_back(reader.Committed());
  });
}

}  // namespace
}  // namespace sluice::simulation
