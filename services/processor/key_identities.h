// Which keys a pipeline's pseudonyms were made with, as far as that is no secret: what tells
// another keyring from the one before, also after a restart.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/privacy/keyring.h"
#include "sluice/config/v1/pipeline.pb.h"

namespace sluice::processor {

// An epoch of a domain as it is recorded beside the results.
struct EpochIdentity {
  std::string label;
  std::string check;  // privacy::KeyringEpoch::check; empty: nobody knows it

  friend bool operator==(const EpochIdentity&, const EpochIdentity&) = default;
};

// By the domain's name and the epoch's number.
using KeyIdentities = std::map<std::pair<std::string, uint32_t>, EpochIdentity>;

// The domains of which a pipeline's streams have pseudonyms, without `@2` and the like.
std::vector<std::string> DomainsOf(const config::v1::Pipeline& pipeline);

// The keys at hand of these domains. Shared and never changed, so that who has seen one knows it by
// its address.
struct HeldKeys {
  std::string where;                            // what holds them, for errors
  std::vector<std::string> used;                // the domains that the pipeline uses, sorted
  std::vector<privacy::KeyringDomain> domains;  // of these, those that are there
  bool whole = true;  // false: a domain that isn't here may be there, and not for us to see
};
std::shared_ptr<const HeldKeys> HeldKeysOf(const std::vector<privacy::KeyringDomain>& all,
                                           const config::v1::Pipeline& pipeline, std::string where,
                                           bool whole);

// nullptr: it isn't among them.
const privacy::KeyringDomain* FindDomain(const HeldKeys& held, std::string_view name);

// Whether pseudonyms that are made with `held` go with those that were made with `recorded`.
// kFailedPrecondition: an epoch has another secret, or is missing without having been left out, so
// that its number may be used again; the text says which, and what to do. What isn't recorded, or
// of a domain that isn't used any more, isn't compared.
absl::Status CompareKeys(const KeyIdentities& recorded, const HeldKeys& held);

// What of `held` isn't recorded yet.
KeyIdentities NotRecorded(const KeyIdentities& recorded, const HeldKeys& held);

}  // namespace sluice::processor
