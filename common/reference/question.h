// Questions and answers as texts: what people ask of a set, and what a guard asks of a version.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/enrichment/table.h"
#include "sluice/reference/v1/schema.pb.h"

namespace sluice::reference {

// The row that answers; enrichment::kNoRow: none does. `now_s`: the time where the question names
// none. kInvalidArgument: the question isn't one that this set can be asked.
absl::StatusOr<enrichment::RowId> Ask(const enrichment::Table& table, const v1::Question& question,
                                      int64_t now_s);

// Why this row answers, or why none does, in a sentence without a value of the set but its times
// and bounds. Goes over all rows. `row` is what Ask() has found.
std::string Why(const enrichment::Table& table, const enrichment::Rows& rows,
                const v1::Question& question, enrichment::RowId row, int64_t now_s);

// Column -> value, without absent ones and areas.
std::map<std::string, std::string> RowTexts(const enrichment::Table& table, enrichment::RowId row);

}  // namespace sluice::reference
