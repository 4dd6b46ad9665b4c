// What undoes and redoes the outer layers: blocks of one domain and epoch made another's, encrypted
// and format-preserved values made readable.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/privacy/format_preserving.h"
#include "common/privacy/keyring.h"
#include "common/privacy/value_cipher.h"

namespace sluice::pseudonymiser {

// kNotFound: there is no such epoch. kFailedPrecondition: it isn't active, nor (with `retired_too`)
// retired. `epoch` 0 is the newest. Texts name no domain.
absl::StatusOr<uint32_t> UsableEpoch(const privacy::KeyringDomain& domain, uint32_t epoch,
                                     bool retired_too);

// `blocks`, 16 bytes each, in place. The epochs are usable ones. The numbers of the blocks that the
// epoch didn't make, as far as the keyring can tell: they become zeros.
absl::StatusOr<std::vector<uint32_t>> ConvertBlocks(const privacy::Keyring& keyring,
                                                    std::string_view from, uint32_t from_epoch,
                                                    std::string_view to, uint32_t to_epoch,
                                                    std::string& blocks);

// As much as the encrypted text of this value takes in an answer, at most, whatever its kind: its
// canonical form may be eleven times as long (NFKC of U+FDFA), is padded, and is written in base32.
// Looks at the bytes only.
uint64_t EncryptedTextBytesMax(std::string_view value);

// Values of one domain; derives an epoch's keys when it is first met. Not thread-safe.
class Recovery {
 public:
  // The keyring outlives it.
  Recovery(const privacy::Keyring& keyring, const privacy::KeyringDomain& domain, bool retired_too)
      : keyring_(keyring), domain_(domain), retired_too_(retired_too) {}

  // The canonical value; empty: it isn't what was made of one of this kind in a usable epoch.
  absl::StatusOr<std::string> Decrypt(contract::v1::IdentifierKind kind, std::string_view text);
  // Likewise. Any value of the kind's formats has an inverse, whether or not it was made here.
  absl::StatusOr<std::string> Invert(contract::v1::IdentifierKind kind, uint32_t epoch,
                                     std::string_view value);

 private:
  const privacy::Keyring& keyring_;
  const privacy::KeyringDomain& domain_;
  const bool retired_too_;
  std::map<uint32_t, privacy::ValueCipher> ciphers_;
  std::map<uint32_t, privacy::FormatPreserver> formats_;
};

}  // namespace sluice::pseudonymiser
