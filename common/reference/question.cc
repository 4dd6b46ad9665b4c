#include "common/reference/question.h"

#include <vector>

#include "absl/time/time.h"
#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/nearest_table.h"
#include "common/enrichment/row_reader.h"
#include "common/event/time_text.h"

namespace sluice::reference {

using enrichment::Schema;
using event::Value;
using event::ValueKind;

namespace {

// As a source would write it; empty: there is none.
std::string ValueText(const Value& value) {
  switch (value.kind) {
    case ValueKind::kBool:
      return value.boolean ? "true" : "false";
    case ValueKind::kInt:
      return base::StrCat(value.integer);
    case ValueKind::kDouble:
      return base::StrCat(value.number);
    case ValueKind::kTime:
      return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ",
                              absl::FromUnixSeconds(value.seconds) + absl::Nanoseconds(value.nanos),
                              absl::UTCTimeZone());
    case ValueKind::kText:
      return std::string(value.text());
    default:
      return "";
  }
}

// A question that a table takes.
struct Asked {
  enrichment::Question question;
  base::Arena arena{1024};
  std::vector<Value> key;
};

absl::Status Read(const Schema& schema, const v1::Question& question, int64_t now_s, Asked& asked) {
  bool on_the_map = schema.kind() == v1::Schema::area || schema.kind() == v1::Schema::nearest;
  if (!on_the_map) {
    if (question.key_size() != static_cast<int>(schema.key().size())) {
      return absl::InvalidArgumentError(base::StrCat(
          "key: has ", question.key_size(), " values; this set's key has ", schema.key().size()));
    }
    for (size_t i = 0; i < schema.key().size(); ++i) {
      const enrichment::Column& column = schema.columns()[schema.key()[i].column];
      auto value = enrichment::ParseCell(column, question.key(static_cast<int>(i)), asked.arena);
      if (!value.ok()) {
        return absl::InvalidArgumentError(base::StrCat(
            "key: column '", column.name, "': ", base::View(value.status().message())));
      }
      asked.key.push_back(*value);
    }
    asked.question.key = asked.key;
  } else {
    auto point = enrichment::GridPoint::Of(question.latitude(), question.longitude());
    if (!point) return absl::InvalidArgumentError("latitude, longitude: aren't degrees");
    asked.question.point = *point;
  }
  asked.question.at = now_s;
  if (!question.at().empty()) {
    auto at = event::ParseTimestamp(question.at(), nullptr);
    if (!at)
      return absl::InvalidArgumentError(
          "at: isn't a time with its offset (RFC 3339): write 2026-03-04T05:06:07Z");
    asked.question.at = at->seconds;
  }
  if (schema.kind() == v1::Schema::range) {
    const enrichment::Column& column = schema.columns()[schema.low()];
    auto value = enrichment::ParseCell(column, question.value(), asked.arena);
    std::optional<int64_t> ordered = value.ok() ? schema.Ordered(*value) : std::nullopt;
    if (!ordered) return absl::InvalidArgumentError("value: isn't of the type of the set's bounds");
    asked.question.at = *ordered;
  }
  return absl::OkStatus();
}

// When a row holds, as its columns say it.
std::string HoldsText(const Schema& schema, std::span<const Value> row) {
  const std::string low = ValueText(row[schema.low()]), high = ValueText(row[schema.high()]);
  const bool range = schema.definition().has_bounds();
  const bool closed = range && !schema.definition().bounds().half_open();
  if (low.empty() && high.empty()) return range ? "for every value" : "always";
  if (high.empty()) return base::StrCat("from ", low, " on");
  if (low.empty()) return base::StrCat(closed ? "up to " : "until before ", high);
  return base::StrCat("from ", low, closed ? " to " : " until before ", high);
}

}  // namespace

absl::StatusOr<enrichment::RowId> Ask(const enrichment::Table& table, const v1::Question& question,
                                      int64_t now_s) {
  Asked asked;
  SLUICE_RETURN_IF_ERROR(Read(table.schema(), question, now_s, asked));
  return table.Find(asked.question);
}

