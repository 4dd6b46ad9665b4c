#include "services/reference/access.h"

#include <algorithm>

namespace sluice::reference {

Access::Access(const config::v1::ReferenceService& config, bool everything)
    : everything_(everything) {
  for (const config::v1::Access& access : config.access()) {
    rules_.emplace(access.caller(), Rule{{access.may().begin(), access.may().end()},
                                         {access.sets().begin(), access.sets().end()}});
  }
}

bool Access::May(std::string_view caller, Right right, std::string_view set) const {
  if (everything_) return true;
  auto [begin, end] = rules_.equal_range(caller);
  return std::any_of(begin, end, [&](const auto& entry) {
    const Rule& rule = entry.second;
    return rule.rights.contains(right) && (rule.sets.empty() || rule.sets.contains(set));
  });
}

bool Access::May(std::string_view caller, Right right) const {
  if (everything_) return true;
  auto [begin, end] = rules_.equal_range(caller);
  return std::any_of(begin, end,
                     [&](const auto& entry) { return entry.second.rights.contains(right); });
}

}  // namespace sluice::reference
