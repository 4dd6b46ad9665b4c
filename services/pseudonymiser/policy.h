// Who may call what, for which domains; deny by default.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sluice/config/v1/pseudonymiser.pb.h"

namespace sluice::pseudonymiser {

using Call = config::v1::Permission::Call;
using JustificationRule = config::v1::PseudonymiserPolicy::JustificationRule;

// A caller's, with the defaults filled in; 0: none.
struct Limits {
  uint64_t values_per_s = 1'000;
  uint64_t values_per_day = 100'000;
  uint64_t distinct_values_per_hour = 10'000;
  uint64_t misses_per_hour = 100;
  bool bulk = false;
};

enum class Decision { kAllowed, kUnknownCaller, kRevoked, kNotAllowed };

// Immutable: a changed file makes another one. Thread-safe.
class Policy {
 public:
  // Errors name file, line and what to change.
  static absl::StatusOr<std::shared_ptr<const Policy>> Load(const std::string& path);

  // For a domain, or for none (""): for any.
  Decision Decide(std::string_view caller, Call call, std::string_view domain) const;
  // Call::convert, from one domain to another.
  Decision DecideConversion(std::string_view caller, std::string_view from,
                            std::string_view to) const;

  size_t size() const { return callers_.size(); }
  JustificationRule justification() const { return justification_; }
  // What isn't a caller of the policy has the limits of its own that a stranger gets.
  const Limits& limits(std::string_view caller) const;
  bool Knows(std::string_view caller) const { return callers_.contains(caller); }
  // Whether the caller may make any call at all.
  Decision DecideAny(std::string_view caller) const;

 private:
  struct Rule {
    uint32_t calls = 0;  // a bit for each Call
    std::vector<std::string> domains;
    std::vector<std::string> to;
  };
  struct Caller {
    std::vector<Rule> rules;
    Limits limits;
    bool revoked = false;
  };
  const Caller* Find(std::string_view caller) const;

  JustificationRule justification_ = config::v1::PseudonymiserPolicy::optional;
  std::map<std::string, Caller, std::less<>> callers_;
};

}  // namespace sluice::pseudonymiser
