// Values that their audience may have made readable again: encrypted under a domain's key.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/privacy/aes_siv.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

// One domain in one epoch. AES-256-SIV with the domain's and the kind's name as associated data:
// what was encrypted as one kind, or for one domain, doesn't decrypt as another. Deterministic, so
// that encrypted values can be joined like pseudonyms. Padded to classes of length, since lengths
// alone tell people apart. Not thread-safe.
class ValueCipher {
 public:
  // `key`: Keyring::EncryptionKey(domain, epoch).
  static absl::StatusOr<ValueCipher> Create(std::span<const uint8_t> key, std::string_view domain);

  // How long a value is once it is padded: 32 bytes, 64, 128 and so on to 4,096, and beyond that a
  // multiple of 4,096.
  static size_t PaddedBytes(size_t bytes);

  // Appends tag and ciphertext of a value in its kind's canonical form; AppendEncrypted (see
  // pseudonym.h) makes a text of it.
  absl::Status Encrypt(contract::v1::IdentifierKind kind, std::string_view canonical,
                       std::string& out);
  // Appends the canonical value. kDataLoss: it was changed, or is another kind's, domain's or
  // epoch's.
  absl::Status Decrypt(contract::v1::IdentifierKind kind, std::string_view encrypted,
                       std::string& out);

 private:
  explicit ValueCipher(AesSiv siv) : siv_(std::move(siv)) {}

  AesSiv siv_;
  std::string padded_;                     // of the value at hand; cleansed
  std::vector<AesSiv::Associated> kinds_;  // by kind
};

}  // namespace sluice::privacy
