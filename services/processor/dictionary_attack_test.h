// Who has clean streams and a list of everybody: what he can tell from them. He hashes and encodes
// every PNC id and phone number that there can be, in every spelling and under every key that can
// be guessed, and looks for the results in all that was published.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/privacy/identifier.h"
#include "common/privacy/pseudonym.h"
#include "demo/generator.h"

namespace sluice::processor {

using contract::v1::IdentifierKind;

struct Guess {
  IdentifierKind kind;
  std::string value;  // canonical
};

inline std::string Canonical(IdentifierKind kind, std::string_view value) {
  std::string out;
  EXPECT_TRUE(privacy::AppendCanonical(kind, value, out)) << value;
  return out;
}

class DictionaryAttack {
 public:
  // Published text: its words, with and without the signs that encodings use, and what they decode
  // to.
  void See(std::string_view text) {
    for (std::string_view also : {"", "+/=", "+/=-_"}) {
      size_t begin = 0;
      for (size_t at = 0; at <= text.size(); ++at) {
        if (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) != 0 ||
                                 also.find(text[at]) != std::string_view::npos))
          continue;
        if (at > begin) SeeWord(std::string(text.substr(begin, at - begin)));
        begin = at + 1;
      }
    }
  }

  // Whether the guess was seen, or the first 128 bits of some hash of it.
  bool Recovers(const Guess& guess) const {
    unsigned char digest[EVP_MAX_MD_SIZE];
    for (const std::string& spelling : Spellings(guess)) {
      if (words_.contains(spelling)) return true;
      for (const EVP_MD* hash : {EVP_md5(), EVP_sha1(), EVP_sha256(), EVP_sha512()}) {
        EVP_Digest(spelling.data(), spelling.size(), digest, nullptr, hash, nullptr);
        if (Saw(digest)) return true;
      }
      for (std::string_view key : {"", "sluice", "intelligence", "public", "int1"}) {
        HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(spelling.data()), spelling.size(), digest,
             nullptr);
        if (Saw(digest)) return true;
      }
    }
    return false;
  }
  bool Saw(const unsigned char* block) const {
    return blocks_.contains(std::string(reinterpret_cast<const char*>(block), kBlockBytes));
  }

 private:
  static constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);

  static std::vector<std::string> Spellings(const Guess& guess) {
    std::string bare = guess.value;
    std::erase_if(bare, [](char c) { return c == '/' || c == '+'; });
    if (guess.kind != contract::v1::PHONE) return {guess.value, bare, guess.value.substr(2)};
    std::string national = "0" + guess.value.substr(3);
    return {guess.value, bare, national, national.substr(1)};
  }

  void SeeWord(std::string word) {
    std::string decoded;
    if (word.size() >= 2 * kBlockBytes && word.size() % 2 == 0 &&
        std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isxdigit(c); })) {
      decoded = absl::HexStringToBytes(word);
      blocks_.insert(decoded.substr(0, kBlockBytes));
    }
    for (auto decode :
         {+[](absl::string_view from, std::string* to) { return absl::Base64Unescape(from, to); },
          +[](absl::string_view from, std::string* to) {
            return absl::WebSafeBase64Unescape(from, to);
          }}) {
      if (decode(word, &decoded) && decoded.size() >= kBlockBytes)
        blocks_.insert(decoded.substr(0, kBlockBytes));
    }
    if (auto parsed = privacy::ParsePseudonym("guess1-" + word))
      blocks_.emplace(parsed->block.begin(), parsed->block.end());
    words_.insert(std::move(word));
  }

  std::unordered_set<std::string> words_;
  std::unordered_set<std::string> blocks_;
};

// What this project doesn't have: pseudonyms without a key.
class PlainSha256 final : public privacy::Pseudonymiser {
 public:
  absl::StatusOr<uint16_t> Domain(std::string_view) override { return uint16_t{0}; }
  absl::Status Pseudonymise(const privacy::PseudonymBatch& batch,
                            privacy::PseudonymAnswer& answer) override {
    answer.domains = {{"plain", 1}};
    answer.blocks.resize(batch.targets().size());
    for (size_t i = 0; i < batch.targets().size(); ++i) {
      const uint32_t value = batch.targets()[i].value;
      const uint32_t begin = value == 0 ? 0 : batch.values()[value - 1].end;
      unsigned char digest[EVP_MAX_MD_SIZE];
      EVP_Digest(batch.bytes().data() + begin, batch.values()[value].end - begin, digest, nullptr,
                 EVP_sha256(), nullptr);
      std::copy_n(digest, answer.blocks[i].size(), answer.blocks[i].begin());
    }
    return absl::OkStatus();
  }
};

// Everybody whom the generator can make.
inline std::vector<Guess> Everybody() {
  std::vector<Guess> guesses;
  for (uint32_t person = 0; person < demo::Generator::kPeople; ++person)
    guesses.push_back(
        {contract::v1::PNC_ID, Canonical(contract::v1::PNC_ID, demo::Generator::Pnc(person))});
  for (uint32_t number = 0; number < 1000; ++number) {
    char phone[16];
    std::snprintf(phone, sizeof(phone), "07700 900%03u", number);
    guesses.push_back({contract::v1::PHONE, Canonical(contract::v1::PHONE, phone)});
  }
  return guesses;
}

inline std::set<std::string> Recovered(const DictionaryAttack& attack,
                                       const std::vector<Guess>& guesses) {
  std::set<std::string> recovered;
  for (const Guess& guess : guesses)
    if (attack.Recovers(guess)) recovered.insert(guess.value);
  return recovered;
}

// The same by somebody who has a keyring.
inline std::set<std::string> RecoveredWith(const DictionaryAttack& attack,
                                           const std::vector<Guess>& guesses,
                                           privacy::Pseudonymiser& keys) {
  privacy::PseudonymBatch batch;
  const std::array domains = {*keys.Domain("intelligence"), *keys.Domain("public")};
  for (const Guess& guess : guesses) batch.Add(guess.kind, guess.value, domains);
  privacy::PseudonymAnswer answer;
  EXPECT_EQ(keys.Pseudonymise(batch, answer), absl::OkStatus());
  std::set<std::string> recovered;
  for (size_t i = 0; i < answer.blocks.size(); ++i)
    if (attack.Saw(answer.blocks[i].data())) recovered.insert(guesses[i / domains.size()].value);
  return recovered;
}

// Which of them a raw event holds. Adds.
inline void CollectPresent(std::string_view raw, std::set<std::string>& present) {
  for (auto [kind, name] : {std::pair(contract::v1::PNC_ID, std::string_view("\"pnc_id\":\"")),
                            std::pair(contract::v1::PHONE, std::string_view("\"phone\":\""))}) {
    const size_t at = raw.find(name) + name.size();
    present.insert(Canonical(kind, raw.substr(at, raw.find('"', at) - at)));
  }
}

}  // namespace sluice::processor
