#include "services/processor/key_identities.h"

#include <algorithm>
#include <set>

#include "common/base/strings.h"

namespace sluice::processor {
namespace {

constexpr std::string_view kWayOut =
    "Put back the keys that were used before: look at the Secret, the file or the service that the "
    "configuration names, and compare with `sluicectl keys list`. If other pseudonyms are meant, "
    "`sluicectl offsets forget-keys` forgets which keys there were";

}  // namespace

const privacy::KeyringDomain* FindDomain(const HeldKeys& held, std::string_view name) {
  for (const privacy::KeyringDomain& domain : held.domains) {
    if (domain.name == name) return &domain;
  }
  return nullptr;
}

std::vector<std::string> DomainsOf(const config::v1::Pipeline& pipeline) {
  std::set<std::string> names;
  for (const config::v1::Stream& stream : pipeline.streams()) {
    std::string name = stream.domain().substr(0, stream.domain().find('@'));
    if (!name.empty()) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

std::shared_ptr<const HeldKeys> HeldKeysOf(const std::vector<privacy::KeyringDomain>& all,
                                           const config::v1::Pipeline& pipeline, std::string where,
                                           bool whole) {
  auto held = std::make_shared<HeldKeys>();
  held->where = std::move(where);
  held->whole = whole;
  held->used = DomainsOf(pipeline);
  for (const privacy::KeyringDomain& domain : all) {
    if (std::binary_search(held->used.begin(), held->used.end(), domain.name))
      held->domains.push_back(domain);
  }
  return held;
}

absl::Status CompareKeys(const KeyIdentities& recorded, const HeldKeys& held) {
  for (const auto& [key, epoch] : recorded) {
    const auto& [name, number] = key;
    if (!std::binary_search(held.used.begin(), held.used.end(), name)) continue;
    auto refused = [&](auto&&... what) {
      return absl::FailedPreconditionError(
          base::StrCat(held.where, ": published pseudonyms are of domain '", name, "', epoch ",
                       number, " with the check ", epoch.check.empty() ? "?" : epoch.check,
                       ", and ", what..., ": one person would have two pseudonyms. ", kWayOut));
    };
    const privacy::KeyringDomain* domain = FindDomain(held, name);
    if (domain == nullptr) {
      if (!held.whole) continue;
      return refused("the keys at hand lack this domain");
    }
    if (domain->label != epoch.label)
      return refused("the keys at hand label this domain '", domain->label, "', not '", epoch.label,
                     "'");
    if (const privacy::KeyringEpoch* found = domain->Find(number)) {
      if (epoch.check.empty() || found->check.empty() || epoch.check == found->check) continue;
      return refused("the keys at hand have another secret under this number, with the check ",
                     found->check);
    }
    // A keyring that was restored leaves out the numbers that were used.
    if (domain->next_epoch_min > number || (!domain->epochs.empty() && domain->newest() > number))
      continue;
    return refused("the keys at hand lack this epoch, as an older copy does");
  }
  return absl::OkStatus();
}

KeyIdentities NotRecorded(const KeyIdentities& recorded, const HeldKeys& held) {
  KeyIdentities news;
  for (const privacy::KeyringDomain& domain : held.domains) {
    for (const privacy::KeyringEpoch& epoch : domain.epochs) {
      std::pair key(domain.name, epoch.number);
      auto known = recorded.find(key);
      if (known == recorded.end() || (known->second.check.empty() && !epoch.check.empty()))
        news.emplace(std::move(key), EpochIdentity{domain.label, epoch.check});
    }
  }
  return news;
}

}  // namespace sluice::processor
