// A processor that an event brings down, and one whose events are all defects, on a real Kafka.
#include <algorithm>
#include <csignal>

#include "common/kafka/reader.h"
#include "common/rpc/channel.h"
#include "services/processor/deaths.h"
#include "services/processor/processor_test.h"
#include "sluice/processor/v1/processor.grpc.pb.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;

class DeathsKafkaTest : public ProcessorKafkaTest {
 protected:
  void SetUp() override {
    more_config_ = "deaths_folder: deaths\n";
    ProcessorKafkaTest::SetUp();
    topic_ = setup_->pipeline->config().input().topic();
  }

  // All into the first partition, so that offsets are known.
  void ProduceHere(int events) {
    auto writer = kafka::TopicWriter::Create({Connection()});
    ASSERT_TRUE(writer.ok());
    for (int i = 0; i < events; ++i)
      ASSERT_TRUE((*writer)->Write({topic_, 0, "k", generator_.Next(), {}, {}}).ok());
    ASSERT_TRUE((*writer)->Flush().ok());
    produced_ += events;
  }
  std::vector<DeathNote> Notes() const {
    return ParseDeathNotes(test_support::ReadFile(folder_->path() + "/deaths/deaths"));
  }
  // The sources of the quarantine's defects.
  std::vector<std::string> Defects() {
    std::vector<std::string> sources;
    absl::Status read =
        kafka::TopicReader({Connection()})
            .Read(std::vector<std::string>{setup_->pipeline->config().quarantine().topic()},
                  [&](const kafka::ReadRecord& record) {
                    std::string source, reason;
                    for (const auto& header : record.headers) {
                      if (header.name == "sluice-src") source = header.value;
                      if (header.name == "sluice-reason") reason = header.value;
                    }
                    if (reason == "sluice.defect") sources.push_back(source);
                    return absl::OkStatus();
                  });
    EXPECT_TRUE(read.ok()) << read;
    std::sort(sources.begin(), sources.end());
    return sources;
  }
  void ExpectSignal(ChildProcess& process, int signal) {
    auto ended = process.Wait(60s);
    ASSERT_TRUE(ended.ok()) << ended.status()
                            << test_support::Tail(test_support::ReadFile(log()), 20);
    EXPECT_EQ(ended->signal, signal) << ended->ToString();
  }

  std::string topic_;
};

TEST_F(DeathsKafkaTest, AnEventUnderWhichTheProcessDiesTwiceIsQuarantinedAndTheFlowGoesOn) {
  ProduceHere(400);
  const std::string fault = "fault_at_event:0/120";
  // The first death says which chunk it was.
  ExpectSignal(*Start("first", fault), SIGSEGV);
  std::vector<DeathNote> notes = Notes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].topic, topic_);
  EXPECT_EQ(notes[0].partition, 0);
  EXPECT_LE(notes[0].first, 120);
  EXPECT_GE(notes[0].last, 120);
  EXPECT_LT(notes[0].first, notes[0].last);
  // The second one which event.
  ExpectSignal(*Start("first", fault), SIGSEGV);
  ASSERT_EQ(Notes().size(), 2u);
  EXPECT_EQ(Notes()[1], (DeathNote{topic_, 0, 120, 120}));
  // What would bring it down is still there.
  auto process = Start("first", fault);
  ProduceHere(100);
  ExpectConserved();
  EXPECT_THAT(Defects(), ::testing::ElementsAre(topic_ + "/0/120"));
  EXPECT_THAT(test_support::ReadFile(log()), HasSubstr("deaths_noted"));
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return Notes().empty(); }));

  // A death that is no event's fault leaves no note, whatever the process is at.
  for (int signal : {SIGKILL, SIGSEGV, SIGABRT}) {
    ProduceHere(3000);
    WaitForSomeResults();
    ASSERT_TRUE(process->Signal(signal).ok());
    ExpectSignal(*process, signal);
    EXPECT_TRUE(Notes().empty()) << "signal " << signal;
    process = Start("first", fault);
  }
  ExpectConserved();
  EXPECT_EQ(Defects().size(), 1u);
  StopCleanly(*process);
}

TEST_F(DeathsKafkaTest, MoreDefectsThanEventsCanBeTheCauseOfHaltTheWorker) {
  ProduceHere(300);
  // As 21 events have left it, of each of which it died twice.
  std::vector<DeathNote> notes;
  for (int64_t offset = 10; offset < 31; ++offset)
    notes.insert(notes.end(), 2, DeathNote{topic_, 0, offset, offset});
  std::filesystem::create_directory(folder_->path() + "/deaths");
  std::ofstream(folder_->path() + "/deaths/deaths") << DeathNotesText(notes);
  auto process = Start();
  ASSERT_TRUE(process->WaitForOutput("grpc_port", 60s).ok());
  const std::string text = test_support::ReadFile(log());
  const int port = std::atoi(text.c_str() + text.find("\"grpc_port\":") + 12);
  auto channel = rpc::Connect({.address = base::StrCat("127.0.0.1:", port)}, "test");
  ASSERT_TRUE(channel.ok()) << channel.status();
  auto stub = v1::Processor::NewStub(*channel);
  v1::GetStatusResponse status;
  auto state = [&] {
    grpc::ClientContext context;
    EXPECT_TRUE(stub->GetStatus(&context, {}, &status).ok());
    return status.workers_size() == 1 ? status.workers(0).state() : "";
  };
  EXPECT_TRUE(test_support::WaitUntil(60s, [&] {
    // It halts before the next chunk.
    ProduceHere(1);
    return state() == "halted";
  })) << test_support::Tail(test_support::ReadFile(log()), 20);
  EXPECT_THAT(status.workers(0).reason(), HasSubstr("sluice.defect"));
  grpc::ClientContext context;
  v1::ResumeResponse resumed;
  ASSERT_TRUE(stub->Resume(&context, {}, &resumed).ok());
  ExpectConserved();
  EXPECT_EQ(Defects().size(), 21u);
  StopCleanly(*process);
}

}  // namespace
}  // namespace sluice::processor
