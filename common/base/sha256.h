// SHA-256 (FIPS 180-4) of what identifies something: plans, snapshots, contracts. Not for secrets.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"

namespace sluice::base {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  // With its length in front, so that two sequences of parts never look the same.
  void AddPart(std::string_view part) {
    uint64_t size = part.size();
    char length[8];
    for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(size >> (56 - 8 * i));
    Add({length, 8});
    Add(part);
  }
  // The first `digits` hexadecimal digits, at most 64. Ends the digest.
  std::string Hex(size_t digits = 64) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &size);
    return absl::BytesToHexString({reinterpret_cast<char*>(digest), size}).substr(0, digits);
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace sluice::base
