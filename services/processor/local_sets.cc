#include "services/processor/local_sets.h"

#include <utility>

#include "common/base/status.h"
#include "common/base/stop_scope.h"
#include "common/base/strings.h"
#include "common/reference/guards.h"

namespace sluice::processor {

using reference::RowsPtr;

LocalSets::LocalSets(Options options, const base::Clock& clock)
    : shelf_(std::move(options.shelf)),
      versions_kept_(options.versions_kept),
      clock_(clock),
      in_use_(std::move(options.in_use)) {
  options.sources.interrupt = interrupt_;
  for (const config::v1::ReferenceSet& config : options.sets) {
    Set& set = sets_.emplace_back();
    auto source = reference::MakeSource(config, options.sources);
    set.made = source.status();
    if (source.ok()) {
      set.loader = std::make_unique<reference::SetLoader>(config, *std::move(source), clock);
    }
  }
}

void LocalSets::LookAt(Set& set, bool anyway) {
  auto rows = set.loader->Look(anyway);
  if (absl::IsCancelled(rows.status())) return;
  // What is away keeps what it had.
  if (absl::IsUnavailable(rows.status()) && set.rows != nullptr) return;
  if (rows.ok() && *rows == nullptr) return;
  if (set.refused == rows.status() && !rows.ok()) return;
  // The same again is nothing to load.
  if (rows.ok() && !anyway && set.refused.ok() && set.rows != nullptr &&
      set.rows->id() == (*rows)->id()) {
    // What waits to be used isn't yet.
    auto now = in_use();
    if (now != nullptr && now->rows.contains(set.loader->config().name()) &&
        now->rows.at(set.loader->config().name())->id() == set.rows->id())
      Confirm(set);
    return;
  }
  if (!anyway) ++changes_;  // what Load() reads is loaded by it
  set.refused = rows.status();
  if (!rows.ok()) return;
  // Of two that are the same, the one in use.
  if (set.rows == nullptr || set.rows->id() != (*rows)->id()) set.rows = *std::move(rows);
}

uint64_t LocalSets::Look() {
  base::StopScope scope(stopping_.get_token());
  for (Set& set : sets_) {
    if (set.loader == nullptr || !set.loader->Due()) continue;
    // Who reads the configuration looks at its files, but not into them.
    const bool file = !reference::SourceFile(set.loader->config()).empty();
    if (!file || set.loader->FullReadDue()) LookAt(set, /*anyway=*/false);
  }
  return changes_;
}

absl::StatusOr<std::shared_ptr<const SetsState>> LocalSets::Load(const Problem& problem) {
  base::StopScope scope(stopping_.get_token());
  std::string missing;
  absl::Status wrong;
  auto state = std::make_shared<SetsState>();
  auto tell = [&](size_t set, const absl::Status& status) {
    problem(static_cast<int>(set), status);
    wrong.Update(status);
  };
  for (size_t i = 0; i < sets_.size(); ++i) {
    Set& set = sets_[i];
    if (!set.made.ok()) {
      tell(i, set.made);
      continue;
    }
    if (set.rows == nullptr || !reference::SourceFile(set.loader->config()).empty())
      LookAt(set, /*anyway=*/true);
    if (stopping_.stop_requested()) return absl::CancelledError("the process ends");
    if (absl::IsUnavailable(set.refused)) {
      base::StrAppend(missing, missing.empty() ? "" : "; ", set.loader->config().name(), " (",
                      base::View(set.refused.message()), ")");
    } else if (!set.refused.ok()) {
      tell(i, set.refused);
    } else {
      state->rows[set.loader->config().name()] = set.rows;
    }
  }
  if (!wrong.ok()) return wrong;
  if (!missing.empty())
    return absl::UnavailableError(base::StrCat("waits for its reference sets: ", missing));
  std::shared_ptr<const SetsState> before = in_use();
  SLUICE_ASSIGN_OR_RETURN(
      state->tables,
      reference::MakeTables(state->rows, before == nullptr
                                             ? std::map<std::string, reference::TablePtr>()
                                             : before->tables));
  for (size_t i = 0; i < sets_.size(); ++i) {
    const config::v1::ReferenceSet& config = sets_[i].loader->config();
    absl::Status kept = reference::CheckVersion(config, *state->tables.at(config.name()));
    if (kept.ok() && before != nullptr && before->rows.contains(config.name()))
      kept = reference::CheckChange(config, *before->rows.at(config.name()), *sets_[i].rows);
    if (kept.ok()) continue;
    tell(i, kept);
    // A file is read again at the next load; what was refused needn't be held until then.
    if (reference::SourceFile(config).empty()) continue;
    sets_[i].rows.reset();
    if (before != nullptr && before->rows.contains(config.name()))
      sets_[i].rows = before->rows.at(config.name());
  }
  if (!wrong.ok()) return wrong;
  return state;
}

absl::Status LocalSets::Use(std::shared_ptr<const SetsState> state) {
  for (const auto& [name, rows] : state->rows) {
    if (shelf_ == nullptr) break;
    SLUICE_RETURN_IF_ERROR(shelf_->Put(name, *rows));
    shelf_->Prune(name, versions_kept_, {rows->id()});
  }
  for (const Set& set : sets_) {
    if (set.loader == nullptr || set.rows == nullptr || !set.refused.ok()) continue;
    auto used = state->rows.find(set.loader->config().name());
    if (used != state->rows.end() && used->second->id() == set.rows->id()) Confirm(set);
  }
  base::MutexLock lock(mutex_);
  in_use_ = std::move(state);
  return absl::OkStatus();
}

void LocalSets::Confirm(const Set& set) {
  if (!set.loader->read_at()) return;
  base::MutexLock lock(mutex_);
  confirmed_[set.loader->config().name()] = {*set.loader->read_at(),
                                             set.loader->full_read_interval()};
}

std::vector<SetFreshness> LocalSets::freshness() const {
  const auto now = clock_.Now();
  std::vector<SetFreshness> freshness;
  base::MutexLock lock(mutex_);
  for (const auto& [set, confirmed] : confirmed_)
    freshness.push_back({set, now - confirmed.at, confirmed.full_read_interval});
  return freshness;
}

std::shared_ptr<const SetsState> LocalSets::in_use() const {
  base::MutexLock lock(mutex_);
  return in_use_;
}

absl::StatusOr<std::shared_ptr<const SetsState>> LocalSets::Find(
    const std::map<std::string, std::string>& ids) {
  std::shared_ptr<const SetsState> now = in_use();
  return StateOf(
      ids, [&](const std::string& set, const std::string& id) -> absl::StatusOr<RowsPtr> {
        if (now != nullptr && now->rows.contains(set) && now->rows.at(set)->id() == id)
          return now->rows.at(set);
        absl::StatusOr<RowsPtr> kept = absl::NotFoundError("");
        if (shelf_ != nullptr) kept = shelf_->Get(set, id);
        if (kept.ok()) return kept;
        return absl::UnavailableError(
            base::StrCat("the pinned version ", id, " of the reference set '", set,
                         "' isn't kept in reference.folder: bring it from another replica's"));
      });
}

absl::StatusOr<std::shared_ptr<const SetsState>> StateOf(
    const std::map<std::string, std::string>& ids,
    const std::function<absl::StatusOr<RowsPtr>(const std::string&, const std::string&)>& get) {
  auto state = std::make_shared<SetsState>();
  for (const auto& [set, id] : ids) {
    SLUICE_ASSIGN_OR_RETURN(state->rows[set], get(set, id));
  }
  SLUICE_ASSIGN_OR_RETURN(state->tables, reference::MakeTables(state->rows));
  return state;
}

}  // namespace sluice::processor
