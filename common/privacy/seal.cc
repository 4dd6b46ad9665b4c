#include "common/privacy/seal.h"

#include <openssl/pem.h>

#include <algorithm>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "common/base/secret.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/keyring.h"

namespace sluice::privacy {
namespace {

constexpr std::string_view kMagic = "SLQ1";
constexpr size_t kIdBytes = 8;
constexpr size_t kPublicBytes = 32;
constexpr size_t kWrappedBytes = kAesKeyBytes + kGcmTagBytes;
constexpr size_t kHeadBytes = kMagic.size() + kIdBytes + kPublicBytes + kWrappedBytes;
constexpr base::SecretAccess kAccess{};
// The wrapping key encrypts once in its life.
constexpr uint8_t kWrapNonce[kGcmNonceBytes] = {};

absl::Status Failed() { return absl::InternalError("OpenSSL: X25519 failed"); }

absl::StatusOr<std::string> PublicBytes(EVP_PKEY* key) {
  std::string bytes(kPublicBytes, '\0');
  size_t size = bytes.size();
  if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(bytes.data()), &size) != 1)
    return Failed();
  return bytes;
}

absl::StatusOr<std::string> IdOf(EVP_PKEY* key) {
  SLUICE_ASSIGN_OR_RETURN(std::string bytes, PublicBytes(key));
  base::Sha256 hash;
  hash.Add(bytes);
  return base::BytesOfHex(hash.Hex(2 * kIdBytes));
}

absl::StatusOr<Pkey> ReadPem(std::string_view pem, bool is_private) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  // Without this, OpenSSL would ask the terminal for the password of an encrypted key.
  auto no_password = [](char*, int, int, void*) { return -1; };
  Pkey key(is_private ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr)
                      : PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_X25519) {
    return absl::InvalidArgumentError(base::StrCat("isn't an X25519 ",
                                                   is_private ? "private" : "public", " key in PEM",
                                                   is_private ? " without a password" : ""));
  }
  return key;
}

// The key that wraps a data key: of both sides' keys, and of what identifies them.
absl::StatusOr<base::SecretBytes> WrappingKey(EVP_PKEY* own, EVP_PKEY* other,
                                              std::string_view head) {
  std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(own, nullptr), EVP_PKEY_CTX_free);
  base::SecretBytes shared(32);
  size_t size = shared.size();
  // OpenSSL refuses the all-zero secret that a malicious public key would lead to (RFC 7748 §6.1).
  if (context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), other) != 1 ||
      EVP_PKEY_derive(context.get(), shared.RevealMutable(kAccess).data(), &size) != 1) {
    return Failed();
  }
  return Hkdf(shared.Reveal(kAccess), base::StrCat("sluice/quarantine/1|", head), kAesKeyBytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sealer>> Sealer::Create(std::string_view pem,
                                                       base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(Pkey key, ReadPem(pem, false));
  SLUICE_ASSIGN_OR_RETURN(std::string id, IdOf(key.get()));
  return std::unique_ptr<Sealer>(new Sealer(std::move(key), std::move(id), random));
}

size_t Sealer::Overhead() { return kHeadBytes + kGcmNonceBytes + kGcmTagBytes; }

absl::Status Sealer::BeginBatch() {
  base::SecretBytes ephemeral(32), data_key(kAesKeyBytes);
  if (!random_.Fill(ephemeral.RevealMutable(kAccess)) ||
      !random_.Fill(data_key.RevealMutable(kAccess))) {
    return absl::InternalError("the system has no randomness");
  }
  std::span<const uint8_t> bytes = ephemeral.Reveal(kAccess);
  Pkey own(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, bytes.data(), bytes.size()));
  if (own == nullptr) return Failed();
  SLUICE_ASSIGN_OR_RETURN(std::string own_public, PublicBytes(own.get()));
  head_ = base::StrCat(kMagic, recipient_id_, own_public);
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes wrapping,
                          WrappingKey(own.get(), recipient_.get(), head_));
  SLUICE_ASSIGN_OR_RETURN(AesGcm wrap, AesGcm::Create(wrapping.Reveal(kAccess)));
  std::span<const uint8_t> key = data_key.Reveal(kAccess);
  std::string aad = head_;
  SLUICE_RETURN_IF_ERROR(wrap.Encrypt(
      kWrapNonce, aad, {reinterpret_cast<const char*>(key.data()), key.size()}, head_));
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, AesGcm::Create(key));
  cipher_ = std::move(cipher);
  next_nonce_ = 0;
  return absl::OkStatus();
}

