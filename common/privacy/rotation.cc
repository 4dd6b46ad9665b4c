#include "common/privacy/rotation.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/pseudonym.h"

namespace sluice::privacy {
namespace {

constexpr base::SecretAccess kAccess{};

}  // namespace

absl::StatusOr<Rotation> Rotation::Create(const Keyring& keyring, std::string_view name) {
  const KeyringDomain* domain = keyring.Find(name);
  if (domain == nullptr)
    return absl::NotFoundError(base::StrCat("the keyring has no domain '", name, "'"));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.DomainKey(name, domain->newest()));
  SLUICE_ASSIGN_OR_RETURN(AesBlocks encipher, AesBlocks::Create(key.Reveal(kAccess)));
  Rotation rotation(domain->label, domain->newest(), keyring.check_bytes(), std::move(encipher));
  for (const KeyringEpoch& epoch : domain->epochs) {
    if (epoch.state != EpochState::kActive) continue;
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes old, keyring.DomainKey(name, epoch.number));
    SLUICE_ASSIGN_OR_RETURN(AesBlocks decipher, AesBlocks::Create(old.Reveal(kAccess),
                                                                  AesBlocks::Direction::kDecipher));
    rotation.old_.push_back({epoch.number, std::move(decipher)});
  }
  return rotation;
}

absl::Status Rotation::Convert(std::string_view text, std::string& out, Counts& counts) {
  size_t at = 0;
  while (auto found = FindPseudonym(text, label_, at)) {
    const ParsedPseudonym& parsed = found->parsed;
    out.append(text.substr(at, found->begin - at));
    at = found->end;
    Old* old = nullptr;
    for (Old& one : old_) {
      if (one.epoch == parsed.epoch) old = &one;
    }
    auto copy = [&](uint64_t& count) {
      ++count;
      out.append(text.substr(found->begin, found->end - found->begin));
    };
    if (old == nullptr) {
      copy(counts.untouched);
      continue;
    }
    PseudonymBlock block = parsed.block;
    if (!old->decipher.Apply(block.data(), block.size()))
      return absl::InternalError("OpenSSL: AES-256 failed");
    if (!IsInner(block.data(), check_bytes_)) {
      ++counts.foreign;
      copy(counts.untouched);
      continue;
    }
    if (parsed.epoch == newest_) {
      copy(counts.already);
      continue;
    }
    if (!encipher_.Apply(block.data(), block.size()))
      return absl::InternalError("OpenSSL: AES-256 failed");
    AppendPseudonym({label_, newest_}, block, out);
    ++counts.converted;
  }
  out.append(text.substr(at));
  return absl::OkStatus();
}

}  // namespace sluice::privacy
