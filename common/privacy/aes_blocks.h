// AES on blocks, each by itself: what modes of operation are made of.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"

namespace sluice::privacy {

inline constexpr size_t kAesBlockBytes = 16;

// One key in one direction, its schedule kept. Not thread-safe.
class AesBlocks {
 public:
  enum class Direction { kEncipher, kDecipher };

  // AES-128, -192 or -256 by the key's 16, 24 or 32 bytes.
  static absl::StatusOr<AesBlocks> Create(std::span<const uint8_t> key,
                                          Direction direction = Direction::kEncipher);

  // Every block of 16 bytes in place. False: OpenSSL failed, and the content is to be thrown away.
  bool Apply(uint8_t* blocks, size_t bytes);

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  explicit AesBlocks(EVP_CIPHER_CTX* context) : context_(context) {}

  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

}  // namespace sluice::privacy
