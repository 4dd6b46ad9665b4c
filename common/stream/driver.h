// Moves records from a Source through a Transform into Transactions, exactly once.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/stream/driver_probe.h"
#include "common/stream/source.h"
#include "common/stream/transaction.h"
#include "common/stream/transform.h"

namespace sluice::stream {

// When a new producer epoch is taken beyond what the broker forces. Turning one of the first two
// off loses and doubles records; that is for the tests that show it.
struct TransactionRules {
  bool recreate_on_taint = true;
  bool recreate_after_abort = true;
  // At every boundary: also safe against requests that are late between two brokers; 10 to 20 ms
  // each.
  bool recreate_always = false;
};

struct DriverOptions {
  // A transaction is committed when the first of these is reached, at the end of a chunk.
  int commit_interval_ms = 100;            // since its first record; 1 to 60,000
  int commit_events = 20'000;              // input records; 1 to 1,000,000
  int64_t commit_bytes = 8 * 1024 * 1024;  // output; 1 to 1 GiB
  // Records per Transform call at most; what is there is not kept waiting for more. 1 to 10,000.
  int chunk_events = 128;
  // The broker's limit for an open transaction, which bounds every retry. 1,000 to 900,000.
  int transaction_timeout_ms = 12'000;
  // Doubles from one failure to the next, for the records as for the producer.
  int backoff_min_ms = 50;
  int backoff_max_ms = 5'000;
  // After Stop(): a call that is to be retried is given up after this long.
  int drain_timeout_ms = 25'000;
  // A worker that has been in one call for this long shows as kDegraded. 1,000 to 600,000.
  int call_max_ms = 15'000;
  // Records that a topic refused and that went to quarantine for it, in a minute; more of them, and
  // more than one in a hundred events, halt the worker, since it is the topic that is wrong then.
  // 1 to 10,000.
  int refusals_per_minute_max = 20;
  // Reads the committed positions back after every commit and halts where they differ from what was
  // sent. One round trip per transaction.
  bool verify_commits = false;
  TransactionRules rules;
  // How to wait before a retry; a test moves its clock instead.
  std::function<void(std::chrono::milliseconds)> sleep = [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
  };
};

// What other threads may know.
struct DriverSnapshot {
  DriverState state = DriverState::kStarting;
  std::string text;  // why, for kWaiting, kRecovering, kHalted, kDegraded; empty otherwise
  bool paused = false;
  int64_t events = 0;        // committed
  int64_t transactions = 0;  // committed
  int64_t aborts = 0;
  int64_t recreates = 0;
};

// Rules R1 to R8 of docs/guides/exactly-once.md live here; the calls they govern in the
// Transaction. Its states, and what enters and leaves each, are in docs/state-machines.md.
//
// Run() belongs to one thread, which alone touches source, transaction, transform and
// probe; they must outlive the driver. All other methods are for any thread.
class Driver {
 public:
  static absl::StatusOr<std::unique_ptr<Driver>> Create(DriverOptions options, Source& source,
                                                        Transaction& transaction,
                                                        Transform& transform, DriverProbe& probe,
                                                        const base::Clock& clock);
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Until Stop(), when it returns OK, or until going on makes no sense, when it says why: the
  // transactional id is taken by a live twin (kAlreadyExists), or the group can't be joined.
  // A worker that halts stays in Run(), keeps its membership and waits for Resume() or Stop().
  absl::Status Run();

  // Run() in parts, for who brings a loop of its own: Start, Step until it returns false, Finish.
  absl::Status Start();
  // One poll of the source and what follows from it. False: Finish() is next.
  bool Step();
  absl::Status Finish();

  // Completes the open transaction, leaves the group and ends Run().
  void Stop() { stop_ = true; }
  // Completes the open transaction, then keeps the membership only.
  void Pause() { pause_ = true; }
  // Ends a pause; makes a halted worker try again.
  void Resume();

  // Where a person wants to read on, and what is to be recorded of that in the same transaction.
  struct Move {
    std::vector<Position> to;
    // On the worker's thread. May be called though nothing comes of it.
    std::function<absl::Status(Output&)> record;
  };
  // Commits `move` in a transaction of its own, at the border of one, and reads on from there; what
  // was read and isn't committed is forgotten. A worker that was paused or halted stays so. Waits
  // for the end. Nothing was done: kNotFound, a partition isn't this worker's; kUnavailable, the
  // worker couldn't within `timeout`. Any other error: it may have been done, which what is
  // committed shows. One at a time.
  absl::Status MoveTo(Move move, std::chrono::milliseconds timeout);

  // False when the worker hasn't moved for twice the transaction timeout: a call hangs.
  bool Alive() const;
  std::chrono::steady_clock::time_point last_progress() const;
  DriverSnapshot snapshot() const;
  // How long the oldest record that was taken and isn't committed has been in work; 0: none is.
  std::chrono::nanoseconds uncommitted_for() const;

 private:
  // Counts what the Transform produces and remembers a failure that the Transform may have
  // rephrased.
  class CountingOutput final : public Output {
   public:
    explicit CountingOutput(Transaction& transaction) : transaction_(transaction) {}
    absl::Status Produce(const OutputRecord& record) override;
    size_t record_bytes_max(size_t topic) const override {
      return transaction_.get().record_bytes_max(topic);
    }

