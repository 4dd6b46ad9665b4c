// What changes while the workers run, what doesn't, and what a wrong change leaves as it was.
#include "services/processor/editions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/str_replace.h"
#include "common/base/strings.h"
#include "common/privacy/seal.h"
#include "common/reference/testing.h"
#include "services/processor/engine_transform.h"
#include "services/processor/pins_test.h"
#include "services/processor/shipped_pipeline_test.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using reference::WriteText;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kEvent = R"json({"event_id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff",
  "occurred_at":"2026-03-04T05:06:07Z","type":"Person search",
  "officer":{"warrant_no":"918273","borough":"E09000007"},
  "location":{"latitude":51.5,"longitude":-0.1},"legislation":"x","grounds":"x"})json";

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string Replaced(std::string text, std::string_view what, std::string_view with) {
  size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), with);
}

// Keeps what is produced.
class Records final : public stream::Output {
 public:
  absl::Status Produce(const stream::OutputRecord& record) override {
    std::string& headers = this->headers.emplace_back();
    for (const auto& header : record.headers)
      base::StrAppend(headers, header.name, '=', header.value, '\n');
    values.emplace_back(record.value.value_or(""));
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return 1 << 20; }
  std::vector<std::string> values, headers;
};

class EditionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string root = std::getenv("SLUICE_SOURCE_DIR");
    const std::string& path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random_).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random_).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random_)->public_pem;
    WriteText(sets_, ReadText(root + "/deploy/config/boroughs.csv"));
    std::string text = base::StrCat(
        "kafka: {brokers: [\"a:1\"], group: g, instance: i}\nworkers: 2\ncontracts: [\"", root,
        "/proto\"]\npseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n",
        "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, not_personal: [name], key: "
        "code}]}}\n",
        "pipeline:\n");
    base::StrAppend(text, ShippedPipeline(root));
    WriteText(config_, text);
  }

  void Start(std::chrono::milliseconds look_interval = 0ms,
             const base::Clock* workers_clock = nullptr, bool keep = false) {
    LoadOptions load;
    load.keep = keep;
    auto setup = LoadSetup(config_, load);
    ASSERT_TRUE(setup.ok()) << setup.status();
    probe_ = std::make_unique<Probe>(registry_, setup->config.pipeline().contract(), "group");
    editions_ = std::make_unique<Editions>(Editions::Options{look_interval, control_},
                                           *std::move(setup), *probe_, random_, clock_);
    config::v1::Pipeline pipeline = editions_->current().setup->config.pipeline();
    for (int i = 0; i < 2; ++i) {
      EditionSlot& slot = *slots_.emplace_back(&editions_->AddWorker());
      transforms_.push_back(std::make_unique<EngineTransform>(
          pipeline, slot, workers_clock == nullptr ? clock_ : *workers_clock, *probe_));
    }
    ASSERT_TRUE(editions_->Start().ok());
  }

  // One event through a worker, in the transaction at hand.
  Records Process(size_t worker = 0) {
    base::InputRecord record;
    record.topic = "raw.stops";
    record.value = kEvent;
    Records records;
    EXPECT_EQ(transforms_[worker]->Process({&record, 1}, records), absl::OkStatus());
    return records;
  }

  v1::GetStatusResponse Status() {
    v1::GetStatusResponse status;
    editions_->FillStatus(status);
    return status;
  }
  bool WaitForReload(uint64_t accepted, uint64_t refused) {
    return test_support::WaitUntil(20s, [&] {
      return Status().reloads_accepted() == accepted && Status().reloads_refused() == refused;
    });
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("editions");
  const std::string config_ = folder_->path() + "/processor.yaml";
  const std::string sets_ = folder_->path() + "/boroughs.csv";
  base::SystemRandom random_;
  base::SystemClock clock_;
  telemetry::Registry registry_;
  std::unique_ptr<Probe> probe_;
  FakeControlLog log_;
  std::unique_ptr<Editions> editions_;
  std::vector<EditionSlot*> slots_;
  std::vector<std::unique_ptr<EngineTransform>> transforms_;
  // Null: without a control topic.
  ControlLog* control_ = nullptr;
};

