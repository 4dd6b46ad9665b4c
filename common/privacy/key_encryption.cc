#include "common/privacy/key_encryption.h"

#include <openssl/crypto.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/key_file.h"

namespace sluice::privacy {
namespace {

constexpr base::SecretAccess kAccess{};

}  // namespace

absl::StatusOr<FileKeyEncryption> FileKeyEncryption::Load(std::string path,
                                                          base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes bytes, ReadKeyFile(path, Readers::kOwnerAndGroup));
  std::string decoded;
  absl::Cleanup wipe = [&] { OPENSSL_cleanse(decoded.data(), decoded.size()); };
  std::span<const uint8_t> key = bytes.Reveal(kAccess);
  if (key.size() != kAesKeyBytes) {
    std::string_view all = bytes.RevealText(kAccess);
    absl::string_view text = absl::StripAsciiWhitespace({all.data(), all.size()});
    bool hex = text.size() == 2 * kAesKeyBytes;
    for (char c : text) hex = hex && absl::ascii_isxdigit(static_cast<unsigned char>(c));
    if (!hex) {
      return KeyFileError(path, "isn't a key: it has neither 32 bytes nor 64 hexadecimal digits");
    }
    decoded = base::BytesOfHex({text.data(), text.size()});
    key = {reinterpret_cast<const uint8_t*>(decoded.data()), decoded.size()};
  }
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, AesGcm::Create(key));
  return FileKeyEncryption(std::move(path), std::move(cipher), random);
}

absl::Status FileKeyEncryption::CreateFile(const std::string& path, base::RandomSource& random) {
  uint8_t key[kAesKeyBytes];
  if (!random.Fill(key)) return absl::InternalError("the system has no randomness");
  std::string text =
      absl::BytesToHexString({reinterpret_cast<const char*>(key), sizeof(key)}) + "\n";
  absl::Cleanup wipe = [&] {
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text.data(), text.size());
  };
  return WriteKeyFile(path, text, Overwrite::kNever);
}

absl::StatusOr<std::string> FileKeyEncryption::Wrap(std::string_view context,
                                                    const base::SecretBytes& secret) {
  uint8_t nonce[kGcmNonceBytes];
  if (!random_.Fill(nonce)) return absl::InternalError("the system has no randomness");
  std::string wrapped(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  SLUICE_RETURN_IF_ERROR(cipher_.Encrypt(nonce, context, secret.RevealText(kAccess), wrapped));
  return wrapped;
}

absl::StatusOr<base::SecretBytes> FileKeyEncryption::Unwrap(std::string_view context,
                                                            std::string_view wrapped) {
  if (wrapped.size() < kGcmNonceBytes + kGcmTagBytes)
    return absl::DataLossError("too short to have been wrapped");
  std::string plain;
  absl::Cleanup wipe = [&] { OPENSSL_cleanse(plain.data(), plain.size()); };
  SLUICE_RETURN_IF_ERROR(
      cipher_.Decrypt({reinterpret_cast<const uint8_t*>(wrapped.data()), kGcmNonceBytes}, context,
                      wrapped.substr(kGcmNonceBytes), plain));
  return base::SecretBytes(plain);
}

}  // namespace sluice::privacy
