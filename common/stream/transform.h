// The port between the driver, which moves records, and the work, which knows what they mean.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "common/stream/record.h"
#include "common/stream/source.h"

namespace sluice::stream {

// Takes results. Single-threaded, like the worker that owns it.
class Output {
 public:
  virtual ~Output() = default;
  // Queues one record in the open transaction. An error means that the transaction can't be
  // completed; the driver aborts it.
  virtual absl::Status Produce(const OutputRecord& record) = 0;
  // The largest record, by RecordBytes(), that the topic takes now. It can shrink between two
  // transactions, when the broker turns out to take less than it said.
  virtual size_t record_bytes_max(size_t topic) const = 0;
};

// One worker's work. Single-threaded. Called with records in their input order, at least one.
//
// All or nothing: it either takes every record of the call, produces their results then or in
// Finish, and returns OK, or it produces nothing and returns an error. kUnavailable means that a
// dependency is away: the driver keeps the records, pauses its source while it keeps polling, and
// calls again with the same records. Any other error stops the worker: the flow halts, nothing is
// skipped. After kDataLoss the driver aborts the open transaction too, instead of committing it.
class Transform {
 public:
  virtual ~Transform() = default;
  virtual absl::Status Process(std::span<const InputRecord> records, Output& output) = 0;
  // The transaction is about to be committed: what Process still holds of its results is produced
  // now. An error means that the transaction can't be completed.
  virtual absl::Status Finish(Output&) { return absl::OkStatus(); }
  // Partitions were given to this worker; their records come next.
  virtual void Assigned() {}
  // What Process did is about to be committed together with these positions; may produce further
  // records, each of them also after a failure done again. An error aborts, as Produce's does.
  virtual absl::Status Committing(std::span<const Position> /*next*/, Output&) {
    return absl::OkStatus();
  }
  // Topic number `output` never takes what this record becomes: from now on it is to become
  // something else. False: it can't, and the worker halts.
  virtual bool Refused(const Position& /*record*/, size_t /*output*/) { return false; }
  // A transaction has been committed: what Process did since the last call is now final.
  virtual void Committed() {}
  // What Process did since the last Committed() will be done again: counts taken since must be
  // dropped.
  virtual void Discarded() {}
};

}  // namespace sluice::stream
