// AES-SIV (RFC 5297): deterministic authenticated encryption. Equal plaintexts under one key and
// one associated data have equal ciphertexts, and that is all that a reader without the key learns.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/privacy/aes_blocks.h"

namespace sluice::privacy {

inline constexpr size_t kSivKeyBytes = 64;  // of AES-256-SIV
inline constexpr size_t kSivTagBytes = kAesBlockBytes;

// One key. OpenSSL has this mode too, but sets it up anew, with allocations, for every message;
// here key schedules, subkeys and what S2V makes of the associated data are kept: a short value
// costs three or four blocks. Not thread-safe.
class AesSiv {
 public:
  // S2V's state after the associated data.
  using Associated = std::array<uint8_t, kAesBlockBytes>;

  // 32, 48 or 64 bytes: the first half authenticates, the second enciphers.
  static absl::StatusOr<AesSiv> Create(std::span<const uint8_t> key);

  absl::StatusOr<Associated> Associate(std::initializer_list<std::string_view> strings);

  // Appends tag and ciphertext: kSivTagBytes more than the plaintext has.
  absl::Status Encrypt(const Associated& associated, std::string_view plaintext, std::string& out);
  // Appends the plaintext; kDataLoss, and nothing appended, when anything was changed, or key or
  // associated data are others.
  absl::Status Decrypt(const Associated& associated, std::string_view sealed, std::string& out);

 private:
  using Block = std::array<uint8_t, kAesBlockBytes>;
  AesSiv(AesBlocks mac, AesBlocks counter) : mac_(std::move(mac)), counter_(std::move(counter)) {}

  bool Cmac(std::span<const uint8_t> message, Block& tag);
  bool Tag(const Associated& associated, std::string_view plaintext, Block& tag);
  // Counter mode from the tag, in place: enciphers and deciphers.
  bool Count(Block tag, char* text, size_t bytes);

  AesBlocks mac_;
  AesBlocks counter_;
  Block last_whole_;     // CMAC's K1 (RFC 4493)
  Block last_cut_;       // and K2
  Associated none_;      // before any string
  std::string scratch_;  // of the message at hand; wiped after use
};

}  // namespace sluice::privacy
