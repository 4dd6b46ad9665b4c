// A join: which row of a reference set an event gets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/contract/plan.h"
#include "common/enrichment/table.h"
#include "common/event/event.h"
#include "common/event/output_field.h"
#include "sluice/config/v1/pipeline.pb.h"

namespace sluice::engine {

// A value that is asked with: a field of the event, or a column of an earlier join's row.
struct JoinValue {
  std::vector<uint32_t> positions;            // of a field: from the event's record down
  contract::NodeId node = contract::kNoNode;  // the field
  std::optional<size_t> join;                 // the earlier join
  size_t column = 0;                          // of its table
  // What it is where its message is there and it is absent: nothing, or, of a number without
  // presence, zero.
  event::Value absent;

  bool given() const { return join || !positions.empty(); }
};

struct JoinPlan {
  std::string set;
  std::shared_ptr<const enrichment::Table> table;
  std::vector<JoinValue> keys;  // one for each part of the set's key
  JoinValue value;              // kind range
  JoinValue latitude, longitude;
  bool timed = false;                               // the rows have their times
  JoinValue at;                                     // not given: the event's own time
  contract::NodeId asked_with = contract::kNoNode;  // the field that a missing row is blamed on
  // What becomes of an event without a row; where it waits first, afterwards.
  config::v1::Enrichment::OnMissing on_missing = config::v1::Enrichment::keep;
  std::optional<int64_t> wait_ms;
  event::OutputField field;                 // the message that carries the row
  std::vector<event::OutputField> columns;  // its fields
  std::vector<size_t> column_indexes;       // by field: the table's column

  const enrichment::Column& column(size_t field) const {
    return table->schema().columns()[column_indexes[field]];
  }
};

using Tables = std::vector<std::shared_ptr<const enrichment::Table>>;

// All of a pipeline's `enrich`. Mistakes go to `error`, with their path; joins after one may be
// left out.
std::vector<JoinPlan> CompileJoins(
    const contract::Plan& plan, const config::v1::Pipeline& config, const Tables& tables,
    const std::function<void(std::string_view path, std::string_view what)>& error);

// From the event's record down to a field's value; nullopt when there is no such field, or it has
// many values.
std::optional<std::vector<uint32_t>> PositionsOf(const contract::Plan& plan, contract::NodeId id);
// What stands there; null: nothing does.
const event::Value* ValueAt(const event::Value* fields, std::span<const uint32_t> positions);
// What absence means: nothing, or, of one number, boolean or enum without presence, zero, which is
// how protobuf writes it.
event::Value AbsentValue(const contract::Node& node);
// Of an integer or a double.
double NumberOf(const event::Value& value);
// Of fields that carry a column's values.
contract::Type OutputTypeOf(enrichment::ColumnType type);

struct JoinAnswer {
  enrichment::RowId row = enrichment::kNoRow;
  bool asked = false;  // the event has all that is asked with
};
// `rows` are those of the joins before this one, `seconds` is the event's time.
JoinAnswer Ask(const JoinPlan& join, std::span<const JoinPlan> joins,
               std::span<const enrichment::RowId> rows, const event::Value* fields,
               std::optional<int64_t> seconds);

}  // namespace sluice::engine
