#include "common/privacy/rotation.h"

#include <optional>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/pseudonym.h"

namespace sluice::privacy {
namespace {

constexpr base::SecretAccess kAccess{};

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

absl::StatusOr<Rotation> Rotation::Create(const Keyring& keyring, std::string_view name) {
  const KeyringDomain* domain = keyring.Find(name);
  if (domain == nullptr)
    return absl::NotFoundError(base::StrCat("the keyring has no domain '", name, "'"));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.DomainKey(name, domain->newest()));
  SLUICE_ASSIGN_OR_RETURN(AesBlocks encipher, AesBlocks::Create(key.Reveal(kAccess)));
  Rotation rotation(domain->label, domain->newest(), std::move(encipher));
  for (const KeyringEpoch& epoch : domain->epochs) {
    if (epoch.state != EpochState::kActive || epoch.number == domain->newest()) continue;
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes old, keyring.DomainKey(name, epoch.number));
    SLUICE_ASSIGN_OR_RETURN(AesBlocks decipher, AesBlocks::Create(old.Reveal(kAccess),
                                                                  AesBlocks::Direction::kDecipher));
    rotation.old_.push_back({epoch.number, std::move(decipher)});
  }
  return rotation;
}

absl::Status Rotation::Convert(std::string_view text, std::string& out, Counts& counts) {
  while (!text.empty()) {
    // A pseudonym is found by its hyphen: label and epoch stand before it, the block behind it.
    size_t hyphen = text.find('-');
    if (hyphen == std::string_view::npos) break;
    size_t begin = hyphen, end = hyphen + 1 + kBlockTextBytes;
    while (begin > 0 && IsWord(text[begin - 1])) --begin;
    std::optional<ParsedPseudonym> parsed;
    const bool bounded =
        end <= text.size() && (end == text.size() || (!IsWord(text[end]) && text[end] != '-'));
    if (bounded) parsed = ParsePseudonym(text.substr(begin, end - begin));
    if (!parsed || parsed->label != label_) {
      out.append(text.substr(0, hyphen + 1));
      text.remove_prefix(hyphen + 1);
      continue;
    }
    out.append(text.substr(0, begin));
    Old* old = nullptr;
    for (Old& at : old_) {
      if (at.epoch == parsed->epoch) old = &at;
    }
    if (old == nullptr) {
      ++(parsed->epoch == newest_ ? counts.already : counts.untouched);
      out.append(text.substr(begin, end - begin));
    } else {
      PseudonymBlock block = parsed->block;
      if (!old->decipher.Apply(block.data(), block.size()) ||
          !encipher_.Apply(block.data(), block.size())) {
        return absl::InternalError("OpenSSL: AES-256 failed");
      }
      char written[kBlockTextBytes];
      WriteBlock(block, written);
      base::StrAppend(out, PseudonymPrefix({label_, newest_}),
                      std::string_view(written, sizeof(written)));
      ++counts.converted;
    }
    text.remove_prefix(end);
  }
  out.append(text);
  return absl::OkStatus();
}

}  // namespace sluice::privacy
