// A YAML file as a tree, bounded while it is read. The only user of yaml-cpp.
//
// yaml-cpp's own tree (YAML::LoadAll) isn't used: it takes memory without end on a file that starts
// with a comma, lets a node hold itself, and forgets where an alias stood.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/source_map.h"

namespace sluice::config {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Child {
    const YamlNode* node;
    // Where it is used; for an alias not where the node itself is. Counts from 1.
    int line;
  };

  Kind kind;
  int line;
  bool quoted = false;
  bool tagged = false;
  // Of a scalar.
  std::string text;
  // Of a list; of a map key, value, key, value ...
  std::vector<Child> children;

  bool IsNull() const { return kind == Kind::kNull; }
  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsList() const { return kind == Kind::kList; }
  bool IsMap() const { return kind == Kind::kMap; }
};

// Owns its nodes. Without cycles; aliases share nodes.
struct YamlTree {
  std::deque<YamlNode> nodes;
  // nullptr: the file is empty, or was refused.
  const YamlNode* root = nullptr;
};

// Adds to `problems` why the file was refused: grammar, size, encoding, depth, a second document.
YamlTree ReadYamlTree(std::string_view text, std::string_view file_name, Problems& problems);

}  // namespace sluice::config
