// The port that records come from: one member of a consumer group.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/stream/record.h"

namespace sluice::stream {

// Where to read on: the offset of the next record. `topic` is valid for as long as the Source is.
struct Position {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = -1;  // -1: none committed
  int32_t leader_epoch =
      -1;  // of the record before it; lets the broker tell a truncated log; -1: unknown

  bool SamePartition(const Position& other) const {
    return partition == other.partition && topic == other.topic;
  }
};

struct Nothing {};

// A run of records and the positions behind them, one per partition that occurs. Valid until the
// next Poll that asks for records, or the next Rewind, Acknowledge or Leave.
struct Records {
  std::span<const InputRecord> records;
  std::span<const Position> next;
};

// Partitions were given to this member. They start from what is committed, or else from the
// beginning.
struct Assigned {
  size_t partitions = 0;
};

// This member is to give up all its partitions. They stay its own until Acknowledge(), so that a
// transaction can be completed; `lost`: they already belong to others, so that it can't.
struct Revoked {
  bool lost = false;
};

// Records could not be read in sequence this time (a corrupt batch); after a Rewind they may be.
struct Interrupted {
  std::string reason;
};

// Records can't be read and waiting won't help: the log was truncated or aged past the position,
// the topic is gone or another of that name, or reading it is forbidden. Going on would skip
// records. After a Rewind it is tried again. kPermissionDenied: it may heal without a person here.
// kAlreadyExists: a live twin has taken this member's place, so that the source is of no more use.
struct Unreadable {
  absl::Status reason;
};

using SourceEvent = std::variant<Nothing, Records, Assigned, Revoked, Interrupted, Unreadable>;

// Delivery promise: from the position of an assignment or a Rewind on, every record of a partition
// is handed out once and in order, and none of it after the Acknowledge of its revocation. It never
// skips: where it can't read, it says so. It never commits; the Transaction does.
//
// Single-threaded: all calls on the worker's thread.
class Source {
 public:
  virtual ~Source() = default;

  // Joins the group. Once.
  virtual absl::Status Start() = 0;

  // The next event, within `wait`. Hands out at most `records_max` records, only what is there, and
  // waits for the first one only. With 0 it keeps the membership alive and hands out no record.
  virtual SourceEvent Poll(size_t records_max, std::chrono::milliseconds wait) = 0;

  // Gives up what the last Revoked named.
  virtual void Acknowledge() = 0;

  // Forgets what has been read and goes on from the committed positions, which it reads anew before
  // the next record is handed out.
  virtual void Rewind() = 0;

  // What is committed for these partitions.
  virtual absl::StatusOr<std::vector<Position>> Committed(std::span<const Position> of) = 0;

  // Whether a partition is this member's, and only its.
  virtual bool Owns(std::string_view /*topic*/, int32_t /*partition*/) const { return true; }

  // Leaves the group. The last call.
  virtual void Leave() = 0;

  // Why records don't come although that may heal by itself; empty: nothing is known to be wrong.
  virtual std::string Trouble() const { return ""; }
};

}  // namespace sluice::stream
