// Reference sets in the processor's own hands.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/reference/set_loader.h"
#include "common/reference/shelf.h"
#include "services/processor/reference_sets.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

class LocalSets final : public ReferenceSets {
 public:
  struct Options {
    std::vector<config::v1::ReferenceSet> sets;
    reference::SourceOptions sources;
    // Null: only what is in use is kept.
    std::shared_ptr<reference::Shelf> shelf;
    size_t versions_kept = 10;
    // What is in use already: a version must hold its guards against it. May be null.
    std::shared_ptr<const SetsState> in_use;
  };
  // `clock` outlives it. What is wrong with a set's configuration is told at the first Load.
  LocalSets(Options options, const base::Clock& clock);

  uint64_t Look() override;
  absl::StatusOr<std::shared_ptr<const SetsState>> Load(const Problem& problem) override;
  absl::Status Use(std::shared_ptr<const SetsState> state) override;
  absl::StatusOr<std::shared_ptr<const SetsState>> Find(
      const std::map<std::string, std::string>& ids) override;
  absl::Status Usable() const override { return absl::OkStatus(); }
  std::optional<std::chrono::nanoseconds> unconfirmed() const override { return std::nullopt; }
  void Stop() override {
    stopping_.request_stop();
    interrupt_->Raise();
  }
  std::vector<SetFreshness> freshness() const override;

 private:
  struct Set {
    std::unique_ptr<reference::SetLoader> loader;
    absl::Status made;        // of its source
    reference::RowsPtr rows;  // the newest that were read
    absl::Status refused;     // why what the source has can't be read
  };
  void LookAt(Set& set, bool anyway);
  // What is in use is what the source had when it was last read.
  void Confirm(const Set& set);
  std::shared_ptr<const SetsState> in_use() const;

  std::stop_source stopping_;
  const std::shared_ptr<reference::Interrupt> interrupt_ = std::make_shared<reference::Interrupt>();
  const std::shared_ptr<reference::Shelf> shelf_;
  const size_t versions_kept_;
  std::vector<Set> sets_;
  uint64_t changes_ = 0;
  const base::Clock& clock_;
  mutable base::Mutex mutex_;
  struct Confirmed {
    std::chrono::steady_clock::time_point at;
    std::chrono::milliseconds full_read_interval;
  };
  std::map<std::string, Confirmed> confirmed_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const SetsState> in_use_ ABSL_GUARDED_BY(mutex_);
};

// Versions as tables. kUnavailable or kNotFound: `get` has told so of one.
absl::StatusOr<std::shared_ptr<const SetsState>> StateOf(
    const std::map<std::string, std::string>& ids,
    const std::function<absl::StatusOr<reference::RowsPtr>(const std::string& set,
                                                           const std::string& id)>& get);

}  // namespace sluice::processor
