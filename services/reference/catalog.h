// The sets that the service has: loaded, checked, versioned, and which version of each is active.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/reference/set_loader.h"
#include "common/reference/shelf.h"
#include "common/reference/tables.h"
#include "services/reference/probe.h"
#include "sluice/reference/v1/reference.pb.h"
#include "sluice/reference/v1/state.pb.h"

namespace sluice::reference {

// One moment's active versions. Immutable.
struct CatalogView {
  uint64_t activation = 0;
  std::map<std::string, RowsPtr> rows;
  std::map<std::string, TablePtr> tables;

  // Of these sets; those without a version are left out.
  v1::Active Active(const std::vector<std::string>& sets) const;
};

// Each group of sets (a set without a group is one by itself) has a thread that looks at its
// sources, so that one that hangs holds up no other. What is found is checked against what is
// active; the sets of a group change together, or none does. What is refused stays out, and the
// reason stays visible until the source has something better.
//
// What is active is on disk before anyone is told of it, and comes back after a restart.
//
// Life: Create, Start, Stop, destructor. The rest is thread-safe.
class Catalog {
 public:
  struct Options {
    size_t versions_kept = 5;
  };
  // Asked before anything becomes active or held by a person's act; an error keeps it from being
  // done. The id is the version's.
  using Record = std::function<absl::Status(const std::string& id)>;

  // All outlive the catalog.
  static absl::StatusOr<std::unique_ptr<Catalog>> Create(
      Options options, std::vector<std::unique_ptr<SetLoader>> sets, Shelf& shelf, Probe& probe,
      const base::Clock& clock);
  ~Catalog();

  void Start();
  // Ends the threads, and every WaitBeyond. Raise the sources' interrupt before.
  void Stop();

  std::shared_ptr<const CatalogView> view() const;
  // Until there is a later activation than this one, `timeout` has passed, or Stop.
  void WaitBeyond(uint64_t activation, std::chrono::milliseconds timeout) const;
  bool stopped() const;

  const std::vector<std::string>& names() const { return names_; }
  // Null: no such set.
  const config::v1::ReferenceSet* Find(const std::string& set) const;
  // A version that is kept.
  absl::StatusOr<RowsPtr> Find(const std::string& set, const std::string& id) const;
  // The version that was active before; empty: none.
  std::string Before(const std::string& set) const;
  // The newest first.
  std::vector<v1::Version> Versions(const std::string& set) const;
  void FillStatus(v1::GetStatusResponse& status) const;
  // Whether every set has a version; the names of those without one.
  std::vector<std::string> Missing() const;
  void Collect() const;

  // The three acts; the id of what is active by them.
  absl::StatusOr<std::string> Load(const std::string& set, bool accept_change,
                                   const Record& record);
  absl::Status Activate(const std::string& set, const std::string& id, const Record& record);
  absl::StatusOr<std::string> Rollback(const std::string& set, const Record& record);
  // Ends a hold.
  absl::Status Release(const std::string& set, const Record& record);

 private:
  struct Entry {
    std::unique_ptr<SetLoader> loader;
    RowsPtr pending;  // passes by itself, and waits for its group; the group's thread's or lock's
    std::chrono::steady_clock::time_point pending_read_at{};
    bool away = false;  // the refusal is that the source is away

    const std::string& name() const { return loader->config().name(); }
  };
  struct Group {
    std::vector<Entry> entries;
    base::Mutex mutex;  // around a pass
    std::thread thread;
  };
  // What is told of a set.
  struct Facts {
    int64_t loaded_unix_ms = 0;
    std::string before_id;
    bool held = false;
    std::optional<std::chrono::steady_clock::time_point> looked_at;
    // When the read began that last found what is active.
    std::optional<std::chrono::steady_clock::time_point> confirmed_at;
    std::chrono::milliseconds full_read_interval{0};
    uint64_t never_hold = 0;
    std::string last_refusal;
    int64_t last_refused_unix_ms = 0;
    std::string refusal;
    std::chrono::steady_clock::time_point refused_at{};
    uint64_t accepted = 0, refused = 0;
  };
  struct Place {
    Group* group = nullptr;
    Entry* entry = nullptr;
  };

  Catalog(Options options, Shelf& shelf, Probe& probe, const base::Clock& clock)
      : options_(options), shelf_(shelf), probe_(probe), clock_(clock) {}
  absl::Status Recover();
  void Run(Group& group);
  // Looks at what is due, or at this entry, and activates what may be. The error is the entry's.
  absl::Status Pass(Group& group, Entry* asked, bool accept_change, const Record& record);
  // kCancelled: the catalog ends. What is wrong with the source is told by the set's facts.
  absl::Status LookAt(Entry& entry, bool anyway);
  absl::Status Settle(Group& group, Entry* asked, bool accept_change, const Record& record);
  void Refuse(Entry& entry, const absl::Status& why, bool away);
  // `built`: tables of these rows, where there are some already.
  absl::Status Publish(const std::map<std::string, RowsPtr>& rows,
                       const std::map<std::string, TablePtr>& built, std::optional<bool> held,
                       const Record& record) ABSL_LOCKS_EXCLUDED(publish_mutex_);
  absl::StatusOr<std::shared_ptr<CatalogView>> ViewWith(
      const std::map<std::string, RowsPtr>& rows,
      const std::map<std::string, TablePtr>& built = {}) const;
  absl::StatusOr<Place> PlaceOf(const std::string& set);
  std::string RefusalOf(const Entry& entry) const;

  const Options options_;
  Shelf& shelf_;
  Probe& probe_;
  const base::Clock& clock_;
  std::stop_source stopping_;  // ends what sorts rows and builds tables
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Group>> groups_;

  base::Mutex publish_mutex_;  // one activation at a time
  mutable base::Mutex mutex_;
  mutable std::condition_variable changed_;
  std::shared_ptr<const CatalogView> view_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<const CatalogView>();
  std::map<std::string, Facts> facts_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::reference
