// The key-encryption key: what a keyring file is opened with.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/base/secret.h"
#include "common/privacy/aes_gcm.h"

namespace sluice::privacy {

// Encrypts a keyring's data key. The key itself may be where nobody can read it (a KMS, a PKCS#11
// token); of the file's only this interface is used. Not thread-safe.
class KeyEncryption {
 public:
  virtual ~KeyEncryption() = default;

  // `context` must be given again to unwrap.
  virtual absl::StatusOr<std::string> Wrap(std::string_view context,
                                           const base::SecretBytes& secret) = 0;
  // An error when `wrapped` was changed, or wrapped by another key or in another context.
  virtual absl::StatusOr<base::SecretBytes> Unwrap(std::string_view context,
                                                   std::string_view wrapped) = 0;
  // For errors.
  virtual std::string name() const = 0;
};

// In a mounted file that only its owner, and perhaps its group, can read: 32 bytes, or 64
// hexadecimal digits. Wraps by AES-256-GCM with a random nonce in front.
class FileKeyEncryption final : public KeyEncryption {
 public:
  // `random` must outlive it.
  static absl::StatusOr<FileKeyEncryption> Load(std::string path, base::RandomSource& random);
  // Writes a new key, hexadecimal, to a file that must not exist yet.
  static absl::Status CreateFile(const std::string& path, base::RandomSource& random);

  absl::StatusOr<std::string> Wrap(std::string_view context,
                                   const base::SecretBytes& secret) override;
  absl::StatusOr<base::SecretBytes> Unwrap(std::string_view context,
                                           std::string_view wrapped) override;
  std::string name() const override { return path_; }

 private:
  FileKeyEncryption(std::string path, AesGcm cipher, base::RandomSource& random)
      : path_(std::move(path)), cipher_(std::move(cipher)), random_(random) {}

  std::string path_;
  AesGcm cipher_;
  base::RandomSource& random_;
};

}  // namespace sluice::privacy
