#include "common/reference/question.h"

#include <vector>

#include "absl/time/time.h"
#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"
#include "common/event/time_text.h"

namespace sluice::reference {

using enrichment::Schema;
using event::Value;
using event::ValueKind;

absl::StatusOr<enrichment::RowId> Ask(const enrichment::Table& table, const v1::Question& question,
                                      int64_t now_s) {
  const Schema& schema = table.schema();
  enrichment::Question asked;
  base::Arena arena(1024);
  std::vector<Value> key;
  bool on_the_map = schema.kind() == v1::Schema::area || schema.kind() == v1::Schema::nearest;
  if (!on_the_map) {
    if (question.key_size() != static_cast<int>(schema.key().size())) {
      return absl::InvalidArgumentError(base::StrCat(
          "key: has ", question.key_size(), " values; this set's key has ", schema.key().size()));
    }
    for (size_t i = 0; i < schema.key().size(); ++i) {
      const enrichment::Column& column = schema.columns()[schema.key()[i].column];
      auto value = enrichment::ParseCell(column, question.key(static_cast<int>(i)), arena);
      if (!value.ok()) {
        return absl::InvalidArgumentError(base::StrCat(
            "key: column '", column.name, "': ", base::View(value.status().message())));
      }
      key.push_back(*value);
    }
    asked.key = key;
  } else {
    auto point = enrichment::GridPoint::Of(question.latitude(), question.longitude());
    if (!point) return absl::InvalidArgumentError("latitude, longitude: aren't degrees");
    asked.point = *point;
  }
  asked.at = now_s;
  if (!question.at().empty()) {
    auto at = event::ParseTimestamp(question.at(), nullptr);
    if (!at) return absl::InvalidArgumentError("at: isn't a time with its offset (RFC 3339)");
    asked.at = at->seconds;
  }
  if (schema.kind() == v1::Schema::range) {
    const enrichment::Column& column = schema.columns()[schema.low()];
    auto value = enrichment::ParseCell(column, question.value(), arena);
    std::optional<int64_t> ordered = value.ok() ? schema.Ordered(*value) : std::nullopt;
    if (!ordered) return absl::InvalidArgumentError("value: isn't of the type of the set's bounds");
    asked.at = *ordered;
  }
  return table.Find(asked);
}

std::map<std::string, std::string> RowTexts(const enrichment::Table& table, enrichment::RowId row) {
  std::map<std::string, std::string> texts;
  const auto& columns = table.schema().columns();
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].type == v1::Column::area) continue;
    Value value = table.Cell(row, i);
    std::string text;
    switch (value.kind) {
      case ValueKind::kBool:
        text = value.boolean ? "true" : "false";
        break;
      case ValueKind::kInt:
        text = base::StrCat(value.integer);
        break;
      case ValueKind::kDouble:
        text = base::StrCat(value.number);
        break;
      case ValueKind::kTime:
        text =
            absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ",
                             absl::FromUnixSeconds(value.seconds) + absl::Nanoseconds(value.nanos),
                             absl::UTCTimeZone());
        break;
      case ValueKind::kText:
        text = value.text();
        break;
      default:
        continue;
    }
    texts[columns[i].name] = std::move(text);
  }
  return texts;
}

}  // namespace sluice::reference
