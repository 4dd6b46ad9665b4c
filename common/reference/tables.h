// Rows as tables, where one set may need another.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/enrichment/table.h"
#include "common/reference/source.h"

namespace sluice::reference {

using TablePtr = std::shared_ptr<const enrichment::Table>;

// By set. What is in `before` with the same rows is taken from there. The error names the set, and
// what it needs that isn't there.
absl::StatusOr<std::map<std::string, TablePtr>> MakeTables(
    const std::map<std::string, RowsPtr>& sets, const std::map<std::string, TablePtr>& before = {});

}  // namespace sluice::reference