TEST_F(EditionsTest, AWorkerTakesTheNewOneAtTheBorderOfItsTransactionNotBefore) {
  Start();
  std::string before = Process().headers[0];
  WriteText(config_, Replaced(ReadText(config_), "age_bands: [18, 25, 35, 50]", "age_bands: [18]"));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
  EXPECT_EQ(Process().headers[0], before) << "in the open transaction";
  transforms_[0]->Committed();
  std::string after = Process().headers[0];
  EXPECT_NE(after, before);
  EXPECT_THAT(after, HasSubstr("sluice-plan=" + editions_->current().pipeline->fingerprint()));
  transforms_[0]->Discarded();
  EXPECT_EQ(Process().headers[0], after) << "done again with the same edition";
  EXPECT_EQ(Process(1).headers[0], after) << "a worker without an open transaction";
}

TEST_F(EditionsTest, ANewVersionOfASetIsJoinedAndNamed) {
  Start();
  std::string before = Process().values[0];
  transforms_[0]->Committed();
  WriteText(sets_, Replaced(ReadText(sets_), "Camden", "Kamden"));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
  Records after = Process();
  EXPECT_THAT(before, HasSubstr("Camden"));
  EXPECT_THAT(after.values[0], HasSubstr("Kamden"));
  EXPECT_THAT(after.headers[0],
              HasSubstr("sluice-ref=boroughs=" + editions_->current().pipeline->tables()[0]->id()));
}

TEST_F(EditionsTest, AWrongConfigurationIsRefusedAndTheRunningOneStays) {
  Start();
  std::string right = ReadText(config_), before = Process().headers[0];
  transforms_[0]->Committed();
  WriteText(config_, Replaced(right, "DATE_OF_BIRTH: {generalise", "DATE_OF_BIRTH: {generalize"));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(0, 1));
  EXPECT_THAT(Status().reload_refusal(), HasSubstr("processor.yaml:"));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("sluice_config_reload_refused 1"));
  EXPECT_EQ(Process().headers[0], before);
  transforms_[0]->Committed();
  WriteText(config_, right);
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 1));
  EXPECT_EQ(Status().reload_refusal(), "");
  EXPECT_THAT(registry_.Serialize(), HasSubstr("sluice_config_reload_refused 0"));
}

TEST_F(EditionsTest, WhatOnlyARestartChangesIsRefusedByName) {
  Start();
  const std::string right = ReadText(config_);
  struct Change {
    const char *from, *to, *path;
  };
  int refused = 0;
  for (const Change& change :
       {Change{"group: g", "group: other", "kafka.group"},
        {"a:1", "b:1", "kafka.brokers"},
        {"workers: 2", "workers: 3", "workers"},
        {"topic: raw.stops", "topic: raw.other", "pipeline.input.topic"},
        {"topic: clean.stops.public", "topic: clean.other", "pipeline.streams.topic"},
        {"topic: quarantine.stops", "topic: quarantine.other", "pipeline.quarantine.topic"}}) {
    WriteText(config_, Replaced(right, change.from, change.to));
    editions_->Reload();
    ASSERT_TRUE(WaitForReload(0, static_cast<uint64_t>(++refused)));
    EXPECT_THAT(Status().reload_refusal(),
                HasSubstr(base::StrCat(change.path, " can't change while the processor runs")));
  }
}

TEST_F(EditionsTest, AFileCutInHalfNeverGoesLive) {
  Start();
  const std::string whole = ReadText(sets_), before = Process().headers[0];
  transforms_[0]->Committed();
  // At the end of a row: valid CSV, and wrong.
  WriteText(sets_, whole.substr(0, whole.find('\n', whole.size() / 2) + 1));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(0, 1));
  EXPECT_THAT(Status().reload_refusal(), HasSubstr("'boroughs' has"));
  EXPECT_THAT(Status().reload_refusal(), HasSubstr("shrink_percent_max (10)"));
  EXPECT_EQ(Process().headers[0], before);
  transforms_[0]->Committed();
  WriteText(sets_, "");
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(0, 2));
  EXPECT_EQ(Process().headers[0], before);
}

TEST_F(EditionsTest, WhatIsMeantToShrinkIsTakenWhenItsLimitSaysSo) {
  Start();
  WriteText(config_,
            Replaced(ReadText(config_), "key: code}", "key: code, shrink_percent_max: 100}"));
  WriteText(sets_, "code,name\nE09000007,Alone\n");
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
  EXPECT_THAT(Process().values[0], HasSubstr("Alone"));
}

