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

// Also of what is no part of a version's id: rules, names in the source and classifications.
bool HaveOneDefinition(const enrichment::Schema& one, const enrichment::Schema& other);

// By set. What is in `before` with the same rows and the same schema is taken from there. The error
// names the set, and what it needs that isn't there.
absl::StatusOr<std::map<std::string, TablePtr>> MakeTables(
    const std::map<std::string, RowsPtr>& sets, const std::map<std::string, TablePtr>& before = {});

}  // namespace sluice::reference
