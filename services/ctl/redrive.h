// Takes quarantine records out of waiting: redriven into the raw topic, or discarded.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/quarantine.h"

namespace sluice::ctl {

struct RunOptions {
  quarantine::v1::Action action = quarantine::v1::REDRIVEN;  // or DISCARDED
  Selection selection;
  std::string because;
  bool execute = false;     // false: only count
  std::string trail;        // file of the audit trail; required where something is executed
  std::string private_key;  // file; for REDRIVEN, where given also when nothing is executed
  // Records that were redriven this often already are kept.
  uint32_t generations_max = 3;
  int per_second_max = 500;       // 1 to 1,000,000
  int transaction_records = 100;  // 1 to 10,000
  // Of those that are chosen, the first ones only.
  uint64_t records_max = UINT64_MAX;
  std::function<void(uint64_t done)> progress = [](uint64_t) {};
  std::function<void(std::chrono::nanoseconds)> sleep;  // default: this thread's
};

struct RunReport {
  std::string run;  // id; empty when nothing was executed
  uint64_t chosen = 0;
  uint64_t done = 0;  // of those; what would be done when nothing was executed
  uint64_t redriven_before = 0;
  uint64_t discarded_before = 0;
  uint64_t kept = 0;        // redriven too often
  uint64_t unopenable = 0;  // payload can't be opened, is gone, or larger than the raw topic takes
  std::map<std::string, uint64_t> by_rule;              // of `done`
  std::vector<std::pair<Place, std::string>> problems;  // the first of what can't be opened
};

// Redrives or discards what is chosen of what is there at its beginning. Each transaction holds raw
// records and, for each of them, its fate in the ledger; what the ledger names is never taken
// again, and it is read only once nothing of a former run can change it any more. So however often
// and wherever a run is killed, a record is redriven at most once, and a further run redrives what
// is left. One run at a time for a quarantine: a second one ends the first, with kAborted. Records
// are published in the order in which their raw records stood, each in its raw partition and with
// its own headers.
absl::StatusOr<RunReport> RunOverQuarantine(const Site& site, const RunOptions& options);

// Writes that a record's payload is about to be shown, to the trail and to the ledger. Before it
// is.
absl::Status RecordShown(const Site& site, const Place& place, const std::string& trail);
// Writes to the trail that it couldn't be shown.
absl::Status RecordNotShown(const Site& site, const Place& place, const std::string& trail,
                            const absl::Status& why);

}  // namespace sluice::ctl