TEST_F(EditionsTest, ASetBelowItsLeastRowsIsRefusedAtTheStartToo) {
  WriteText(config_, Replaced(ReadText(config_), "key: code}", "key: code, rows_min: 1000}"));
  auto setup = LoadSetup(config_);
  EXPECT_THAT(std::string(setup.status().message()), HasSubstr("rows_min is 1000"));
  WriteText(config_, Replaced(ReadText(config_), "rows_min: 1000", "shrink_percent_max: 101"));
  EXPECT_THAT(std::string(LoadSetup(config_).status().message()),
              HasSubstr("reference.local.sets[0].shrink_percent_max: must be 0 to 100"));
}

TEST_F(EditionsTest, AChangedFileIsSeenWithoutBeingTold) {
  Start(10ms);
  const std::string whole = ReadText(sets_);
  WriteText(sets_, Replaced(whole, "Camden", "Kamden"));
  ASSERT_TRUE(WaitForReload(1, 0));
  EXPECT_THAT(Process().values[0], HasSubstr("Kamden"));
  // A change that is refused is read once, not at every look.
  WriteText(sets_, "code,name\n");
  ASSERT_TRUE(WaitForReload(1, 1));
  EXPECT_THAT(Process().values[0], HasSubstr("Kamden"));
  WriteText(sets_, Replaced(whole, "Camden", "Back"));
  ASSERT_TRUE(WaitForReload(2, 1));
  transforms_[0]->Committed();
  EXPECT_THAT(Process().values[0], HasSubstr("Back"));
}

// A set of each kind that may be mapped, and the same events: the same records as from memory.
TEST_F(EditionsTest, MappedSetsGiveTheSameRecordsAndSwapAndAreRefusedAsThoseInMemoryAre) {
  WriteText(folder_->path() + "/postings.csv",
            "warrant_no,unit,from,to\n918273,Night,2026-01-01,2026-03-01\n"
            "918273,Day,2026-03-01,2026-04-01\n");
  auto with = [&](std::string_view store) {
    std::string text = Replaced(
        ReadText(config_), "key: code}",
        base::StrCat("key: code", store,
                     "}, {name: postings, csv: "
                     "postings.csv",
                     store,
                     ", schema: {kind: as_of, "
                     "columns: [{name: warrant_no}, {name: unit, not_personal: true}, {name: "
                     "from, type: date}, {name: to, type: date}], key: "
                     "[{column: warrant_no}], valid: {from: from, to: to}}}"));
    // Neither stream keeps the warrant number.
    text =
        absl::StrReplaceAll(text, {{"accept:\n", "accept:\n        join-key:posting: a test\n"}});
    return Replaced(
        text, "on_missing: keep}",
        "on_missing: keep}\n    - {set: postings, key: officer.warrant_no, into: posting}");
  };
  WriteText(config_, Replaced(ReadText(config_), "reference: {", "reference: {folder: kept, "));
  const std::string memory = with(""), mapped = with(", store: mapped");
  WriteText(config_, memory);
  Start(0ms, nullptr, /*keep=*/true);
  Records in_memory = Process();
  EXPECT_THAT(in_memory.values[0], HasSubstr("\"posting\":{\"unit\":\"Day\"}"));
  EXPECT_THAT(in_memory.values[0], HasSubstr("Camden"));
  transforms_[0]->Committed();

  WriteText(config_, mapped);
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
  Records from_files = Process();
  EXPECT_EQ(from_files.values, in_memory.values);
  EXPECT_EQ(from_files.headers, in_memory.headers);
  transforms_[0]->Committed();
  auto files = [&](const std::string& set) {
    return reference::FilesIn(folder_->path() + "/kept/" + set);
  };
  const std::string first = editions_->current().sets->ids().at("boroughs");
  EXPECT_EQ(files("boroughs"), (std::set<std::string>{first + ".mapped"}));

  const std::string whole = ReadText(sets_);
  WriteText(sets_, whole.substr(0, whole.find('\n', whole.size() / 2) + 1));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 1));
  EXPECT_THAT(Status().reload_refusal(), HasSubstr("shrink_percent_max (10)"));
  EXPECT_EQ(Process().headers, from_files.headers);
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] {
    return files("boroughs") == std::set<std::string>{first + ".mapped"};
  })) << "a refused one goes";
  transforms_[0]->Committed();

  WriteText(sets_, Replaced(whole, "Camden", "Kamden"));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(2, 1)) << Status().reload_refusal();
  EXPECT_THAT(Process().values[0], HasSubstr("Kamden"));
  const std::string second = editions_->current().sets->ids().at("boroughs");
  EXPECT_EQ(files("boroughs"), (std::set<std::string>{first + ".mapped", second + ".mapped"}));
  // A version that was in use can be had again, by its id.
  auto ids = editions_->current().sets->ids();
  ids["boroughs"] = first;
  auto pinned = editions_->current().setup->joined.sets->Find(ids);
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  EXPECT_EQ((*pinned)->ids(), ids);
}

