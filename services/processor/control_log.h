// The port to a control topic.
#pragma once

#include <condition_variable>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/kafka/admin.h"
#include "common/kafka/connection.h"
#include "services/processor/control_view.h"

namespace sluice::processor {

// One for a process. Thread-safe.
class ControlLog {
 public:
  virtual ~ControlLog() = default;
  // Reads on to where the topic ends now, also behind transactions that are open: it waits for
  // their ends, so that whatever will be seen of what was written before the call is in the view.
  // Takes ten seconds at most, the waiting for another thread's call among them.
  // kDataLoss: the topic contradicts itself or has lost records; anything else: it can't be read
  // now, and is to be asked for again. The view is then as it was.
  virtual absl::Status ReadOn() = 0;
  virtual std::shared_ptr<const ControlView> view() const = 0;
  // By partition of the input, what the group has committed; -1: nothing.
  virtual absl::StatusOr<std::vector<int64_t>> Committed() = 0;
};

class KafkaControlLog final : public ControlLog {
 public:
  struct Options {
    kafka::ConnectionOptions connection;
    std::string topic;
    // Whose events, from which topic.
    std::string group, input;
    // For an open transaction's end. Less than what a worker may be silent for: who calls waits by
    // calling again.
    int idle_timeout_ms = 4'000;
  };
  explicit KafkaControlLog(Options options);

  absl::Status ReadOn() override;
  std::shared_ptr<const ControlView> view() const override;
  absl::StatusOr<std::vector<int64_t>> Committed() override;

 private:
  // The right to call the brokers, one thread's at a time. No lock is held while a broker is waited
  // for, and nobody waits for it for longer than kTurnMax.
  class Turn {
   public:
    explicit Turn(KafkaControlLog& log);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    // kUnavailable: another thread has it.
    const absl::Status& status() const { return status_; }

   private:
    KafkaControlLog& log_;
    absl::Status status_;
  };

  // These for who has the turn.
  absl::StatusOr<kafka::Admin*> Connect();
  absl::Status Check(kafka::Admin& admin);
  absl::Status Read();

  const Options options_;
  std::unique_ptr<kafka::Admin>
      admin_;  // of who has the turn, as the next two; null after a failure
  bool checked_ = false;
  int64_t next_ = 0;
  mutable base::Mutex mutex_;
  std::condition_variable turn_ended_;
  bool taken_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const ControlView> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::processor
