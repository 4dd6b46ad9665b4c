// AES-256-GCM (NIST SP 800-38D) over OpenSSL.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::privacy {

inline constexpr size_t kAesKeyBytes = 32;
inline constexpr size_t kGcmNonceBytes = 12;
inline constexpr size_t kGcmTagBytes = 16;

// One key. A nonce must never be used twice to encrypt. Not thread-safe.
class AesGcm {
 public:
  static absl::StatusOr<AesGcm> Create(std::span<const uint8_t> key);

  // Appends ciphertext and tag.
  absl::Status Encrypt(std::span<const uint8_t> nonce, std::string_view aad,
                       std::string_view plaintext, std::string& out);
  // Appends the plaintext; an error, and nothing appended, when anything was changed or the key is
  // another.
  absl::Status Decrypt(std::span<const uint8_t> nonce, std::string_view aad,
                       std::string_view sealed, std::string& out);

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_CIPHER_CTX, Free>;
  AesGcm(Context encrypt, Context decrypt)
      : encrypt_(std::move(encrypt)), decrypt_(std::move(decrypt)) {}

  Context encrypt_;
  Context decrypt_;
};

}  // namespace sluice::privacy