TEST_F(EditionsTest, JoinsAreToldOfBySetAndResultOnceTheyAreCommitted) {
  Start();
  Process();
  EXPECT_THAT(registry_.Serialize(), Not(HasSubstr("sluice_joins_total{")));
  transforms_[0]->Committed();
  std::string text = registry_.Serialize();
  EXPECT_THAT(text,
              HasSubstr(R"(sluice_joins_total{into="borough",result="hit",set="boroughs"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(sluice_joins_total{into="borough",result="keep",set="boroughs"} 0)"));
  WriteText(sets_, Replaced(ReadText(sets_), "E09000007,", "E99000007,"));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
  Process();
  transforms_[0]->Discarded();
  Process();
  transforms_[0]->Committed();
  text = registry_.Serialize();
  EXPECT_THAT(text,
              HasSubstr(R"(sluice_joins_total{into="borough",result="hit",set="boroughs"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(sluice_joins_total{into="borough",result="keep",set="boroughs"} 1)"));
}

TEST_F(EditionsTest, AMappedSetNeedsTheFolderForItsFiles) {
  WriteText(config_, Replaced(ReadText(config_), "key: code}", "key: code, store: mapped}"));
  EXPECT_THAT(std::string(LoadSetup(config_).status().message()),
              HasSubstr("reference.local.sets[0].store: give reference.folder"));
}

// A stream's output gets the value of a field that the stream drops, behind its treatment's back.
// The stream's name and that field's path; empty: there is no such pair.
std::pair<std::string, std::string> PlantLeak(const engine::Pipeline& pipeline) {
  const contract::Plan& plan = pipeline.contract();
  for (const engine::StreamPlan& stream : pipeline.streams()) {
    for (const engine::OutputNode& output : stream.nodes) {
      if (output.op != engine::Op::kKeep || output.node == contract::kNoNode) continue;
      const contract::Node& node = plan.node(output.node);
      if (node.type != contract::Type::kString || node.classification.classified() ||
          node.cardinality != contract::Cardinality::kSingular)
        continue;
      for (const contract::Node& other : plan.children(plan.node(node.parent))) {
        const bool out = std::any_of(stream.nodes.begin(), stream.nodes.end(),
                                     [&](const auto& some) { return some.node == other.id; });
        if (out || other.type != contract::Type::kString ||
            other.cardinality != contract::Cardinality::kSingular ||
            !other.classification.classified())
          continue;
        const_cast<engine::OutputNode&>(output).position = plan.position(other);
        return {stream.name, std::string(other.path)};
      }
    }
  }
  return {};
}

