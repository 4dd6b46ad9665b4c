// What an observer of a worker is told. Called on the worker's thread, per chunk or transaction,
// never per record; must not block.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/stream/transaction.h"

namespace sluice::stream {

enum class DriverState {
  kStarting,  // joins the group, takes its first producer epoch
  kRunning,
  kWaiting,     // a dependency is away; records are held, the membership is kept
  kPaused,      // by an operator
  kRecovering,  // takes a new producer epoch after a failed or doubtful transaction
  kHalted,      // needs a person; the flow stands, nothing is skipped
  kDraining,
  kStopped,
  kDegraded,  // records don't come, and that may heal by itself; what else it does isn't told
};
inline constexpr size_t kDriverStates = 9;

constexpr std::string_view DriverStateName(DriverState state) {
  constexpr std::string_view kNames[kDriverStates] = {"starting", "running",    "waiting",
                                                      "paused",   "recovering", "halted",
                                                      "draining", "stopped",    "degraded"};
  return kNames[static_cast<size_t>(state)];
}

enum class RecreateCause { kStart, kAbort, kTaint, kFatal, kFenced, kStrict, kResume };

constexpr std::string_view RecreateCauseName(RecreateCause cause) {
  constexpr std::string_view kNames[] = {"start",  "abort",  "taint", "fatal",
                                         "fenced", "strict", "resume"};
  return kNames[static_cast<size_t>(cause)];
}

struct TransactionFacts {
  int64_t events = 0;                 // input records
  int64_t records = 0;                // output records
  int64_t bytes = 0;                  // of the output records, by RecordBytes()
  std::chrono::nanoseconds open{};    // from Begin to the start of the commit
  std::chrono::nanoseconds commit{};  // the two calls of the commit
  // Behind the input records of a committed transaction; valid during the call.
  std::span<const Position> next;
};

class DriverProbe {
 public:
  virtual ~DriverProbe() = default;
  virtual void ChunkProcessed(size_t /*events*/, std::chrono::nanoseconds /*took*/) {}
  virtual void Committed(const TransactionFacts&) {}
  // `verdict` is the class of what failed; `text` says why; no payload.
  virtual void Aborted(const TransactionFacts&, Verdict /*verdict*/, std::string_view /*text*/) {}
  virtual void Recreated(RecreateCause, std::chrono::nanoseconds /*took*/) {}
  virtual void RecreateFailed(std::string_view /*text*/) {}
  virtual void Assigned(size_t /*partitions*/) {}
  virtual void Revoked(bool /*lost*/) {}
  // A topic refuses what a record becomes, so that it goes to quarantine.
  virtual void RecordRefused(std::string_view /*text*/) {}
  virtual void DependencyUnavailable(std::string_view /*text*/) {}
  virtual void StateChanged(DriverState, std::string_view /*text*/) {}
};

}  // namespace sluice::stream
