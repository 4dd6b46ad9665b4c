// Quarantine on a real Kafka: what is redriven is redriven once, whatever happens in the middle.
#include <set>
#include <utility>

#include "common/engine/quarantine_payload.h"
#include "services/ctl/command.h"
#include "services/ctl/pipeline_test.h"
#include "services/ctl/redrive.h"

namespace sluice::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class QuarantineKafkaTest : public PipelineTest {
 protected:
  // Events that break the contract, in quarantine.
  void Quarantine(int count, const std::string& code = "LONGCODE") {
    Produce(count, code);
    auto process = StartProcessor();
    ASSERT_TRUE(WaitForRecords(site_.quarantine(), static_cast<size_t>(count))) << LogTail();
    Stop(*process);
  }
  std::vector<std::string> Redrive(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {
        "quarantine",           "redrive", "--execute", "--private-key",
        path("quarantine.key"), "--rate",  "1000000"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST_F(QuarantineKafkaTest, AThousandRedrivenThroughKillsAreAllCleanAndNoneTwice) {
  MakeTopics();
  Quarantine(1000);
  Ended dry = Ctl({"quarantine", "redrive", "--private-key", path("quarantine.key")});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("would be redriven       1000"));
  EXPECT_THAT(dry.err, HasSubstr("--execute does it"));
  EXPECT_EQ(ReadAll(site_.raw()).size(), 1000u) << "a dry run publishes nothing";

  WriteContract(20);
  auto process = StartProcessor();
  for (const char* failpoint : {"during_commit:3", "after_produce:2", "during_commit:1"}) {
    EXPECT_EQ(RunCtlUntil(failpoint, Redrive()).signal, SIGKILL) << failpoint;
  }
  Ended rest = Ctl(Redrive({"--output", "json"}));
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("\"chosen\": 1000"));
  EXPECT_THAT(rest.out, Not(HasSubstr("\"redriven_before\": 0,")));
  Ended again = Ctl(Redrive({"--output", "json"}));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out,
              AllOf(HasSubstr("\"redriven\": 0,"), HasSubstr("\"redriven_before\": 1000,")));

  ASSERT_TRUE(WaitForRecords("desk." + name_, 1000)) << LogTail();
  Stop(*process);
  std::set<std::string> ids;
  std::vector<Seen> desk = ReadAll("desk." + name_);
  for (const Seen& seen : desk) ids.insert(seen.headers.at("ce_id"));
  EXPECT_EQ(desk.size(), 1000u);
  EXPECT_EQ(ids.size(), 1000u) << "none twice";
  EXPECT_EQ(ReadAll(site_.quarantine()).size(), 1000u) << "none came back";
  for (const Seen& seen : ReadAll(site_.raw())) {
    if (!seen.headers.contains("sluice-generation")) continue;
    EXPECT_EQ(seen.headers.at("sluice-generation"), "1");
    EXPECT_THAT(seen.key, HasSubstr("key-"));
  }
  Ended audit = Ctl({"audit", "--output", "json"});
  EXPECT_EQ(audit.code, 0) << audit.out << audit.err;
  EXPECT_THAT(audit.out, AllOf(HasSubstr("\"in\": 2000"), HasSubstr("\"clean\": 1000"),
                               HasSubstr("\"quarantined\": 1000")));
  Ended stats = Ctl({"quarantine", "stats", "--output", "json"});
  EXPECT_THAT(stats.out, AllOf(HasSubstr("\"waiting\": 0"), HasSubstr("\"redriven\": 1000"),
                               HasSubstr("string.max_len")));
}

TEST_F(QuarantineKafkaTest, AnEventThatFailsAgainIsKeptAfterItsGenerations) {
  MakeTopics();
  Quarantine(4);
  auto process = StartProcessor();
  for (int generation = 1; generation <= 2; ++generation) {
    Ended ended = Ctl(Redrive({"--generations-max", "2"}));
    EXPECT_EQ(ended.code, 0) << ended.err;
    ASSERT_TRUE(WaitForRecords(site_.quarantine(), 4 + 4 * static_cast<size_t>(generation)));
  }
  Ended ended = Ctl(Redrive({"--generations-max", "2", "--output", "json"}));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("\"redriven\": 0,"), HasSubstr("\"redriven_before\": 8,"),
                               HasSubstr("\"kept_for_generation\": 4,")));
  Ended list = Ctl({"quarantine", "list"});
  EXPECT_THAT(list.out, HasSubstr("string.max_len"));
  Stop(*process);
}

