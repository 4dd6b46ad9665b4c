#include "common/reference/tables.h"

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::reference {

absl::StatusOr<std::map<std::string, TablePtr>> MakeTables(
    const std::map<std::string, RowsPtr>& sets, const std::map<std::string, TablePtr>& before) {
  std::map<std::string, TablePtr> tables;
  // Areas first: points may keep to their borders.
  for (bool within : {false, true}) {
    for (const auto& [name, rows] : sets) {
      const enrichment::Schema& schema = rows->schema();
      bool needs = schema.kind() == v1::Schema::nearest && !schema.point().within().empty();
      if (needs != within) continue;
      TablePtr areas;
      if (needs) {
        auto found = tables.find(schema.point().within());
        if (found == tables.end()) {
          return absl::FailedPreconditionError(
              base::StrCat("reference set '", name, "' keeps within '", schema.point().within(),
                           "', which isn't there"));
        }
        areas = found->second;
      }
      if (auto old = before.find(name); old != before.end() && old->second->id() == rows->id() &&
                                        old->second->within() == areas.get()) {
        tables[name] = old->second;
        continue;
      }
      auto table = enrichment::MakeTable(name, rows, std::move(areas));
      if (!table.ok()) {
        return absl::Status(
            table.status().code(),
            base::StrCat("reference set '", name, "': ", base::View(table.status().message())));
      }
      tables[name] = *std::move(table);
    }
  }
  return tables;
}

}  // namespace sluice::reference