std::string Why(const enrichment::Table& table, const enrichment::Rows& rows,
                const v1::Question& question, enrichment::RowId row, int64_t now_s) {
  const Schema& schema = table.schema();
  const bool found = row != enrichment::kNoRow;
  Asked asked;
  if (!Read(schema, question, now_s, asked).ok()) return "";
  const bool timed = schema.has_interval();
  auto holds = [&](const enrichment::Rows::Cursor& at) {
    return !timed || (asked.question.at >= at.interval.low && asked.question.at < at.interval.high);
  };
  std::vector<Value> cells(schema.columns().size());
  if (found) {
    for (size_t i = 0; i < cells.size(); ++i) cells[i] = table.Cell(row, i);
  }
  const std::string when =
      found && timed ? base::StrCat(", and holds ", HoldsText(schema, cells)) : "";
  if (schema.kind() == v1::Schema::nearest) {
    auto distance = [&](std::span<const Value> of) {
      return enrichment::NearestTable::Metres(
          asked.question.point,
          *enrichment::GridPoint::Of(of[schema.latitude()].number, of[schema.longitude()].number));
    };
    if (found) {
      return base::StrCat("it is the nearest, ", distance(cells), " m away (max_metres is ",
                          schema.point().max_metres(), ")", when);
    }
    std::optional<int64_t> nearest;
    for (auto at = rows.Walk(); at->Next();) {
      if (!holds(*at) || !enrichment::ReadRow(at->bytes, cells)) continue;
      int64_t metres = distance(cells);
      if (!nearest || metres < *nearest) nearest = metres;
    }
    if (!nearest) return "no place holds at this time";
    return base::StrCat(
        "the nearest place is ", *nearest, " m away; max_metres is ", schema.point().max_metres(),
        schema.point().within().empty() ? "" : ", and places of another area don't count");
  }
  if (schema.kind() == v1::Schema::area) {
    if (found) return base::StrCat("the point is in it, and in no area with a smaller key", when);
    return timed ? "the point is in no area that holds at this time" : "the point is in no area";
  }
  enrichment::KeyEncoder encoder;
  std::string_view key;
  if (!schema.key().empty()) {
    auto encoded = encoder.Encode(schema, asked.question.key);
    if (!encoded) return "no row has this key: it is empty, or longer than keys may be";
    key = *encoded;
  }
  const std::string_view whose = schema.key().empty() ? "" : "it has this key";
  if (found) {
    if (!timed) return std::string(whose);
    return base::StrCat(whose, whose.empty() ? "it holds " : ", and holds ",
                        HoldsText(schema, cells));
  }
  // Rows of the key, and those that are next to what was asked.
  size_t of_key = 0;
  std::string before, after;
  for (auto at = rows.Walk(); at->Next();) {
    if (at->key != key) continue;
    ++of_key;
    if (!timed || !enrichment::ReadRow(at->bytes, cells)) continue;
    // In their order.
    if (at->interval.high <= asked.question.at) before = HoldsText(schema, cells);
    if (at->interval.low > asked.question.at && after.empty()) after = HoldsText(schema, cells);
  }
  if (of_key == 0) return "no row has this key";
  return base::StrCat(
      schema.key().empty() ? "none of its " : "none of the ", of_key,
      schema.key().empty() ? " rows holds for this value" : " rows of this key holds then",
      before.empty() ? "" : base::StrCat("; the one before holds ", before),
      after.empty() ? "" : base::StrCat("; the next one holds ", after));
}

std::map<std::string, std::string> RowTexts(const enrichment::Table& table, enrichment::RowId row) {
  std::map<std::string, std::string> texts;
  const auto& columns = table.schema().columns();
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].type == v1::Column::area) continue;
    const Value value = table.Cell(row, i);
    if (value.present()) texts[columns[i].name] = ValueText(value);
  }
  return texts;
}

}  // namespace sluice::reference