TEST_F(EditionsTest, AMarkerThatGetsThroughHaltsTheWorkerBeforeItPublishesMore) {
  base::ManualClock clock;
  Start(0ms, &clock);
  EXPECT_THAT(Process().values, Not(ElementsAre()));
  transforms_[0]->Committed();
  EXPECT_THAT(registry_.Serialize(), HasSubstr("sluice_self_check_failed 0\n"));
  const auto [stream, field] = PlantLeak(*editions_->current().pipeline);
  ASSERT_NE(field, "");

  clock.Advance(29s);
  Process();
  transforms_[0]->Committed();
  clock.Advance(1s);
  base::InputRecord record;
  record.topic = "raw.stops";
  record.value = kEvent;
  Records records;
  for (int tries = 0; tries < 2; ++tries) {
    absl::Status found = transforms_[0]->Process({&record, 1}, records);
    EXPECT_TRUE(absl::IsDataLoss(found)) << found;
    EXPECT_THAT(
        std::string(found.message()),
        HasSubstr(base::StrCat("the stream '", stream, "' shows more of the field '", field, "'")));
    EXPECT_THAT(records.values, ElementsAre()) << "however often somebody resumes it";
  }
  const std::string metrics = registry_.Serialize();
  EXPECT_THAT(metrics, HasSubstr("sluice_self_check_failed 1\n"));
  EXPECT_THAT(metrics, HasSubstr("sluice_self_checks_total{result=\"failed\"} 2\n"));
  EXPECT_THAT(metrics, HasSubstr("sluice_self_check_unnoticed_seconds 29\n"));
  // The other worker has not looked yet: it does before its first chunk.
  EXPECT_TRUE(absl::IsDataLoss(transforms_[1]->Process({&record, 1}, records)));
}

TEST_F(EditionsTest, ASelfCheckTakesAThousandthOfACpuAtMost) {
  Start();
  auto keyed =
      KeyedEngine::Create(*editions_->current().setup, editions_->current().pipeline, random_);
  ASSERT_TRUE(keyed.ok()) << keyed.status();
  auto cpu = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  auto least = std::chrono::nanoseconds::max();
  for (int i = 0; i < 5; ++i) {
    const auto before = cpu();
    ASSERT_EQ(keyed->engine->CheckSelf(), absl::OkStatus());
    least = std::min<std::chrono::nanoseconds>(least, cpu() - before);
  }
  RecordProperty("self_check_us", std::to_string(least.count() / 1000));
  EXPECT_LE(least, std::chrono::nanoseconds(kSelfCheckInterval) / 1000);
}

// Or every look would make another edition.
TEST_F(EditionsTest, WhatALoadHasReadIsNotSeenAsAChangeAgain) {
  auto setup = LoadSetup(config_);
  ASSERT_TRUE(setup.ok()) << setup.status();
  ReferenceSets& sets = *setup->joined.sets;
  EXPECT_EQ(sets.Look(), 0u);
  ASSERT_TRUE(sets.Load([](int, const absl::Status&) {}).ok());
  EXPECT_EQ(sets.Look(), 0u);
}

TEST_F(EditionsTest, AWorkerWithoutAnEditionOrBlockedWaitsAndProducesNothing) {
  Start();
  EditionSlot slot;
  EngineTransform transform(editions_->current().setup->config.pipeline(), slot, clock_, *probe_);
  base::InputRecord record;
  record.value = kEvent;
  Records records;
  absl::Status waits = transform.Process({&record, 1}, records);
  EXPECT_TRUE(absl::IsUnavailable(waits)) << waits;
  EXPECT_THAT(std::string(waits.message()), HasSubstr("reference sets"));
  slot.Block(std::nullopt);
  EXPECT_TRUE(absl::IsUnavailable(transform.Process({&record, 1}, records)));
  EXPECT_THAT(records.values, ElementsAre());
}

// An Output that brings the process down at one event, wherever its chunk is.
class Deadly final : public stream::Output {
 public:
  absl::Status Produce(const stream::OutputRecord& record) override {
    if (record.value && record.value->find("deadly") != std::string_view::npos) raise(SIGSEGV);
    for (const auto& header : record.headers)
      if (header.name == "sluice-reason") reasons.emplace_back(header.value);
    ++records;
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return 1 << 20; }
  int records = 0;
  std::vector<std::string> reasons;
};

