// What a field probably is, by its name: for errors and warnings, never for a decision.
#pragma once

#include <string>
#include <string_view>

namespace sluice::contract {

// The option that a field of this name probably needs, such as `identifier = PHONE`; empty: its
// name says nothing. Names are taken apart at underscores and capitals; `next_of_kin` and
// `nextOfKin` say the same.
std::string SuggestedOption(std::string_view field_name);

}  // namespace sluice::contract
