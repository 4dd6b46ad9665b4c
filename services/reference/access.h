// Who may do what with which sets; deny by default.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config/v1/reference_service.pb.h"

namespace sluice::reference {

using Right = config::v1::Access::Right;

// Immutable; thread-safe.
class Access {
 public:
  // `everything`: without TLS the port is a loopback one, and whoever reaches it may do all.
  Access(const config::v1::ReferenceService& config, bool everything);

  bool May(std::string_view caller, Right right, std::string_view set) const;
  // With at least one set.
  bool May(std::string_view caller, Right right) const;

 private:
  struct Rule {
    std::set<int> rights;
    std::set<std::string, std::less<>> sets;  // empty: all
  };
  const bool everything_;
  std::multimap<std::string, Rule, std::less<>> rules_;
};

}  // namespace sluice::reference