TEST_F(QuarantineKafkaTest, ChosenByReasonPathPlaceAndTime) {
  MakeTopics(1);
  Produce(2, "LONGCODE");
  auto writer = *kafka::TopicWriter::Create({site_.connection});
  ASSERT_TRUE(writer->Write({site_.raw(), 0, "k", "{", {}, {}}).ok());
  ASSERT_TRUE(writer->Flush().ok());
  ++produced_;
  Quarantine(1);
  auto would = [this](std::vector<std::string> options) {
    options.insert(options.begin(), {"quarantine", "redrive", "--output", "json"});
    Ended ended = Ctl(options);
    EXPECT_EQ(ended.code, 0) << ended.err;
    size_t at = ended.out.find("\"redriven\": ");
    return at == std::string::npos ? -1 : std::atoi(ended.out.c_str() + at + 12);
  };
  EXPECT_EQ(would({}), 4);
  EXPECT_EQ(would({"--reason", "string.max_len"}), 3);
  EXPECT_EQ(would({"--reason", "json.*"}), 1);
  EXPECT_EQ(would({"--reason", "string.*", "--reason", "json.*"}), 4);
  EXPECT_EQ(would({"--path", "code"}), 3);
  EXPECT_EQ(would({"--at", "0/0", "--at", "0/1"}), 2);
  EXPECT_EQ(would({"--since", "1h"}), 4);
  EXPECT_EQ(would({"--until", "1h"}), 0);
  EXPECT_EQ(would({"--limit", "2"}), 2);
  EXPECT_EQ(Ctl({"quarantine", "list", "--at", "here"}).code, 2);
  EXPECT_EQ(Ctl({"quarantine", "list", "--since", "yesterday"}).code, 2);
}

TEST_F(QuarantineKafkaTest, WhatIsDiscardedIsNeverRedriven) {
  MakeTopics(1);
  Quarantine(3);
  EXPECT_EQ(Ctl({"quarantine", "discard", "--at", "0/1"}).code, 2) << "--because is required";
  Ended dry = Ctl({"quarantine", "discard", "--at", "0/1", "--because", "a test's"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("would be discarded  1"));
  Ended ended = Ctl({"quarantine", "discard", "--at", "0/1", "--because", "a test's", "--execute"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  Ended list = Ctl({"quarantine", "list"});
  EXPECT_THAT(list.out, AllOf(HasSubstr("0/0"), Not(HasSubstr("0/1")), HasSubstr("0/2")));
  EXPECT_THAT(Ctl({"quarantine", "list", "--all"}).out, HasSubstr("discarded"));
  Ended redriven = Ctl(Redrive({"--output", "json"}));
  EXPECT_THAT(redriven.out,
              AllOf(HasSubstr("\"redriven\": 2,"), HasSubstr("\"discarded_before\": 1,")));
  Ended stats = Ctl({"quarantine", "stats"});
  EXPECT_THAT(stats.out,
              AllOf(HasSubstr("a test's"), HasSubstr(Operator()), HasSubstr("--at 0/1")));
}

TEST_F(QuarantineKafkaTest, ShowOpensOneEventAndSaysSoInTheLedger) {
  MakeTopics(1);
  Quarantine(2);
  Ended list = Ctl({"quarantine", "list"});
  EXPECT_THAT(list.out, Not(HasSubstr("Canary")));
  Ended wrong = Ctl({"quarantine", "show", "0/1", "--private-key", path("other.key")});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("sealed to another key"));
  EXPECT_THAT(Ctl({"quarantine", "stats"}).out, Not(HasSubstr("shown")));
  Ended shown = Ctl({"quarantine", "show", "0/1", "--private-key", path("quarantine.key")});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("Canary Markername"), HasSubstr("key-1"),
                               HasSubstr("string.max_len")));
  EXPECT_THAT(Ctl({"quarantine", "stats"}).out, AllOf(HasSubstr("shown"), HasSubstr("--at 0/1")));
  Ended nothing = Ctl({"quarantine", "show", "0/77", "--private-key", path("quarantine.key")});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("no record is there"));
}

