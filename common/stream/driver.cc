#include "common/stream/driver.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "common/stream/failpoint.h"

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

// What an error of Output::Produce means for its transaction.
Result FromProduce(const absl::Status& status) {
  // kInvalidArgument: the Transform broke a limit it can ask for; the same record would again.
  bool permanent = absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
                   absl::IsInvalidArgument(status);
  return {permanent ? Verdict::kHalt : Verdict::kAbort, std::string(base::View(status.message()))};
}

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
      output_(transaction) {
  Beat();
}

absl::Status Driver::CountingOutput::Produce(const OutputRecord& record) {
  absl::Status status = transaction_.Produce(record);
  if (!status.ok()) [[unlikely]] {
    failure = status;
    return status;
  }
  ++records;
  bytes += static_cast<int64_t>(RecordBytes(record));
  return status;
}

absl::Status Driver::Run() {
  absl::Status started = source_.Start();
  if (!started.ok()) return started;
  while (!stop_ && terminal_.ok()) Step();
  Drain();
  return terminal_;
}

void Driver::Step() {
  Beat();
  if (retry_halted_.exchange(false) && !halted_.ok()) {
    halted_ = absl::OkStatus();
    ScheduleRecovery(RecreateCause::kResume, /*rewind=*/true);
  }
  if (recovering_ && clock_.Now() >= retry_at_) Recover();
  if (!terminal_.ok()) return;
  if (pause_) Commit();
  bool flows = !recovering_ && !pause_ && halted_.ok();
  if (held_ && flows && clock_.Now() >= retry_at_) Process(*std::exchange(held_, std::nullopt));
  UpdateState();

  // What was just done may have changed all of these.
  flows = !recovering_ && !pause_ && !held_ && halted_.ok();
  SourceEvent event = source_.Poll(flows ? options_.chunk_events : 0, PollWait());
  Beat();
  std::visit(Overloaded{
                 [](const Nothing&) {},
                 [this](const Records& records) { Process(records); },
                 [this](const Assigned& assigned) {
                   transform_.Assigned();
                   probe_.Assigned(assigned.partitions);
                 },
                 [this](const Revoked& revoked) { Handle(revoked); },
                 [this](const Interrupted& interrupted) {
                   Fail({Verdict::kAbort, interrupted.reason});
                 },
                 [this](const Unreadable& unreadable) { Handle(unreadable); },
             },
             event);
  if (CommitDue()) Commit();
}

void Driver::Handle(const Revoked& revoked) {
  probe_.Revoked(revoked.lost);
  held_.reset();
  if (revoked.lost) {
    if (open_)
      Fail({Verdict::kAbort, "the partitions were lost: the group hasn't heard of this member"});
  } else {
    Commit();
  }
  source_.Acknowledge();
}

void Driver::Handle(const Unreadable& unreadable) {
  if (absl::IsAlreadyExists(unreadable.reason)) {
    // This member is dead to the group for good, and what it had open with it.
    terminal_ = unreadable.reason;
  } else {
    Halt(unreadable.reason);
  }
}

void Driver::Process(const Records& records) {
  if (!open_) {
    // Also for a request that lost its answer after the last commit was looked at.
    if (Tainted()) {
      held_.reset();
      return ScheduleRecovery(RecreateCause::kTaint, /*rewind=*/true);
    }
    Result begun = Retry(Verdict::kRecreate, [this] { return transaction_.Begin(); });
    if (!begun.ok()) return Fail(begun);
    open_ = true;
  }
  Time start = clock_.Now();
  if (next_.empty()) opened_ = start;
  if (!held_) taken_ = start;
  if (uncommitted_since_ns_ == 0) SetUncommittedSince(start);
  int64_t records_before = output_.records;
  absl::Status status = transform_.Process(records.records, output_);
  Beat();
  if (!output_.failure.ok()) return Fail(FromProduce(output_.failure));
  if (!status.ok() && output_.records != records_before) {
    // All or nothing is the Transform's promise; half of a chunk must not be committed even so.
    return Fail(
        {Verdict::kHalt, base::StrCat("the transform failed in mid-chunk: ", status.message())});
  }
  if (absl::IsUnavailable(status)) {
    // The back-off comes first: a commit that fails sets its own and drops the held records.
    retry_at_ = clock_.Now() + NextBackoff();
    held_ = records;
    held_text_ = base::View(status.message());
    probe_.DependencyUnavailable(held_text_);
    return Commit();
  }
  if (!status.ok()) return Halt(std::move(status));

  events_ += static_cast<int64_t>(records.records.size());
  for (const Position& position : records.next) {
    auto same = std::find_if(next_.begin(), next_.end(),
                             [&](const Position& other) { return other.SamePartition(position); });
    if (same == next_.end()) {
      next_.push_back(position);
    } else {
      *same = position;
    }
  }
  probe_.ChunkProcessed(records.records.size(), clock_.Now() - start);
}

