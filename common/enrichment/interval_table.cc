#include "common/enrichment/interval_table.h"

#include <algorithm>

namespace sluice::enrichment {

RowId IntervalTable::Find(const Question& question) const {
  KeyEncoder encoder;
  std::string_view key;
  if (!rows_->schema().key().empty()) {
    auto encoded = encoder.Encode(rows_->schema(), question.key);
    if (!encoded) return kNoRow;
    key = *encoded;
  }
  KeyIndex::Run run = index_.Find(key);
  // The last row of the key that begins no later: rows of one key don't overlap.
  const Interval* intervals = rows_->intervals().data();
  const Interval* after =
      std::upper_bound(intervals + run.begin, intervals + run.end, question.at,
                       [](int64_t at, const Interval& interval) { return at < interval.low; });
  if (after == intervals + run.begin || question.at >= after[-1].high) return kNoRow;
  return static_cast<RowId>(after - 1 - intervals);
}

}  // namespace sluice::enrichment
