#include "common/enrichment/table.h"

#include "common/base/strings.h"
#include "common/enrichment/area_table.h"
#include "common/enrichment/exact_table.h"
#include "common/enrichment/interval_table.h"

namespace sluice::enrichment {

using SchemaProto = reference::v1::Schema;

absl::StatusOr<std::shared_ptr<const Table>> MakeTable(std::string_view set,
                                                       std::shared_ptr<const RowSet> rows,
                                                       std::shared_ptr<const Table>) {
  switch (rows->schema().kind()) {
    case SchemaProto::exact:
      return std::make_shared<const ExactTable>(set, std::move(rows));
    case SchemaProto::as_of:
    case SchemaProto::range:
      return std::make_shared<const IntervalTable>(set, std::move(rows));
    case SchemaProto::area:
      return std::make_shared<const AreaTable>(set, std::move(rows));
    default:
      break;
  }
  return absl::InvalidArgumentError(base::StrCat("the set '", set, "' is of a kind that there is no table for"));
}

}  // namespace sluice::enrichment
