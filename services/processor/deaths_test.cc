// A process that an event brings down: what it leaves, and what the processes after it do.
#include "services/processor/deaths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "common/base/file.h"
#include "common/base/strings.h"
#include "services/processor/defect_gate.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using base::InputRecord;
using Verdict = Deaths::Verdict;
using ::testing::HasSubstr;

class DeathsTest : public ::testing::Test {
 protected:
  std::vector<InputRecord> Chunk() const {
    std::vector<InputRecord> records;
    for (auto [partition, offset] : {std::pair(3, 100), {3, 101}, {5, 7}, {3, 102}, {5, 8}}) {
      InputRecord& record = records.emplace_back();
      record.topic = "raw.e";
      record.partition = partition;
      record.offset = offset;
    }
    return records;
  }

  // Runs `work` in a process of its own and returns the signal that ended it.
  static int SignalOf(const std::function<void()>& work) {
    pid_t child = fork();
    if (child == 0) {
      work();
      _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  // A process that dies with this signal while it is at the chunk; `alone`: at its record `at`.
  int Die(int signal, bool alone, size_t at) const {
    return SignalOf([&] {
      auto deaths = Deaths::Open(folder_->path());
      std::vector<InputRecord> records = Chunk();
      std::atomic<const InputRecord*> record = &records[at];
      Deaths::AtWork work(records, alone, record);
      raise(signal);
    });
  }
  std::string Notes() const { return base::ReadFile(folder_->path() + "/deaths").value_or("none"); }
  std::vector<Verdict> Judged(const Deaths& deaths) const {
    std::vector<Verdict> verdicts;
    for (const InputRecord& record : Chunk()) verdicts.push_back(deaths.Judge(record));
    return verdicts;
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("deaths");
};

TEST_F(DeathsTest, OneDeathNotesTheChunkASecondOneTheEvent) {
  for (int signal : {SIGSEGV, SIGABRT}) {
    std::remove((folder_->path() + "/deaths").c_str());
    EXPECT_EQ(Die(signal, /*alone=*/false, 3), signal);
    EXPECT_EQ(Notes(), "raw.e 3 100 102\nraw.e 5 7 8\n");
    {
      auto deaths = Deaths::Open(folder_->path());
      EXPECT_EQ((*deaths)->notes(), 2u);
      EXPECT_EQ(Judged(**deaths), std::vector<Verdict>(5, Verdict::kAlone));
      InputRecord other = Chunk()[0];
      other.topic = "raw.f";
      EXPECT_EQ((*deaths)->Judge(other), Verdict::kSound);
      other.topic = "raw.e";
      other.offset = 103;
      EXPECT_EQ((*deaths)->Judge(other), Verdict::kSound);
    }
    EXPECT_EQ(Die(signal, /*alone=*/true, 3), signal);
    EXPECT_THAT(Notes(), HasSubstr("raw.e 3 102 102\n"));
    auto deaths = Deaths::Open(folder_->path());
    EXPECT_EQ(Judged(**deaths),
              (std::vector<Verdict>{Verdict::kAlone, Verdict::kAlone, Verdict::kAlone,
                                    Verdict::kCondemned, Verdict::kAlone}));
  }
}

TEST_F(DeathsTest, ANoteGoesOnceAllThatItNamesIsCommitted) {
  Die(SIGSEGV, false, 0);
  auto deaths = Deaths::Open(folder_->path());
  (*deaths)->Passed("raw.e", 3, 102);
  EXPECT_EQ((*deaths)->notes(), 2u) << "102 isn't committed";
  (*deaths)->Passed("raw.e", 3, 103);
  EXPECT_EQ(Notes(), "raw.e 5 7 8\n");
  (*deaths)->Passed("raw.e", 5, 9);
  EXPECT_EQ(Notes(), "");
  EXPECT_EQ(Judged(**deaths), std::vector<Verdict>(5, Verdict::kSound));
}

TEST_F(DeathsTest, AKillFromOutsideSaysNothingOfTheEvents) {
  EXPECT_EQ(SignalOf([&] {
              auto deaths = Deaths::Open(folder_->path());
              std::vector<InputRecord> records = Chunk();
              std::atomic<const InputRecord*> record = nullptr;
              Deaths::AtWork work(records, false, record);
              // From another process: a child's.
              const pid_t self = getpid();
              if (fork() == 0) {
                kill(self, SIGSEGV);
                _exit(0);
              }
              pause();
            }),
            SIGSEGV);
  EXPECT_EQ(Notes(), "");
}

TEST_F(DeathsTest, ADeathBetweenChunksNotesNothing) {
  EXPECT_EQ(SignalOf([&] {
              auto deaths = Deaths::Open(folder_->path());
              std::vector<InputRecord> records = Chunk();
              std::atomic<const InputRecord*> record = nullptr;
              { Deaths::AtWork work(records, false, record); }
              abort();
            }),
            SIGABRT);
  EXPECT_EQ(Notes(), "");
}

TEST_F(DeathsTest, LinesThatSayNothingAreDroppedAndAFolderThatCannotBeWrittenIsAnError) {
  std::ofstream(folder_->path() + "/deaths") << "raw.e 3 x 102\n\nraw.e 1 5 5\nraw.e 1 5";
  auto deaths = Deaths::Open(folder_->path());
  EXPECT_EQ((*deaths)->notes(), 1u);
  EXPECT_EQ(Notes(), "raw.e 1 5 5\n");
  EXPECT_THAT(std::string(Deaths::Open("/proc/none").status().message()), HasSubstr("/proc/none"));
  EXPECT_FALSE(Deaths::Open(folder_->path() + "/deaths").ok());
}

TEST(DefectGate, HaltsAboveTwentyAndOneInAHundredWithinAMinute) {
  DefectGate::Time now{1000s};
  DefectGate gate;
  gate.Add(now, 100, 20);
  EXPECT_TRUE(gate.Check(now).ok());
  gate.Add(now, 1, 1);
  absl::Status halted = gate.Check(now);
  EXPECT_EQ(halted.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(halted.message()), HasSubstr("21 of 101 events"));
  EXPECT_TRUE(gate.Check(now).ok()) << "resumed";
  gate.Add(now, 30, 15);
  EXPECT_TRUE(gate.Check(now).ok());

  DefectGate busy;
  busy.Add(now, 100'000, 900);
  EXPECT_TRUE(busy.Check(now).ok()) << "less than one in a hundred";
  busy.Add(now + 1s, 1'000, 200);
  EXPECT_FALSE(busy.Check(now + 1s).ok());

  DefectGate slow;
  for (int i = 0; i < 100; ++i) {
    slow.Add(now + i * 30s, 1, 8);
    EXPECT_TRUE(slow.Check(now + i * 30s).ok()) << "never more than 16 in a minute";
  }
}

}  // namespace
}  // namespace sluice::processor
