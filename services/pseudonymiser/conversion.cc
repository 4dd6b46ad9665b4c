#include "services/pseudonymiser/conversion.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/aes_blocks.h"
#include "common/privacy/pseudonym.h"

namespace sluice::pseudonymiser {
namespace {

using privacy::AesBlocks;
using privacy::EpochState;

constexpr base::SecretAccess kAccess{};

}  // namespace

absl::StatusOr<uint32_t> UsableEpoch(const privacy::KeyringDomain& domain, uint32_t epoch,
                                     bool retired_too) {
  if (epoch == 0) return domain.newest();
  const privacy::KeyringEpoch* found = domain.Find(epoch);
  if (found == nullptr) return absl::NotFoundError(base::StrCat("there is no epoch ", epoch));
  if (found->state == EpochState::kActive || (retired_too && found->state == EpochState::kRetired))
    return epoch;
  return absl::FailedPreconditionError(base::StrCat(
      "epoch ", epoch, found->state == EpochState::kRetired ? " is retired" : " is destroyed"));
}

absl::StatusOr<std::vector<uint32_t>> ConvertBlocks(const privacy::Keyring& keyring,
                                                    std::string_view from, uint32_t from_epoch,
                                                    std::string_view to, uint32_t to_epoch,
                                                    std::string& blocks) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes from_key, keyring.DomainKey(from, from_epoch));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes to_key, keyring.DomainKey(to, to_epoch));
  SLUICE_ASSIGN_OR_RETURN(AesBlocks decipher, AesBlocks::Create(from_key.Reveal(kAccess),
                                                                AesBlocks::Direction::kDecipher));
  SLUICE_ASSIGN_OR_RETURN(AesBlocks encipher, AesBlocks::Create(to_key.Reveal(kAccess)));
  auto* bytes = reinterpret_cast<uint8_t*>(blocks.data());
  constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);
  std::vector<uint32_t> unknown;
  bool done = decipher.Apply(bytes, blocks.size());
  for (size_t at = 0; done && at < blocks.size(); at += kBlockBytes) {
    if (!privacy::IsInner(bytes + at, keyring.check_bytes()))
      unknown.push_back(static_cast<uint32_t>(at / kBlockBytes));
  }
  done = done && encipher.Apply(bytes, blocks.size());
  if (!done) {
    // What is between the layers must not leave.
    blocks.clear();
    return absl::InternalError("OpenSSL: AES-256 failed");
  }
  for (uint32_t block : unknown) std::fill_n(bytes + block * kBlockBytes, kBlockBytes, uint8_t{0});
  return unknown;
}

uint64_t EncryptedTextBytesMax(std::string_view value) {
  constexpr uint64_t kExpansionMax = 11;
  // Of ASCII nothing is lengthened, but for a prefix that a phone's own country adds.
  constexpr uint64_t kPrefixMax = 16;
  uint64_t other = 0;
  for (char c : value) other += static_cast<unsigned char>(c) >= 0x80;
  const uint64_t canonical = value.size() - other + kExpansionMax * other + kPrefixMax;
  const uint64_t sealed = privacy::ValueCipher::PaddedBytes(canonical) + 16;
  return sealed * 8 / 5 + 64;
}

absl::StatusOr<std::string> Recovery::Decrypt(contract::v1::IdentifierKind kind,
                                              std::string_view text) {
  std::string value;
  auto parsed = privacy::ParseEncrypted(text);
  if (!parsed || parsed->label != domain_.label) return value;
  auto usable = UsableEpoch(domain_, parsed->epoch, retired_too_);
  if (!usable.ok()) return value;
  auto cipher = ciphers_.find(*usable);
  if (cipher == ciphers_.end()) {
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring_.EncryptionKey(domain_.name, *usable));
    SLUICE_ASSIGN_OR_RETURN(auto made,
                            privacy::ValueCipher::Create(key.Reveal(kAccess), domain_.name));
    cipher = ciphers_.emplace(*usable, std::move(made)).first;
  }
  absl::Status status = cipher->second.Decrypt(kind, parsed->encrypted, value);
  if (!status.ok()) value.clear();
  if (!status.ok() && !absl::IsDataLoss(status)) return status;
  return value;
}

absl::StatusOr<std::string> Recovery::Invert(contract::v1::IdentifierKind kind, uint32_t epoch,
                                             std::string_view text) {
  std::string value;
  SLUICE_ASSIGN_OR_RETURN(uint32_t usable, UsableEpoch(domain_, epoch, retired_too_));
  auto format = formats_.find(usable);
  if (format == formats_.end()) {
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring_.FormatKey(domain_.name, usable));
    SLUICE_ASSIGN_OR_RETURN(auto made, privacy::FormatPreserver::Create(key.Reveal(kAccess)));
    format = formats_.emplace(usable, std::move(made)).first;
  }
  absl::Status status = format->second.Decrypt(kind, text, value);
  if (!status.ok() && !absl::IsOutOfRange(status)) return status;
  return value;
}

}  // namespace sluice::pseudonymiser
