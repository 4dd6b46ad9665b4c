#include "common/contract/plan.h"

#include "common/base/strings.h"

namespace sluice::contract {

std::string_view Classification::name() const {
  if (identifier != 0) return v1::IdentifierKind_Name(identifier);
  if (quasi != 0) return v1::QuasiKind_Name(quasi);
  if (sensitive != 0) return v1::SensitiveKind_Name(sensitive);
  return free_text ? "FREE_TEXT" : "";
}

std::string SourceLocation::ToString() const {
  return line == 0 ? file : base::StrCat(file, ":", line);
}

NodeId Plan::Find(std::string_view path) const {
  const Node* at = &root();
  while (true) {
    size_t dot = path.find('.');
    std::string_view name = path.substr(0, dot);
    if (name.ends_with("[]")) name.remove_suffix(2);
    const Node* found = nullptr;
    for (const Node& child : children(*at)) {
      if (child.name == name) found = &child;
    }
    if (found == nullptr) return kNoNode;
    if (dot == std::string_view::npos) return found->id;
    at = found;
    path.remove_prefix(dot + 1);
  }
}

}  // namespace sluice::contract
