// What workers run, and how one of them is given another.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "services/processor/setup.h"

namespace sluice::processor {

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

  // The worker's call: replaces `in_use` when something was offered; whether it did.
  bool Take(std::unique_ptr<WorkerEdition>& in_use) {
    base::MutexLock lock(mutex_);
    if (offered_ == nullptr) return false;
    if (in_use != nullptr) retired_.push_back(std::move(in_use));
    in_use = std::move(offered_);
    return true;
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
  std::vector<std::unique_ptr<WorkerEdition>> retired_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::string> blocked_ ABSL_GUARDED_BY(mutex_) = "waits for its reference sets";
};

}  // namespace sluice::processor
