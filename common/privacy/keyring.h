// The keys of pseudonymisation: one root secret, and every other key derived from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/base/secret.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

// HKDF-SHA256 (RFC 5869), no salt.
absl::StatusOr<base::SecretBytes> Hkdf(std::span<const uint8_t> secret, std::string_view info,
                                       size_t bytes);

struct KeyringDomain {
  std::string name;                    // as pipelines name it
  std::string label;                   // as its pseudonyms begin: [a-z]{1,8}
  std::vector<uint32_t> epochs = {1};  // ascending from 1; the last one makes new pseudonyms
};

// The file: `SLUICE-KEYRING 1\n`, a 12-byte nonce, and sluice.privacy.v1.KeyringContent encrypted
// with AES-256-GCM under the key-encryption key, the first line as associated data.
//
// Not thread-safe while it is changed; reading is.
class Keyring {
 public:
  // With a fresh root secret. An error names a domain whose name or label is doubled or malformed.
  static absl::StatusOr<Keyring> Create(std::vector<KeyringDomain> domains,
                                        base::RandomSource& random);

  // Reads the file at `path` with the key in the file at `key_path`. Errors name the file and what
  // to do; none of them changes either file.
  static absl::StatusOr<Keyring> Load(const std::string& path, const std::string& key_path);

  // Writes the file as a whole or not at all, readable by its owner only. Overwrites only a file
  // that the same key opens and that has the same root secret: anything else may be all there is of
  // other keys.
  absl::Status Save(const std::string& path, const std::string& key_path,
                    base::RandomSource& random) const;

  // Writes a new key-encryption key, 64 hexadecimal digits, to a file that must not exist yet.
  static absl::Status CreateKeyFile(const std::string& key_path, base::RandomSource& random);

  const std::vector<KeyringDomain>& domains() const { return domains_; }
  const KeyringDomain* Find(std::string_view name) const;

  // The HMAC-SHA256 key of a kind of identifier, the same in all domains and epochs: 32 bytes.
  absl::StatusOr<base::SecretBytes> KindKey(contract::v1::IdentifierKind kind) const;
  // The same for values in a scope (PseudonymBatch::BeginScope).
  absl::StatusOr<base::SecretBytes> ScopedKindKey(contract::v1::IdentifierKind kind) const;
  // The AES-256 key of a domain in an epoch, which enciphers blocks: 32 bytes.
  absl::StatusOr<base::SecretBytes> DomainKey(std::string_view domain, uint32_t epoch) const;
  // Of ValueCipher: 64 bytes.
  absl::StatusOr<base::SecretBytes> EncryptionKey(std::string_view domain, uint32_t epoch) const;
  // Of FormatPreserver: 32 bytes.
  absl::StatusOr<base::SecretBytes> FormatKey(std::string_view domain, uint32_t epoch) const;

 private:
  Keyring() = default;
  absl::Status Check() const;

  base::SecretBytes root_;
  std::vector<KeyringDomain> domains_;
};

}  // namespace sluice::privacy
