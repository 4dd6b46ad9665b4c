#include "common/enrichment/table.h"

#include "common/base/stop_scope.h"
#include "common/base/strings.h"
#include "common/enrichment/area_table.h"
#include "common/enrichment/exact_table.h"
#include "common/enrichment/interval_table.h"
#include "common/enrichment/nearest_table.h"

namespace sluice::enrichment {

using SchemaProto = reference::v1::Schema;

namespace {

absl::StatusOr<std::shared_ptr<const Table>> Make(std::string_view set,
                                                  std::shared_ptr<const RowSet> rows,
                                                  std::shared_ptr<const Table> within) {
  switch (rows->schema().kind()) {
    case SchemaProto::exact:
      return std::make_shared<const ExactTable>(set, std::move(rows));
    case SchemaProto::as_of:
    case SchemaProto::range:
      return std::make_shared<const IntervalTable>(set, std::move(rows));
    case SchemaProto::area:
      if (AreaTable::PointsOf(*rows) > AreaTable::kPointsMax) {
        return absl::ResourceExhaustedError(
            base::StrCat("the set '", set, "' has areas of more than ", AreaTable::kPointsMax,
                         " points together: make them simpler, or parts of it sets of their own"));
      }
      return std::make_shared<const AreaTable>(set, std::move(rows));
    case SchemaProto::nearest: {
      const std::string& name = rows->schema().point().within();
      if (name.empty()) return std::make_shared<const NearestTable>(set, std::move(rows), nullptr);
      auto error = [&](std::string_view what) {
        return absl::InvalidArgumentError(
            base::StrCat("the set '", set, "' keeps within '", name, "', which ", what));
      };
      if (within == nullptr) return error("isn't there");
      if (within->schema().kind() != SchemaProto::area) return error("isn't a set of areas");
      if (within->schema().has_interval()) return error("has areas that change in time");
      return std::make_shared<const NearestTable>(set, std::move(rows), std::move(within));
    }
    default:
      break;
  }
  return absl::InternalError(base::StrCat("the set '", set, "' is of no kind"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Table>> MakeTable(std::string_view set,
                                                       std::shared_ptr<const RowSet> rows,
                                                       std::shared_ptr<const Table> within) {
  auto table = Make(set, std::move(rows), std::move(within));
  // It may be unfinished.
  if (base::StopScope::stop_requested()) return absl::CancelledError("interrupted");
  return table;
}

}  // namespace sluice::enrichment