TEST_F(QuarantineKafkaTest, EveryActIsOnTheTrailBeforeItIsDoneAndTheLedgerKnowsItsHead) {
  MakeTopics(1);
  Quarantine(3);
  std::vector<std::string> show = {"quarantine", "show", "0/0", "--private-key"};
  auto with = [](std::vector<std::string> call, std::vector<std::string> more) {
    call.insert(call.end(), more.begin(), more.end());
    return call;
  };
  EXPECT_EQ(Ctl(with(show, {path("other.key")})).code, 1);
  EXPECT_EQ(Ctl(with(show, {path("quarantine.key")})).code, 0);
  EXPECT_EQ(
      Ctl({"quarantine", "discard", "--at", "0/1", "--because", "a test's", "--execute"}).code, 0);
  EXPECT_EQ(Ctl({"quarantine", "redrive", "--private-key", path("quarantine.key")}).code, 0)
      << "what only counts is no act";
  EXPECT_EQ(Ctl(Redrive({"--because", "mended"})).code, 0);
  std::string trail = test_support::ReadFile(site_.trail);
  for (const char* act :
       {"\"operation\":\"consultation\",\"action\":\"ShowQuarantined\",\"outcome\":\"refused\"",
        "\"action\":\"ShowQuarantined\",\"outcome\":\"done\"",
        "\"operation\":\"erasure\",\"action\":\"BeginDiscardQuarantine\",\"outcome\":\"done\"",
        "\"action\":\"EndDiscardQuarantine\",\"outcome\":\"done\"",
        "\"operation\":\"alteration\",\"action\":\"BeginRedriveQuarantine\",\"outcome\":\"done\"",
        "\"action\":\"EndRedriveQuarantine\",\"outcome\":\"done\"", "a test's", "--at 0/1",
        "\"justification\":\"mended\",\"count\":2"}) {
    EXPECT_THAT(trail, HasSubstr(act));
  }
  EXPECT_THAT(trail, Not(HasSubstr("Canary")));
  EXPECT_THAT(trail, HasSubstr("\"who\":\"" + Operator()));
  Ended whole = RunCtl({"trail", "verify", site_.trail});
  EXPECT_EQ(whole.code, 0) << whole.out;
  EXPECT_THAT(whole.out, HasSubstr("6 lines of 'sluicectl'"));
  // Each run's entry in the ledger has the hash of its line.
  std::string stats = Ctl({"quarantine", "stats", "--output", "json"}).out;
  int known = 0;
  for (size_t at = 0; (at = trail.find("\"hash\":\"", at)) != std::string::npos; at += 8)
    known += stats.find(trail.substr(at + 8, 64)) != std::string::npos;
  EXPECT_EQ(known, 3) << stats;
}

TEST_F(QuarantineKafkaTest, WhatCannotBeRecordedIsNotDone) {
  MakeTopics(1);
  Quarantine(1);
  std::vector<std::string> show = {"quarantine", "show", "0/0", "--private-key",
                                   path("quarantine.key")};
  std::ofstream(site_.trail) << "tampered\n";
  for (const auto& call : {show, Redrive()}) {
    Ended ended = Ctl(call);
    EXPECT_EQ(ended.code, 1) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("keep the file as evidence"));
    EXPECT_THAT(ended.out, Not(HasSubstr("Canary")));
  }
  EXPECT_EQ(ReadAll(site_.raw()).size(), 1u);
  EXPECT_THAT(Ctl({"quarantine", "list"}).out, HasSubstr("waiting"));
  std::string text = test_support::ReadFile(config());
  std::ofstream(config()) << text.replace(text.find("trail: trail.jsonl\n"), 19, "");
  Ended nowhere = Ctl(show);
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("--trail"));
  std::vector<std::string> named = show;
  named.insert(named.end(), {"--trail", path("another.jsonl")});
  EXPECT_EQ(Ctl(named).code, 0);
}

