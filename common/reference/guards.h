// What a version must hold to before it may take the place of the one in use.
#pragma once

#include "absl/status/status.h"
#include "common/enrichment/table.h"
#include "common/reference/source.h"

namespace sluice::reference {

// Of a version by itself: rows_min and covers. The error says what to do.
absl::Status CheckVersion(const config::v1::ReferenceSet& set, const enrichment::Table& table);

// Of what becomes different from the version in use: shrink_percent_max, change_percent_max and
// rises. A version of another schema is only held to the first.
absl::Status CheckChange(const config::v1::ReferenceSet& set, const enrichment::Rows& in_use,
                         const enrichment::Rows& next);

// Rows of `a` that stand in `b` too, all columns alike. Both of one schema.
size_t RowsInBoth(const enrichment::Rows& a, const enrichment::Rows& b);

// Whether the row of `a` stands before that of `b` in the order that all sets have: below 0, above
// 0, or 0 where they are at the same place. Both of one schema.
int Order(const enrichment::Rows::Cursor& a, const enrichment::Rows::Cursor& b);

}  // namespace sluice::reference