absl::Status Sealer::Seal(std::string_view aad, std::string_view payload, std::string& out) {
  if (!cipher_) SLUICE_RETURN_IF_ERROR(BeginBatch());
  uint8_t nonce[kGcmNonceBytes] = {};
  for (int i = 0; i < 8; ++i) nonce[11 - i] = static_cast<uint8_t>(next_nonce_ >> (8 * i));
  ++next_nonce_;
  size_t begin = out.size();
  out.append(head_);
  out.append(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  std::string bound = base::StrCat(head_, aad);
  absl::Status sealed = cipher_->Encrypt(nonce, bound, payload, out);
  if (!sealed.ok()) out.resize(begin);
  return sealed;
}

absl::StatusOr<std::unique_ptr<Unsealer>> Unsealer::Create(std::string_view pem) {
  SLUICE_ASSIGN_OR_RETURN(Pkey key, ReadPem(pem, true));
  SLUICE_ASSIGN_OR_RETURN(std::string id, IdOf(key.get()));
  return std::unique_ptr<Unsealer>(new Unsealer(std::move(key), std::move(id)));
}

absl::StatusOr<std::string> Unsealer::Unseal(std::string_view aad, std::string_view sealed) {
  if (!sealed.starts_with(kMagic) || sealed.size() < Sealer::Overhead()) {
    return absl::DataLossError("isn't a sealed payload");
  }
  if (sealed.substr(kMagic.size(), kIdBytes) != id_)
    return absl::DataLossError("is sealed to another key");
  std::string_view head = sealed.substr(0, kHeadBytes);
  std::string_view unwrapped_head = head.substr(0, kHeadBytes - kWrappedBytes);
  std::string_view ephemeral = unwrapped_head.substr(kMagic.size() + kIdBytes);
  Pkey other(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr,
                                         reinterpret_cast<const unsigned char*>(ephemeral.data()),
                                         ephemeral.size()));
  if (other == nullptr) return Failed();
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes wrapping,
                          WrappingKey(key_.get(), other.get(), unwrapped_head));
  SLUICE_ASSIGN_OR_RETURN(AesGcm wrap, AesGcm::Create(wrapping.Reveal(kAccess)));
  std::string data_key;
  absl::Cleanup wipe = [&] { OPENSSL_cleanse(data_key.data(), data_key.size()); };
  SLUICE_RETURN_IF_ERROR(
      wrap.Decrypt(kWrapNonce, unwrapped_head, head.substr(kHeadBytes - kWrappedBytes), data_key));
  SLUICE_ASSIGN_OR_RETURN(
      AesGcm cipher,
      AesGcm::Create({reinterpret_cast<const uint8_t*>(data_key.data()), data_key.size()}));
  uint8_t nonce[kGcmNonceBytes];
  std::memcpy(nonce, sealed.data() + kHeadBytes, sizeof(nonce));
  std::string payload;
  SLUICE_RETURN_IF_ERROR(cipher.Decrypt(nonce, base::StrCat(head, aad),
                                        sealed.substr(kHeadBytes + kGcmNonceBytes), payload));
  return payload;
}

absl::StatusOr<SealingKeys> NewSealingKeys(base::RandomSource& random) {
  base::SecretBytes bytes(32);
  if (!random.Fill(bytes.RevealMutable(kAccess)))
    return absl::InternalError("the system has no randomness");
  Pkey key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, bytes.Reveal(kAccess).data(),
                                        bytes.size()));
  std::unique_ptr<BIO, decltype(&BIO_free)> secret(BIO_new(BIO_s_mem()), BIO_free),
      open(BIO_new(BIO_s_mem()), BIO_free);
  if (key == nullptr ||
      PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_PUBKEY(open.get(), key.get()) != 1) {
    return Failed();
  }
  auto text = [](BIO* bio) {
    char* data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<size_t>(size));
  };
  return SealingKeys{text(secret.get()), text(open.get())};
}

}  // namespace sluice::privacy
