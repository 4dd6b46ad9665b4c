#include "common/privacy/ff1.h"

#include <array>
#include <cstring>

#include "common/base/status.h"

namespace sluice::privacy {
namespace {

using Number = Ff1::Number;
constexpr uint32_t kRounds = 10;
constexpr uint32_t kHalfBitsMax = 96;
constexpr size_t kTweakBytesMax = 255;

// radix^length; 0: more than kHalfBitsMax bits.
Number Power(uint32_t radix, uint32_t length) {
  Number power = 1;
  for (uint32_t i = 0; i < length; ++i) {
    power *= radix;
    if (power >> kHalfBitsMax != 0) return 0;
  }
  return power;
}

uint32_t BytesOf(Number below) {
  uint32_t bytes = 0;
  for (Number largest = below - 1; largest != 0; largest >>= 8) ++bytes;
  return bytes;
}

void Store(Number number, size_t bytes, uint8_t* out) {
  for (size_t i = bytes; i-- > 0; number >>= 8) out[i] = static_cast<uint8_t>(number);
}

Number ValueOf(std::span<const uint8_t> numerals, uint32_t radix) {
  Number value = 0;
  for (uint8_t numeral : numerals) value = value * radix + numeral;
  return value;
}

void SetNumerals(Number value, uint32_t radix, std::span<uint8_t> numerals) {
  for (size_t i = numerals.size(); i-- > 0; value /= radix)
    numerals[i] = static_cast<uint8_t>(value % radix);
}

}  // namespace

absl::StatusOr<Ff1> Ff1::Create(std::span<const uint8_t> key) {
  SLUICE_ASSIGN_OR_RETURN(AesBlocks aes, AesBlocks::Create(key));
  return Ff1(std::move(aes));
}

absl::Status Ff1::Encrypt(uint32_t radix, std::string_view tweak, std::span<uint8_t> numerals) {
  return Crypt(true, radix, tweak, numerals);
}
absl::Status Ff1::Decrypt(uint32_t radix, std::string_view tweak, std::span<uint8_t> numerals) {
  return Crypt(false, radix, tweak, numerals);
}
absl::StatusOr<Number> Ff1::Encrypt(std::string_view tweak, uint32_t bits, Number number) {
  return Crypt(true, tweak, bits, number);
}
absl::StatusOr<Number> Ff1::Decrypt(std::string_view tweak, uint32_t bits, Number number) {
  return Crypt(false, tweak, bits, number);
}

absl::Status Ff1::Crypt(bool encrypt, uint32_t radix, std::string_view tweak,
                        std::span<uint8_t> numerals) {
  for (uint8_t numeral : numerals) {
    if (numeral >= radix) return absl::InvalidArgumentError("FF1: a numeral isn't below its radix");
  }
  size_t left = numerals.size() / 2;
  Halves halves{ValueOf(numerals.first(left), radix), ValueOf(numerals.subspan(left), radix)};
  SLUICE_RETURN_IF_ERROR(
      Rounds(encrypt, radix, tweak, static_cast<uint32_t>(numerals.size()), halves));
  SetNumerals(halves.left, radix, numerals.first(left));
  SetNumerals(halves.right, radix, numerals.subspan(left));
  return absl::OkStatus();
}

absl::StatusOr<Number> Ff1::Crypt(bool encrypt, std::string_view tweak, uint32_t bits,
                                  Number number) {
  if (bits >= 128 || number >> bits != 0)
    return absl::InvalidArgumentError("FF1: a number has more bits than its domain");
  uint32_t right = bits - bits / 2;
  Halves halves{number >> right, number & ((Number{1} << right) - 1)};
  SLUICE_RETURN_IF_ERROR(Rounds(encrypt, 2, tweak, bits, halves));
  return halves.left << right | halves.right;
}

// SP 800-38G rev. 1, algorithms 7 and 8; the names are the standard's.
absl::Status Ff1::Rounds(bool encrypt, uint32_t radix, std::string_view tweak, uint32_t length,
                         Halves& halves) {
  if (radix < 2 || radix > 36) return absl::InvalidArgumentError("FF1: the radix isn't 2 to 36");
  if (tweak.size() > kTweakBytesMax)
    return absl::InvalidArgumentError("FF1: the tweak has more than 255 bytes");
  const uint32_t u = length / 2, v = length - u;
  const Number left_size = Power(radix, u), right_size = Power(radix, v);
  if (left_size == 0 || right_size == 0)
    return absl::InvalidArgumentError("FF1: half of a string has more than 96 bits");
  if (right_size < kFf1DomainMin && left_size * right_size < kFf1DomainMin)
    return absl::InvalidArgumentError("FF1: the domain has fewer than 1,000,000 members");

  const size_t t = tweak.size(), b = BytesOf(right_size), d = (b + 3) / 4 * 4 + 4;
  uint8_t p[kAesBlockBytes] = {
      1, 2, 1, 0, 0, static_cast<uint8_t>(radix), 10, static_cast<uint8_t>(u)};
  Store(length, 4, p + 8);
  Store(t, 4, p + 12);
  if (!aes_.Apply(p, sizeof(p))) return absl::InternalError("OpenSSL: AES failed");

  // Q: the tweak, zeros up to a whole number of blocks, the round, NUM(B).
  uint8_t q[kTweakBytesMax + 2 * kAesBlockBytes] = {};
  const size_t q_bytes = (t + b + 1 + kAesBlockBytes - 1) / kAesBlockBytes * kAesBlockBytes;
  std::memcpy(q, tweak.data(), t);

  Number a = halves.left, c = halves.right;  // c is the standard's B, and its C when done
  for (uint32_t step = 0; step < kRounds; ++step) {
    const uint32_t i = encrypt ? step : kRounds - 1 - step;
    q[q_bytes - b - 1] = static_cast<uint8_t>(i);
    Store(encrypt ? c : a, b, q + q_bytes - b);
    uint8_t r[kAesBlockBytes];
    std::memcpy(r, p, sizeof(r));
    for (size_t at = 0; at < q_bytes; at += kAesBlockBytes) {
      for (size_t j = 0; j < sizeof(r); ++j) r[j] ^= q[at + j];
      if (!aes_.Apply(r, sizeof(r))) return absl::InternalError("OpenSSL: AES failed");
    }
    Number y = 0;
    for (size_t j = 0; j < d; ++j) y = y << 8 | r[j];
    const Number modulus = i % 2 == 0 ? left_size : right_size;
    // Small domains need 64 bits only, where division is far cheaper.
    y = d <= 8 ? static_cast<uint64_t>(y) % static_cast<uint64_t>(modulus) : y % modulus;
    if (encrypt) {
      Number sum = a + y;
      a = c;
      c = sum >= modulus ? sum - modulus : sum;
    } else {
      Number difference = c >= y ? c - y : c + modulus - y;
      c = a;
      a = difference;
    }
  }
  halves = {a, c};
  return absl::OkStatus();
}

}  // namespace sluice::privacy
