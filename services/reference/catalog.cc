#include "services/reference/catalog.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/status.h"
#include "common/base/stop_scope.h"
#include "common/base/strings.h"
#include "common/reference/guards.h"
#include "common/reference/lmdb_table.h"
#include "common/reference/tables.h"

namespace sluice::reference {
namespace {

using std::chrono::milliseconds;

// How often a group's thread sees whether a look is due.
constexpr milliseconds kTick{20};

const Catalog::Record kNoRecord = [](const std::string&) { return absl::OkStatus(); };

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

v1::Active CatalogView::Active(const std::vector<std::string>& sets) const {
  v1::Active active;
  active.set_activation(activation);
  for (const std::string& set : sets) {
    if (auto found = rows.find(set); found != rows.end())
      (*active.mutable_ids())[set] = found->second->id();
  }
  return active;
}

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Create(
    Options options, std::vector<std::unique_ptr<SetLoader>> sets, Shelf& shelf, Probe& probe,
    const base::Clock& clock) {
  auto catalog = std::unique_ptr<Catalog>(new Catalog(options, shelf, probe, clock));
  std::map<std::string, Group*> named;
  for (auto& loader : sets) {
    const config::v1::ReferenceSet& config = loader->config();
    catalog->names_.push_back(config.name());
    Group*& group = named[config.group().empty() ? "/" + config.name() : config.group()];
    if (group == nullptr) group = catalog->groups_.emplace_back(std::make_unique<Group>()).get();
    group->entries.push_back(Entry{std::move(loader)});
  }
  SLUICE_RETURN_IF_ERROR(catalog->Recover());
  return catalog;
}

Catalog::~Catalog() { Stop(); }

// What was active when the process ended. A file that is damaged is as if it weren't there: its
// source is read anyway.
absl::Status Catalog::Recover() {
  v1::CatalogState state;
  SLUICE_ASSIGN_OR_RETURN(bool there, shelf_.GetState(state));
  std::map<std::string, milliseconds> full_read_intervals;
  for (const auto& group : groups_)
    for (const Entry& entry : group->entries)
      full_read_intervals[entry.name()] = entry.loader->full_read_interval();
  base::MutexLock lock(mutex_);
  std::map<std::string, RowsPtr> rows;
  for (const std::string& name : names_) {
    Facts& facts = facts_[name];
    facts.full_read_interval = full_read_intervals.at(name);
    auto found = state.sets().find(name);
    if (!there || found == state.sets().end()) continue;
    facts.before_id = found->second.before_id();
    auto kept = shelf_.Get(name, found->second.id());
    if (!kept.ok()) continue;
    facts.held = found->second.held();
    facts.loaded_unix_ms = found->second.loaded_unix_ms();
    rows[name] = *std::move(kept);
  }
  auto view = std::make_shared<CatalogView>();
  view->activation = state.activation();
  auto tables = MakeTables(rows);
  // A set that needs another one which is gone waits for it.
  if (tables.ok()) {
    view->rows = std::move(rows);
    view->tables = *std::move(tables);
  }
  view_ = std::move(view);
  return absl::OkStatus();
}

void Catalog::Start() {
  for (const auto& group : groups_) group->thread = std::thread([this, &group] { Run(*group); });
}

void Catalog::Stop() {
  stopping_.request_stop();
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (const auto& group : groups_) {
    if (group->thread.joinable()) group->thread.join();
  }
}

bool Catalog::stopped() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

std::shared_ptr<const CatalogView> Catalog::view() const {
  base::MutexLock lock(mutex_);
  return view_;
}

void Catalog::WaitBeyond(uint64_t activation, milliseconds timeout) const {
  base::MutexLock lock(mutex_);
  lock.WaitFor(changed_, timeout, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return stop_ || view_->activation > activation;
  });
}

void Catalog::Run(Group& group) {
  while (true) {
    {
      base::MutexLock lock(group.mutex);
      // What is refused is told by the set's facts.
      Pass(group, nullptr, false, kNoRecord).IgnoreError();
    }
    base::MutexLock lock(mutex_);
    if (lock.WaitFor(changed_, kTick, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_; }))
      return;
  }
}

absl::Status Catalog::Pass(Group& group, Entry* asked, bool accept_change, const Record& record) {
  base::StopScope scope(stopping_.get_token());
  bool looked = false;
  for (Entry& entry : group.entries) {
    if (&entry != asked && !entry.loader->Due()) continue;
    SLUICE_RETURN_IF_ERROR(LookAt(entry, &entry == asked));
    looked = true;
  }
  if (!looked) return absl::OkStatus();
  return Settle(group, asked, accept_change, record);
}

