// Moves records from a Source through a Transform into Transactions, exactly once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
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
  std::string text;  // why, for kWaiting, kRecovering, kHalted; empty otherwise
  bool paused = false;
  int64_t events = 0;        // committed
  int64_t transactions = 0;  // committed
  int64_t aborts = 0;
  int64_t recreates = 0;
};

// Rules R1 to R8 of docs/guides/exactly-once.md live here; the calls they govern in the
// Transaction. Run() belongs to one thread, which alone touches source, transaction, transform and
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

  // Completes the open transaction, leaves the group and ends Run().
  void Stop() { stop_ = true; }
  // Completes the open transaction, then keeps the membership only.
  void Pause() { pause_ = true; }
  // Ends a pause; makes a halted worker try again.
  void Resume();

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
      return transaction_.record_bytes_max(topic);
    }

    int64_t records = 0;
    int64_t bytes = 0;
    absl::Status failure;

   private:
    Transaction& transaction_;
  };

  Driver(DriverOptions options, Source& source, Transaction& transaction, Transform& transform,
         DriverProbe& probe, const base::Clock& clock);

  void Step();
  void Handle(const Revoked& revoked);
  void Handle(const Unreadable& unreadable);
  void Process(const Records& records);
  void Commit();
  void VerifyCommit(const std::vector<Position>& sent);
  // Ends the open transaction, if any, so that its records are done again.
  void Fail(const Result& result);
  void Halt(absl::Status reason);
  void Recover();
  void ScheduleRecovery(RecreateCause cause, bool rewind);
  void Drain();

  template <typename Call>
  Result Retry(Verdict when_exhausted, Call call);
  bool Tainted() const;
  bool CommitDue() const;
  std::chrono::milliseconds PollWait() const;
  std::chrono::milliseconds NextBackoff();
  void SetUncommittedSince(std::optional<std::chrono::steady_clock::time_point> since);
  void UpdateState();
  void Beat();

  const DriverOptions options_;
  Source& source_;
  Transaction& transaction_;
  Transform& transform_;
  DriverProbe& probe_;
  const base::Clock& clock_;

  // Of Run()'s thread only.
  using Time = std::chrono::steady_clock::time_point;
  CountingOutput output_;
  bool open_ = false;            // between Begin and the end of Commit or Abort
  Time opened_;                  // when the open transaction got its first record
  int64_t events_ = 0;           // of the open transaction
  std::vector<Position> next_;   // behind them
  Time taken_;                   // when the last records were first taken
  std::optional<Records> held_;  // records that the Transform could not take yet
  std::string held_text_;
  bool recovering_ = true;
  bool rewind_ = false;  // after the recovery
  RecreateCause cause_ = RecreateCause::kStart;
  std::string recovering_text_;
  absl::Status halted_;
  absl::Status terminal_;
  int failures_ = 0;  // since the last success
  Time retry_at_{};   // for held_ or recovering_
  std::optional<Time> fenced_at_;
  std::optional<Time> drain_until_;

  std::atomic<bool> stop_ = false;
  std::atomic<bool> pause_ = false;
  std::atomic<bool> retry_halted_ = false;
  std::atomic<int64_t> uncommitted_since_ns_ = 0;
  std::atomic<int64_t> progress_ns_;  // of the clock's Now()

  mutable base::Mutex mutex_;
  DriverSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::stream
