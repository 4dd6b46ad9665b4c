// The port through which a processor has its reference sets: in its own hands, or the reference
// service's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/reference/tables.h"

namespace sluice::processor {

// One version of every set, taken together. Immutable.
struct SetsState {
  // Only rises; 0: not known, where the sets are in the processor's own hands.
  uint64_t activation = 0;
  std::map<std::string, reference::RowsPtr> rows;
  std::map<std::string, reference::TablePtr> tables;

  // Snapshot id by set.
  std::map<std::string, std::string> ids() const {
    std::map<std::string, std::string> ids;
    for (const auto& [name, version] : rows) ids[name] = version->id();
    return ids;
  }
};

// How fresh a set in the processor's own hands is known to be.
struct SetFreshness {
  std::string set;
  // Since its source was last read in full and had the version in use.
  std::chrono::nanoseconds confirmed{0};
  std::chrono::milliseconds full_read_interval{0};
};

// All is for one thread but Usable, Find, unconfirmed, freshness and Stop.
class ReferenceSets {
 public:
  // What is wrong with which set of the configuration, by its place there.
  using Problem = std::function<void(int set, const absl::Status& status)>;

  virtual ~ReferenceSets() = default;

  // Looks at what it is time to look at. Another number than before: there is something to load.
  // Files that the configuration names don't count: whoever reads it looks at them himself.
  virtual uint64_t Look() = 0;
  // What is to be joined from now on. kUnavailable: sets aren't there yet; says which, and why. Any
  // other error has been told to `problem`, or is told in full.
  virtual absl::StatusOr<std::shared_ptr<const SetsState>> Load(const Problem& problem) = 0;
  // It is joined from now on: what comes next is compared with it, and it is kept.
  virtual absl::Status Use(std::shared_ptr<const SetsState> state) = 0;

  // These versions, kept or fetched. kUnavailable: one can't be had now.
  virtual absl::StatusOr<std::shared_ptr<const SetsState>> Find(
      const std::map<std::string, std::string>& ids) = 0;
  // Whether what is in use may be joined: not where it hasn't been confirmed for too long.
  virtual absl::Status Usable() const = 0;
  // Since it was last confirmed that these are the newest versions; nullopt: nobody needs to.
  virtual std::optional<std::chrono::nanoseconds> unconfirmed() const = 0;
  // Ends what waits for a source or reads one: the process is to end. Thread-safe.
  virtual void Stop() {}
  // Of each set whose source this process reads itself.
  virtual std::vector<SetFreshness> freshness() const { return {}; }
};

}  // namespace sluice::processor