TEST_F(EditionsTest, AnEventUnderWhichTheProcessDiedTwiceGoesToQuarantine) {
  const std::string notes = folder_->path() + "/notes";
  std::vector<std::string> events(20, kEvent);
  events[13] = Replaced(kEvent, "\"legislation\":\"x\"", "\"legislation\":\"deadly\"");
  std::vector<base::InputRecord> records(events.size());
  for (size_t i = 0; i < events.size(); ++i) {
    records[i].topic = "raw.stops";
    records[i].offset = static_cast<int64_t>(100 + i);
    records[i].value = events[i];
  }
  // Each process begins anew, as a container does.
  auto run = [&](const std::function<void(const Deadly&, EngineTransform&)>& ended) {
    pid_t child = fork();
    if (child == 0) {
      Start();
      auto deaths = Deaths::Open(notes);
      EngineTransform transform(editions_->current().setup->config.pipeline(), *slots_[0], clock_,
                                *probe_, nullptr, deaths->get());
      Deadly output;
      if (!transform.Process(records, output).ok() || !transform.Finish(output).ok()) _exit(2);
      ended(output, transform);
      _exit(HasFailure() ? 3 : 0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  };
  auto never = [](const Deadly&, EngineTransform&) { FAIL(); };
  EXPECT_EQ(run(never), -SIGSEGV);
  EXPECT_EQ(ReadText(notes + "/deaths"), "raw.stops 0 100 119\n");
  EXPECT_EQ(run(never), -SIGSEGV);
  EXPECT_THAT(ReadText(notes + "/deaths"), HasSubstr("raw.stops 0 113 113\n"));
  EXPECT_EQ(run([&](const Deadly& output, EngineTransform& transform) {
              EXPECT_EQ(output.records, 19 * 2 + 1);
              EXPECT_THAT(output.reasons, ElementsAre("sluice.defect"));
              EXPECT_NE(ReadText(notes + "/deaths"), "") << "not committed yet";
              transform.Committed();
            }),
            0);
  EXPECT_EQ(ReadText(notes + "/deaths"), "");
}

TEST_F(EditionsTest, WhatWasReplacedIsDestroyedByTheThreadThatMadeIt) {
  Start();
  Process();
  transforms_[0]->Committed();
  std::weak_ptr<const engine::Pipeline> first = editions_->current().pipeline;
  WriteText(sets_, Replaced(ReadText(sets_), "Camden", "Kamden"));
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0));
  Process();
  Process(1);
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return first.expired(); }));
}