TEST_F(QuarantineKafkaTest, APayloadThatOnlyTheRawTopicHasIsFetchedFromThere) {
  MakeTopics(1);
  ASSERT_TRUE(admin_->AlterTopic(site_.quarantine(), "max.message.bytes", "2000").ok());
  Quarantine(1, std::string(3000, 'x'));
  ASSERT_EQ(ReadAll(site_.quarantine())[0].headers.at("content-type"),
            "application/vnd.sluice.reference");
  WriteContract(5000);
  auto process = StartProcessor();
  Ended redriven = Ctl(Redrive({"--output", "json"}));
  EXPECT_EQ(redriven.code, 0) << redriven.err;
  EXPECT_THAT(redriven.out, HasSubstr("\"redriven\": 1,"));
  EXPECT_TRUE(WaitForRecords("desk." + name_, 1)) << LogTail();
  Stop(*process);
}

TEST_F(QuarantineKafkaTest, AReferenceIsNotFollowedToWhatStandsThereNow) {
  MakeTopics(1);
  ASSERT_TRUE(admin_->AlterTopic(site_.quarantine(), "max.message.bytes", "2000").ok());
  Quarantine(1, std::string(3000, 'x'));
  ASSERT_TRUE(admin_->DeleteTopics({site_.raw()}).ok());
  auto left_alone = [this](const char* why) {
    size_t before = ReadAll(site_.raw()).size();
    Ended redriven = Ctl(Redrive({"--output", "json"}));
    EXPECT_EQ(redriven.code, 1) << redriven.err;
    EXPECT_THAT(redriven.out, AllOf(HasSubstr("\"redriven\": 0,"), HasSubstr(why)));
    Ended shown = Ctl({"quarantine", "show", "0/0", "--private-key", path("quarantine.key")});
    EXPECT_EQ(shown.code, 1);
    EXPECT_THAT(shown.err, HasSubstr(why));
    EXPECT_THAT(shown.out, Not(HasSubstr("Canary")));
    EXPECT_EQ(ReadAll(site_.raw()).size(), before);
    EXPECT_THAT(Ctl({"quarantine", "list"}).out, HasSubstr("waiting"));
  };
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15), [&] {
    std::vector<kafka::NewTopic> raw = {{site_.raw(), 1}};
    return admin_->CreateTopics(raw).ok();
  }));
  Produce(2, "new");
  left_alone("was deleted and created again");
}

TEST_F(QuarantineKafkaTest, AReferenceWhoseRecordWasReplacedIsFoundOutByItsContent) {
  // As after the topic lost its end: the id is the same, the record isn't.
  MakeTopics(1);
  Produce(1, "new");
  base::SystemRandom random;
  auto sealer = *privacy::Sealer::Create(test_support::ReadFile(path("quarantine.pub")), random);
  quarantine::v1::Payload was, reference;
  was.set_value("what stood there");
  reference.mutable_reference()->set_digest(engine::DigestOf(was));
  reference.mutable_reference()->set_topic_id(*admin_->TopicId(site_.raw()));
  std::string source = site_.raw() + "/0/0", sealed;
  ASSERT_TRUE(sealer->Seal(source, reference.SerializeAsString(), sealed).ok());
  std::vector<stream::Header> headers = {{"sluice-src", source},
                                         {"sluice-reason", "string.max_len"},
                                         {"sluice-path", "code"},
                                         {"content-type", "application/vnd.sluice.reference"}};
  auto writer = *kafka::TopicWriter::Create({site_.connection});
  ASSERT_TRUE(writer->Write({site_.quarantine(), 0, source, sealed, headers, {}}).ok());
  // And one of a version that proved nothing.
  ASSERT_TRUE(writer->Write({site_.quarantine(), 0, source, std::nullopt, headers, {}}).ok());
  ASSERT_TRUE(writer->Flush().ok());
  Ended redriven = Ctl(Redrive({"--output", "json"}));
  EXPECT_EQ(redriven.code, 1) << redriven.err;
  EXPECT_THAT(redriven.out,
              AllOf(HasSubstr("\"redriven\": 0,"), HasSubstr("another one stands at its place"),
                    HasSubstr("without a proof")));
  EXPECT_EQ(ReadAll(site_.raw()).size(), 1u);
}