void Driver::Commit() {
  static Failpoint after_produce("after_produce");
  static Failpoint after_send_offsets("after_send_offsets");
  if (next_.empty()) return;
  Time start = clock_.Now();
  if (absl::Status finished = transform_.Finish(output_); !finished.ok()) {
    return Fail(output_.failure.ok()
                    ? Result{Verdict::kHalt, base::StrCat("what the transform held can't be "
                                                          "produced: ",
                                                          finished.message())}
                    : FromProduce(output_.failure));
  }
  after_produce.Pass();
  Result result = Retry(Verdict::kAbort, [this] { return transaction_.SendOffsets(next_); });
  if (!result.ok()) return Fail(result);
  after_send_offsets.Pass();
  result = Retry(Verdict::kAbort, [this] { return transaction_.Commit(); });
  if (!result.ok()) return Fail(result);

  open_ = false;
  if (!held_) failures_ = 0;
  SetUncommittedSince(held_ ? std::optional(taken_) : std::nullopt);
  TransactionFacts facts{std::exchange(events_, 0),
                         std::exchange(output_.records, 0),
                         std::exchange(output_.bytes, 0),
                         start - opened_,
                         clock_.Now() - start,
                         {}};
  std::vector<Position> sent;
  sent.swap(next_);
  facts.next = sent;
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
  if (taint || options_.rules.recreate_always) {
    if (taint) held_.reset();
    ScheduleRecovery(taint ? RecreateCause::kTaint : RecreateCause::kStrict, /*rewind=*/taint);
    if (!stop_) Recover();
  }
  if (options_.verify_commits && !recovering_) VerifyCommit(sent);
}

void Driver::VerifyCommit(const std::vector<Position>& sent) {
  absl::StatusOr<std::vector<Position>> committed = source_.Committed(sent);
  if (!committed.ok()) return;  // nothing was learnt; the next commit is verified in its turn
  for (const Position& position : sent) {
    for (const Position& found : *committed) {
      if (!found.SamePartition(position) || found.offset == position.offset) continue;
      return Halt(absl::DataLossError(
          base::StrCat("committed position of ", position.topic, "/", position.partition, " is ",
                       found.offset, ", ", position.offset,
                       " was sent: another writer, or a late request; audit before resuming")));
    }
  }
}

void Driver::Fail(const Result& result) {
  held_.reset();
  SetUncommittedSince(std::nullopt);
  TransactionFacts facts{std::exchange(events_, 0),
                         std::exchange(output_.records, 0),
                         std::exchange(output_.bytes, 0),
                         {},
                         {},
                         {}};
  if (!next_.empty()) facts.open = clock_.Now() - opened_;
  output_.failure = absl::OkStatus();
  next_.clear();
  transform_.Discarded();

  // The broker also fences whose transaction it has aborted for its age; that says nothing of a
  // twin.
  bool expired = facts.open >= milliseconds(options_.transaction_timeout_ms);
  RecreateCause cause = RecreateCause::kAbort;
  if (result.verdict == Verdict::kFenced && !expired) {
    cause = RecreateCause::kFenced;
    if (fenced_at_ && clock_.Now() - *fenced_at_ < kTwinWindow) {
      terminal_ =
          absl::AlreadyExistsError(base::StrCat("another live producer uses this transactional id; "
                                                "give every replica an instance name of its "
                                                "own: ",
                                                result.text));
    }
    fenced_at_ = clock_.Now();
  } else if (result.verdict == Verdict::kRecreate || result.verdict == Verdict::kFenced) {
    cause = RecreateCause::kFatal;
  } else if (open_ && terminal_.ok()) {
    // Abort although Recreate would: a transaction that is found open costs the new epoch half a
    // second.
    Result aborted = Retry(Verdict::kRecreate, [this] { return transaction_.Abort(); });
    if (!aborted.ok()) cause = RecreateCause::kFatal;
  }
  open_ = false;
  {
    base::MutexLock lock(mutex_);
    ++snapshot_.aborts;
  }
  probe_.Aborted(facts, result.verdict, result.text);
  if (result.verdict == Verdict::kHalt) halted_ = absl::FailedPreconditionError(result.text);

  recovering_text_ = result.text;
  if (cause != RecreateCause::kAbort || Tainted() || options_.rules.recreate_after_abort) {
    ScheduleRecovery(cause, /*rewind=*/true);
    retry_at_ = clock_.Now() + NextBackoff();
  } else {
    source_.Rewind();
  }
}