absl::Status Catalog::LookAt(Entry& entry, bool anyway) {
  auto rows = entry.loader->Look(anyway);
  if (absl::IsCancelled(rows.status())) return rows.status();
  if (!rows.ok()) {
    bool away = absl::IsUnavailable(rows.status());
    // What it had before it was seen to be wrong isn't what it has.
    if (!away) entry.pending = nullptr;
    Refuse(entry, rows.status(), away);
    return absl::OkStatus();
  }
  const auto read_at = entry.loader->read_at().value_or(clock_.Now());
  bool same = false;
  {
    base::MutexLock lock(mutex_);
    Facts& facts = facts_[entry.name()];
    facts.looked_at = clock_.Now();
    if (std::exchange(entry.away, false)) facts.refusal.clear();
    if (*rows == nullptr) return absl::OkStatus();
    facts.refusal.clear();
    facts.never_hold = entry.loader->never_hold();
    RowsPtr active;
    if (auto found = view_->rows.find(entry.name()); found != view_->rows.end())
      active = found->second;
    const bool alike = active != nullptr && active->id() == (*rows)->id();
    if (alike || facts.held) facts.confirmed_at = read_at;
    // Rows that have come into a mapped file, or out of it, take the place of their like. So do
    // rows with columns that are classified otherwise now, which processors have to hear of.
    same = alike && IsMapped(*active) == IsMapped(**rows) &&
           HaveOneDefinition(active->schema(), (*rows)->schema());
  }
  if (same) probe_.Loaded(entry.name(), "unchanged");
  entry.pending = same ? nullptr : *std::move(rows);
  entry.pending_read_at = read_at;
  return absl::OkStatus();
}

void Catalog::Refuse(Entry& entry, const absl::Status& why, bool away) {
  entry.away = away;
  std::string text(base::View(why.message()));
  base::MutexLock lock(mutex_);
  Facts& facts = facts_[entry.name()];
  if (!away) facts.looked_at = clock_.Now();
  facts.last_refusal = text;
  facts.last_refused_unix_ms = clock_.UnixMillis();
  if (facts.refusal == text) return;
  if (facts.refusal.empty()) facts.refused_at = clock_.Now();
  facts.refusal = text;
  ++facts.refused;
  probe_.Refused(entry.name(), text, away);
}

std::string Catalog::RefusalOf(const Entry& entry) const {
  base::MutexLock lock(mutex_);
  return facts_.at(entry.name()).refusal;
}

