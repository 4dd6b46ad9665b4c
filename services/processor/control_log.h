// The port to a control topic.
#pragma once

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
  // kDataLoss: the topic contradicts itself or has lost records; anything else: it can't be read
  // now. The view is then as it was.
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
    // For an open transaction's end.
    int idle_timeout_ms = 20'000;
  };
  explicit KafkaControlLog(Options options);

  absl::Status ReadOn() override;
  std::shared_ptr<const ControlView> view() const override;
  absl::StatusOr<std::vector<int64_t>> Committed() override;

 private:
  absl::StatusOr<kafka::Admin*> Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mutex_);
  absl::Status Check(kafka::Admin& admin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mutex_);
  absl::Status Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mutex_);

  const Options options_;
  base::Mutex read_mutex_;                                            // around calls to the brokers
  std::unique_ptr<kafka::Admin> admin_ ABSL_GUARDED_BY(read_mutex_);  // null after a failure
  bool checked_ ABSL_GUARDED_BY(read_mutex_) = false;
  int64_t next_ ABSL_GUARDED_BY(read_mutex_) = 0;
  mutable base::Mutex mutex_;
  std::shared_ptr<const ControlView> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::processor