TEST_F(EditionsTest, AnEventWaitsForItsRowUntilAnEditionHasItOrTheWaitIsOver) {
  WriteText(config_,
            Replaced(ReadText(config_), "on_missing: keep", "on_missing: wait, wait_ms: 60000"));
  const std::string whole = ReadText(sets_);
  WriteText(sets_, Replaced(whole, "E09000007,", "E99000007,"));
  base::ManualClock clock;
  Start(0ms, &clock);
  EngineTransform& transform = *transforms_[0];
  base::InputRecord record;
  record.topic = "raw.stops";
  record.value = kEvent;
  auto process = [&](int64_t age_ms, Records& records) {
    record.timestamp_ms = clock.UnixMillis() - age_ms;
    return transform.Process({&record, 1}, records);
  };
  Records late;
  EXPECT_EQ(process(60'000, late), absl::OkStatus()) << "it has waited already";
  ASSERT_EQ(late.headers.size(), 1u);
  EXPECT_THAT(late.headers[0], HasSubstr("sluice-reason=sluice.reference_missing"));
  transform.Committed();

  Records held;
  absl::Status waits = process(59'999, held);
  EXPECT_TRUE(absl::IsUnavailable(waits)) << waits;
  EXPECT_THAT(std::string(waits.message()), HasSubstr("a row of the reference set 'boroughs'"));
  EXPECT_THAT(held.values, ElementsAre());
  // A producer's clock that is years ahead: no longer than the wait from now on.
  EXPECT_TRUE(absl::IsUnavailable(process(-100'000'000'000, held)));
  clock.Advance(60s);
  EXPECT_EQ(process(-100'000'000'000, held), absl::OkStatus());
  EXPECT_THAT(held.headers[0], HasSubstr("sluice-reason=sluice.reference_missing"));
  transform.Committed();

  Records found;
  EXPECT_TRUE(absl::IsUnavailable(process(0, found)));
  std::weak_ptr<const engine::Pipeline> held_by = editions_->current().pipeline;
  WriteText(sets_, whole);
  editions_->Reload();
  ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
  EXPECT_EQ(process(0, found), absl::OkStatus());
  EXPECT_THAT(found.values[0], HasSubstr("Camden"));
  // What held it is gone: only the edition that has written is asked for its counts.
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return held_by.expired(); }));
  transform.Committed();
  EXPECT_THAT(registry_.Serialize(), HasSubstr("sluice_events_in_total 3\n"));
}

TEST_F(EditionsTest, AChunkThatWasDroppedDoesNotShortenTheNextOnesWait) {
  WriteText(config_,
            Replaced(ReadText(config_), "on_missing: keep", "on_missing: wait, wait_ms: 60000"));
  WriteText(sets_, Replaced(ReadText(sets_), "E09000007,", "E99000007,"));
  base::ManualClock clock;
  Start(0ms, &clock);
  EngineTransform& transform = *transforms_[0];
  auto process = [&](int64_t offset) {
    base::InputRecord record;
    record.topic = "raw.stops";
    record.offset = offset;
    record.value = kEvent;
    record.timestamp_ms = clock.UnixMillis() + 1'000'000'000;
    Records records;
    return transform.Process({&record, 1}, records);
  };
  EXPECT_TRUE(absl::IsUnavailable(process(1)));
  clock.Advance(60s);
  EXPECT_TRUE(absl::IsUnavailable(process(2))) << "another chunk is at hand";
  clock.Advance(59s);
  transform.Assigned();
  EXPECT_TRUE(absl::IsUnavailable(process(2)));
  clock.Advance(60s);
  EXPECT_EQ(process(2), absl::OkStatus());
}

TEST_F(EditionsTest, ARecordThatATopicRefusesGoesToQuarantineOnce) {
  Start();
  EngineTransform& transform = *transforms_[0];
  const size_t quarantine =
      static_cast<size_t>(editions_->current().setup->config.pipeline().streams_size());
  stream::Position refused{"raw.stops", 0, 5};
  EXPECT_FALSE(transform.Refused(refused, quarantine)) << "it can't go elsewhere";
  EXPECT_TRUE(transform.Refused(refused, 0));
  EXPECT_FALSE(transform.Refused(refused, 1)) << "it isn't written there any more";
  for (int64_t offset : {4, 5}) {
    base::InputRecord record;
    record.topic = "raw.stops";
    record.offset = offset;
    record.value = kEvent;
    Records records;
    ASSERT_EQ(transform.Process({&record, 1}, records), absl::OkStatus());
    ASSERT_EQ(transform.Finish(records), absl::OkStatus());
    transform.Committed();
    auto quarantined = std::count_if(
        records.headers.begin(), records.headers.end(), [](const std::string& headers) {
          return headers.find("sluice-reason=sluice.output_refused") != std::string::npos;
        });
    EXPECT_EQ(quarantined, offset == 5 ? 1 : 0);
    EXPECT_EQ(records.values.size() == 1, offset == 5);
  }
}

class PinnedEditionsTest : public EditionsTest {
 protected:
  // A worker of a pipeline with a control topic, whose set has had two versions.
  void SetUp() override {
    EditionsTest::SetUp();
    control_ = &log_;
    WriteText(config_, Replaced(ReadText(config_), "reference: {",
                                "reference: {folder: kept, control: {topic: control}, "));
    Start(0ms, nullptr, /*keep=*/true);
    first_ = editions_->current().sets->ids().at("boroughs");
    WriteText(sets_, Replaced(ReadText(sets_), "Camden", "Kamden"));
    editions_->Reload();
    ASSERT_TRUE(WaitForReload(1, 0)) << Status().reload_refusal();
    second_ = editions_->current().sets->ids().at("boroughs");
    ASSERT_NE(first_, second_);
    Pins::Options options{"g", "raw", editions_->current().setup->config.reference().control()};
    auto pins = std::make_unique<Pins>(options, log_, *probe_);
    worker_ = std::make_unique<EngineTransform>(editions_->current().setup->config.pipeline(),
                                                *slots_[0], clock_, *probe_, std::move(pins));
  }

  // The events, partition and offset of each, in one chunk.
  absl::Status Process(const std::vector<std::pair<int32_t, int64_t>>& events, Records& records) {
    std::vector<base::InputRecord> chunk;
    for (auto [partition, offset] : events) {
      base::InputRecord& record = chunk.emplace_back();
      record.topic = "raw";
      record.partition = partition;
      record.offset = offset;
      record.value = kEvent;
    }
    return worker_->Process(chunk, records);
  }
  // Of the internal stream, `partition/offset borough`, in order.
  std::vector<std::string> Joined(const Records& records) const {
    std::vector<std::string> joined;
    for (size_t i = 0; i < records.values.size(); ++i) {
      constexpr std::string_view kSource = "sluice-src=raw/";
      size_t at = records.headers[i].find(kSource);
      if (at == std::string::npos) continue;
      at += kSource.size();
      std::string source = records.headers[i].substr(at, records.headers[i].find('\n', at) - at);
      bool second = records.values[i].find("Kamden") != std::string::npos;
      EXPECT_THAT(records.headers[i],
                  HasSubstr(base::StrCat("sluice-ref=boroughs=", second ? second_ : first_)));
      joined.push_back(base::StrCat(source, second ? " Kamden" : " Camden"));
    }
    return joined;
  }

  std::string first_, second_;
  std::unique_ptr<EngineTransform> worker_;
};

TEST_F(PinnedEditionsTest, AChunkIsDividedWherePinsDifferAndEachPartitionKeepsItsOrder) {
  log_.Pin(0, 0, 0, first_);
  log_.Pin(0, 2, 0, second_);
  log_.Pin(1, 0, 0, first_);
  log_.Pin(1, 5, 0, second_);
  Records records;
  absl::Status processed;
  // The first version is made anew, from the folder, while the worker waits.
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
    processed = Process({{0, 1}, {1, 3}, {1, 4}, {0, 2}, {0, 3}, {1, 5}}, records);
    EXPECT_TRUE(processed.ok() || records.values.empty()) << "handed over before all was there";
    return !absl::IsUnavailable(processed);
  })) << processed;
  ASSERT_EQ(processed, absl::OkStatus());
  EXPECT_THAT(Joined(records), ElementsAre("0/1 Camden", "1/3 Camden", "1/4 Camden", "0/2 Kamden",
                                           "0/3 Kamden", "1/5 Kamden"));
  worker_->Committed();
  EXPECT_THAT(registry_.Serialize(), HasSubstr("sluice_events_in_total 6\n"));
}

TEST_F(PinnedEditionsTest, AVersionThatIsNotKeptIsWaitedForAndNothingIsProduced) {
  log_.Pin(0, 0, 0, "0000");
  log_.Pin(0, 9, 0, second_);
  Records records;
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] {
    absl::Status waits = Process({{1, 0}, {0, 3}}, records);
    EXPECT_TRUE(absl::IsUnavailable(waits)) << waits;
    return waits.message().find("isn't kept in reference.folder") != std::string::npos;
  }));
  EXPECT_THAT(records.values, ElementsAre());
  EXPECT_THAT(registry_.Serialize(), HasSubstr("pin_waits_total{reason=\"version\"}"));
}

