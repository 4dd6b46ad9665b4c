// Driver, source, transaction and positions over a simulated Kafka: seeded, in one thread, with the
// faults of a real one as random events. docs/reliability.md says what it checks and how to replay
// a run.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/stream/driver.h"
#include "common/stream/mutant.h"
#include "services/processor/positions.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/guard.h"
#include "tests/simulation/world.h"

namespace sluice::simulation {
namespace {

using stream::DriverState;

constexpr int64_t kPoisonTimestamp = 4'000'000'000'000;
constexpr milliseconds kFaults(90'000);
constexpr milliseconds kCalm(90'000);
constexpr size_t kPartitionsMax = 6;
// Records of a partition that may be on their way while records come all the while.
constexpr int64_t kUnderWay = 200;

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
    // Planted from a reading of driver, source, transaction and positions alone.
    {"one_partition", "of several partitions' positions only the first is sent"},
    {"off_by_one", "a position is that of the last record, not the next one"},
    {"revoked_without_commit", "what is complete isn't committed before partitions are given up"},
    {"read_ahead_survives_rewind", "what was read ahead is processed after a rewind"},
    {"never_acknowledged", "the group isn't told that partitions are given up"},
    {"flow_stays_off", "a paused partition isn't resumed"},
    {"denied_for_ever", "a permission that was missing isn't tried for again"},
    {"given_up_is_done", "a commit that was given up counts as one that was made"},
    {"dead_producer", "a producer that was initialised is initialised again, not replaced"},
    {"any_position", "whatever the group stands at is read on from"},
    {"ahead_is_fine", "a group that stands beyond its recorded results is read on from"},
};

class CopyTransform final : public stream::Transform {
 public:
  CopyTransform(World& world, Guard& guard, processor::PositionRecorder& recorder)
      : world_(world), guard_(guard), recorder_(recorder) {}

  absl::Status Process(std::span<const stream::InputRecord> records,
                       stream::Output& output) override {
    SLUICE_RETURN_IF_ERROR(guard_.refusal());
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
  absl::Status Committing(std::span<const stream::Position> next, stream::Output& output) override {
    for (const stream::Position& position : next) {
      std::erase_if(refused_, [&](const auto& at) {
        return at.first == position.partition && at.second < position.offset;
      });
    }
    return recorder_.Write(next, "version", nullptr, output);
  }
  void Committed() override { recorder_.Committed(); }
  void Assigned() override { refused_.clear(); }

  double unavailable = 0;
  double broken = 0;

 private:
  World& world_;
  Guard& guard_;
  processor::PositionRecorder& recorder_;
  std::set<std::pair<int32_t, int64_t>> refused_;
};

// One processor with one worker.
struct Process {
  Process(World& world, std::string name) : factory(world, network), name(std::move(name)) {}

  Network network;
  SimulatedFactory factory;
  const std::string name;
  size_t fiber = 0;
  std::unique_ptr<Guard> guard;
  std::unique_ptr<processor::PositionRecorder> recorder;
  std::unique_ptr<CopyTransform> transform;
  std::unique_ptr<kafka::KafkaSource> source;
  std::unique_ptr<kafka::KafkaTransaction> transaction;
  stream::DriverProbe probe;
  std::unique_ptr<stream::Driver> driver;  // null: the process is down
  Time up_at{};                            // of a process that is down
  Time thaws_at{};
  bool refused = false;  // it said at its start that it must not join
};

class Run {
 public:
  explicit Run(uint64_t seed) : world_(seed) {
    world_.MakeTopic("raw", 3);
    world_.MakeTopic("clean", 2);
    world_.MakeTopic("quarantine", 1);
    world_.MakeTopic("positions", 1);
    world_.topic("clean").takes_late_timestamps = false;
    is_static_ = world_.Chance(0.5);
    strict_ = world_.Chance(0.2);
    for (const char* name : {"a", "b"}) {
      Process& process = *processes_.emplace_back(std::make_unique<Process>(world_, name));
      process.fiber = world_.fibers().Add([this, &process] { Live(process); });
    }
    world_.on_tick = [this](milliseconds time) { Tick(time); };
  }
  ~Run() {
    world_.on_tick = nullptr;
    ending_ = true;
    for (auto& process : processes_) {
      world_.fibers().Kill(process->fiber);
      while (!world_.fibers().ended(process->fiber)) world_.fibers().Resume(process->fiber);
    }
  }

  // Throws Violation.
  void Go() {
    faults_ = true;
    Until(world_.Now() + kFaults);
    faults_ = false;
    Note("faults stop");
    world_.may_write = world_.may_read = world_.may_join = true;
    for (auto& process : processes_) {
      process->network = {};
      process->factory.fail_clients = false;
      process->thaws_at = {};
      world_.fibers().Hold(process->fiber, {});
      if (process->driver) process->transform->unavailable = process->transform->broken = 0;
    }
    if (!world_.HasTopic("raw")) MakeRaw();
    if (world_.HasForeign()) world_.EndForeign(world_.Chance(0.5));
    // Nothing heals by itself that a person must heal, and everything else does.
    Until(world_.Now() + kCalm);
    CheckLively(/*may_stand=*/true);
    Operate(/*recover=*/MustRecover());
    Until(world_.Now() + kCalm);
    CheckLively(/*may_stand=*/false);
    world_.OpenForeign("raw", 0);
    world_.Append("raw", 0, false);
    finished_ = true;
    Until(world_.Now() + milliseconds(5'000));
    CheckSnapshots();
  }

  int64_t steps() const { return steps_; }
  int64_t committed() const { return world_.committed_records(); }
  const std::deque<std::string>& trace() const { return trace_; }
  // Of all that happened, to tell whether another run was the same.
  uint64_t hash() const { return hash_; }

 private:
  void Note(const std::string& text) {
    std::string line =
        base::StrCat(world_.Now().time_since_epoch() / milliseconds(1), " ms: ", text);
    Mix(line);
    trace_.push_back(std::move(line));
    if (trace_.size() > 60) trace_.pop_front();
  }
  void Mix(std::string_view text) {
    for (char c : text) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }

  void Until(Time end) {
    world_.Until(end);
    if (violation_) throw Violation{*violation_};
  }

  // The body of a process's fiber.
  void Live(Process& process) {
    while (!ending_ && !violation_) {
      bool killed = false;
      try {
        Turn(process);
      } catch (const Killed&) {
        killed = true;
      } catch (const Violation& broken) {
        violation_ = base::StrCat(process.name, ": ", broken.text);
      }
      if (!killed) continue;
      process.network.frozen = true;  // it says goodbye to nobody
      Down(process, "killed");
    }
    process.network.frozen = true;
    Down(process, "the run ends");
  }

  void Turn(Process& process) {
    if (process.driver == nullptr) {
      world_.Pass(
          std::max(milliseconds(1), std::chrono::ceil<milliseconds>(process.up_at - world_.Now())));
      if (world_.Now() < process.up_at) return;
      process.network.frozen = false;
      if (!Boot(process)) return;
    }
    ++steps_;
    DriverState before = process.driver->snapshot().state;
    if (!process.driver->Step()) {
      absl::Status why = process.driver->Finish();
      return Down(process, std::string(base::View(why.message())));
    }
    stream::DriverSnapshot now = process.driver->snapshot();
    if (now.state == DriverState::kHalted &&
        process.driver->uncommitted_for() > std::chrono::nanoseconds(0))
      throw Violation{"records that aren't in work count as uncommitted"};
    if (now.state != before)
      Note(base::StrCat(process.name, " is ", stream::DriverStateName(now.state), " ", now.text));
  }

  // As services/processor does.
  bool Boot(Process& process) {
    process.guard = std::make_unique<Guard>(world_, process.network);
    absl::Status checked = process.guard->CheckAtStart();
    process.refused = absl::IsFailedPrecondition(checked);
    if (!checked.ok()) return Down(process, std::string(base::View(checked.message()))), false;
    kafka::SourceOptions source;
    source.connection.brokers = {"simulated:1"};
    source.group = kGroup;
    if (is_static_) source.instance = process.name;
    source.topics = {"raw"};
    source.session_timeout_ms = world_.session_timeout_ms;
    source.sleep = [this](milliseconds time) { world_.Pass(std::max(time, milliseconds(1))); };
    source.check_positions = [&process](std::span<const kafka::CommittedPosition> positions) {
      return process.guard->Check(positions, *process.recorder);
    };
    auto made = kafka::KafkaSource::Create(source, process.factory, world_);
    if (!made.ok()) return Down(process, "no consumer"), false;
    process.source = *std::move(made);
    kafka::TransactionOptions transaction;
    transaction.connection.brokers = {"simulated:1"};
    transaction.transactional_id = base::StrCat("id-", process.name);
    transaction.topics = {"clean", "quarantine", "positions"};
    transaction.position_metadata = kPipeline;
    auto transacted =
        kafka::KafkaTransaction::Create(transaction, *process.source, process.factory, world_);
    if (!transacted.ok()) return Down(process, "no producer"), false;
    process.transaction = *std::move(transacted);
    process.recorder =
        std::make_unique<processor::PositionRecorder>(process.guard->site(), /*topic=*/2);
    process.transform = std::make_unique<CopyTransform>(world_, *process.guard, *process.recorder);
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
    if (absl::Status started = process.driver->Start(); !started.ok())
      return Down(process, std::string(base::View(started.message()))), false;
    return true;
  }

  void Down(Process& process, const std::string& why) {
    Note(base::StrCat(process.name, " goes down: ", why));
    process.driver.reset();
    process.transaction.reset();
    process.source.reset();
    process.transform.reset();
    process.up_at =
        std::max(outage_until_, world_.Now() + milliseconds(200 + world_.Random(3'000)));
  }

  void MakeRaw() {
    world_.MakeTopic("raw", static_cast<int>(world_.topic("raw").partitions.size()));
    Note("the raw topic is made again");
  }

  // What happens beside the processes.
  void Tick(milliseconds passed) {
    if (finished_) return;
    auto seconds = static_cast<double>(passed.count()) / 1000;
    auto now_and_then = [&](double per_second) { return world_.Chance(per_second * seconds); };
    for (auto& process : processes_) {
      if (process->driver && process->network.frozen && world_.Now() >= process->thaws_at)
        process->network.frozen = false;
    }
    size_t partitions = world_.topic("raw").partitions.size();
    auto partition = [&] { return static_cast<int32_t>(world_.Random(partitions)); };
    if (world_.HasTopic("raw") && now_and_then(100))
      world_.Append("raw", partition(), faults_ && world_.Chance(0.002));
    if (recovering_) Recover();
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
      if (process.driver == nullptr) continue;
      if (now_and_then(0.02)) {
        auto time = milliseconds(1'000 + world_.Random(14'000));
        process.thaws_at = world_.Now() + time;
        network.frozen = true;
        world_.fibers().Hold(process.fiber, process.thaws_at);
        Note(base::StrCat(process.name, " freezes for ", time.count(), " ms"));
      }
      if (now_and_then(0.03)) {
        network.frozen = true;
        world_.fibers().Hold(process.fiber, {});
        world_.fibers().Kill(process.fiber);
        continue;
      }
      if (now_and_then(0.03)) process.driver->Pause();
      if (now_and_then(0.2)) process.driver->Resume();
    }
    if (!world_.HasForeign() && world_.HasTopic("raw") && now_and_then(0.05))
      world_.OpenForeign("raw", partition());
    if (world_.HasForeign() && now_and_then(0.2)) world_.EndForeign(world_.Chance(0.5));
    if (world_.HasTopic("raw") && now_and_then(0.03)) {
      int32_t number = partition();
      Log& log = world_.topic("raw").partitions[static_cast<size_t>(number)];
      int64_t committed = world_.Committed({"raw", number}).value_or(World::Offset{0, ""}).next;
      int64_t keep = world_.Chance(0.8) ? committed : committed + 5;
      log.start = std::max(log.start, std::clamp<int64_t>(keep, 0, log.stable()));
      Note(base::StrCat("raw/", number, " begins at ", log.start, ", committed ", committed));
    }
    if (now_and_then(0.006) && world_.HasTopic("raw")) {
      world_.DeleteTopic("raw", /*forgets=*/world_.Chance(0.7));
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
    for (auto [may, what] : {std::pair(&world_.may_write, "write"),
                             {&world_.may_read, "read"},
                             {&world_.may_join, "commit"}}) {
      if (!now_and_then(*may ? 0.01 : 0.15)) continue;
      *may = !*may;
      Note(base::StrCat("it is ", *may ? "allowed" : "forbidden", " to ", what));
    }
    if (!world_.has_members() && now_and_then(0.3)) Meddle(partition());
    if (world_.has_members() && now_and_then(0.03)) {
      Note("the coordinator forgets a member");
      world_.ForgetMember();
    }
    if (now_and_then(0.01)) {
      Note("all processes are gone for a while");
      outage_until_ = world_.Now() + milliseconds(world_.session_timeout_ms * 2);
      for (auto& process : processes_) {
        process->network.frozen = true;
        world_.fibers().Hold(process->fiber, {});
        world_.fibers().Kill(process->fiber);
      }
    }
    if (now_and_then(0.03)) Operate(/*recover=*/world_.Chance(0.5));
  }

  // Somebody sets the group, or its offsets expire. The broker allows it without members only.
  void Meddle(int32_t number) {
    int64_t published = world_.PublishedOf({"raw", number});
    if (published < 0) return;  // nothing is known of it that this could contradict
    if (world_.Chance(0.5)) {
      world_.ForgetOffsets();
      return Note("the group's offsets expire");
    }
    const Log& log = world_.topic("raw").partitions[static_cast<size_t>(number)];
    // Also beyond what was published.
    int64_t least = world_.Chance(0.5) ? log.start : std::clamp(published, log.start, log.end());
    int64_t to =
        least + static_cast<int64_t>(world_.Random(static_cast<uint64_t>(log.end() - least) + 1));
    world_.SetOffset({"raw", number}, to, "");
    Note(base::StrCat("somebody sets raw/", number, " to ", to));
  }

  // As a person who knows what to do: mends what there is, and resumes; or stops the processes,
  // sets group and record, and starts them again.
  void Operate(bool recover) {
    if (!world_.HasTopic("raw")) return;
    world_.topic("quarantine").bytes_max = 1'000'000;
    if (recover) {
      Note("an operator stops the processes");
      recovering_ = true;
      return;
    }
    Note("an operator resumes");
    for (auto& process : processes_) {
      if (process->driver) process->driver->Resume();
    }
  }

  // sluicectl offsets recover, once all are down.
  void Recover() {
    for (auto& process : processes_) {
      if (process->driver) process->driver->Stop();
      process->up_at = world_.Now() + milliseconds(100);
    }
    bool down = std::all_of(processes_.begin(), processes_.end(),
                            [](const auto& process) { return process->driver == nullptr; });
    if (!down || world_.has_members() || !world_.HasTopic("raw")) return;
    std::optional<processor::RecordedPositions> recorded = Recorded(world_);
    if (!recorded) return;
    std::string id = TopicId(world_, "raw");
    Topic& raw = world_.topic("raw");
    for (size_t i = 0; i < raw.partitions.size(); ++i) {
      PartitionId partition{"raw", static_cast<int32_t>(i)};
      std::optional<World::Offset> committed = world_.Committed(partition);
      if (!committed) return;
      const Log& log = raw.partitions[i];
      const positions::v1::Position* known = recorded->Find(id, partition.second);
      // Where nothing is known of this topic it is begun with.
      int64_t to = known != nullptr ? known->next_offset() : log.start;
      bool lost = to < log.start || to > log.end();
      if (lost) to = log.start;
      if (known != nullptr && !lost && committed->next == to) continue;
      positions::v1::Position position;
      position.set_next_offset(to);
      position.set_topic("raw");
      position.set_group(kGroup);
      position.set_version("version");
      Entry entry;
      entry.key = processor::PositionKeyText(kPipeline, id, partition.second);
      entry.value = position.SerializeAsString();
      world_.topic("positions").partitions[0].entries.push_back(std::move(entry));
      world_.SetOffset(partition, to, kPipeline);
      // What is known is what was published; only where it can't be read on from, somebody decides.
      if (known == nullptr || lost) world_.Publish(partition, to);
    }
    recovering_ = false;
    Note("an operator has set the group and starts the processes");
  }

  // Whether to resume isn't enough, by what operators are told.
  bool MustRecover() {
    const Topic& raw = world_.topic("raw");
    std::string id = TopicId(world_, "raw");
    std::optional<processor::RecordedPositions> recorded = Recorded(world_);
    if (!recorded) return true;
    for (auto& process : processes_) {
      if (process->refused || (process->guard && process->guard->site().topic_id != id))
        return true;
    }
    for (size_t i = 0; i < raw.partitions.size(); ++i) {
      PartitionId partition{"raw", static_cast<int32_t>(i)};
      std::optional<World::Offset> committed = world_.Committed(partition);
      const positions::v1::Position* known = recorded->Find(id, partition.second);
      if (!committed || committed->next != (known == nullptr ? -1 : known->next_offset()))
        return true;
      if (known != nullptr && (known->next_offset() < raw.partitions[i].start ||
                               known->next_offset() > raw.partitions[i].end()))
        return true;
    }
    return false;
  }

  // Every partition is read, or an alert says why not: for a worker that is halted
  // (SluiceWorkerHalted) or paused (SluicePaused), and for a process that is down
  // (SluiceProcessDown). No other state may last for so long.
  void CheckLively(bool may_stand) {
    bool any_stands = false;
    std::set<int32_t> read;
    for (auto& process : processes_) {
      if (process->driver == nullptr) {
        if (!may_stand || !process->refused)
          throw Violation{base::StrCat(process->name, " stays down")};
        any_stands = true;
        continue;
      }
      stream::DriverSnapshot snapshot = process->driver->snapshot();
      bool halted = snapshot.state == DriverState::kHalted;
      bool paused = snapshot.state == DriverState::kPaused;
      if (halted && snapshot.text.empty()) throw Violation{"halted without a reason"};
      if (halted && snapshot.text.find("do not let this principal") != std::string::npos)
        throw Violation{"a permission that is there again isn't taken: " + snapshot.text};
      if ((halted || paused) && !may_stand) {
        throw Violation{base::StrCat(process->name, " is ", stream::DriverStateName(snapshot.state),
                                     " although nothing is wrong: ", snapshot.text)};
      }
      if (halted || paused) {
        any_stands = true;
        continue;
      }
      for (const kafka::PartitionSnapshot& shown : process->source->snapshot().partitions) {
        read.insert(shown.partition);
        CheckRead(*process, shown.partition);
      }
    }
    // A halted or paused worker keeps its partitions; nobody else's may be left out.
    if (any_stands) return;
    if (world_.members() != processes_.size())
      throw Violation{"a process isn't in the group; " + world_.Describe()};
    for (size_t i = 0; i < world_.topic("raw").partitions.size(); ++i) {
      if (!read.contains(static_cast<int32_t>(i)))
        throw Violation{base::StrCat("nobody reads raw/", i, "; ", world_.Describe())};
    }
  }

  void CheckRead(const Process& process, int32_t number) {
    PartitionId partition{"raw", number};
    std::optional<World::Offset> committed = world_.Committed(partition);
    if (!committed) return;  // at this moment
    const Log& log = world_.topic("raw").partitions[static_cast<size_t>(number)];
    int64_t readable = 0;
    for (int64_t at = std::max(committed->next, log.start); at < log.stable(); ++at)
      readable += log.entries[static_cast<size_t>(at)].state == Entry::kCommitted;
    if (readable <= kUnderWay) return;
    stream::DriverSnapshot snapshot = process.driver->snapshot();
    throw Violation{base::StrCat("raw/", number, " stands at ", committed->next, " of ",
                                 log.stable(), ", and ", process.name, " says ",
                                 stream::DriverStateName(snapshot.state), " ", snapshot.text, "; ",
                                 world_.Describe())};
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

  World world_;
  bool is_static_ = false;
  bool strict_ = false;
  bool faults_ = false;
  bool finished_ = false;
  bool ending_ = false;
  bool recovering_ = false;  // an operator is about to set the group
  Time outage_until_{};      // no process comes up before then
  std::optional<std::string> violation_;
  std::vector<std::unique_ptr<Process>> processes_;
  int64_t steps_ = 0;
  std::deque<std::string> trace_;
  uint64_t hash_ = 0xcbf29ce484222325;
};

struct Options {
  uint64_t seed = 1;
  int64_t runs = 0;
  int64_t seconds = 0;
  bool mutants = false;
  bool replay = false;  // every seed twice
  bool go_on = false;   // after a violation, to see how many seeds have one
  std::string mutant;   // several: with commas
};

struct Outcome {
  std::optional<std::string> violation;
  int64_t steps = 0, committed = 0;
  uint64_t hash = 0;
};

Outcome RunOnce(uint64_t seed, bool tell) {
  Outcome outcome;
  Run run(seed);
  try {
    run.Go();
  } catch (const Violation& broken) {
    outcome.violation = broken.text;
    if (tell) {
      for (const std::string& line : run.trace()) std::printf("  %s\n", line.c_str());
    }
  }
  outcome.steps = run.steps();
  outcome.committed = run.committed();
  outcome.hash = run.hash();
  return outcome;
}

int RunSeeds(const Options& options) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  int64_t steps = 0, committed = 0, runs = 0, broken = 0;
  for (uint64_t seed = options.seed;; ++seed, ++runs) {
    if (options.seconds > 0 ? std::chrono::steady_clock::now() >= end : runs >= options.runs) break;
    Outcome outcome = RunOnce(seed, !options.go_on);
    steps += outcome.steps;
    committed += outcome.committed;
    if (options.replay && RunOnce(seed, false).hash != outcome.hash) {
      std::printf("seed %llu: a second run took another course\n",
                  static_cast<unsigned long long>(seed));
      return 1;
    }
    if (!outcome.violation) continue;
    ++broken;
    std::printf("seed %llu: %s\nreplay: ./run simulate --seed %llu --runs 1\n",
                static_cast<unsigned long long>(seed), outcome.violation->c_str(),
                static_cast<unsigned long long>(seed));
    if (!options.go_on) return 1;
  }
  std::printf("%lld runs, %lld steps, %lld records committed: %s\n", static_cast<long long>(runs),
              static_cast<long long>(steps), static_cast<long long>(committed),
              broken == 0 ? "every promise was kept"
                          : base::StrCat(broken, " runs broke a promise").c_str());
  return committed > 0 && broken == 0 ? 0 : 1;
}

bool IsNamed(const std::string& names, std::string_view name) {
  return base::StrCat(",", names, ",").find(base::StrCat(",", name, ",")) != std::string::npos;
}

int RunMutants(const Options& options) {
  int missed = 0, tried = 0;
  for (const auto& [name, what] : kMutants) {
    if (!options.mutant.empty() && !IsNamed(options.mutant, name)) continue;
    ++tried;
    stream::Mutant() = name;
    int64_t steps = 0, runs = 0;
    std::optional<std::string> found;
    for (uint64_t seed = options.seed; !found && runs < options.runs; ++seed, ++runs) {
      Outcome outcome = RunOnce(seed, false);
      steps += outcome.steps;
      found = outcome.violation;
    }
    std::printf("%-26s %s: %s\n", name, what,
                found ? base::StrCat("found after ", steps, " steps (", runs,
                                     " runs): ", found->substr(0, 120))
                            .c_str()
                      : "NOT FOUND");
    std::fflush(stdout);
    missed += found ? 0 : 1;
  }
  stream::Mutant().clear();
  return missed == 0 && tried > 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string_view flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (flag == "--mutants") {
      options.mutants = true;
    } else if (flag == "--replay") {
      options.replay = true;
    } else if (flag == "--go-on") {
      options.go_on = true;
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
      std::fprintf(stderr,
                   "usage: simulate [--seed S] (--runs N | --seconds N) [--replay] [--go-on]\n"
                   "                [--mutants | --mutant M,...]\n");
      return 2;
    }
  }
  if (options.runs == 0 && options.seconds == 0) options.runs = 20;
  return options.mutants ? RunMutants(options) : RunSeeds(options);
}

}  // namespace
}  // namespace sluice::simulation

int main(int argc, char** argv) { return sluice::simulation::Main(argc, argv); }
