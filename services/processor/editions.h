// What the workers run, replaced while they run: by a changed configuration, or by new versions of
// the reference sets.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "services/processor/control_log.h"
#include "services/processor/edition.h"
#include "services/processor/probe.h"
#include "sluice/processor/v1/processor.pb.h"

namespace sluice::processor {

// Whether `next` may take the place of `running` in a process that goes on: kFailedPrecondition
// names the first key of the configuration that only a restart can change, never its value.
absl::Status CanReplace(const Setup& running, const Setup& next);

// Looks at its configuration's files and at its reference sets, and makes editions on a thread of
// its own; workers take them at the border of a transaction, all sets together. Where sets aren't
// there yet, or haven't been confirmed for too long, workers wait. A configuration that is wrong,
// or that would change what only a restart can, is refused as a whole: what runs goes on, and the
// refusal stays visible in status and metrics until the files are mended.
//
// With a control topic, a second thread makes editions over older versions for workers that ask.
// Where swaps are fenced, what is offered is what the last fence names, ahead of its offsets; what
// is newer is kept for a fence to come.
//
// Life: constructor, AddWorker..., Start, destructor. All but AddWorker thread-safe.
class Editions {
 public:
  struct Options {
    // How often the files are looked at. A change is taken once it has stood still for one look, so
    // that a file that is being written isn't read. 0: only when Reload() says so.
    std::chrono::milliseconds look_interval{1000};
    // Null: there is no control topic. Outlives the object.
    ControlLog* control = nullptr;
    // Workers join what fences name.
    bool fenced = false;
    // The control topic says what is joined, so that it needn't be confirmed to be the newest.
    bool pinned = false;
  };

  // `first` may be without a pipeline. `probe`, `random` and `clock` outlive it.
  Editions(Options options, Setup first, Probe& probe, base::RandomSource& random,
           const base::Clock& clock);
  ~Editions();

  // The worker's slot, valid as long as this object.
  EditionSlot& AddWorker();
  // Before Start.
  void CheckKeysWith(std::function<absl::Status(const Setup&)> check) {
    check_keys_ = std::move(check);
  }
  // Offers the first edition and begins to look for others. An error is the first edition's.
  absl::Status Start();
  // Reads the configuration again, changed or not; returns at once.
  void Reload();
  // What workers run, or will from their next transaction on.
  Edition current() const;
  void FillStatus(v1::GetStatusResponse& status) const;
  // For the collection of gauges.
  void Collect() const;

 private:
  void Run();
  // The configuration, with what its sets have by now.
  void ReadAgain();
  // The sets alone.
  void LoadSets();
  // Makes what the last fence names.
  void FollowFence();
  absl::StatusOr<Edition> EditionOf(const Edition& running,
                                    std::shared_ptr<const SetsState> sets) const;
  void RunOlder();
  void MakeOlder(EditionSlot& slot);
  void Finish(const absl::Status& refused);
  void CheckUsable();
  absl::Status Replace(const Edition& next);
  void DestroyRetired();

  const Options options_;
  // Whether a changed configuration's keys go with what is published.
  std::function<absl::Status(const Setup&)> check_keys_;
  Probe& probe_;
  base::RandomSource& random_;
  const base::Clock& clock_;
  std::vector<std::unique_ptr<EditionSlot>> slots_;

  mutable base::Mutex mutex_;
  std::condition_variable changed_;
  Edition current_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point loaded_at_ ABSL_GUARDED_BY(mutex_);
  bool reload_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string refusal_ ABSL_GUARDED_BY(mutex_);  // of the last reading; empty: it was accepted

  // Of the thread. What the files looked like when they were last read, and at the last look.
  std::string read_, seen_;
  uint64_t sets_read_ = 0;
  std::string unusable_;  // why workers wait although there is an edition; empty: they don't
  uint64_t fence_ = 0;    // whose versions are in use
  std::thread thread_;
  // Of the second thread: what workers share, and when one that failed is made again.
  std::map<VersionIds, std::weak_ptr<const SetsState>> older_;
  std::chrono::steady_clock::time_point older_at_{};
  std::thread older_thread_;
};

}  // namespace sluice::processor
