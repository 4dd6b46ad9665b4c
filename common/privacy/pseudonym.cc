#include "common/privacy/pseudonym.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

// Ten bits at a time.
constexpr auto kPairs = [] {
  std::array<std::array<char, 2>, 1024> pairs{};
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kAlphabet[i >> 5], kAlphabet[i & 31]};
  return pairs;
}();

int ValueOf(char c) {
  if (c >= 'a' && c <= 'z') return c - 'a';
  if (c >= '2' && c <= '7') return c - '2' + 26;
  return -1;
}

constexpr std::string_view kEncryptedMark = "e";

struct Parsed {
  std::string_view label;
  uint32_t epoch = 0;
  std::string bytes;
};
// `<label><epoch><mark>-<base32>`.
std::optional<Parsed> Parse(std::string_view text, std::string_view mark) {
  size_t hyphen = text.find('-');
  size_t digits = text.find_first_of("0123456789");
  if (hyphen == std::string_view::npos || digits >= hyphen) return std::nullopt;
  std::string_view head = text.substr(0, hyphen);
  if (!head.ends_with(mark)) return std::nullopt;
  head.remove_suffix(mark.size());
  Parsed parsed;
  parsed.label = head.substr(0, digits);
  if (!IsDomainLabel(parsed.label) || text[digits] == '0') return std::nullopt;
  const char* const last = head.data() + head.size();
  auto [end, error] = std::from_chars(head.data() + digits, last, parsed.epoch);
  if (error != std::errc() || end != last) return std::nullopt;

  uint32_t bits = 0;
  int count = 0;
  for (char c : text.substr(hyphen + 1)) {
    int value = ValueOf(c);
    if (value < 0) return std::nullopt;
    bits = bits << 5 | static_cast<uint32_t>(value);
    count += 5;
    if (count >= 8) {
      count -= 8;
      parsed.bytes.push_back(static_cast<char>(bits >> count));
    }
  }
  // What is left over are bits that no byte has: fewer than one character's, and zeros.
  if (count >= 5 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return parsed;
}

}  // namespace

bool IsDomainLabel(std::string_view label) {
  if (label.empty() || label.size() > 8) return false;
  for (char c : label) {
    if (c < 'a' || c > 'z') return false;
  }
  return true;
}

std::string PseudonymPrefix(const DomainEpoch& domain) {
  return base::StrCat(domain.label, domain.epoch, '-');
}

char* WriteBlock(const PseudonymBlock& block, char* out) {
  // Five bytes make four pairs of characters; the sixteenth byte makes the last one.
  for (size_t group = 0; group < 15; group += 5) {
    uint64_t bits = 0;
    for (size_t i = 0; i < 5; ++i) bits = bits << 8 | block[group + i];
    for (int shift = 30; shift >= 0; shift -= 10) {
      std::memcpy(out, kPairs[bits >> shift & 1023].data(), 2);
      out += 2;
    }
  }
  std::memcpy(out, kPairs[static_cast<size_t>(block[15]) << 2].data(), 2);
  return out + 2;
}

void AppendPseudonym(const DomainEpoch& domain, const PseudonymBlock& block, std::string& out) {
  char text[kBlockTextBytes];
  WriteBlock(block, text);
  base::StrAppend(out, PseudonymPrefix(domain), std::string_view(text, sizeof(text)));
}

void AppendBase32(std::string_view bytes, std::string& out) {
  uint32_t bits = 0;
  int count = 0;
  for (unsigned char byte : bytes) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 5; count -= 5) out.push_back(kAlphabet[bits >> (count - 5) & 31]);
  }
  if (count > 0) out.push_back(kAlphabet[bits << (5 - count) & 31]);
}

void AppendEncrypted(const DomainEpoch& domain, std::string_view encrypted, std::string& out) {
  base::StrAppend(out, domain.label, domain.epoch, kEncryptedMark, '-');
  AppendBase32(encrypted, out);
}

std::optional<ParsedPseudonym> ParsePseudonym(std::string_view text) {
  std::optional<Parsed> parsed = Parse(text, "");
  if (!parsed || parsed->bytes.size() != PseudonymBlock().size()) return std::nullopt;
  ParsedPseudonym out{parsed->label, parsed->epoch, {}};
  std::copy(parsed->bytes.begin(), parsed->bytes.end(), out.block.begin());
  return out;
}

std::optional<FoundPseudonym> FindPseudonym(std::string_view text, std::string_view label,
                                            size_t from) {
  // A pseudonym is found by its hyphen: label and epoch stand before it, the block behind it.
  for (size_t hyphen = text.find('-', from); hyphen != std::string_view::npos;
       hyphen = text.find('-', hyphen + 1)) {
    size_t begin = hyphen, end = hyphen + 1 + kBlockTextBytes;
    while (begin > from && IsWord(text[begin - 1])) --begin;
    if (end > text.size() || (end < text.size() && IsWord(text[end]))) continue;
    auto parsed = ParsePseudonym(text.substr(begin, end - begin));
    if (parsed && parsed->label == label) return FoundPseudonym{begin, end, *parsed};
  }
  return std::nullopt;
}

std::optional<ParsedEncrypted> ParseEncrypted(std::string_view text) {
  std::optional<Parsed> parsed = Parse(text, kEncryptedMark);
  // AES-SIV's tag and a byte of ciphertext.
  if (!parsed || parsed->bytes.size() <= PseudonymBlock().size()) return std::nullopt;
  return ParsedEncrypted{parsed->label, parsed->epoch, std::move(parsed->bytes)};
}

}  // namespace sluice::privacy
