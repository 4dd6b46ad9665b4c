#include "common/reference/guards.h"

#include <compare>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/question.h"

namespace sluice::reference {

using config::v1::ReferenceSet;
using enrichment::Rows;
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

// A column's highest value; absent where no row has one. A text is in `held`.
Value Highest(const Rows& rows, std::string_view column, std::string& held) {
  Value highest;
  auto index = rows.schema().Find(column);
  if (!index) return highest;
  for (auto row = rows.Walk(); row->Next();) {
    Value value = enrichment::CellOfRow(row->bytes.data(), *index);
    if (!value.present()) continue;
    if (highest.present() && (value.kind != highest.kind || !Less(highest, value))) continue;
    if (value.kind == ValueKind::kText) {
      held = value.text();
      value = Value::Text(held);
    }
    highest = value;
  }
  return highest;
}

}  // namespace

int Order(const Rows::Cursor& a, const Rows::Cursor& b) {
  if (a.hash != b.hash) return a.hash < b.hash ? -1 : 1;
  if (int order = a.key.compare(b.key); order != 0) return order;
  auto order =
      std::tie(a.interval.low, a.interval.high) <=> std::tie(b.interval.low, b.interval.high);
  return std::is_lt(order) ? -1 : std::is_gt(order) ? 1 : 0;
}

size_t RowsInBoth(const Rows& a, const Rows& b) {
  size_t alike = 0;
  auto of_a = a.Walk(), of_b = b.Walk();
  for (bool more = of_a->Next() && of_b->Next(); more;) {
    int order = Order(*of_a, *of_b);
    if (order == 0) alike += of_a->bytes == of_b->bytes;
    if (order <= 0) more = of_a->Next();
    if (order >= 0) more = of_b->Next() && more;
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

absl::Status CheckChange(const ReferenceSet& set, const Rows& in_use, const Rows& next) {
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
    std::string held_was, held_is;
    Value was = Highest(in_use, set.rises(), held_was), is = Highest(next, set.rises(), held_is);
    if (was.present() && (!is.present() || Less(is, was))) {
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
