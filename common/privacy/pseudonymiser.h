// The port to whoever holds the keys. Local or remote: the engine can't tell which.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

using contract::v1::IdentifierKind;

// One block of a pseudonym: what its 26 characters stand for.
using PseudonymBlock = std::array<uint8_t, 16>;

// Values to pseudonymise: one flat buffer, each value with its kind and the domains it is wanted
// in. Reused from chunk to chunk; allocates nothing in the steady state.
class PseudonymBatch {
 public:
  void Clear() {
    bytes_.clear();
    values_.clear();
    targets_.clear();
  }

  // `canonical` is the value in its kind's canonical form. Domains are indexes as Domains() gives
  // them. Returns the index of the first target; the others follow in the order of `domains`.
  template <typename DomainList>
  size_t Add(IdentifierKind kind, std::string_view canonical, const DomainList& domains) {
    bytes_.append(canonical);
    return AddTargets(kind, domains);
  }

  // The same in two steps: the caller appends the canonical value to bytes() first.
  template <typename DomainList>
  size_t AddTargets(IdentifierKind kind, const DomainList& domains) {
    size_t first = targets_.size();
    uint32_t value = static_cast<uint32_t>(values_.size());
    values_.push_back({kind, static_cast<uint32_t>(bytes_.size())});
    for (uint16_t domain : domains) targets_.push_back({value, domain});
    return first;
  }

  struct Value {
    IdentifierKind kind;
    uint32_t end;  // in bytes(); a value begins where the one before ends
  };
  struct Target {
    uint32_t value;
    uint16_t domain;
  };

  std::string& bytes() { return bytes_; }
  const std::string& bytes() const { return bytes_; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Target>& targets() const { return targets_; }

 private:
  std::string bytes_;
  std::vector<Value> values_;
  std::vector<Target> targets_;
};

// The key epoch that a domain's pseudonyms in one answer were made under.
struct DomainEpoch {
  std::string label;
  uint32_t epoch = 0;
};

struct PseudonymAnswer {
  // One for each target of the batch, in its order.
  std::vector<PseudonymBlock> blocks;
  // By domain index; the prefix of a pseudonym's text is its label and epoch.
  std::vector<DomainEpoch> domains;
};

// One worker's door to the keys. Not thread-safe: each worker has its own.
class Pseudonymiser {
 public:
  virtual ~Pseudonymiser() = default;

  // The index by which batches name this domain. kNotFound when there is no such domain.
  virtual absl::StatusOr<uint16_t> Domain(std::string_view name) = 0;

  // Fills `answer` for the whole batch or returns an error: kUnavailable when trying again later
  // can help. All of one answer is made under one epoch per domain.
  virtual absl::Status Pseudonymise(const PseudonymBatch& batch, PseudonymAnswer& answer) = 0;
};

}  // namespace sluice::privacy
