#include "common/event/event.h"

#include <algorithm>

#include "common/base/strings.h"

namespace sluice::event {
namespace {

// An order of map keys: they are all of one kind.
bool KeyLess(const Value& a, const Value& b) {
  switch (a.kind) {
    case ValueKind::kText:
      return a.text() < b.text();
    case ValueKind::kUint:
      return a.unsigned_integer < b.unsigned_integer;
    case ValueKind::kBool:
      return a.boolean < b.boolean;
    default:
      return a.integer < b.integer;
  }
}

}  // namespace

bool HasEqualKeys(const Value& map, std::vector<Value>& room) {
  if (!map.present() || map.size < 2) return false;
  room.clear();
  for (uint32_t i = 0; i < map.size; ++i) {
    const Value& key = map.values[i].values[0];
    if (key.present()) room.push_back(key);
  }
  std::sort(room.begin(), room.end(), KeyLess);
  auto same = [](const Value& a, const Value& b) { return !KeyLess(a, b) && !KeyLess(b, a); };
  return std::adjacent_find(room.begin(), room.end(), same) != room.end();
}

std::string_view RepairName(RepairKind kind) {
  switch (kind) {
    case RepairKind::kNullSpelling:
      return "null_spelling";
    case RepairKind::kBoolSpelling:
      return "bool_spelling";
    case RepairKind::kNumberInString:
      return "number_in_string";
    case RepairKind::kTrimmed:
      return "trimmed";
    case RepairKind::kLocalTime:
      return "local_time";
    case RepairKind::kEnumSpelling:
      return "enum_spelling";
    case RepairKind::kByteOrderMark:
      return "byte_order_mark";
    case RepairKind::kAmbiguousTime:
      return "ambiguous_time";
    case RepairKind::kPlaceholder:
      return "placeholder";
  }
  return "";
}

std::string_view RenderPath(const contract::Node& node, const uint32_t* indexes, size_t index_count,
                            base::Arena& arena) {
  std::string path;
  size_t next = 0;
  for (size_t i = 0; i < node.path.size(); ++i) {
    path.push_back(node.path[i]);
    if (node.path[i] == '[' && next < index_count) base::StrAppend(path, indexes[next++]);
  }
  // The field itself is a list, and the value one of its items.
  if (next < index_count) base::StrAppend(path, '[', indexes[next], ']');
  return arena.Copy(path);
}

}  // namespace sluice::event
