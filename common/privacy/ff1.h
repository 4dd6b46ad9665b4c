// FF1 (NIST SP 800-38G rev. 1): a permutation of the numeral strings of one length, under a key and
// a tweak.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/privacy/aes_blocks.h"

namespace sluice::privacy {

// Smaller domains can be learnt by heart: SP 800-38G rev. 1 section 5.1 forbids them.
inline constexpr uint32_t kFf1DomainMin = 1'000'000;

// One key. Not thread-safe.
class Ff1 {
 public:
  __extension__ using Number = unsigned __int128;

  // AES-128, -192 or -256 by the key's 16, 24 or 32 bytes.
  static absl::StatusOr<Ff1> Create(std::span<const uint8_t> key);

  // Permutes numerals 0 to radix - 1 in place. kInvalidArgument, and nothing changed: the radix
  // isn't 2 to 36, a numeral isn't below it, the tweak has more than 255 bytes, there are fewer
  // than kFf1DomainMin such strings, or half of one doesn't fit into 96 bits.
  absl::Status Encrypt(uint32_t radix, std::string_view tweak, std::span<uint8_t> numerals);
  absl::Status Decrypt(uint32_t radix, std::string_view tweak, std::span<uint8_t> numerals);

  // The same for a number below 2^bits as `bits` numerals of radix 2, the most significant first.
  absl::StatusOr<Number> Encrypt(std::string_view tweak, uint32_t bits, Number number);
  absl::StatusOr<Number> Decrypt(std::string_view tweak, uint32_t bits, Number number);

 private:
  // A numeral string as its two halves.
  struct Halves {
    Number left;
    Number right;
  };
  explicit Ff1(AesBlocks aes) : aes_(std::move(aes)) {}

  absl::Status Crypt(bool encrypt, uint32_t radix, std::string_view tweak,
                     std::span<uint8_t> numerals);
  absl::StatusOr<Number> Crypt(bool encrypt, std::string_view tweak, uint32_t bits, Number number);
  absl::Status Rounds(bool encrypt, uint32_t radix, std::string_view tweak, uint32_t length,
                      Halves& halves);

  AesBlocks aes_;
};

}  // namespace sluice::privacy
