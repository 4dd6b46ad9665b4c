// What somebody probably meant by a name that doesn't exist.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::config {

// The candidate with the least edit distance (insert, delete, replace, swap of neighbours) to
// `name`, or
// "" when none is near enough to be a likely slip: a third of the name's length, and at least one.
std::string Nearest(std::string_view name, const std::vector<std::string>& candidates);

// "; did you mean `x`?" or "", to put at the end of an error.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace sluice::config
