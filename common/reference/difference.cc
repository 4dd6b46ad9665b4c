#include "common/reference/difference.h"

#include <vector>

#include "common/base/strings.h"
#include "common/reference/guards.h"

namespace sluice::reference {
namespace {

constexpr int kKeysMax = 20;

// A column's value as it is written down, for comparison.
std::string_view BytesOf(std::string_view row, size_t column) {
  size_t begin = enrichment::SizeOfRow(row.data(), column);
  return row.substr(begin, enrichment::SizeOfRow(row.data(), column + 1) - begin);
}

}  // namespace

absl::StatusOr<v1::DiffResponse> Difference(const enrichment::Rows& before,
                                            const enrichment::Rows& after) {
  const enrichment::Schema& schema = before.schema();
  if (schema.identity() != after.schema().identity()) {
    return absl::FailedPreconditionError(
        base::StrCat("the versions ", before.id(), " and ", after.id(),
                     " have two schemas: their rows cannot be compared"));
  }
  v1::DiffResponse difference;
  difference.set_old_id(before.id());
  difference.set_new_id(after.id());
  difference.set_old_rows(before.size());
  difference.set_new_rows(after.size());
  std::vector<event::Value> cells(schema.columns().size());
  std::vector<uint64_t> changed(schema.columns().size());
  auto tell = [&](const enrichment::Rows::Cursor& row,
                  google::protobuf::RepeatedPtrField<std::string>& keys) {
    if (keys.size() == kKeysMax || !enrichment::ReadRow(row.bytes, cells)) return;
    std::string key = schema.KeyText(cells);
    if (!key.empty()) *keys.Add() = std::move(key);
  };
  auto old_row = before.Walk(), new_row = after.Walk();
  bool more_old = old_row->Next(), more_new = new_row->Next();
  while (more_old || more_new) {
    const int order = !more_old ? 1 : !more_new ? -1 : Order(*old_row, *new_row);
    if (order < 0) {
      difference.set_gone(difference.gone() + 1);
      tell(*old_row, *difference.mutable_gone_keys());
    } else if (order > 0) {
      difference.set_added(difference.added() + 1);
      tell(*new_row, *difference.mutable_added_keys());
    } else if (old_row->bytes != new_row->bytes) {
      difference.set_changed(difference.changed() + 1);
      tell(*new_row, *difference.mutable_changed_keys());
      for (size_t i = 0; i < changed.size(); ++i)
        changed[i] += BytesOf(old_row->bytes, i) != BytesOf(new_row->bytes, i);
    }
    if (order <= 0) more_old = old_row->Next();
    if (order >= 0) more_new = new_row->Next();
  }
  for (size_t i = 0; i < changed.size(); ++i)
    if (changed[i] > 0)
      (*difference.mutable_changed_by_column())[schema.columns()[i].name] = changed[i];
  return difference;
}

}  // namespace sluice::reference
