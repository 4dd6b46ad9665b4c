#include "common/privacy/value_cipher.h"

#include "common/base/status.h"

namespace sluice::privacy {

using contract::v1::IdentifierKind;

absl::StatusOr<ValueCipher> ValueCipher::Create(std::span<const uint8_t> key,
                                                std::string_view domain) {
  if (key.size() != kSivKeyBytes)
    return absl::InvalidArgumentError("an AES-256-SIV key has 64 bytes");
  SLUICE_ASSIGN_OR_RETURN(AesSiv siv, AesSiv::Create(key));
  ValueCipher cipher(std::move(siv));
  for (int kind = 0; kind <= contract::v1::IdentifierKind_MAX; ++kind) {
    std::string name = contract::v1::IdentifierKind_Name(static_cast<IdentifierKind>(kind));
    SLUICE_ASSIGN_OR_RETURN(AesSiv::Associated associated, cipher.siv_.Associate({domain, name}));
    cipher.kinds_.push_back(associated);
  }
  return cipher;
}

absl::Status ValueCipher::Encrypt(IdentifierKind kind, std::string_view canonical,
                                  std::string& out) {
  if (static_cast<size_t>(kind) >= kinds_.size())
    return absl::InvalidArgumentError("there is no such kind of identifier");
  return siv_.Encrypt(kinds_[kind], canonical, out);
}

absl::Status ValueCipher::Decrypt(IdentifierKind kind, std::string_view encrypted,
                                  std::string& out) {
  if (static_cast<size_t>(kind) >= kinds_.size())
    return absl::InvalidArgumentError("there is no such kind of identifier");
  return siv_.Decrypt(kinds_[kind], encrypted, out);
}

}  // namespace sluice::privacy
