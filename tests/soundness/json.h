// JSON as a subscriber that trusts nobody reads it: an oracle of our writers, and none of their
// code.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::soundness {

struct Json {
  std::string text;  // of a scalar; a text without its quotes
  std::vector<std::pair<std::string, Json>> members;
  std::vector<Json> items;

  const Json* Member(std::string_view name) const;
};

// What is wrong with it, such as two equal members of one object; empty: nothing.
std::string ParseJson(std::string_view text, Json& json);

}  // namespace sluice::soundness
