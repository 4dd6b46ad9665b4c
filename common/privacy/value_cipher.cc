#include "common/privacy/value_cipher.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "common/base/status.h"

namespace sluice::privacy {

using contract::v1::IdentifierKind;

namespace {

// ISO/IEC 7816-4: a byte, then zeros.
constexpr char kPaddingBegins = '\x80';
constexpr size_t kSmallestClass = 32, kLargestClass = 4096;

}  // namespace

size_t ValueCipher::PaddedBytes(size_t bytes) {
  size_t size = kSmallestClass;
  while (size < bytes + 1 && size < kLargestClass) size *= 2;
  return size > bytes ? size : (bytes / kLargestClass + 1) * kLargestClass;
}

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
  padded_.assign(canonical);
  padded_.push_back(kPaddingBegins);
  padded_.resize(PaddedBytes(canonical.size()), '\0');
  absl::Status status = siv_.Encrypt(kinds_[kind], padded_, out);
  OPENSSL_cleanse(padded_.data(), padded_.size());
  return status;
}

absl::Status ValueCipher::Decrypt(IdentifierKind kind, std::string_view encrypted,
                                  std::string& out) {
  if (static_cast<size_t>(kind) >= kinds_.size())
    return absl::InvalidArgumentError("there is no such kind of identifier");
  const size_t before = out.size();
  SLUICE_RETURN_IF_ERROR(siv_.Decrypt(kinds_[kind], encrypted, out));
  size_t end = out.find_last_not_of('\0');
  if (end == std::string::npos || end < before || out[end] != kPaddingBegins) {
    out.resize(before);
    return absl::DataLossError("what was encrypted has no padding");
  }
  out.resize(end);
  return absl::OkStatus();
}

}  // namespace sluice::privacy
