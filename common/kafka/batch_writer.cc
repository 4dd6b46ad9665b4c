#include "common/kafka/batch_writer.h"

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <thread>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/stream/failpoint.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kRetry(200);

absl::Status ToStatus(const stream::Result& result) {
  switch (result.verdict) {
    case stream::Verdict::kOk:
      return absl::OkStatus();
    case stream::Verdict::kFenced:
      return absl::AbortedError(
          base::StrCat("another run has taken this work over, or the broker gave a transaction up "
                       "for its age; run it again to go on from what is committed: ",
                       result.text));
    case stream::Verdict::kDenied:
      return absl::PermissionDeniedError(result.text);
    case stream::Verdict::kHalt:
    case stream::Verdict::kRefused:
      return absl::FailedPreconditionError(result.text);
    default:
      return absl::UnavailableError(result.text);
  }
}

}  // namespace

std::unique_ptr<GroupMetadata> BatchWriter::Group::group_metadata() const {
  return MetadataOfNoMember(name_);
}

absl::StatusOr<std::unique_ptr<BatchWriter>> BatchWriter::Create(BatchWriterOptions options) {
  std::unique_ptr<BatchWriter> writer(new BatchWriter(std::move(options)));
  const BatchWriterOptions& o = writer->options_;
  SLUICE_ASSIGN_OR_RETURN(
      writer->transaction_,
      KafkaTransaction::Create({.connection = o.connection,
                                .transactional_id = o.transactional_id,
                                .topics = o.topics,
                                .transaction_timeout_ms = o.transaction_timeout_ms},
                               writer->group_));
  SLUICE_RETURN_IF_ERROR(writer->Until([&] { return writer->transaction_->Recreate(); }));
  return writer;
}

// Again and again where that is the answer, for as long as a transaction may live.
template <typename Call>
absl::Status BatchWriter::Until(Call call) {
  auto end = steady_clock::now() + milliseconds(options_.transaction_timeout_ms);
  while (true) {
    stream::Result result = call();
    if (result.verdict != stream::Verdict::kRetry || steady_clock::now() + kRetry >= end)
      return ToStatus(result);
    std::this_thread::sleep_for(kRetry);
  }
}

absl::Status BatchWriter::Write(std::span<const stream::OutputRecord> records,
                                std::optional<stream::Position> position) {
  static stream::Failpoint after_produce("after_produce");
  // R1: a request of the last transaction may still be on its way.
  if (transaction_->tainted())
    SLUICE_RETURN_IF_ERROR(Until([&] { return transaction_->Recreate(); }));
  SLUICE_RETURN_IF_ERROR(Until([&] { return transaction_->Begin(); }));
  auto write = [&]() -> absl::Status {
    for (const stream::OutputRecord& record : records)
      SLUICE_RETURN_IF_ERROR(transaction_->Produce(record));
    after_produce.Pass();
    if (position) {
      SLUICE_RETURN_IF_ERROR(Until([&] { return transaction_->SendOffsets({&*position, 1}); }));
    }
    return Until([&] { return transaction_->Commit(); });
  };
  absl::Status written = write();
  // What can't be ended in good order, the next writer's new epoch ends.
  if (!written.ok()) (void)transaction_->Abort();
  return written;
}

}  // namespace sluice::kafka