TEST_F(QuarantineKafkaTest, AKeysOrderAndTheEventsHeadersOutliveSeveralPartitionsAndKills) {
  constexpr int kEvents = 300, kKeys = 30;
  MakeTopics(3);
  auto writer = *kafka::TopicWriter::Create({site_.connection});
  auto write = [&](int number, const std::string& code) {
    std::string count = base::StrCat(number), key = base::StrCat("key-", number % kKeys);
    std::string event =
        base::StrCat(R"({"id":"event-)", number, R"(","at":"2026-03-04T05:06:07Z","code":")", code,
                     R"(","name":"Canary Markername"})");
    std::vector<stream::Header> headers = {
        {"count", count}, {"empty", ""}, {"null", {}}, {"count", "again"}, {"ce_id", "own"}};
    ASSERT_TRUE(writer->Write({site_.raw(), std::nullopt, key, event, headers, {}}).ok());
  };
  for (int i = 0; i < kEvents; ++i) write(i, "LONGCODE");
  ASSERT_TRUE(writer->Flush().ok());
  auto process = StartProcessor();
  ASSERT_TRUE(WaitForRecords(site_.quarantine(), kEvents)) << LogTail();
  Stop(*process);
  WriteContract(20);
  process = StartProcessor();
  int live = kEvents;
  for (const char* failpoint : {"during_commit:2", "after_produce:3", "during_commit:1"}) {
    EXPECT_EQ(RunCtlUntil(failpoint, Redrive({"--transaction-records", "20"})).signal, SIGKILL);
    write(live++, "new");
    ASSERT_TRUE(writer->Flush().ok());
  }
  Ended rest = Ctl(Redrive({"--transaction-records", "20"}));
  ASSERT_EQ(rest.code, 0) << rest.err;
  Stop(*process);

  std::map<std::string, int> last;
  std::map<std::string, int32_t> partition_of;
  int redriven = 0;
  std::vector<std::string> raw = {site_.raw()};
  absl::Status read =
      kafka::TopicReader({site_.connection}).Read(raw, [&](const kafka::ReadRecord& record) {
        std::string key(*record.key);
        auto [at, added] = partition_of.emplace(key, record.partition);
        EXPECT_EQ(at->second, record.partition) << "where its key's events are";
        bool ours = std::any_of(record.headers.begin(), record.headers.end(),
                                [](auto& header) { return header.name == "sluice-redriven"; });
        if (!ours) return absl::OkStatus();
        ++redriven;
        EXPECT_EQ(record.headers.size(), 7u);
        if (record.headers.size() != 7) return absl::OkStatus();
        int number = std::atoi(std::string(record.headers[0].value).c_str());
        auto [before, first] = last.emplace(key, -1);
        EXPECT_LT(before->second, number) << key;
        before->second = number;
        EXPECT_EQ(record.headers[0].name, "count");
        EXPECT_TRUE(record.headers[1].value.data() != nullptr) << "empty isn't null";
        EXPECT_TRUE(record.headers[2].value.data() == nullptr);
        EXPECT_EQ(record.headers[3].value, "again");
        EXPECT_EQ(record.headers[4].value, "own");
        EXPECT_EQ(record.headers[5].name, "sluice-generation");
        return absl::OkStatus();
      });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(redriven, kEvents);
}

