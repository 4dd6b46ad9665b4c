// Writes batches of records, each whole or not at all, together with a note of how far the caller
// has got: for command lines that may be killed and started again and must write nothing twice.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/connection.h"
#include "common/kafka/transaction.h"
#include "common/stream/record.h"

namespace sluice::kafka {

struct BatchWriterOptions {
  ConnectionOptions connection;
  // Of the work, not of the process: whoever takes the same work up again ends what the former run
  // left open, and a run that is still alive is fenced.
  std::string transactional_id;
  std::vector<std::string> topics;  // OutputRecord::topic is an index into them
  // A group in which nobody consumes; it keeps the positions that Write is given. Empty: none.
  std::string group;
  int transaction_timeout_ms = 30'000;
};

// Single-threaded.
class BatchWriter {
 public:
  // Afterwards nothing that a former run has written can change any more: what is committed is
  // committed. kNotFound: a topic is missing.
  static absl::StatusOr<std::unique_ptr<BatchWriter>> Create(BatchWriterOptions options);

  // Readers at read_committed see all of it, and the group its position, or none. An error is the
  // writer's last answer, and leaves open which of the two happened: what the next writer finds
  // committed says so. kAborted: another run has taken the work over.
  absl::Status Write(std::span<const stream::OutputRecord> records,
                     std::optional<stream::Position> position);

  // The largest record, by stream::RecordBytes(), that the topic takes.
  size_t record_bytes_max(size_t topic) const { return transaction_->record_bytes_max(topic); }

 private:
  // The membership of a group that nobody is a member of.
  class Group final : public GroupMember {
   public:
    explicit Group(std::string name) : name_(std::move(name)) {}
    std::unique_ptr<GroupMetadata> group_metadata() const override;

   private:
    const std::string name_;
  };

  explicit BatchWriter(BatchWriterOptions options)
      : options_(std::move(options)), group_(options_.group) {}

  template <typename Call>
  absl::Status Until(Call call);

  const BatchWriterOptions options_;
  const Group group_;
  std::unique_ptr<KafkaTransaction> transaction_;
};

}  // namespace sluice::kafka
