#include "common/event/event.h"

#include "common/base/strings.h"

namespace sluice::event {

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