    void Clear() { *this = CountingOutput(transaction_); }

    int64_t records = 0;
    int64_t bytes = 0;
    absl::Status failure;

   private:
    std::reference_wrapper<Transaction> transaction_;
  };

  // Events committed in the last minute.
  class MinuteCount {
   public:
    using Time = std::chrono::steady_clock::time_point;
    void Add(Time now, int64_t events);
    int64_t Sum(Time now) const;

   private:
    static constexpr int64_t kSeconds = 60;
    struct Slot {
      int64_t second = -kSeconds;
      int64_t events = 0;
    };
    static int64_t SecondOf(Time now) {
      return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    }
    std::array<Slot, kSeconds> slots_;
  };

  Driver(DriverOptions options, Source& source, Transaction& transaction, Transform& transform,
         DriverProbe& probe, const base::Clock& clock);

  using Time = std::chrono::steady_clock::time_point;
  // Records whose results are in the open transaction.
  struct Batch {
    Time opened;  // when the first of them was handed over
    Time taken;   // when it was first taken
    int64_t events = 0;
    std::vector<Position> next;  // behind them
  };
  // Records that the Transform could not take yet. They are valid until the source is polled for
  // more, rewound or acknowledged to.
  struct Held {
    Records records;
    Time taken;
    Time retry_at;
    int attempts = 1;
    std::string text;
  };

  // What the worker is in, with all that holds only while it is. `begun`: between a transaction's
  // Begin and its end. A producer epoch is good only in kRunning, kWaiting, kPaused and kDraining,
  // so what belongs to an epoch stands in these alone.
  struct Recovering {
    RecreateCause cause = RecreateCause::kStart;
    bool rewind = false;  // once there is an epoch
    Time retry_at;
    std::string text;
  };
  struct Running {
    bool begun = false;
    std::optional<Batch> batch;
  };
  struct Waiting {
    bool begun = false;
    Held held;
  };
  struct Paused {
    bool begun = false;
    std::optional<Held> held;
  };
  struct Halted {
    std::string reason;
    std::optional<Time> retry_at;  // where the cause may go away by itself
  };
  struct Draining {
    bool begun = false;
    std::optional<Batch> batch;
  };
  struct Ended {
    absl::Status why;
  };
  using State = std::variant<Recovering, Running, Waiting, Paused, Halted, Draining, Ended>;
  // After a topic refused one record of many: transactions of at most `events`, until the one is
  // found.
  struct Bisection {
    int64_t events = 0;
  };

  // A Move that somebody waits for.
  struct AskedMove {
    Move move;
    enum { kWaiting, kUnderWay, kDone } stage = kWaiting;
    absl::Status result;
  };
  void CarryOut(AskedMove& asked);
  absl::Status Execute(const Move& move);
  absl::Status Write(const Move& move);

  void TakeCommands();
  void Advance();
  void Handle(const Revoked& revoked);
  void Handle(const Interrupted& interrupted);
  void Handle(const Unreadable& unreadable);
  void Process(const Records& records, Time taken, int attempts);
  // The batch at hand, if there is one. False: what was read and isn't committed is read again.
  bool Commit();
  void VerifyCommit(const std::vector<Position>& sent);
  void Account(const Records& records, Time start, Time taken);
  // What an error of Output::Produce means for its transaction.
  Result FromProduce(const absl::Status& status);
  // Ends the open transaction, if any, so that its records are done again.
  void Fail(Result result);
  // What a refused record's transaction leads to.
  Result Bisect(const Batch& batch, const Result& refused);
  // Commits what is complete, then stands until a person acts; with `retry`, tries by itself too.
  void Halt(std::string reason, bool retry);
  void Recover();
  void Become(State state);
  std::optional<Batch>* batch();
  bool begun() const;

  template <typename Call>
  Result Retry(Verdict when_exhausted, Call call);
  bool Tainted() const;
  bool CommitDue();
  int64_t EventsMax() const;
  size_t Wanted();
  std::chrono::milliseconds PollWait();
  std::chrono::milliseconds Backoff(int failures) const;
  std::pair<DriverState, std::string> Visible() const;
  void Publish();
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::min();
  void SetUncommittedSince(std::optional<Time> since);
  void Beat();

  const DriverOptions options_;
  Source& source_;
  Transaction& transaction_;
  Transform& transform_;
  DriverProbe& probe_;
  const base::Clock& clock_;

  // Of Run()'s thread only.
  State state_;
  CountingOutput output_;
  int failures_ = 0;  // of transactions and epochs since the last commit
  std::optional<Bisection> bisection_;
  std::deque<Time> refusals_;  // of the last minute
  MinuteCount minute_;
  std::optional<Time> fenced_at_;
  std::optional<Time> drain_until_;

  std::atomic<bool> stop_ = false;
  std::atomic<bool> pause_ = false;
  std::atomic<bool> retry_halted_ = false;
  std::atomic<int64_t> uncommitted_since_ns_ = kNever;
  std::atomic<int64_t> progress_ns_;  // of the clock's Now()

  std::atomic<bool> move_asked_ = false;

  mutable base::Mutex mutex_;
  std::condition_variable moved_;
  std::shared_ptr<AskedMove> asked_move_ ABSL_GUARDED_BY(mutex_);
  DriverSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::stream
