#include "services/pseudonymiser/policy.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/source_map.h"
#include "common/config/yaml.h"

namespace sluice::pseudonymiser {
namespace {

using base::StrCat;
using config::v1::Permission;

// For every caller is kept what its limits need.
constexpr int kCallersMax = 1'000;
// As SPIFFE bounds its ids.
constexpr size_t kCallerBytesMax = 2'048;

bool Names(const std::vector<std::string>& domains, std::string_view domain) {
  return std::any_of(domains.begin(), domains.end(),
                     [&](const std::string& name) { return name == "*" || name == domain; });
}

uint64_t Or(int64_t given, bool bulk, uint64_t fallback) {
  return given != 0 ? static_cast<uint64_t>(given) : bulk ? 0 : fallback;
}

Limits LimitsOf(const config::v1::CallerLimits& given) {
  Limits limits;
  limits.bulk = given.bulk();
  limits.values_per_s = Or(given.values_per_s(), given.bulk(), limits.values_per_s);
  limits.values_per_day = Or(given.values_per_day(), given.bulk(), limits.values_per_day);
  limits.distinct_values_per_hour =
      Or(given.distinct_values_per_hour(), given.bulk(), limits.distinct_values_per_hour);
  limits.misses_per_hour = Or(given.misses_per_hour(), given.bulk(), limits.misses_per_hour);
  return limits;
}

void CheckPermission(const Permission& permission, const std::string& path,
                     const config::SourceMap& map, config::Problems& problems) {
  bool converts = false;
  for (int call : permission.calls()) {
    converts |= call == Permission::convert;
    if (call == Permission::unspecified)
      problems.Add(map, path + ".calls", "`unspecified` is no call: name what is allowed");
  }
  if (permission.calls().empty()) problems.Add(map, path, "name the calls that it allows");
  if (permission.domains().empty())
    problems.Add(map, path, "name the domains that it is for, or \"*\" for all");
  if (converts != !permission.to().empty()) {
    problems.Add(map, path,
                 "`convert` and `to`, what pseudonyms may become, go together: give both");
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Load(const std::string& path) {
  config::v1::PseudonymiserPolicy file;
  config::SourceMap map;
  SLUICE_RETURN_IF_ERROR(config::ParseYamlFile(path, file, &map));
  config::Problems problems;
  auto policy = std::make_shared<Policy>();
  policy->justification_ = file.justification();
  if (file.callers_size() > kCallersMax)
    problems.Add(map, "callers", StrCat("are more than ", kCallersMax));
  for (int i = 0; i < file.callers_size(); ++i) {
    const config::v1::PolicyCaller& given = file.callers(i);
    std::string at = StrCat("callers[", i, "]");
    auto [entry, added] = policy->callers_.try_emplace(given.caller());
    if (given.caller().size() > kCallerBytesMax)
      problems.Add(map, at + ".caller", StrCat("is longer than ", kCallerBytesMax, " bytes"));
    if (given.caller().empty() || !added)
      problems.Add(map, at + ".caller", "is empty, or named twice: once, with all it may do");
    Caller& caller = entry->second;
    const config::v1::CallerLimits& limits = given.limits();
    if (std::min({limits.values_per_s(), limits.values_per_day(), limits.distinct_values_per_hour(),
                  limits.misses_per_hour()}) < 0) {
      problems.Add(map, at + ".limits", "can't be negative; for none, leave it out and be `bulk`");
    }
    caller.limits = LimitsOf(limits);
    for (int j = 0; j < given.may_size(); ++j) {
      const Permission& permission = given.may(j);
      CheckPermission(permission, StrCat(at, ".may[", j, "]"), map, problems);
      Rule& rule = caller.rules.emplace_back();
      for (int call : permission.calls()) rule.calls |= 1u << call;
      rule.domains.assign(permission.domains().begin(), permission.domains().end());
      rule.to.assign(permission.to().begin(), permission.to().end());
    }
  }
  if (file.revoked_size() > kCallersMax)
    problems.Add(map, "revoked", StrCat("are more than ", kCallersMax));
  for (const std::string& revoked : file.revoked()) policy->callers_[revoked].revoked = true;
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  return policy;
}

const Policy::Caller* Policy::Find(std::string_view caller) const {
  auto found = callers_.find(caller);
  return found == callers_.end() ? nullptr : &found->second;
}

Decision Policy::Decide(std::string_view caller, Call call, std::string_view domain) const {
  const Caller* known = Find(caller);
  if (known == nullptr) return Decision::kUnknownCaller;
  if (known->revoked) return Decision::kRevoked;
  for (const Rule& rule : known->rules) {
    if ((rule.calls >> call & 1) != 0 && (domain.empty() || Names(rule.domains, domain)))
      return Decision::kAllowed;
  }
  return Decision::kNotAllowed;
}

Decision Policy::DecideAny(std::string_view caller) const {
  const Caller* known = Find(caller);
  if (known == nullptr) return Decision::kUnknownCaller;
  if (known->revoked) return Decision::kRevoked;
  return known->rules.empty() ? Decision::kNotAllowed : Decision::kAllowed;
}

Decision Policy::DecideConversion(std::string_view caller, std::string_view from,
                                  std::string_view to) const {
  const Caller* known = Find(caller);
  if (known == nullptr) return Decision::kUnknownCaller;
  if (known->revoked) return Decision::kRevoked;
  for (const Rule& rule : known->rules) {
    if ((rule.calls >> Permission::convert & 1) != 0 && Names(rule.domains, from) &&
        Names(rule.to, to))
      return Decision::kAllowed;
  }
  return Decision::kNotAllowed;
}

const Limits& Policy::limits(std::string_view caller) const {
  static const Limits kStrangers;
  const Caller* known = Find(caller);
  return known == nullptr ? kStrangers : known->limits;
}

}  // namespace sluice::pseudonymiser
