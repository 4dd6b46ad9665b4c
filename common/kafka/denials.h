// What a broker can refuse a processor for want of a permission: one table, which errors, the
// status and docs/reference/denials.md are made from.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/mutex.h"
#include "common/kafka/connection.h"

namespace sluice::kafka {

// What is asked of the brokers, in the order of kDenials.
enum class Access {
  kLookUpInput,
  kReadInput,
  kJoinGroup,
  kCommitOffsets,
  kTakeTransactionalId,
  kLookUpOutput,
  kDescribeOutput,
  kWriteOutput,
  kReadPositions,
  kDescribeBrokers,
  kWriteIdempotently,
};

struct Denial {
  Access access;
  std::string_view operation;   // as status and logs name it
  std::string_view resource;    // the kind of resource
  std::string_view permission;  // what to grant
  std::string_view configured;  // where the resource's name comes from
  std::string_view at_start;    // what a processor does that meets it as it starts
  std::string_view running;     // and later
};

inline constexpr std::string_view kEnds =
    "ends with exit code 1; the next start after the grant works";
inline constexpr std::string_view kTries = "halts, and tries again every 15 s";
inline constexpr std::string_view kNextTime =
    "goes on until its next assignment or resume; then halts, and tries again every 15 s";
inline constexpr std::string_view kNextStart = "goes on; it is asked for at the next start";

inline constexpr std::array kDenials = {
    Denial{Access::kLookUpInput, "look up the input topic", "topic", "Describe",
           "pipeline.input.topic", kEnds, kTries},
    Denial{Access::kReadInput, "read the input topic", "topic", "Read", "pipeline.input.topic",
           kTries, kTries},
    Denial{Access::kJoinGroup, "join the group", "group", "Read", "kafka.group", kTries, kTries},
    Denial{Access::kCommitOffsets, "commit offsets", "group", "Read", "kafka.group", kTries,
           kTries},
    Denial{Access::kTakeTransactionalId, "take the transactional id", "transactional id",
           "Describe, Write", "sluice-GROUP-INSTANCE-WORKER", kTries, kTries},
    Denial{Access::kLookUpOutput, "look up an output topic", "topic", "Describe",
           "pipeline.streams, pipeline.quarantine", kEnds, kTries},
    Denial{Access::kDescribeOutput, "read an output topic's configuration", "topic",
           "DescribeConfigs", "pipeline.streams, pipeline.quarantine", kEnds, kNextStart},
    Denial{Access::kWriteOutput, "write an output topic", "topic", "Write",
           "pipeline.streams, pipeline.quarantine", kTries, kTries},
    Denial{Access::kReadPositions, "read the recorded positions", "topic", "Read",
           "pipeline.quarantine, with `.positions`", kEnds, kNextTime},
    Denial{Access::kDescribeBrokers, "read the brokers' configuration", "cluster",
           "DescribeConfigs", "", kEnds, kNextStart},
    Denial{Access::kWriteIdempotently, "write idempotently", "cluster", "IdempotentWrite", "",
           kTries, kTries},
};

constexpr const Denial& DenialOf(Access access) { return kDenials[static_cast<size_t>(access)]; }

// A failure of the kind kPermission: which operation on which resource the brokers refuse, and what
// to grant. `resource`: its name; several, or none where nobody knows it, are possible.
BrokerFailure PermissionFailure(Access access, std::string_view resource);

// The table in Markdown, as docs/reference/denials.md has it.
std::string DenialTable();

// Keeps since when a failure lasts, over tries that get past it and meet it again. Thread-safe.
class LastFailure {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Of the same kind and operation, met again soon: it has lasted since the first time.
  void Met(BrokerFailure failure, Time now);
  void Passed(Time now);
  std::optional<BrokerFailure> get() const;

 private:
  mutable base::Mutex mutex_;
  std::optional<BrokerFailure> failure_ ABSL_GUARDED_BY(mutex_);
  bool lasts_ ABSL_GUARDED_BY(mutex_) = false;
  Time at_ ABSL_GUARDED_BY(mutex_){};  // when it was met or passed
};

}  // namespace sluice::kafka
