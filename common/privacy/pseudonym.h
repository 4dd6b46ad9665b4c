// A pseudonym as text: `<label><epoch>-<26 characters>`, for example int3-aaaq... It says whose and
// of when it is, and is safe in file names, URLs and SQL: [a-z]{1,8}[1-9][0-9]{0,9}-[a-z2-7]{26}.
//
// An encrypted value as text has an `e` before the hyphen, and 28 characters or more after it:
// [a-z]{1,8}[1-9][0-9]{0,9}e-[a-z2-7]{28,}.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/privacy/pseudonymiser.h"

namespace sluice::privacy {

inline constexpr size_t kBlockTextBytes = 26;
// Label of 8, epoch of 10, hyphen, block.
inline constexpr size_t kPseudonymBytesMax = 8 + 10 + 1 + kBlockTextBytes;

// [a-z]{1,8}
bool IsDomainLabel(std::string_view label);

// What stands before the block.
std::string PseudonymPrefix(const DomainEpoch& domain);

// The block's 128 bits in lower-case base32 (RFC 4648 §6, without padding). `out` has room for
// kBlockTextBytes; returns the end.
char* WriteBlock(const PseudonymBlock& block, char* out);

// All of it. Appends.
void AppendPseudonym(const DomainEpoch& domain, const PseudonymBlock& block, std::string& out);

// Any bytes in the same alphabet. Appends.
void AppendBase32(std::string_view bytes, std::string& out);

// The text of an encrypted value: AES-SIV's tag and ciphertext (see value_cipher.h). Appends.
void AppendEncrypted(const DomainEpoch& domain, std::string_view encrypted, std::string& out);

struct ParsedPseudonym {
  std::string_view label;
  uint32_t epoch = 0;
  PseudonymBlock block{};
};
// nullopt: not exactly what this file writes.
std::optional<ParsedPseudonym> ParsePseudonym(std::string_view text);

struct FoundPseudonym {
  size_t begin = 0;
  size_t end = 0;
  ParsedPseudonym parsed;
};
// The first pseudonym with this label in the text from `from` on, wherever it stands: JSON lines,
// CSV, plain text, one behind the other with a hyphen between. Longer words that only begin or end
// like one aren't.
std::optional<FoundPseudonym> FindPseudonym(std::string_view text, std::string_view label,
                                            size_t from);

// Whether a block that was deciphered is what the keys made: its check bytes are zero.
inline bool IsInner(const uint8_t* block, size_t check_bytes) {
  uint8_t bits = 0;
  for (size_t i = 0; i < check_bytes; ++i) bits |= block[sizeof(PseudonymBlock) - 1 - i];
  return bits == 0;
}

struct ParsedEncrypted {
  std::string_view label;
  uint32_t epoch = 0;
  std::string encrypted;
};
// nullopt: not exactly what AppendEncrypted writes.
std::optional<ParsedEncrypted> ParseEncrypted(std::string_view text);

}  // namespace sluice::privacy
