#include "common/privacy/aes_gcm.h"

namespace sluice::privacy {
namespace {

absl::Status Failed() { return absl::InternalError("OpenSSL: AES-256-GCM failed"); }

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

absl::StatusOr<AesGcm> AesGcm::Create(std::span<const uint8_t> key) {
  if (key.size() != kAesKeyBytes) return absl::InvalidArgumentError("an AES-256 key has 32 bytes");
  Context encrypt(EVP_CIPHER_CTX_new()), decrypt(EVP_CIPHER_CTX_new());
  if (EVP_EncryptInit_ex(encrypt.get(), EVP_aes_256_gcm(), nullptr, key.data(), nullptr) != 1 ||
      EVP_DecryptInit_ex(decrypt.get(), EVP_aes_256_gcm(), nullptr, key.data(), nullptr) != 1) {
    return Failed();
  }
  return AesGcm(std::move(encrypt), std::move(decrypt));
}

absl::Status AesGcm::Encrypt(std::span<const uint8_t> nonce, std::string_view aad,
                             std::string_view plaintext, std::string& out) {
  EVP_CIPHER_CTX* context = encrypt_.get();
  size_t begin = out.size();
  out.resize(begin + plaintext.size() + kGcmTagBytes);
  auto* at = reinterpret_cast<unsigned char*>(out.data() + begin);
  int written = 0, last = 0;
  if (nonce.size() != kGcmNonceBytes ||
      EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
      EVP_EncryptUpdate(context, nullptr, &written, Bytes(aad), static_cast<int>(aad.size())) !=
          1 ||
      EVP_EncryptUpdate(context, at, &written, Bytes(plaintext),
                        static_cast<int>(plaintext.size())) != 1 ||
      EVP_EncryptFinal_ex(context, at + written, &last) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kGcmTagBytes, at + plaintext.size()) !=
          1) {
    out.resize(begin);
    return Failed();
  }
  return absl::OkStatus();
}

absl::Status AesGcm::Decrypt(std::span<const uint8_t> nonce, std::string_view aad,
                             std::string_view sealed, std::string& out) {
  EVP_CIPHER_CTX* context = decrypt_.get();
  if (nonce.size() != kGcmNonceBytes || sealed.size() < kGcmTagBytes) {
    return absl::DataLossError("too short to have been sealed");
  }
  std::string_view ciphertext = sealed.substr(0, sealed.size() - kGcmTagBytes);
  std::string tag(sealed.substr(ciphertext.size()));
  size_t begin = out.size();
  out.resize(begin + ciphertext.size());
  auto* at = reinterpret_cast<unsigned char*>(out.data() + begin);
  int written = 0, last = 0;
  if (EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
      EVP_DecryptUpdate(context, nullptr, &written, Bytes(aad), static_cast<int>(aad.size())) !=
          1 ||
      EVP_DecryptUpdate(context, at, &written, Bytes(ciphertext),
                        static_cast<int>(ciphertext.size())) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kGcmTagBytes, tag.data()) != 1 ||
      EVP_DecryptFinal_ex(context, at + written, &last) != 1) {
    OPENSSL_cleanse(out.data() + begin, ciphertext.size());
    out.resize(begin);
    return absl::DataLossError("can't be opened: it was changed, or sealed under another key");
  }
  return absl::OkStatus();
}

}  // namespace sluice::privacy
