#include "common/engine/join.h"

#include <algorithm>
#include <array>

namespace sluice::engine {

using enrichment::kNoRow;
using event::Value;
using event::ValueKind;
using SchemaProto = reference::v1::Schema;
using ColumnProto = reference::v1::Column;

std::optional<std::vector<uint32_t>> PositionsOf(const contract::Plan& plan, contract::NodeId id) {
  if (id == contract::kNoNode) return std::nullopt;
  const contract::Node* node = &plan.node(id);
  if (node->repeated_path || node->cardinality != contract::Cardinality::kSingular)
    return std::nullopt;
  std::vector<uint32_t> positions;
  for (; node->id != 0; node = &plan.node(node->parent)) positions.push_back(plan.position(*node));
  std::reverse(positions.begin(), positions.end());
  return positions;
}

const Value* ValueAt(const Value* fields, std::span<const uint32_t> positions) {
  if (positions.empty() || fields == nullptr) return nullptr;
  for (size_t i = 0; i + 1 < positions.size(); ++i) {
    if (!fields[positions[i]].present()) return nullptr;
    fields = fields[positions[i]].values;
  }
  const Value* value = &fields[positions.back()];
  return value->present() ? value : nullptr;
}

Value AbsentValue(const contract::Node& node) {
  if (node.presence || node.cardinality != contract::Cardinality::kSingular) return {};
  switch (node.type) {
    case contract::Type::kBool:
      return Value::Bool(false);
    case contract::Type::kInt32:
    case contract::Type::kInt64:
    case contract::Type::kEnum:
      return Value::Int(0);
    case contract::Type::kUint32:
    case contract::Type::kUint64:
      return Value::Uint(0);
    case contract::Type::kFloat:
    case contract::Type::kDouble:
      return Value::Double(0);
    case contract::Type::kString:
    case contract::Type::kBytes:
    case contract::Type::kTimestamp:
    case contract::Type::kDuration:
    case contract::Type::kMessage:
      return {};
  }
  return {};
}

double NumberOf(const Value& value) {
  switch (value.kind) {
    case ValueKind::kInt:
      return static_cast<double>(value.integer);
    case ValueKind::kUint:
      return static_cast<double>(value.unsigned_integer);
    default:
      return value.number;
  }
}

contract::Type OutputTypeOf(enrichment::ColumnType type) {
  switch (type) {
    case ColumnProto::integer:
      return contract::Type::kInt64;
    case ColumnProto::number:
      return contract::Type::kDouble;
    case ColumnProto::boolean:
      return contract::Type::kBool;
    case ColumnProto::time:
      return contract::Type::kTimestamp;
    default:
      return contract::Type::kString;
  }
}

JoinAnswer Ask(const JoinPlan& join, std::span<const JoinPlan> joins,
               std::span<const enrichment::RowId> rows, const Value* fields,
               std::optional<int64_t> seconds) {
  auto value_of = [&](const JoinValue& from) {
    if (!from.join) {
      const Value* record = fields;
      for (size_t i = 0; i + 1 < from.positions.size(); ++i) {
        if (record == nullptr || !record[from.positions[i]].present()) return Value();
        record = record[from.positions[i]].values;
      }
      if (record == nullptr || from.positions.empty()) return Value();
      const Value& value = record[from.positions.back()];
      return value.present() ? value : from.absent;
    }
    enrichment::RowId row = rows[*from.join];
    return row == kNoRow ? Value() : joins[*from.join].table->Cell(row, from.column);
  };
  enrichment::Question question;
  std::array<Value, enrichment::kKeyPartsMax> keys;
  for (size_t i = 0; i < join.keys.size(); ++i) {
    keys[i] = value_of(join.keys[i]);
    if (!keys[i].present() || (keys[i].kind == ValueKind::kText && keys[i].size == 0)) return {};
  }
  question.key = std::span(keys).first(join.keys.size());
  if (join.value.given()) {
    Value value = value_of(join.value);
    std::optional<int64_t> at = join.table->schema().Ordered(value);
    if (!at) return {};
    question.at = *at;
  }
  if (join.timed) {
    if (join.at.given()) {
      Value at = value_of(join.at);
      if (!at.present()) return {};
      seconds = at.seconds;
    }
    if (!seconds) return {};
    question.at = *seconds;
  }
  if (join.latitude.given()) {
    Value latitude = value_of(join.latitude), longitude = value_of(join.longitude);
    if (!latitude.present() || !longitude.present()) return {};
    // Of two zeros without presence nobody can say that they are there.
    if (join.latitude.absent.present() && join.longitude.absent.present() &&
        NumberOf(latitude) == 0 && NumberOf(longitude) == 0)
      return {};
    std::optional<enrichment::GridPoint> point =
        enrichment::GridPoint::Of(NumberOf(latitude), NumberOf(longitude));
    if (!point) return {};
    question.point = *point;
  }
  return {join.table->Find(question), true};
}

}  // namespace sluice::engine