absl::Status Catalog::Settle(Group& group, Entry* asked, bool accept_change, const Record& record) {
  std::shared_ptr<const CatalogView> now = view();
  std::map<std::string, RowsPtr> next;
  bool refused = false;
  for (Entry& entry : group.entries) {
    bool held = [&] {
      base::MutexLock lock(mutex_);
      return facts_[entry.name()].held && &entry != asked;
    }();
    if (entry.pending != nullptr && !held) next[entry.name()] = entry.pending;
  }
  absl::StatusOr<std::shared_ptr<CatalogView>> view = ViewWith(next);
  if (absl::IsCancelled(view.status())) return view.status();
  for (Entry& entry : group.entries) {
    if (!next.contains(entry.name())) continue;
    absl::Status status = view.status();
    if (status.ok())
      status = CheckVersion(entry.loader->config(), *(*view)->tables.at(entry.name()));
    auto active = now->rows.find(entry.name());
    if (status.ok() && active != now->rows.end() && !(accept_change && &entry == asked))
      status = CheckChange(entry.loader->config(), *active->second, *entry.pending);
    if (status.ok()) continue;
    if (view.ok()) entry.pending = nullptr;  // else it waits for the set that it needs
    Refuse(entry, status, false);
  }
  for (Entry& entry : group.entries)
    refused |= !RefusalOf(entry).empty() || (entry.loader->Settling() && &entry != asked);
  if (asked != nullptr) {
    if (std::string refusal = RefusalOf(*asked); !refusal.empty()) {
      return asked->away ? absl::UnavailableError(refusal) : absl::FailedPreconditionError(refusal);
    }
    if (refused) {
      return absl::FailedPreconditionError(
          base::StrCat("another set of the group '", asked->loader->config().group(),
                       "' is refused or just changes, and they change together: see the status"));
    }
  }
  if (refused) return absl::OkStatus();
  if (next.empty())
    return asked == nullptr ? absl::OkStatus() : record(now->rows.at(asked->name())->id());
  SLUICE_RETURN_IF_ERROR(Publish(next, (*view)->tables,
                                 asked == nullptr ? std::nullopt : std::optional(false), record));
  for (Entry& entry : group.entries) {
    if (!next.contains(entry.name())) continue;
    entry.pending = nullptr;
    base::MutexLock lock(mutex_);
    facts_[entry.name()].confirmed_at = entry.pending_read_at;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<CatalogView>> Catalog::ViewWith(
    const std::map<std::string, RowsPtr>& rows,
    const std::map<std::string, TablePtr>& built) const {
  std::shared_ptr<const CatalogView> now = view();
  auto next = std::make_shared<CatalogView>(*now);
  std::map<std::string, TablePtr> before = now->tables;
  for (const auto& [name, version] : rows) {
    next->rows[name] = version;
    if (auto table = built.find(name); table != built.end()) before[name] = table->second;
  }
  SLUICE_ASSIGN_OR_RETURN(next->tables, MakeTables(next->rows, before));
  return next;
}

absl::Status Catalog::Publish(const std::map<std::string, RowsPtr>& rows,
                              const std::map<std::string, TablePtr>& built,
                              std::optional<bool> held, const Record& record) {
  base::MutexLock publishing(publish_mutex_);
  for (const auto& [name, version] : rows) SLUICE_RETURN_IF_ERROR(shelf_.Put(name, *version));
  // Against what is active by now: other groups may have changed theirs.
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<CatalogView> next, ViewWith(rows, built));
  // By the clock, so that it rises even over the loss of the folder.
  next->activation = std::max(next->activation + 1, static_cast<uint64_t>(clock_.UnixMillis()));
  v1::CatalogState state;
  state.set_activation(next->activation);
  std::map<std::string, Facts> facts;
  {
    base::MutexLock lock(mutex_);
    facts = facts_;
  }
  for (const auto& [name, version] : rows) {
    Facts& changed = facts[name];
    if (auto now = view(); now->rows.contains(name) && now->rows.at(name)->id() != version->id())
      changed.before_id = now->rows.at(name)->id();
    changed.loaded_unix_ms = clock_.UnixMillis();
    if (held) changed.held = *held;
  }
  for (const auto& [name, version] : next->rows) {
    v1::CatalogState::Set& set = (*state.mutable_sets())[name];
    set.set_id(version->id());
    set.set_loaded_unix_ms(facts[name].loaded_unix_ms);
    set.set_before_id(facts[name].before_id);
    set.set_held(facts[name].held);
  }
  for (const auto& [name, version] : rows) SLUICE_RETURN_IF_ERROR(record(version->id()));
  SLUICE_RETURN_IF_ERROR(shelf_.PutState(state));
  {
    base::MutexLock lock(mutex_);
    view_ = next;
    for (const auto& [name, version] : rows) {
      Facts& changed = facts_[name];
      changed.loaded_unix_ms = facts[name].loaded_unix_ms;
      changed.before_id = facts[name].before_id;
      changed.held = facts[name].held;
      ++changed.accepted;
    }
  }
  changed_.notify_all();
  for (const auto& [name, version] : rows) {
    probe_.Activated(name, version->id(), version->size(), next->activation);
    shelf_.Prune(name, options_.versions_kept, {version->id(), facts[name].before_id});
  }
  return absl::OkStatus();
}

const config::v1::ReferenceSet* Catalog::Find(const std::string& set) const {
  for (const auto& group : groups_) {
    for (const Entry& entry : group->entries)
      if (entry.name() == set) return &entry.loader->config();
  }
  return nullptr;
}

absl::StatusOr<Catalog::Place> Catalog::PlaceOf(const std::string& set) {
  for (const auto& group : groups_) {
    for (Entry& entry : group->entries)
      if (entry.name() == set) return Place{group.get(), &entry};
  }
  return absl::NotFoundError(base::StrCat("there is no set '", set, "'"));
}

absl::StatusOr<RowsPtr> Catalog::Find(const std::string& set, const std::string& id) const {
  auto now = view();
  if (auto active = now->rows.find(set); active != now->rows.end() && active->second->id() == id)
    return active->second;
  auto kept = shelf_.Get(set, id);
  if (!kept.ok()) {
    return absl::NotFoundError(base::StrCat("version ", id, " of the set '", set, "' isn't kept"));
  }
  return kept;
}

std::string Catalog::Before(const std::string& set) const {
  base::MutexLock lock(mutex_);
  auto found = facts_.find(set);
  return found == facts_.end() ? "" : found->second.before_id;
}

std::vector<v1::Version> Catalog::Versions(const std::string& set) const {
  std::vector<v1::Version> versions;
  auto now = view();
  auto active = now->rows.find(set);
  for (const Kept& kept : shelf_.List(set)) {
    v1::Version& version = versions.emplace_back();
    version.set_id(kept.id);
    version.set_loaded_unix_ms(kept.kept_unix_ms);
    bool is_active = active != now->rows.end() && active->second->id() == kept.id;
    version.set_active(is_active);
    if (is_active) version.set_rows(active->second->size());
  }
  return versions;
}

std::vector<std::string> Catalog::Missing() const {
  auto now = view();
  std::vector<std::string> missing;
  for (const std::string& name : names_)
    if (!now->rows.contains(name)) missing.push_back(name);
  return missing;
}

void Catalog::FillStatus(v1::GetStatusResponse& status) const {
  auto now = clock_.Now();
  base::MutexLock lock(mutex_);
  status.set_activation(view_->activation);
  for (const std::string& name : names_) {
    const Facts& facts = facts_.at(name);
    v1::GetStatusResponse::Set& set = *status.add_sets();
    set.set_name(name);
    set.set_source(SourceName(*Find(name)));
    if (auto active = view_->rows.find(name); active != view_->rows.end()) {
      set.set_active_id(active->second->id());
      set.set_rows(active->second->size());
      set.set_age_seconds(static_cast<double>(clock_.UnixMillis() - facts.loaded_unix_ms) / 1000);
    }
    if (facts.looked_at) set.set_looked_seconds(Seconds(now - *facts.looked_at));
    if (facts.confirmed_at) {
      set.set_confirmed_seconds(Seconds(now - *facts.confirmed_at));
    } else if (set.has_age_seconds()) {
      set.set_confirmed_seconds(set.age_seconds());
    }
    set.set_full_read_interval_seconds(Seconds(facts.full_read_interval));
    set.set_rows_never_hold(facts.never_hold);
    set.set_last_refusal(facts.last_refusal);
    set.set_last_refused_unix_ms(facts.last_refused_unix_ms);
    set.set_refusal(facts.refusal);
    if (!facts.refusal.empty()) set.set_refused_seconds(Seconds(now - facts.refused_at));
    set.set_held(facts.held);
    set.set_loads_accepted(facts.accepted);
    set.set_loads_refused(facts.refused);
  }
}

void Catalog::Collect() const {
  v1::GetStatusResponse status;
  FillStatus(status);
  probe_.Sets(status);
}

absl::StatusOr<std::string> Catalog::Load(const std::string& set, bool accept_change,
                                          const Record& record) {
  SLUICE_ASSIGN_OR_RETURN(Place place, PlaceOf(set));
  base::MutexLock lock(place.group->mutex);
  SLUICE_RETURN_IF_ERROR(Pass(*place.group, place.entry, accept_change, record));
  return view()->rows.at(set)->id();
}

absl::Status Catalog::Activate(const std::string& set, const std::string& id,
                               const Record& record) {
  SLUICE_ASSIGN_OR_RETURN(Place place, PlaceOf(set));
  base::MutexLock lock(place.group->mutex);
  SLUICE_ASSIGN_OR_RETURN(RowsPtr rows, Find(set, id));
  return Publish({{set, rows}}, {}, true, record);
}

absl::StatusOr<std::string> Catalog::Rollback(const std::string& set, const Record& record) {
  SLUICE_RETURN_IF_ERROR(PlaceOf(set).status());
  const std::string before = Before(set);
  if (before.empty()) {
    return absl::FailedPreconditionError(
        base::StrCat("no version of the set '", set, "' was active before this one"));
  }
  SLUICE_RETURN_IF_ERROR(Activate(set, before, record));
  return before;
}

absl::Status Catalog::Release(const std::string& set, const Record& record) {
  SLUICE_ASSIGN_OR_RETURN(Place place, PlaceOf(set));
  base::MutexLock lock(place.group->mutex);
  auto now = view();
  auto active = now->rows.find(set);
  if (active == now->rows.end()) {
    return absl::FailedPreconditionError(
        base::StrCat("the set '", set, "' has no version that could be held"));
  }
  SLUICE_RETURN_IF_ERROR(Publish({{set, active->second}}, {}, false, record));
  place.entry->loader->Forget();
  return absl::OkStatus();
}

}  // namespace sluice::reference
