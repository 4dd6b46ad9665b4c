// What workers run, and how one of them is given another.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/strings.h"
#include "services/processor/control_view.h"
#include "services/processor/setup.h"

namespace sluice::processor {

// So long may a leak go unnoticed, beside the work at hand.
inline constexpr std::chrono::seconds kSelfCheckInterval{30};

// A configuration and its pipeline over one version of every reference set. Shared by all workers.
struct Edition {
  std::shared_ptr<const Setup> setup;
  // Null where sets aren't there yet.
  std::shared_ptr<const engine::Pipeline> pipeline;
  std::shared_ptr<const SetsState> sets;
};

// A worker's own part of an edition.
struct WorkerEdition {
  Edition edition;
  KeyedEngine keyed;
  // When its engine last checked itself, and when it last had a chunk; never: nullopt.
  std::optional<std::chrono::steady_clock::time_point> checked;
  std::optional<std::chrono::steady_clock::time_point> used;
  // Its keys were away: nothing goes on before it has checked itself with those that are back.
  bool check_due = false;
};

// One place between the thread that makes editions and the worker that takes them at a border of
// its transactions: the newest wins. Making and destroying them is never the worker's work, since
// either may take longer than a worker may stand still. Thread-safe.
class EditionSlot {
 public:
  // What was offered before and not taken is retired.
  void Offer(std::unique_ptr<WorkerEdition> next) {
    base::MutexLock lock(mutex_);
    if (offered_ != nullptr) retired_.push_back(std::move(offered_));
    offered_ = std::move(next);
  }

  // The worker's call: what was offered, if anything was. What it replaces is to be retired.
  std::unique_ptr<WorkerEdition> Take() {
    base::MutexLock lock(mutex_);
    return std::move(offered_);
  }

  // The worker's call: an edition over these versions, which aren't the newest. kUnavailable: it is
  // being made, or says why it can't be; asked for again, it may be there.
  absl::StatusOr<std::unique_ptr<WorkerEdition>> TakeOlder(const VersionIds& ids) {
    base::MutexLock lock(mutex_);
    if (older_ != nullptr && wanted_ == ids) {
      wanted_.clear();
      return std::move(older_);
    }
    if (wanted_ != ids) {
      wanted_ = ids;
      older_failure_.clear();
      if (older_ != nullptr) retired_.push_back(std::move(older_));
    }
    return absl::UnavailableError(older_failure_.empty()
                                      ? "waits for pinned versions of its reference sets"
                                      : older_failure_);
  }
  // What the worker waits for; empty: nothing.
  VersionIds wanted() const {
    base::MutexLock lock(mutex_);
    return older_ == nullptr ? wanted_ : VersionIds();
  }
  // The answer to it.
  void OfferOlder(const VersionIds& ids, absl::StatusOr<std::unique_ptr<WorkerEdition>> made) {
    base::MutexLock lock(mutex_);
    if (!made.ok()) {
      older_failure_ = std::string(base::View(made.status().message()));
    } else if (wanted_ == ids) {
      older_ = *std::move(made);
    } else {
      retired_.push_back(*std::move(made));
    }
  }
  // The worker's call: it is through with it.
  void Retire(std::unique_ptr<WorkerEdition> edition) {
    base::MutexLock lock(mutex_);
    retired_.push_back(std::move(edition));
  }

  // To be destroyed by the caller.
  std::vector<std::unique_ptr<WorkerEdition>> TakeRetired() {
    base::MutexLock lock(mutex_);
    return std::exchange(retired_, {});
  }

  // Why the worker must not go on, such as a set that isn't there; nullopt: it may.
  void Block(std::optional<std::string> reason) {
    base::MutexLock lock(mutex_);
    blocked_ = std::move(reason);
  }
  std::optional<std::string> blocked() const {
    base::MutexLock lock(mutex_);
    return blocked_;
  }

 private:
  mutable base::Mutex mutex_;
  std::unique_ptr<WorkerEdition> offered_ ABSL_GUARDED_BY(mutex_);
  VersionIds wanted_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<WorkerEdition> older_ ABSL_GUARDED_BY(mutex_);  // of the versions wanted
  std::string older_failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<WorkerEdition>> retired_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::string> blocked_ ABSL_GUARDED_BY(mutex_) = "waits for its reference sets";
};

}  // namespace sluice::processor
