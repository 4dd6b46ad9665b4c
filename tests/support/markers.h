// Texts that nothing else has, and whether any of them shows in what a program said: whole or by
// half, as it stands and as encodings write it.
#pragma once

#include <cctype>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"

namespace sluice::test_support {

inline std::string LowerAscii(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// How an encoding would write a piece of eight characters or more, and its name. All in small
// letters: case is lost on both sides.
inline std::vector<std::pair<const char*, std::string>> FormsOf(const std::string& piece) {
  std::vector<std::pair<const char*, std::string>> forms;
  auto add = [&](const char* how, const std::string& form) {
    forms.emplace_back(how, LowerAscii(form));
  };
  add("as it stands", piece);
  add("in hex", absl::BytesToHexString(piece));
  std::string percent, utf16, escaped, octal;
  for (char c : piece) {
    const std::string hex = absl::BytesToHexString(std::string(1, c));
    base::StrAppend(percent, "%", hex);
    base::StrAppend(escaped, "\\u00", hex);
    base::StrAppend(octal, "\\x", hex);
    utf16 += c;
    utf16 += '\0';
  }
  add("percent-encoded", percent);
  add("escaped", escaped);
  add("escaped", octal);
  add("in UTF-16", utf16.substr(0, utf16.size() - 1));
  for (size_t skip = 0; skip < 3; ++skip) {
    // Whole groups of three, wherever the piece begins.
    std::string encoded;
    absl::Base64Escape(piece.substr(skip, (piece.size() - skip) / 3 * 3), &encoded);
    add("in base64", encoded);
  }
  return forms;
}

class Markers {
 public:
  explicit Markers(uint64_t seed) : random_(seed) {}

  // Sixteen letters and digits.
  std::string Letters() {
    constexpr std::string_view kLetters = "bcdfghjkmnpqrstvwxz0123456789";
    std::string marker;
    for (int i = 0; i < 16; ++i) marker += kLetters[random_() % (i == 0 ? 19 : kLetters.size())];
    Add(marker);
    return marker;
  }
  // 24 digits: a half of fewer could be anybody's time or counter.
  std::string Digits() {
    std::string marker = "9";
    for (int i = 0; i < 23; ++i) marker += static_cast<char>('0' + random_() % 10);
    Add(marker);
    return marker;
  }
  size_t size() const { return count_; }

  // The first that shows: which piece of it, how, and what stands around it. Empty: none.
  std::string FindIn(std::string_view said) const {
    const std::string text = LowerAscii(std::string(said));
    for (size_t at = 0; at + kProbe <= text.size(); ++at) {
      auto [begin, end] = forms_.equal_range(ProbeOf(text.data() + at));
      for (auto form = begin; form != end; ++form) {
        const std::string& bytes = form->second.bytes;
        if (text.compare(at, bytes.size(), bytes) != 0) continue;
        const size_t from = at > 160 ? at - 160 : 0;
        return base::StrCat("'", form->second.piece, "' ", form->second.how, ": ...",
                            text.substr(from, 320), "...");
      }
    }
    return "";
  }

 private:
  static constexpr size_t kProbe = 8;
  struct Form {
    std::string piece, bytes;
    const char* how;
  };
  static uint64_t ProbeOf(const char* bytes) {
    uint64_t probe = 0;
    std::memcpy(&probe, bytes, kProbe);
    return probe;
  }
  void Add(const std::string& marker) {
    ++count_;
    const size_t half = marker.size() / 2;
    for (size_t begin : {size_t{0}, half, half / 2}) {
      const std::string piece = marker.substr(begin, half);
      for (auto& [how, bytes] : FormsOf(piece))
        forms_.emplace(ProbeOf(bytes.data()), Form{piece, bytes, how});
    }
  }

  std::mt19937_64 random_;
  std::unordered_multimap<uint64_t, Form> forms_;
  size_t count_ = 0;
};

}  // namespace sluice::test_support