void Driver::Halt(absl::Status reason) {
  held_.reset();
  halted_ = std::move(reason);
  Commit();
}

void Driver::ScheduleRecovery(RecreateCause cause, bool rewind) {
  rewind_ = rewind || (recovering_ && rewind_);
  recovering_ = true;
  cause_ = cause;
  retry_at_ = clock_.Now();
}

void Driver::Recover() {
  UpdateState();
  Time start = clock_.Now();
  Result result = transaction_.Recreate();
  Beat();
  if (!result.ok()) {
    probe_.RecreateFailed(result.text);
    recovering_text_ = result.text;
    if (result.verdict == Verdict::kHalt) halted_ = absl::FailedPreconditionError(result.text);
    if (result.verdict == Verdict::kFenced) return Fail(result);
    retry_at_ = clock_.Now() + NextBackoff();
    return;
  }
  recovering_ = false;
  // R4: the committed positions are true only now that no old request can change them.
  if (rewind_) source_.Rewind();
  rewind_ = false;
  {
    base::MutexLock lock(mutex_);
    ++snapshot_.recreates;
  }
  probe_.Recreated(cause_, clock_.Now() - start);
}

void Driver::Drain() {
  drain_until_ = clock_.Now() + milliseconds(options_.drain_timeout_ms);
  UpdateState();
  held_.reset();
  if (terminal_.ok()) Commit();
  // What is open now holds nothing, or the broker aborts it: leaving is always safe.
  source_.Leave();
  Beat();
  base::MutexLock lock(mutex_);
  snapshot_.state = DriverState::kStopped;
  snapshot_.text = base::View((terminal_.ok() ? halted_ : terminal_).message());
  probe_.StateChanged(DriverState::kStopped, snapshot_.text);
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
      return {when_exhausted, base::StrCat("given up after retries: ", result.text)};
    }
    options_.sleep(wait);
  }
}

bool Driver::Tainted() const { return options_.rules.recreate_on_taint && transaction_.tainted(); }

bool Driver::CommitDue() const {
  return !next_.empty() &&
         (events_ >= options_.commit_events || output_.bytes >= options_.commit_bytes ||
          clock_.Now() - opened_ >= milliseconds(options_.commit_interval_ms));
}

milliseconds Driver::PollWait() const {
  Time until = clock_.Now() + kPollMax;
  if (!next_.empty()) until = std::min(until, opened_ + milliseconds(options_.commit_interval_ms));
  if (recovering_ || (held_ && !pause_)) until = std::min(until, retry_at_);
  // Rounded up, so that the last millisecond isn't spun away.
  auto wait = std::chrono::ceil<milliseconds>(until - clock_.Now());
  return std::max(wait, milliseconds(0));
}

milliseconds Driver::NextBackoff() {
  int doublings = std::min(failures_++, 16);
  return milliseconds(
      std::min<int64_t>(int64_t{options_.backoff_min_ms} << doublings, options_.backoff_max_ms));
}

void Driver::UpdateState() {
  DriverState state = DriverState::kRunning;
  std::string_view text;
  if (drain_until_) {
    state = DriverState::kDraining;
  } else if (!halted_.ok()) {
    state = DriverState::kHalted;
    text = base::View(halted_.message());
  } else if (recovering_) {
    state = cause_ == RecreateCause::kStart ? DriverState::kStarting : DriverState::kRecovering;
    text = recovering_text_;
  } else if (pause_) {
    state = DriverState::kPaused;
  } else if (held_) {
    state = DriverState::kWaiting;
    text = held_text_;
  }
  base::MutexLock lock(mutex_);
  snapshot_.paused = pause_;
  if (snapshot_.state == state && snapshot_.text == text) return;
  snapshot_.state = state;
  snapshot_.text = text;
  // Strict mode recovers at every boundary; that is its running.
  if (state != DriverState::kRecovering || cause_ != RecreateCause::kStrict)
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
  uncommitted_since_ns_ = since ? since->time_since_epoch().count() : 0;
}

nanoseconds Driver::uncommitted_for() const {
  int64_t since = uncommitted_since_ns_;
  if (since == 0) return {};
  return clock_.Now().time_since_epoch() - nanoseconds(since);
}

DriverSnapshot Driver::snapshot() const {
  base::MutexLock lock(mutex_);
  return snapshot_;
}

}  // namespace sluice::stream
