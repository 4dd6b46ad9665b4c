#include "common/reference/tables.h"

#include <google/protobuf/util/message_differencer.h>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/lmdb_table.h"

namespace sluice::reference {

bool HaveOneDefinition(const enrichment::Schema& one, const enrichment::Schema& other) {
  return google::protobuf::util::MessageDifferencer::Equals(one.definition(), other.definition());
}

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
      // Mapped rows are looked up where they are.
      if (auto mapped = std::dynamic_pointer_cast<const LmdbTable>(rows)) {
        tables[name] = std::move(mapped);
        continue;
      }
      if (auto old = before.find(name);
          old != before.end() && old->second->id() == rows->id() &&
          HaveOneDefinition(old->second->schema(), schema) &&
          old->second->within() == areas.get() &&
          dynamic_cast<const LmdbTable*>(old->second.get()) == nullptr) {
        tables[name] = old->second;
        continue;
      }
      auto in_memory = std::static_pointer_cast<const enrichment::RowSet>(rows);
      auto table = enrichment::MakeTable(name, std::move(in_memory), std::move(areas));
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
