#include "common/stream/driver.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "common/stream/failpoint.h"
#include "common/stream/mutant.h"

namespace sluice::stream {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// How soon Stop(), Pause() and Resume() are seen by an idle worker.
constexpr milliseconds kPollMax(50);
constexpr milliseconds kRetryMin(50);
constexpr milliseconds kRetryMax(500);
// Two fencings within this time: not a restart, which fences once, but a twin that fences back.
constexpr std::chrono::minutes kTwinWindow(1);
constexpr std::chrono::minutes kRefusalsWindow(1);
// More refused records than one in so many events mean that the topic is wrong.
constexpr int64_t kEventsPerRefusal = 100;
// How often a permission that is missing is tried for.
constexpr std::chrono::seconds kDeniedRetry(15);
constexpr std::string_view kTaintText = "a request was left without an answer";

absl::Status CheckRange(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat(name, " is ", value, "; it must be between ", low, " and ", high));
}

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> Driver::Create(DriverOptions options, Source& source,
                                                       Transaction& transaction,
                                                       Transform& transform, DriverProbe& probe,
                                                       const base::Clock& clock) {
  for (absl::Status status : {
           CheckRange("commit_interval_ms", options.commit_interval_ms, 1, 60'000),
           CheckRange("commit_events", options.commit_events, 1, 1'000'000),
           CheckRange("commit_bytes", options.commit_bytes, 1, 1 << 30),
           CheckRange("chunk_events", options.chunk_events, 1, 10'000),
           CheckRange("transaction_timeout_ms", options.transaction_timeout_ms, 1'000, 900'000),
           CheckRange("backoff_min_ms", options.backoff_min_ms, 1, 60'000),
           CheckRange("backoff_max_ms", options.backoff_max_ms, options.backoff_min_ms, 60'000),
           CheckRange("call_max_ms", options.call_max_ms, 1'000, 600'000),
           CheckRange("refusals_per_minute_max", options.refusals_per_minute_max, 1, 10'000),
           CheckRange("drain_timeout_ms", options.drain_timeout_ms, 0, 3'600'000),
       }) {
    if (!status.ok()) return status;
  }
  if (options.commit_interval_ms * 2 > options.transaction_timeout_ms) {
    return absl::InvalidArgumentError(
        "commit_interval_ms must be at most half of transaction_timeout_ms, or transactions "
        "expire");
  }
  return std::unique_ptr<Driver>(
      new Driver(std::move(options), source, transaction, transform, probe, clock));
}

Driver::Driver(DriverOptions options, Source& source, Transaction& transaction,
               Transform& transform, DriverProbe& probe, const base::Clock& clock)
    : options_(std::move(options)),
      source_(source),
      transaction_(transaction),
      transform_(transform),
      probe_(probe),
      clock_(clock),
      state_(Recovering{RecreateCause::kStart, /*rewind=*/false, clock.Now(), ""}),
      output_(transaction) {
  Beat();
}

void Driver::MinuteCount::Add(Time now, int64_t events) {
  Slot& slot = slots_[static_cast<size_t>(SecondOf(now) % kSeconds)];
  if (slot.second != SecondOf(now)) slot = {SecondOf(now), 0};
  slot.events += events;
}

int64_t Driver::MinuteCount::Sum(Time now) const {
  int64_t sum = 0;
  for (const Slot& slot : slots_)
    if (SecondOf(now) - slot.second < kSeconds) sum += slot.events;
  return sum;
}

absl::Status Driver::CountingOutput::Produce(const OutputRecord& record) {
  absl::Status status = transaction_.get().Produce(record);
  if (!status.ok()) [[unlikely]] {
    failure = status;
    return status;
  }
  ++records;
  bytes += static_cast<int64_t>(RecordBytes(record));
  return status;
}

absl::Status Driver::Run() {
  absl::Status started = Start();
  if (!started.ok()) return started;
  while (Step()) {
  }
  return Finish();
}

absl::Status Driver::Start() { return source_.Start(); }

bool Driver::Step() {
  if (stop_ || std::holds_alternative<Ended>(state_)) return false;
  Beat();
  TakeCommands();
  Advance();
  if (std::holds_alternative<Ended>(state_)) return false;
  Publish();

  SourceEvent event = source_.Poll(Wanted(), PollWait());
  Beat();
  std::visit(Overloaded{
                 [](const Nothing&) {},
                 [this](const Records& records) { Process(records, clock_.Now(), 0); },
                 [this](const Assigned& assigned) {
                   transform_.Assigned();
                   probe_.Assigned(assigned.partitions);
                 },
                 [this](const Revoked& revoked) { Handle(revoked); },
                 [this](const Interrupted& interrupted) { Handle(interrupted); },
                 [this](const Unreadable& unreadable) { Handle(unreadable); },
             },
             event);
  if (CommitDue()) Commit();
  return !stop_ && !std::holds_alternative<Ended>(state_);
}

absl::Status Driver::MoveTo(Move move, milliseconds timeout) {
  auto asked = std::make_shared<AskedMove>();
  asked->move = std::move(move);
  base::MutexLock lock(mutex_);
  if (asked_move_ != nullptr)
    return absl::UnavailableError("the worker's positions are being set by somebody else");
  asked_move_ = asked;
  move_asked_ = true;
  auto taken = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return asked->stage != AskedMove::kWaiting; };
  auto done = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return asked->stage == AskedMove::kDone; };
  lock.WaitFor(moved_, timeout, taken);
  if (!taken()) {
    asked_move_ = nullptr;
    move_asked_ = false;
    return absl::UnavailableError("the worker didn't come to the border of a transaction in time");
  }
  // Its calls end by themselves.
  while (!done()) lock.WaitFor(moved_, timeout, done);
  return asked->result;
}

void Driver::CarryOut(AskedMove& asked) {
  absl::Status result = Execute(asked.move);
  base::MutexLock lock(mutex_);
  asked.result = std::move(result);
  asked.stage = AskedMove::kDone;
  asked_move_ = nullptr;
  moved_.notify_all();
}

absl::Status Driver::Execute(const Move& move) {
  for (const Position& position : move.to) {
    if (!source_.Owns(position.topic, position.partition)) {
      return absl::NotFoundError(base::StrCat("partition ", position.topic, "/", position.partition,
                                              " isn't this worker's"));
    }
  }
  if (!Commit()) return absl::UnavailableError("what was under way could not be committed");
  // What a halted worker stands at stays, whatever becomes of this.
  std::optional<Halted> halted;
  if (auto* at = std::get_if<Halted>(&state_)) {
    Result taken = transaction_.Recreate();
    if (!taken.ok()) return absl::UnavailableError(taken.text);
    halted = *at;
    Become(Running{});
  }
  const bool paused = std::holds_alternative<Paused>(state_);
  if (auto* waiting = std::get_if<Waiting>(&state_)) {
    Become(Running{waiting->begun, std::nullopt});
  } else if (auto* at = std::get_if<Paused>(&state_)) {
    Become(Running{at->begun, std::nullopt});
  }
  if (!std::holds_alternative<Running>(state_))
    return absl::UnavailableError("the worker is recovering from an error");
  absl::Status written = Write(move);
  if (std::holds_alternative<Ended>(state_)) return written;
  if (halted) {
    if (written.ok()) source_.Rewind();
    Become(*std::move(halted));
    return written;
  }
  if (!written.ok()) return written;
  if (Tainted()) {
    Become(
        Recovering{RecreateCause::kTaint, /*rewind=*/true, clock_.Now(), std::string(kTaintText)});
    return written;
  }
  source_.Rewind();
  if (paused) Become(Paused{});
  return written;
}

// The state is kRunning without a batch, and so it is afterwards where that went well.
absl::Status Driver::Write(const Move& move) {
  auto& running = std::get<Running>(state_);
  auto fail = [this](Result result) {
    absl::Status why = absl::UnknownError(result.text);
    Fail(std::move(result));
    return why;
  };
  if (!running.begun) {
    if (Tainted()) return fail({Verdict::kAbort, std::string(kTaintText)});
    Result begun = Retry(Verdict::kRecreate, [this] { return transaction_.Begin(); });
    if (!begun.ok()) return fail(std::move(begun));
    running.begun = true;
  }
  absl::Status recorded = move.record ? move.record(output_) : absl::OkStatus();
  if (!output_.failure.ok()) return fail(FromProduce(output_.failure));
  if (!recorded.ok()) return fail({Verdict::kAbort, std::string(base::View(recorded.message()))});
  Result result = Retry(Verdict::kAbort, [&] { return transaction_.SendOffsets(move.to); });
  if (result.ok()) result = Retry(Verdict::kAbort, [this] { return transaction_.Commit(); });
  if (!result.ok()) return fail(std::move(result));
  running.begun = false;
  output_.Clear();
  failures_ = 0;
  // What it knows of the records that come is of those that would have come.
  transform_.Assigned();
  SetUncommittedSince(std::nullopt);
  return absl::OkStatus();
}

// What other threads have asked for since the last step.
void Driver::TakeCommands() {
  if (move_asked_) {
    std::shared_ptr<AskedMove> asked;
    {
      base::MutexLock lock(mutex_);
      asked = asked_move_;
      if (asked != nullptr) asked->stage = AskedMove::kUnderWay;
      move_asked_ = false;
    }
    if (asked != nullptr) CarryOut(*asked);
  }
  bool resumed = retry_halted_.exchange(false);
  if (auto* halted = std::get_if<Halted>(&state_); halted != nullptr && resumed) {
    return Become(
        Recovering{RecreateCause::kResume, /*rewind=*/true, clock_.Now(), halted->reason});
  }
  if (pause_) {
    Commit();
    if (auto* running = std::get_if<Running>(&state_)) {
      Become(Paused{running->begun, std::nullopt});
    } else if (auto* waiting = std::get_if<Waiting>(&state_)) {
      Become(Paused{waiting->begun, std::move(waiting->held)});
    }
  } else if (auto* paused = std::get_if<Paused>(&state_)) {
    if (paused->held) {
      Become(Waiting{paused->begun, *std::move(paused->held)});
    } else {
      Become(Running{paused->begun, std::nullopt});
    }
  }
}

// What has become due.
void Driver::Advance() {
  if (auto* halted = std::get_if<Halted>(&state_)) {
    if (halted->retry_at && clock_.Now() >= *halted->retry_at &&
        !SLUICE_MUTANT("denied_for_ever")) {
      Become(Recovering{RecreateCause::kResume, /*rewind=*/true, clock_.Now(), halted->reason});
    }
  }
  if (auto* recovering = std::get_if<Recovering>(&state_)) {
    if (clock_.Now() >= recovering->retry_at) Recover();
  }
  if (auto* waiting = std::get_if<Waiting>(&state_)) {
    if (clock_.Now() < waiting->held.retry_at) return;
    Held held = std::move(waiting->held);
    // Not told: it is running for as long as this try takes.
    Become(Running{waiting->begun, std::nullopt});
    Process(held.records, held.taken, held.attempts);
  }
}

void Driver::Handle(const Revoked& revoked) {
  probe_.Revoked(revoked.lost);
  if (auto* waiting = std::get_if<Waiting>(&state_)) {
    Become(Running{waiting->begun, std::nullopt});
  } else if (auto* paused = std::get_if<Paused>(&state_)) {
    Become(Paused{paused->begun, std::nullopt});
  }
  if (!revoked.lost) {
    if (!SLUICE_MUTANT("revoked_without_commit")) Commit();
  } else if (batch() != nullptr && *batch() && !SLUICE_MUTANT("lost_is_kept")) {
    Fail({Verdict::kAbort, "the partitions were lost: the group hasn't heard of this member"});
  }
  source_.Acknowledge();
}

void Driver::Handle(const Interrupted& interrupted) {
  if (std::holds_alternative<Halted>(state_)) return;  // a resume rewinds
  if (auto* recovering = std::get_if<Recovering>(&state_)) {
    recovering->rewind = true;
    return;
  }
  Fail({Verdict::kAbort, interrupted.reason});
}

void Driver::Handle(const Unreadable& unreadable) {
  if (absl::IsAlreadyExists(unreadable.reason)) {
    // This member is dead to the group for good, and what it had open with it.
    Become(Ended{unreadable.reason});
  } else {
    Halt(std::string(base::View(unreadable.reason.message())),
         absl::IsPermissionDenied(unreadable.reason));
  }
}

void Driver::Process(const Records& records, Time taken, int attempts) {
  auto* running = std::get_if<Running>(&state_);
  if (running == nullptr) return;  // the source hands nothing out that wasn't asked for
  if (!running->begun) {
    // Also for a request that lost its answer after the last commit was looked at.
    if (Tainted()) {
      return Become(Recovering{RecreateCause::kTaint, /*rewind=*/true, clock_.Now(),
                               std::string(kTaintText)});
    }
    Result begun = Retry(Verdict::kRecreate, [this] { return transaction_.Begin(); });
    if (!begun.ok()) return Fail(begun);
    running->begun = true;
  }
  Time start = clock_.Now();
  if (!running->batch) SetUncommittedSince(taken);
  int64_t records_before = output_.records;
  absl::Status status = transform_.Process(records.records, output_);
  Beat();
  if (!output_.failure.ok()) {
    // The one to blame may be among these.
    Account(records, start, taken);
    return Fail(FromProduce(output_.failure));
  }
  if (!status.ok() && output_.records != records_before) {
    // All or nothing is the Transform's promise; half of a chunk must not be committed even so.
    return Fail(
        {Verdict::kHalt, base::StrCat("the transform failed in mid-chunk: ", status.message())});
  }
  if (absl::IsUnavailable(status)) {
    Held held{records, taken, clock_.Now() + Backoff(attempts), attempts + 1,
              std::string(base::View(status.message()))};
    probe_.DependencyUnavailable(held.text);
    if (!Commit()) return;  // they are read again
    if (running = std::get_if<Running>(&state_); running != nullptr) {
      Become(Waiting{running->begun, std::move(held)});
    } else if (auto* recovering = std::get_if<Recovering>(&state_)) {
      recovering->rewind = true;
    }
    return;
  }
  if (absl::IsDataLoss(status)) {
    // What the transaction has so far is under the same suspicion.
    return Fail({Verdict::kHalt, std::string(base::View(status.message()))});
  }
  if (!status.ok()) return Halt(std::string(base::View(status.message())), /*retry=*/false);

  Account(records, start, taken);
  probe_.ChunkProcessed(records.records.size(), clock_.Now() - start);
}

void Driver::Account(const Records& records, Time start, Time taken) {
  auto& open = std::get<Running>(state_).batch;
  if (!open) open = Batch{start, taken, 0, {}};
  Batch& batch = *open;
  batch.events += static_cast<int64_t>(records.records.size());
  for (const Position& position : records.next) {
    auto same = std::find_if(batch.next.begin(), batch.next.end(),
                             [&](const Position& other) { return other.SamePartition(position); });
    if (same == batch.next.end()) {
      batch.next.push_back(position);
    } else if (!SLUICE_MUTANT("first_position")) {
      *same = position;
    }
  }
}

Result Driver::FromProduce(const absl::Status& status) {
  Result cause = transaction_.Cause();
  if (!cause.ok()) return cause;
  // kInvalidArgument: the Transform broke a limit it can ask for; the same record would again.
  bool permanent = absl::IsNotFound(status) || absl::IsInvalidArgument(status);
  Verdict verdict = permanent                          ? Verdict::kHalt
                    : absl::IsPermissionDenied(status) ? Verdict::kDenied
                                                       : Verdict::kAbort;
  return {verdict, std::string(base::View(status.message()))};
}

bool Driver::Commit() {
  static Failpoint after_produce("after_produce");
  static Failpoint after_send_offsets("after_send_offsets");
  std::optional<Batch>* open = batch();
  if (open == nullptr || !*open) return true;
  Time start = clock_.Now();
  absl::Status last = transform_.Finish(output_);
  if (last.ok()) last = transform_.Committing((*open)->next, output_);
  if (!last.ok() || !output_.failure.ok()) {
    Fail(output_.failure.ok()
             ? Result{Verdict::kHalt,
                      base::StrCat("what the transform held can't be produced: ", last.message())}
             : FromProduce(output_.failure));
    return false;
  }
  after_produce.Pass();
  Result result = Retry(Verdict::kAbort, [&] { return transaction_.SendOffsets((*open)->next); });
  if (!result.ok()) {
    Fail(std::move(result));
    return false;
  }
  after_send_offsets.Pass();
  result = Retry(Verdict::kAbort, [this] { return transaction_.Commit(); });
  if (!result.ok()) {
    Fail(std::move(result));
    return false;
  }

  minute_.Add(clock_.Now(), (*open)->events);
  Batch done = **open;
  open->reset();
  std::visit(Overloaded{[](Running& running) { running.begun = false; },
                        [](Draining& draining) { draining.begun = false; }, [](auto&) {}},
             state_);
  failures_ = 0;
  if (bisection_ && (bisection_->events *= 2) >= options_.commit_events) bisection_.reset();
  SetUncommittedSince(std::nullopt);
  TransactionFacts facts{done.events,         output_.records,      output_.bytes,
                         start - done.opened, clock_.Now() - start, done.next};
  output_.Clear();
  transform_.Committed();
  {
    base::MutexLock lock(mutex_);
    snapshot_.events += facts.events;
    ++snapshot_.transactions;
  }
  probe_.Committed(facts);

  // R1: a request without an answer could still act, and the broker would take it for one of the
  // next transaction. What was read ahead stays valid only where the commit is beyond doubt.
  bool taint = Tainted();
  if ((taint || options_.rules.recreate_always) && std::holds_alternative<Running>(state_)) {
    Become(Recovering{taint ? RecreateCause::kTaint : RecreateCause::kStrict, /*rewind=*/taint,
                      clock_.Now(), std::string(taint ? kTaintText : "")});
    if (!stop_) Recover();
  }
  if (options_.verify_commits && !std::holds_alternative<Recovering>(state_))
    VerifyCommit(done.next);
  return !taint || SLUICE_MUTANT("held_after_doubt");
}

void Driver::VerifyCommit(const std::vector<Position>& sent) {
  absl::StatusOr<std::vector<Position>> committed = source_.Committed(sent);
  if (!committed.ok()) return;  // nothing was learnt; the next commit is verified in its turn
  for (const Position& position : sent) {
    for (const Position& found : *committed) {
      if (!found.SamePartition(position) || found.offset == position.offset) continue;
      return Halt(
          base::StrCat("committed position of ", position.topic, "/", position.partition, " is ",
                       found.offset, ", ", position.offset,
                       " was sent: another writer, or a late request; audit before resuming"),
          /*retry=*/false);
    }
  }
}

void Driver::Fail(Result result) {
  bool was_begun = begun();
  bool draining = std::holds_alternative<Draining>(state_);
  TransactionFacts facts{0, output_.records, output_.bytes, {}, {}, {}};
  if (std::optional<Batch>* open = batch(); open != nullptr && *open) {
    facts.events = (*open)->events;
    facts.open = clock_.Now() - (*open)->opened;
    if (result.verdict == Verdict::kRefused && !SLUICE_MUTANT("refused_again"))
      result = Bisect(**open, result);
    open->reset();
  } else if (result.verdict == Verdict::kRefused) {
    result.verdict = Verdict::kAbort;
  }
  output_.Clear();
  SetUncommittedSince(std::nullopt);
  transform_.Discarded();

  // The broker also fences whose transaction it has aborted for its age; that says nothing of a
  // twin.
  bool expired = facts.open >= milliseconds(options_.transaction_timeout_ms);
  RecreateCause cause = RecreateCause::kAbort;
  absl::Status twin;
  if (result.verdict == Verdict::kFenced && !expired) {
    cause = RecreateCause::kFenced;
    if (fenced_at_ && clock_.Now() - *fenced_at_ < kTwinWindow) {
      twin = absl::AlreadyExistsError(
          base::StrCat("another live producer uses this transactional id; give every replica an "
                       "instance name of its own: ",
                       result.text));
    }
    fenced_at_ = clock_.Now();
  } else if (result.verdict == Verdict::kRecreate || result.verdict == Verdict::kFenced) {
    cause = RecreateCause::kFatal;
  } else if (was_begun) {
    // Abort although Recreate would: a transaction that is found open costs the new epoch half a
    // second.
    Result aborted = Retry(Verdict::kRecreate, [this] { return transaction_.Abort(); });
    if (!aborted.ok()) cause = RecreateCause::kFatal;
  }
  {
    base::MutexLock lock(mutex_);
    ++snapshot_.aborts;
  }
  probe_.Aborted(facts, result.verdict, result.text);

  if (!twin.ok()) return Become(Ended{std::move(twin)});
  if (draining) return Become(Draining{});
  if (result.verdict == Verdict::kHalt) return Become(Halted{std::move(result.text), {}});
  if (result.verdict == Verdict::kDenied) {
    return Become(Halted{std::move(result.text), clock_.Now() + kDeniedRetry});
  }
  if (cause == RecreateCause::kAbort && !Tainted() &&
      (!options_.rules.recreate_after_abort || SLUICE_MUTANT("no_epoch_after_abort"))) {
    source_.Rewind();
    return Become(Running{});
  }
  // A bisection ends by itself; nothing gets better by waiting.
  milliseconds wait = result.verdict == Verdict::kRefused ? milliseconds(0) : Backoff(failures_++);
  Become(Recovering{cause, /*rewind=*/true, clock_.Now() + wait, std::move(result.text)});
}

Result Driver::Bisect(const Batch& batch, const Result& refused) {
  if (batch.events > 1) {
    bisection_ = Bisection{std::max<int64_t>(batch.events / 2, 1)};
    return refused;
  }
  bisection_.reset();
  const Time now = clock_.Now();
  while (!refusals_.empty() && now - refusals_.front() > kRefusalsWindow) refusals_.pop_front();
  const int64_t most =
      std::max<int64_t>(options_.refusals_per_minute_max, minute_.Sum(now) / kEventsPerRefusal);
  if (static_cast<int64_t>(refusals_.size()) >= most) {
    refusals_.clear();
    return {Verdict::kHalt, base::StrCat("more than ", most,
                                         " records were refused within a minute, so it is the "
                                         "topic that is wrong: ",
                                         refused.text)};
  }
  Position record = batch.next[0];
  --record.offset;
  if (!transform_.Refused(record, refused.topic)) {
    return {Verdict::kHalt,
            base::StrCat(refused.text, "; what it is refused for can't be taken from record ",
                         record.topic, "/", record.partition, "/", record.offset,
                         ": change the topic's configuration, then resume")};
  }
  refusals_.push_back(now);
  probe_.RecordRefused(refused.text);
  return refused;
}

void Driver::Halt(std::string reason, bool retry) {
  Commit();
  if (std::holds_alternative<Ended>(state_) || std::holds_alternative<Draining>(state_)) return;
  Become(
      Halted{std::move(reason), retry ? std::optional(clock_.Now() + kDeniedRetry) : std::nullopt});
}

void Driver::Recover() {
  Publish();
  Time start = clock_.Now();
  Result result = transaction_.Recreate();
  Beat();
  auto& recovering = std::get<Recovering>(state_);
  if (!result.ok()) {
    probe_.RecreateFailed(result.text);
    if (result.verdict == Verdict::kHalt) return Become(Halted{std::move(result.text), {}});
    if (result.verdict == Verdict::kDenied)
      return Become(Halted{std::move(result.text), clock_.Now() + kDeniedRetry});
    if (result.verdict == Verdict::kFenced) return Fail(std::move(result));
    recovering.text = std::move(result.text);
    recovering.retry_at = clock_.Now() + Backoff(failures_++);
    return;
  }
  // R4: the committed positions are true only now that no old request can change them.
  if (recovering.rewind) source_.Rewind();
  RecreateCause cause = recovering.cause;
  Become(Running{cause == RecreateCause::kResume && SLUICE_MUTANT("begun_after_resume"), {}});
  {
    base::MutexLock lock(mutex_);
    ++snapshot_.recreates;
  }
  probe_.Recreated(cause, clock_.Now() - start);
}

absl::Status Driver::Finish() {
  drain_until_ = clock_.Now() + milliseconds(options_.drain_timeout_ms);
  absl::Status why;
  std::string reason;
  if (auto* ended = std::get_if<Ended>(&state_)) {
    why = ended->why;
    reason = std::string(base::View(why.message()));
  } else {
    if (auto* halted = std::get_if<Halted>(&state_)) reason = halted->reason;
    auto* running = std::get_if<Running>(&state_);
    Become(running != nullptr ? Draining{running->begun, std::move(running->batch)} : Draining{});
    Publish();
    Commit();
    if (auto* ended = std::get_if<Ended>(&state_)) why = ended->why;
  }
  {
    base::MutexLock lock(mutex_);
    if (asked_move_ != nullptr) {
      asked_move_->result = absl::UnavailableError("the worker has stopped");
      asked_move_->stage = AskedMove::kDone;
      asked_move_ = nullptr;
      moved_.notify_all();
    }
  }
  // What is open now holds nothing, or the broker aborts it: leaving is always safe.
  source_.Leave();
  Beat();
  SetUncommittedSince(std::nullopt);
  base::MutexLock lock(mutex_);
  snapshot_.state = DriverState::kStopped;
  snapshot_.text = std::move(reason);
  probe_.StateChanged(DriverState::kStopped, snapshot_.text);
  return why;
}

// The only way from one state to another.
void Driver::Become(State state) {
  state_ = std::move(state);
  std::optional<Time> since;
  if (std::optional<Batch>* open = batch(); open != nullptr && *open) since = (*open)->taken;
  if (auto* waiting = std::get_if<Waiting>(&state_)) since = waiting->held.taken;
  if (auto* paused = std::get_if<Paused>(&state_); paused != nullptr && paused->held)
    since = paused->held->taken;
  if (since || !SLUICE_MUTANT("held_for_ever")) SetUncommittedSince(since);
}

// Null where no transaction can be open.
std::optional<Driver::Batch>* Driver::batch() {
  if (auto* running = std::get_if<Running>(&state_)) return &running->batch;
  if (auto* draining = std::get_if<Draining>(&state_)) return &draining->batch;
  return nullptr;
}

bool Driver::begun() const {
  return std::visit(Overloaded{[](const Running& state) { return state.begun; },
                               [](const Waiting& state) { return state.begun; },
                               [](const Paused& state) { return state.begun; },
                               [](const Draining& state) { return state.begun; },
                               [](const auto&) { return false; }},
                    state_);
}

template <typename Call>
Result Driver::Retry(Verdict when_exhausted, Call call) {
  Time until = clock_.Now() + milliseconds(options_.transaction_timeout_ms);
  if (drain_until_) until = std::min(until, *drain_until_);
  for (milliseconds wait = kRetryMin;; wait = std::min(wait * 2, kRetryMax)) {
    Result result = call();
    Beat();
    if (result.verdict != Verdict::kRetry) return result;
    if (clock_.Now() + wait >= until) {
      if (SLUICE_MUTANT("given_up_is_done")) return {};
      return {when_exhausted, base::StrCat("given up after retries: ", result.text)};
    }
    options_.sleep(wait);
  }
}

bool Driver::Tainted() const {
  return options_.rules.recreate_on_taint && transaction_.tainted() && !SLUICE_MUTANT("no_taint");
}

int64_t Driver::EventsMax() const {
  return bisection_ ? bisection_->events : options_.commit_events;
}

bool Driver::CommitDue() {
  std::optional<Batch>* open = batch();
  return open != nullptr && *open &&
         ((*open)->events >= EventsMax() || output_.bytes >= options_.commit_bytes ||
          clock_.Now() - (*open)->opened >= milliseconds(options_.commit_interval_ms));
}

// How many records may come next.
size_t Driver::Wanted() {
  auto* running = std::get_if<Running>(&state_);
  if (running == nullptr || pause_) return 0;
  int64_t wanted = options_.chunk_events;
  if (bisection_) wanted = std::min(wanted, bisection_->events);
  return static_cast<size_t>(wanted);
}

milliseconds Driver::PollWait() {
  Time until = clock_.Now() + kPollMax;
  if (std::optional<Batch>* open = batch(); open != nullptr && *open)
    until = std::min(until, (*open)->opened + milliseconds(options_.commit_interval_ms));
  if (auto* recovering = std::get_if<Recovering>(&state_))
    until = std::min(until, recovering->retry_at);
  if (auto* waiting = std::get_if<Waiting>(&state_))
    until = std::min(until, waiting->held.retry_at);
  // Rounded up, so that the last millisecond isn't spun away.
  auto wait = std::chrono::ceil<milliseconds>(until - clock_.Now());
  return std::max(wait, milliseconds(0));
}

milliseconds Driver::Backoff(int failures) const {
  int doublings = std::min(failures, 16);
  return milliseconds(
      std::min<int64_t>(int64_t{options_.backoff_min_ms} << doublings, options_.backoff_max_ms));
}

std::pair<DriverState, std::string> Driver::Visible() const {
  if (std::holds_alternative<Halted>(state_))
    return {DriverState::kHalted, std::get<Halted>(state_).reason};
  if (std::holds_alternative<Draining>(state_)) return {DriverState::kDraining, ""};
  if (std::string trouble = source_.Trouble(); !trouble.empty())
    return {DriverState::kDegraded, std::move(trouble)};
  if (auto* recovering = std::get_if<Recovering>(&state_)) {
    return {recovering->cause == RecreateCause::kStart ? DriverState::kStarting
                                                       : DriverState::kRecovering,
            recovering->text};
  }
  if (auto* waiting = std::get_if<Waiting>(&state_))
    return {DriverState::kWaiting, waiting->held.text};
  if (std::holds_alternative<Paused>(state_)) return {DriverState::kPaused, ""};
  return {DriverState::kRunning, ""};
}

void Driver::Publish() {
  // Strict mode recovers at every boundary; that is its running.
  auto* recovering = std::get_if<Recovering>(&state_);
  if (recovering != nullptr && recovering->cause == RecreateCause::kStrict &&
      recovering->text.empty()) {
    return;
  }
  auto [state, text] = Visible();
  base::MutexLock lock(mutex_);
  snapshot_.paused = pause_;
  if (snapshot_.state == state && snapshot_.text == text) return;
  snapshot_.state = state;
  snapshot_.text = text;
  probe_.StateChanged(state, text);
}

void Driver::Resume() {
  pause_ = false;
  retry_halted_ = true;
}

void Driver::Beat() {
  progress_ns_ = duration_cast<nanoseconds>(clock_.Now().time_since_epoch()).count();
}

std::chrono::steady_clock::time_point Driver::last_progress() const {
  return Time(duration_cast<Time::duration>(nanoseconds(progress_ns_)));
}

bool Driver::Alive() const {
  return clock_.Now() - last_progress() <= 2 * milliseconds(options_.transaction_timeout_ms);
}

void Driver::SetUncommittedSince(std::optional<Time> since) {
  uncommitted_since_ns_ = since ? since->time_since_epoch().count() : kNever;
}

nanoseconds Driver::uncommitted_for() const {
  int64_t since = uncommitted_since_ns_;
  if (since == kNever) return {};
  return clock_.Now().time_since_epoch() - nanoseconds(since);
}

DriverSnapshot Driver::snapshot() const {
  DriverSnapshot snapshot;
  {
    base::MutexLock lock(mutex_);
    snapshot = snapshot_;
  }
  // The worker's own thread can't tell that it hangs.
  if (snapshot.state != DriverState::kHalted && snapshot.state != DriverState::kStopped &&
      clock_.Now() - last_progress() >= milliseconds(options_.call_max_ms)) {
    snapshot.state = DriverState::kDegraded;
    snapshot.text = "a call hasn't returned; events wait";
  }
  return snapshot;
}

}  // namespace sluice::stream