TEST_F(PinnedEditionsTest, TriesThatAreRepeatedUseNoOlderEditionUp) {
  log_.Pin(0, 0, 0, first_);
  log_.Pin(0, 9, 0, second_);
  log_.Pin(1, 0, 0, "0000");
  log_.Pin(1, 9, 0, second_);
  Records records;
  absl::Status processed;
  ASSERT_TRUE(test_support::WaitUntil(20s, [&] {
    processed = Process({{0, 1}}, records);
    return !absl::IsUnavailable(processed);
  }));
  ASSERT_EQ(processed, absl::OkStatus());
  worker_->Committed();
  for (int i = 0; i < 200; ++i) {
    absl::Status waits = Process({{1, 1}}, records);
    ASSERT_TRUE(absl::IsUnavailable(waits)) << waits;
  }
  EXPECT_EQ(Process({{0, 2}}, records), absl::OkStatus()) << "its edition is still there";
}

TEST_F(PinnedEditionsTest, TheTopicIsReadAfterAnAssignmentAndAfterAnAbort) {
  Records records;
  ASSERT_EQ(Process({{0, 0}}, records), absl::OkStatus());
  worker_->Committed();
  ASSERT_EQ(Process({{0, 1}}, records), absl::OkStatus());
  worker_->Committed();
  EXPECT_EQ(log_.reads, 1);
  worker_->Assigned();
  ASSERT_EQ(Process({{0, 2}}, records), absl::OkStatus());
  EXPECT_EQ(log_.reads, 2);
  worker_->Discarded();
  ASSERT_EQ(Process({{0, 2}}, records), absl::OkStatus());
  EXPECT_EQ(log_.reads, 3);
}

}  // namespace
}  // namespace sluice::processor
