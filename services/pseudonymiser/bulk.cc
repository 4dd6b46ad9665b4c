#include "services/pseudonymiser/bulk.h"

#include <cstring>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::pseudonymiser {
namespace {

using privacy::Form;

constexpr int kTargetsMax = 256;
constexpr uint8_t kScoped = 0x80;
constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

// A scope's length in two bytes, and the scope, fit into the value.
bool HoldsScope(std::string_view value) {
  if (value.size() < 2) return false;
  const size_t scope =
      static_cast<size_t>(static_cast<uint8_t>(value[0])) << 8 | static_cast<uint8_t>(value[1]);
  return scope <= value.size() - 2;
}

}  // namespace

absl::StatusOr<std::vector<ResolvedTarget>> ResolveTargets(const v1::PseudonymiseRequest& request,
                                                           privacy::Pseudonymiser& pseudonymiser) {
  if (request.target_list_size() > kTargetsMax)
    return Wrong(base::StrCat("target_list: has more than ", kTargetsMax, " targets"));
  std::vector<ResolvedTarget> resolved;
  resolved.reserve(static_cast<size_t>(request.target_list_size()));
  for (const v1::Target& target : request.target_list()) {
    if (!v1::Form_IsValid(target.form())) return Wrong("target_list: there is no such form");
    ResolvedTarget& to = resolved.emplace_back();
    auto current = pseudonymiser.Domain(target.domain());
    if (!current.ok()) {
      return absl::NotFoundError(
          "target_list: there is no such domain, or its epoch isn't active: see ListDomains");
    }
    to.current = to.domain = *current;
    if (target.epoch() == 0) continue;
    auto pinned =
        pseudonymiser.Domain(base::StrCat(DomainOf(target.domain()), '@', target.epoch()));
    if (!pinned.ok()) {
      return absl::FailedPreconditionError(
          "target_list: a pinned epoch isn't active any more: begin the batch again without it");
    }
    to.domain = *pinned;
  }
  return resolved;
}

absl::Status ReadBatch(const v1::PseudonymiseRequest& request,
                       std::span<const ResolvedTarget> targets, privacy::PseudonymBatch& batch) {
  const std::string& values = request.values();
  const std::string& kinds = request.kinds();
  const std::string& counts = request.target_counts();
  const std::string& wanted = request.targets();
  const auto size = static_cast<size_t>(request.ends_size());
  if (kinds.size() != size) return Wrong("kinds: must have one byte for each of ends");
  if (!counts.empty() && counts.size() != size)
    return Wrong("target_counts: must be empty, or have one byte for each of ends");
  if (counts.empty() && wanted.size() != size)
    return Wrong("targets: must have one byte for each value where target_counts is empty");

  const uint32_t* ends = request.ends().data();
  size_t begin = 0, target = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t end = ends[i];
    if (end < begin || end > values.size())
      return Wrong("ends: must ascend, and end with the size of values");
    const std::string_view value(values.data() + begin, end - begin);
    const auto byte = static_cast<uint8_t>(kinds[i]);
    const bool scoped = (byte & kScoped) != 0;
    const int kind = byte & ~kScoped;
    if (kind > contract::v1::IdentifierKind_MAX)
      return Wrong("kinds: there is no such kind of identifier");
    if (scoped && !HoldsScope(value)) return Wrong("values: a scope is longer than its value");
    batch.bytes().append(value);
    batch.EndValue(static_cast<privacy::IdentifierKind>(kind), scoped);
    begin = end;

    const size_t count = counts.empty() ? 1 : static_cast<uint8_t>(counts[i]);
    if (count > wanted.size() - target)
      return Wrong("targets: must have as many bytes as target_counts says in all");
    for (const size_t last = target + count; target < last; ++target) {
      const auto index = static_cast<uint8_t>(wanted[target]);
      if (index >= targets.size()) return Wrong("targets: names more than target_list has");
      const auto form = static_cast<Form>(request.target_list(index).form());
      if (scoped && form != Form::kBlock)
        return Wrong("targets: BLOCK is the only form of a value in a scope");
      batch.AddTarget(targets[index].domain, form);
    }
  }
  if (begin != values.size()) return Wrong("ends: must ascend, and end with the size of values");
  if (target != wanted.size())
    return Wrong("targets: must have as many bytes as target_counts says in all");
  return absl::OkStatus();
}

uint64_t AnswerBytes(const v1::PseudonymiseRequest& request) {
  constexpr uint64_t kTargetEpochBytes = 64, kTextOverhead = 16 + 5;
  bool texts = false;
  for (const v1::Target& target : request.target_list())
    texts = texts || target.form() != v1::BLOCK;
  uint64_t bytes = uint64_t{16} * request.targets().size() +
                   kTargetEpochBytes * static_cast<uint64_t>(request.target_list_size());
  if (!texts) return bytes;
  // Each target that isn't a block gets a text about as long as its value.
  const std::string& counts = request.target_counts();
  const auto& ends = request.ends();
  uint64_t begin = 0, target = 0;
  for (int i = 0; i < ends.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const uint64_t size = ends[i] < begin ? 0 : ends[i] - begin;
    begin = ends[i];
    const uint64_t count = at < counts.size() ? static_cast<uint8_t>(counts[at]) : 1;
    for (uint64_t last = target + count; target < last; ++target) {
      bytes += 5;
      if (target >= request.targets().size()) break;
      const int index = static_cast<uint8_t>(request.targets()[target]);
      if (index < request.target_list_size() && request.target_list(index).form() != v1::BLOCK)
        bytes += size + kTextOverhead;
    }
  }
  return bytes;
}

void WriteAnswer(const privacy::PseudonymBatch& batch, const privacy::PseudonymAnswer& answer,
                 std::span<const ResolvedTarget> targets, v1::PseudonymiseResponse& response) {
  std::string& blocks = *response.mutable_blocks();
  blocks.assign(reinterpret_cast<const char*>(answer.blocks.data()),
                answer.blocks.size() * kBlockBytes);
  if (batch.has_texts()) {
    for (size_t i = 0; i < batch.targets().size(); ++i) {
      if (batch.targets()[i].form != Form::kBlock)
        std::memset(blocks.data() + i * kBlockBytes, 0, kBlockBytes);
    }
    response.set_texts(answer.texts);
    response.mutable_text_ends()->Add(answer.text_ends.begin(), answer.text_ends.end());
  }
  for (const ResolvedTarget& target : targets) {
    v1::TargetEpoch& epoch = *response.add_target_epochs();
    epoch.set_label(answer.domains[target.domain].label);
    epoch.set_epoch(answer.domains[target.domain].epoch);
    epoch.set_current_epoch(answer.domains[target.current].epoch);
  }
}

}  // namespace sluice::pseudonymiser
