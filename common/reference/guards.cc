#include "common/reference/guards.h"

#include <compare>
#include <optional>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/question.h"

namespace sluice::reference {

using config::v1::ReferenceSet;
using enrichment::RowSet;
using event::Value;
using event::ValueKind;

namespace {

constexpr int kRowsMin = 1;
constexpr int64_t kShrinkPercentMax = 10;

std::string Named(const ReferenceSet& set) {
  return base::StrCat(SourceName(set), ": reference set '", set.name(), "'");
}

// Of two values of one type that has an order.
bool Less(const Value& a, const Value& b) {
  if (a.kind == ValueKind::kTime)
    return a.seconds != b.seconds ? a.seconds < b.seconds : a.nanos < b.nanos;
  if (a.kind == ValueKind::kText) return a.text() < b.text();
  return a.integer < b.integer;
}

std::optional<Value> Highest(const RowSet& rows, std::string_view column) {
  auto index = rows.schema().Find(column);
  if (!index) return std::nullopt;
  std::optional<Value> highest;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Value& value = rows.row(i)[*index];
    if (value.present() && (!highest || (value.kind == highest->kind && Less(*highest, value))))
      highest = value;
  }
  return highest;
}

bool SameRow(const RowSet& a, size_t i, const RowSet& b, size_t j) {
  std::string bytes_a, bytes_b;
  enrichment::AppendRow(a.row(i), bytes_a);
  enrichment::AppendRow(b.row(j), bytes_b);
  return bytes_a == bytes_b;
}

}  // namespace

int Order(const RowSet& a, size_t i, const RowSet& b, size_t j) {
  uint64_t hash_a = enrichment::HashKey(a.key(i)), hash_b = enrichment::HashKey(b.key(j));
  if (hash_a != hash_b) return hash_a < hash_b ? -1 : 1;
  if (int order = a.key(i).compare(b.key(j)); order != 0) return order;
  if (a.intervals().empty()) return 0;
  auto order = std::tie(a.intervals()[i].low, a.intervals()[i].high) <=>
               std::tie(b.intervals()[j].low, b.intervals()[j].high);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

size_t RowsInBoth(const RowSet& a, const RowSet& b) {
  size_t alike = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    int order = Order(a, i, b, j);
    if (order == 0) alike += SameRow(a, i, b, j);
    i += order <= 0;
    j += order >= 0;
  }
  return alike;
}

absl::Status CheckVersion(const ReferenceSet& set, const enrichment::Table& table) {
  int rows_min = set.rows_min() == 0 ? kRowsMin : set.rows_min();
  if (table.size() < static_cast<size_t>(rows_min)) {
    return absl::FailedPreconditionError(
        base::StrCat(SourceName(set), ": has ", table.size(), " rows, rows_min is ", rows_min,
                     set.has_csv() ? ": complete the file, or lower rows_min"
                                   : ": complete it, or lower rows_min"));
  }
  for (int i = 0; i < set.covers_size(); ++i) {
    auto row = Ask(table, set.covers(i), 0);
    if (!row.ok()) {
      return absl::FailedPreconditionError(
          base::StrCat(SourceName(set), ": covers[", i, "]: ", base::View(row.status().message())));
    }
    if (*row == enrichment::kNoRow) {
      return absl::FailedPreconditionError(base::StrCat(
          Named(set), " has no row for covers[", i,
          "]: complete the source, or take the question out if nothing is to be there"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckChange(const ReferenceSet& set, const RowSet& in_use, const RowSet& next) {
  auto before = static_cast<int64_t>(in_use.size()), after = static_cast<int64_t>(next.size());
  int64_t allowed = set.has_shrink_percent_max() ? set.shrink_percent_max() : kShrinkPercentMax;
  if ((before - after) * 100 > before * allowed) {
    return absl::FailedPreconditionError(base::StrCat(
        Named(set), " has ", after, " rows, the version in use ", before,
        ": more than shrink_percent_max (", allowed,
        ") are missing; complete the source, or raise the limit if they are meant to go"));
  }
  if (in_use.schema().identity() != next.schema().identity()) return absl::OkStatus();
  if (!set.rises().empty()) {
    std::optional<Value> was = Highest(in_use, set.rises()), is = Highest(next, set.rises());
    if (was && (!is || Less(*is, *was))) {
      return absl::FailedPreconditionError(base::StrCat(
          Named(set), " is older than the version in use: the highest '", set.rises(),
          "' has gone back; bring the newest, or accept the change if this one is meant"));
    }
  }
  if (set.has_change_percent_max() && set.change_percent_max() < 100) {
    auto different = before - static_cast<int64_t>(RowsInBoth(in_use, next));
    if (different * 100 > before * set.change_percent_max()) {
      return absl::FailedPreconditionError(
          base::StrCat(Named(set), ": ", different, " of the ", before,
                       " rows in use are missing or changed: more than change_percent_max (",
                       set.change_percent_max(), "); accept the change if it is meant"));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::reference
