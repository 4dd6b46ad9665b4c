// Driver, source and transaction over a simulated Kafka: seeded, in one thread, with the faults of
// a real one as random events. docs/reliability.md says what it checks and how to replay a run.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/stream/driver.h"
#include "common/stream/mutant.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/world.h"

namespace sluice::simulation {
namespace {

constexpr int64_t kPoisonTimestamp = 4'000'000'000'000;
constexpr milliseconds kFaults(90'000);
constexpr milliseconds kCalm(90'000);
constexpr size_t kPartitionsMax = 6;

// Every mutant, and what it breaks.
constexpr std::pair<const char*, const char*> kMutants[] = {
    {"no_taint", "a request without an answer is forgotten"},
    {"no_epoch_after_abort", "an aborted transaction's requests may still come"},
    {"begun_after_resume", "a resume after a halt goes on without a begin"},
    {"held_after_doubt", "held records outlive a commit in doubt"},
    {"held_for_ever", "dropped records count as uncommitted"},
    {"refused_again", "a refused record is tried for ever"},
    {"lost_is_kept", "results of lost partitions stay in the transaction"},
    {"first_position", "a later chunk's position is dropped"},
    {"no_rewind", "what was aborted isn't read again"},
    {"seek", "a partition whose fetching has stopped isn't positioned again"},
    {"topic_by_name", "a topic that was made again goes unnoticed"},
    {"read_behind_a_fault", "what lies behind a gap is processed"},
    {"lag_to_stable", "records behind an open transaction don't count as lag"},
    {"client_once", "a client that couldn't be made isn't tried for again"},
    {"old_metadata", "added partitions are found after five minutes"},
    {"limits_remembered", "a raised limit is known after a restart only"},
    {"stale_generation", "positions are committed under an older generation"},
};

// The process is killed in the midst of a call.
struct Killed {};

class CopyTransform final : public stream::Transform {
 public:
  explicit CopyTransform(World& world) : world_(world) {}

  absl::Status Process(std::span<const stream::InputRecord> records,
                       stream::Output& output) override {
    if (world_.Chance(unavailable)) return absl::UnavailableError("the keys are away");
    if (world_.Chance(broken)) return absl::InternalError("a defect");
    for (const stream::InputRecord& record : records) {
      bool poison = record.timestamp_ms >= kPoisonTimestamp;
      bool refused = refused_.contains({record.partition, record.offset});
      stream::OutputRecord out;
      out.topic = refused ? 1 : 0;
      out.key = poison ? "poison" : "good";
      out.value = record.value;
      if (!refused) out.timestamp_ms = record.timestamp_ms;
      absl::Status produced = output.Produce(out);
      if (!produced.ok()) return produced;
    }
    return absl::OkStatus();
  }
  bool Refused(const stream::Position& record, size_t output) override {
    return output == 0 && refused_.insert({record.partition, record.offset}).second;
  }
  absl::Status Committing(std::span<const stream::Position> next, stream::Output&) override {
    for (const stream::Position& position : next) {
      std::erase_if(refused_, [&](const auto& at) {
        return at.first == position.partition && at.second < position.offset;
      });
    }
    return absl::OkStatus();
  }
  void Assigned() override { refused_.clear(); }

  double unavailable = 0;
  double broken = 0;

 private:
  World& world_;
  std::set<std::pair<int32_t, int64_t>> refused_;
};

// One processor with one worker.
struct Process {
  Process(World& world, std::string name) : factory(world, network), name(std::move(name)) {}

  Network network;
  SimulatedFactory factory;
  std::string name;
  std::unique_ptr<CopyTransform> transform;
  std::unique_ptr<kafka::KafkaSource> source;
  std::unique_ptr<kafka::KafkaTransaction> transaction;
  stream::DriverProbe probe;
  std::unique_ptr<stream::Driver> driver;
  Time up_at{};  // of a process that is down
  Time thaws_at{};
  bool started = false;
};

class Run {
 public:
  explicit Run(uint64_t seed) : seed_(seed), world_(seed) {
    world_.MakeTopic("raw", 3);
    world_.MakeTopic("clean", 2);
    world_.MakeTopic("quarantine", 1);
    world_.topic("clean").takes_late_timestamps = false;
    is_static_ = world_.Chance(0.5);
    strict_ = world_.Chance(0.2);
    for (const char* name : {"a", "b"})
      processes_.push_back(std::make_unique<Process>(world_, name));
    world_.on_tick = [this](milliseconds time) { Tick(time); };
  }
  ~Run() { world_.on_tick = nullptr; }

  // Throws Violation.
  void Go() {
    faults_ = true;
    Until(world_.Now() + kFaults);
    faults_ = false;
    for (auto& process : processes_) {
      process->network = {};
      process->factory.fail_clients = false;
      process->thaws_at = {};
      if (process->transform) process->transform->unavailable = process->transform->broken = 0;
    }
    if (!world_.HasTopic("raw")) MakeRaw();
    if (world_.HasForeign()) world_.EndForeign(world_.Chance(0.5));
    // Nothing heals by itself that a person must heal, and everything else does.
    Until(world_.Now() + kCalm);
    CheckLively(/*halted_is_fine=*/true);
    Operate();
    Until(world_.Now() + kCalm);
    CheckLively(/*halted_is_fine=*/false);
    world_.OpenForeign("raw", 0);
    world_.Append("raw", 0, false);
    finished_ = true;
    Until(world_.Now() + milliseconds(5'000));
    CheckSnapshots();
  }

  int64_t steps() const { return steps_; }
  int64_t committed() const { return world_.committed_records(); }
  const std::deque<std::string>& trace() const { return trace_; }

 private:
  void Note(std::string text) {
    trace_.push_back(
        base::StrCat(world_.Now().time_since_epoch() / milliseconds(1), " ms: ", text));
    if (trace_.size() > 60) trace_.pop_front();
  }

  void Boot(Process& process) {
    if (process.driver == nullptr) {
      kafka::SourceOptions source;
      source.connection.brokers = {"simulated:1"};
      source.group = "group";
      if (is_static_) source.instance = process.name;
      source.topics = {"raw"};
      source.session_timeout_ms = world_.session_timeout_ms;
      source.sleep = [this](milliseconds time) { world_.Pass(std::max(time, milliseconds(1))); };
      auto made = kafka::KafkaSource::Create(source, process.factory, world_);
      if (!made.ok()) return Down(process, "no consumer");
      process.source = *std::move(made);
      kafka::TransactionOptions transaction;
      transaction.connection.brokers = {"simulated:1"};
      transaction.transactional_id = base::StrCat("id-", process.name);
      transaction.topics = {"clean", "quarantine"};
      auto transacted =
          kafka::KafkaTransaction::Create(transaction, *process.source, process.factory, world_);
      if (!transacted.ok()) return Down(process, "no producer");
      process.transaction = *std::move(transacted);
      process.transform = std::make_unique<CopyTransform>(world_);
      if (faults_) {
        process.transform->unavailable = 0.02;
        process.transform->broken = 0.001;
      }
      stream::DriverOptions options;
      options.chunk_events = 8;
      options.commit_events = 64;
      options.rules.recreate_always = strict_;
      options.sleep = [this](milliseconds time) { world_.Pass(time); };
      process.driver = *stream::Driver::Create(options, *process.source, *process.transaction,
                                               *process.transform, process.probe, world_);
    }
    if (!process.started) {
      absl::Status started = process.driver->Start();
      if (!started.ok()) return Down(process, std::string(base::View(started.message())));
      process.started = true;
      // Whoever has not seen the old topic takes the group's word for the new one.
      world_.Adopt();
    }
  }

  void Down(Process& process, const std::string& why) {
    Note(base::StrCat(process.name, " goes down: ", why));
    process.driver.reset();
    process.transaction.reset();
    process.source.reset();
    process.started = false;
    process.up_at = world_.Now() + milliseconds(200 + world_.Random(3'000));
  }

  void Until(Time end) {
    while (world_.Now() < end) {
      bool any = false;
      for (auto& owned : processes_) {
        Process& process = *owned;
        if (world_.Now() < process.up_at || world_.Now() < process.thaws_at) continue;
        process.network.frozen = false;
        any = true;
        running_ = &process;
        try {
          Boot(process);
          if (process.driver == nullptr) continue;
          ++steps_;
          stream::DriverState before = process.driver->snapshot().state;
          if (!process.driver->Step()) {
            absl::Status why = process.driver->Finish();
            Down(process, std::string(base::View(why.message())));
            continue;
          }
          stream::DriverSnapshot now = process.driver->snapshot();
          if (now.state == stream::DriverState::kHalted &&
              process.driver->uncommitted_for() > std::chrono::nanoseconds(0)) {
            throw Violation{"records that aren't in work count as uncommitted"};
          }
          if (now.state != before) {
            Note(base::StrCat(process.name, " is ", stream::DriverStateName(now.state), " ",
                              now.text));
          }
        } catch (const Killed&) {
          running_ = nullptr;
          process.network.frozen = true;  // it says goodbye to nobody
          Down(process, "killed");
        }
        running_ = nullptr;
      }
      running_ = nullptr;
      if (!any) world_.Pass(milliseconds(10));
    }
  }

  void MakeRaw() {
    world_.MakeTopic("raw", static_cast<int>(world_.topic("raw").partitions.size()));
    recreated_at_ = world_.Now();
    Note("the raw topic is made again");
  }

  // What happens beside the processes.
  void Tick(milliseconds passed) {
    auto seconds = static_cast<double>(passed.count()) / 1000;
    auto now_and_then = [&](double per_second) { return world_.Chance(per_second * seconds); };
    if (finished_) return;
    size_t partitions = world_.topic("raw").partitions.size();
    auto partition = [&] { return static_cast<int32_t>(world_.Random(partitions)); };
    if (world_.HasTopic("raw") && now_and_then(100))
      world_.Append("raw", partition(), faults_ && world_.Chance(0.004));
    if (!faults_) return;

    for (auto& owned : processes_) {
      Process& process = *owned;
      Network& network = process.network;
      if (now_and_then(0.02)) {
        auto time = milliseconds(world_.Random(20'000));
        network.away_until = world_.Now() + time;
        Note(base::StrCat(process.name, " is cut off for ", time.count(), " ms"));
      }
      if (now_and_then(0.05)) {
        network.lost_answer = world_.Chance(0.5) ? 0.05 : 0;
        network.delayed_request = world_.Chance(0.5) ? 0.05 : 0;
      }
      if (now_and_then(0.05)) process.factory.fail_clients = true;
      if (now_and_then(0.2)) process.factory.fail_clients = false;
      if (now_and_then(0.02) && process.driver && &process != running_) {
        auto time = milliseconds(1'000 + world_.Random(14'000));
        process.thaws_at = world_.Now() + time;
        network.frozen = true;
        Note(base::StrCat(process.name, " freezes for ", time.count(), " ms"));
      }
      if (process.driver && now_and_then(0.03)) process.driver->Pause();
      if (process.driver && now_and_then(0.2)) process.driver->Resume();
    }
    if (!world_.HasForeign() && world_.HasTopic("raw") && now_and_then(0.05))
      world_.OpenForeign("raw", partition());
    if (world_.HasForeign() && now_and_then(0.2)) world_.EndForeign(world_.Chance(0.5));
    if (world_.HasTopic("raw") && now_and_then(0.03)) {
      int32_t number = partition();
      Log& log = world_.topic("raw").partitions[static_cast<size_t>(number)];
      int64_t committed = world_.Committed({"raw", number}).value_or(0);
      int64_t keep = world_.Chance(0.8) ? committed : committed + 5;
      log.start = std::max(log.start, std::clamp<int64_t>(keep, 0, log.stable()));
      Note(base::StrCat("raw/", number, " begins at ", log.start, ", committed ", committed));
    }
    if (now_and_then(0.006) && world_.HasTopic("raw")) {
      world_.topic("raw").exists = false;
      Note("the raw topic is deleted");
    }
    if (!world_.HasTopic("raw") && now_and_then(0.3)) MakeRaw();
    if (world_.HasTopic("raw") && partitions < kPartitionsMax && now_and_then(0.01)) {
      world_.topic("raw").partitions.emplace_back();
      Note("a partition is added");
    }
    if (now_and_then(0.01)) {
      world_.topic("quarantine").bytes_max = 100;
      Note("the quarantine's limit is lowered");
    }
    if (now_and_then(0.03)) Operate();
    if (running_ != nullptr && now_and_then(0.03)) throw Killed{};
  }

  // As a person who knows what to do. Not before the workers must have seen what happened.
  void Operate() {
    if (!world_.HasTopic("raw") || world_.Now() - recreated_at_ < milliseconds(17'000)) return;
    Note("an operator mends what there is and resumes");
    world_.topic("quarantine").bytes_max = 1'000'000;
    Topic& raw = world_.topic("raw");
    for (size_t i = 0; i < raw.partitions.size(); ++i) {
      PartitionId partition{"raw", static_cast<int32_t>(i)};
      std::optional<int64_t> committed = world_.Committed(partition);
      if (!committed || *committed < 0) continue;
      const Log& log = raw.partitions[i];
      if (world_.IsOfAnother(partition) || *committed < log.start || *committed > log.end())
        world_.SetOffset(partition, log.start);
    }
    for (auto& process : processes_) {
      if (process->driver) process->driver->Resume();
    }
  }

  void CheckLively(bool halted_is_fine) {
    bool halted = false;
    for (auto& process : processes_) {
      if (process->driver == nullptr) throw Violation{base::StrCat(process->name, " stays down")};
      stream::DriverSnapshot snapshot = process->driver->snapshot();
      bool is_halted = snapshot.state == stream::DriverState::kHalted;
      if (is_halted && snapshot.text.empty()) throw Violation{"halted without a reason"};
      if (is_halted && !halted_is_fine)
        throw Violation{base::StrCat("halted although nothing is wrong: ", snapshot.text)};
      halted |= is_halted || snapshot.state == stream::DriverState::kPaused;
    }
    if (halted) return;
    const Topic& raw = world_.topic("raw");
    for (size_t i = 0; i < raw.partitions.size(); ++i) {
      PartitionId partition{"raw", static_cast<int32_t>(i)};
      std::optional<int64_t> committed = world_.Committed(partition);
      if (!committed) continue;  // at this moment
      const Log& log = raw.partitions[i];
      // Records come all the while: what came in the last seconds may still be on its way.
      int64_t readable = 0;
      for (int64_t at = std::max(*committed, log.start); at < log.stable(); ++at)
        readable += log.entries[static_cast<size_t>(at)].state == Entry::kCommitted;
      if (readable > 200) {
        throw Violation{base::StrCat("raw/", i, " stands at ", *committed, " of ", log.stable(),
                                     ", and no worker says why")};
      }
    }
  }

  // What operators are shown is what is so.
  void CheckSnapshots() {
    for (auto& process : processes_) {
      for (const kafka::PartitionSnapshot& shown : process->source->snapshot().partitions) {
        const Log& log = world_.topic("raw").partitions[static_cast<size_t>(shown.partition)];
        int64_t behind = log.end() - log.stable();
        if (shown.lag_records < 0 || shown.lag_stable_records < 0)
          throw Violation{base::StrCat("the lag of raw/", shown.partition, " isn't known")};
        if (shown.lag_records < behind)
          throw Violation{base::StrCat("raw/", shown.partition, " shows a lag of ",
                                       shown.lag_records, " with ", behind,
                                       " records behind an open transaction")};
      }
    }
  }

  const uint64_t seed_;
  World world_;
  bool is_static_ = false;
  bool strict_ = false;
  bool faults_ = false;
  bool finished_ = false;
  Time recreated_at_{};
  std::vector<std::unique_ptr<Process>> processes_;
  Process* running_ = nullptr;
  int64_t steps_ = 0;
  std::deque<std::string> trace_;
};

struct Options {
  uint64_t seed = 1;
  int64_t runs = 0;
  int64_t seconds = 0;
  bool mutants = false;
  std::string mutant;
};

// The violation, if there is one.
std::optional<std::string> RunOnce(uint64_t seed, int64_t& steps, int64_t& committed, bool tell) {
  Run run(seed);
  std::optional<std::string> violation;
  try {
    run.Go();
  } catch (const Violation& broken) {
    violation = broken.text;
    if (tell) {
      for (const std::string& line : run.trace()) std::printf("  %s\n", line.c_str());
    }
  }
  steps += run.steps();
  committed += run.committed();
  return violation;
}

int RunSeeds(const Options& options) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  int64_t steps = 0, committed = 0, runs = 0;
  for (uint64_t seed = options.seed;; ++seed, ++runs) {
    if (options.seconds > 0 ? std::chrono::steady_clock::now() >= end : runs >= options.runs) break;
    if (auto violation = RunOnce(seed, steps, committed, true)) {
      std::printf("seed %llu: %s\nreplay: ./run simulate --seed %llu --runs 1\n",
                  static_cast<unsigned long long>(seed), violation->c_str(),
                  static_cast<unsigned long long>(seed));
      return 1;
    }
  }
  std::printf("%lld runs, %lld steps, %lld records committed: every promise was kept\n",
              static_cast<long long>(runs), static_cast<long long>(steps),
              static_cast<long long>(committed));
  return committed > 0 ? 0 : 1;
}

int RunMutants(const Options& options) {
  int missed = 0;
  for (const auto& [name, what] : kMutants) {
    if (!options.mutant.empty() && options.mutant != name) continue;
    stream::Mutant() = name;
    int64_t steps = 0, committed = 0;
    std::optional<std::string> found;
    uint64_t seed = options.seed;
    for (; !found && seed < options.seed + static_cast<uint64_t>(options.runs); ++seed)
      found = RunOnce(seed, steps, committed, false);
    std::printf("%-22s %s: %s\n", name, what,
                found ? base::StrCat("found after ", steps, " steps (", seed - options.seed,
                                     " runs): ", found->substr(0, 120))
                            .c_str()
                      : "NOT FOUND");
    missed += found ? 0 : 1;
  }
  stream::Mutant().clear();
  return missed == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string_view flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (flag == "--mutants") {
      options.mutants = true;
    } else if (value != nullptr && flag == "--seed") {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (value != nullptr && flag == "--runs") {
      options.runs = std::strtoll(argv[++i], nullptr, 10);
    } else if (value != nullptr && flag == "--seconds") {
      options.seconds = std::strtoll(argv[++i], nullptr, 10);
    } else if (value != nullptr && flag == "--mutant") {
      options.mutants = true;
      options.mutant = argv[++i];
    } else {
      std::fprintf(
          stderr, "usage: simulate [--seed S] (--runs N | --seconds N) [--mutants | --mutant M]\n");
      return 2;
    }
  }
  if (options.runs == 0 && options.seconds == 0) options.runs = 20;
  return options.mutants ? RunMutants(options) : RunSeeds(options);
}

}  // namespace
}  // namespace sluice::simulation

int main(int argc, char** argv) { return sluice::simulation::Main(argc, argv); }
