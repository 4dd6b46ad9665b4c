// Bytes that must not leak: keys and what is derived from them.
#pragma once

#include <openssl/crypto.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace sluice::base {

// Passed to SecretBytes::Reveal, so that every place that reads a secret can be found by this name.
struct SecretAccess {
  explicit SecretAccess() = default;
};

// Owns secret bytes: in OpenSSL's secure heap where LockMemory() has made one. Can be moved, not
// copied; has no printer; is wiped when it dies. A secure heap that is full ends the program.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size) : bytes_(Allocate(size)), size_(size) {}
  explicit SecretBytes(std::string_view bytes) : SecretBytes(bytes.size()) {
    if (size_ > 0) std::memcpy(bytes_, bytes.data(), size_);
  }
  ~SecretBytes() { OPENSSL_secure_clear_free(bytes_, size_); }
  SecretBytes(SecretBytes&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    SecretBytes taken(std::move(other));
    std::swap(bytes_, taken.bytes_);
    std::swap(size_, taken.size_);
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const uint8_t> Reveal(SecretAccess) const { return {bytes_, size_}; }
  std::span<uint8_t> RevealMutable(SecretAccess) { return {bytes_, size_}; }
  std::string_view RevealText(SecretAccess) const {
    return {reinterpret_cast<const char*>(bytes_), size_};
  }

  // Constant time in the content.
  bool Equals(const SecretBytes& other) const {
    return size() == other.size() && CRYPTO_memcmp(bytes_, other.bytes_, size()) == 0;
  }

 private:
  static uint8_t* Allocate(size_t size) {
    if (size == 0) return nullptr;
    void* bytes = OPENSSL_secure_zalloc(size);
    if (bytes == nullptr) throw std::bad_alloc();
    return static_cast<uint8_t*>(bytes);
  }

  uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sluice::base
