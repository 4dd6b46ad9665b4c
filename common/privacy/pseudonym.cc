#include "common/privacy/pseudonym.h"

#include <array>
#include <charconv>
#include <cstring>

#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

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

std::optional<ParsedPseudonym> ParsePseudonym(std::string_view text) {
  size_t hyphen = text.find('-');
  if (hyphen == std::string_view::npos || text.size() != hyphen + 1 + kBlockTextBytes)
    return std::nullopt;
  size_t digits = text.find_first_of("0123456789");
  if (digits >= hyphen) return std::nullopt;
  ParsedPseudonym parsed;
  parsed.label = text.substr(0, digits);
  if (!IsDomainLabel(parsed.label) || text[digits] == '0') return std::nullopt;
  auto [end, error] = std::from_chars(text.data() + digits, text.data() + hyphen, parsed.epoch);
  if (error != std::errc() || end != text.data() + hyphen) return std::nullopt;

  uint64_t bits = 0;
  int count = 0;
  size_t size = 0;
  for (char c : text.substr(hyphen + 1)) {
    int value = ValueOf(c);
    if (value < 0) return std::nullopt;
    bits = bits << 5 | static_cast<uint64_t>(value);
    count += 5;
    if (count >= 8) {
      count -= 8;
      parsed.block[size++] = static_cast<uint8_t>(bits >> count);
    }
  }
  if ((bits & 3) != 0) return std::nullopt;  // the two bits that no byte has
  return parsed;
}

}  // namespace sluice::privacy