TEST_F(QuarantineKafkaTest, ReasonAndPathAreOfOneViolation) {
  MakeTopics(1);
  auto writer = *kafka::TopicWriter::Create({site_.connection});
  auto write = [&](const char* reasons, const char* paths) {
    std::vector<stream::Header> headers = {{"sluice-reason", reasons}, {"sluice-path", paths}};
    ASSERT_TRUE(writer->Write({site_.quarantine(), 0, "k", "sealed", headers, {}}).ok());
  };
  write("sluice.identifier,string.max_len", "email,dob");
  write("sluice.identifier", "dob");
  write("string.max_len,string.uuid", "email,dob");
  ASSERT_TRUE(writer->Flush().ok());
  auto would = [this](std::vector<std::string> options) {
    options.insert(options.begin(), {"quarantine", "discard", "--because", "test"});
    Ended ended = Ctl(options);
    EXPECT_EQ(ended.code, 0) << ended.err;
    size_t at = ended.out.find("would be discarded");
    return at == std::string::npos ? -1 : std::atoi(ended.out.c_str() + at + 18);
  };
  EXPECT_EQ(would({"--reason", "sluice.identifier", "--path", "dob"}), 1);
  EXPECT_EQ(would({"--reason", "string.*", "--path", "dob"}), 2);
  EXPECT_EQ(would({"--reason", "sluice.*", "--reason", "string.uuid", "--path", "dob"}), 2);
  EXPECT_EQ(would({"--reason", "string.uuid", "--path", "email"}), 0);
  EXPECT_EQ(would({"--path", "email"}), 2);
}

TEST_F(QuarantineKafkaTest, RecordsOfAnotherKeyAreReportedAndStay) {
  MakeTopics(1);
  Quarantine(2);
  Ended ended = Ctl({"quarantine", "redrive", "--private-key", path("other.key"), "--execute"});
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_THAT(ended.out,
              AllOf(HasSubstr("can't be opened         2"), HasSubstr("is sealed to another key")));
  EXPECT_EQ(ReadAll(site_.raw()).size(), 2u);
}

TEST_F(QuarantineKafkaTest, TheRateIsKept) {
  MakeTopics(1);
  Quarantine(40);
  std::vector<double> waits;
  RunOptions options;
  options.execute = true;
  options.private_key = path("quarantine.key");
  options.trail = site_.trail;
  options.per_second_max = 1;
  options.transaction_records = 10;
  options.sleep = [&waits](std::chrono::nanoseconds time) {
    waits.push_back(std::chrono::duration<double>(time).count());
  };
  auto report = RunOverQuarantine(site_, options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->done, 40u);
  // The clock goes on while nothing really sleeps, by far less than this.
  ASSERT_EQ(waits.size(), 3u);
  EXPECT_THAT(waits[0], AllOf(::testing::Gt(5.0), ::testing::Le(10.0)));
  EXPECT_THAT(waits[2], AllOf(::testing::Gt(25.0), ::testing::Le(30.0)));
}

TEST_F(QuarantineKafkaTest, ASecondRunEndsTheFirstAndNothingIsRedrivenTwice) {
  MakeTopics(1);
  Quarantine(60);
  RunOptions options;
  options.execute = true;
  options.private_key = path("quarantine.key");
  options.trail = site_.trail;
  options.per_second_max = 1'000'000;
  options.transaction_records = 10;
  RunOptions second = options;
  bool ran = false;
  options.progress = [&](uint64_t) {
    if (std::exchange(ran, true)) return;
    auto report = RunOverQuarantine(site_, second);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->done, 50u);
    EXPECT_EQ(report->redriven_before, 10u);
  };
  auto first = RunOverQuarantine(site_, options);
  EXPECT_TRUE(absl::IsAborted(first.status())) << "it must not go on beside the other";
  EXPECT_EQ(ExitCodeOf(first.status()), ExitCode::kUnavailable);
  EXPECT_EQ(ReadAll(site_.raw()).size(), 120u);
}

TEST_F(QuarantineKafkaTest, WithoutItsLedgerNothingIsRedriven) {
  std::vector<kafka::NewTopic> topics = {{site_.raw()}, {site_.quarantine()}};
  ASSERT_TRUE(admin_->CreateTopics(topics).ok());
  for (const char* what : {"list", "stats", "redrive"}) {
    Ended ended = Ctl({"quarantine", what});
    EXPECT_EQ(ended.code, 2) << what;
    EXPECT_THAT(ended.err, HasSubstr("sluicectl topics apply"));
  }
  EXPECT_EQ(Ctl(Redrive()).code, 2);
}

}  // namespace
}  // namespace sluice::ctl
