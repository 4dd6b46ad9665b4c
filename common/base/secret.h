// Bytes that must not leak: keys and what is derived from them.
#pragma once

#include <openssl/crypto.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::base {

// Passed to SecretBytes::Reveal, so that every place that reads a secret can be found by this name.
struct SecretAccess {
  explicit SecretAccess() = default;
};

// Owns secret bytes. Can be moved, not copied; has no printer; is wiped when it dies.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size) : bytes_(size) {}
  explicit SecretBytes(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}
  ~SecretBytes() { Wipe(); }
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      Wipe();
      bytes_ = std::move(other.bytes_);
    }
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  std::span<const uint8_t> Reveal(SecretAccess) const { return bytes_; }
  std::span<uint8_t> RevealMutable(SecretAccess) { return bytes_; }

  // Constant time in the content.
  bool Equals(const SecretBytes& other) const {
    return size() == other.size() && CRYPTO_memcmp(bytes_.data(), other.bytes_.data(), size()) == 0;
  }

 private:
  void Wipe() {
    if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
  }
  std::vector<uint8_t> bytes_;
};

}  // namespace sluice::base
