// The keys of pseudonymisation: one root secret, one secret for each epoch, and what derives from
// them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/base/secret.h"
#include "common/privacy/key_encryption.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

class EpochRecord;

// HKDF-SHA256 (RFC 5869), no salt.
absl::StatusOr<base::SecretBytes> Hkdf(std::span<const uint8_t> secret, std::string_view info,
                                       size_t bytes);

enum class EpochState {
  kActive,     // the newest makes new pseudonyms; older ones are converted from
  kRetired,    // its keys are kept, and used for nothing but re-identification with a grant
  kDestroyed,  // its keys are gone: its pseudonyms can't be tied to anything any more
};

struct KeyringEpoch {
  uint32_t number = 1;
  EpochState state = EpochState::kActive;
  // Milliseconds since 1970; 0: nobody knows, such as of an epoch of before this was written down.
  int64_t begun_unix_ms = 0;
  // 16 hexadecimal digits over its secret: what tells it from another epoch with its number. Empty:
  // it was destroyed before this was kept.
  std::string check = {};
};

struct KeyringDomain {
  std::string name;                          // as pipelines name it
  std::string label;                         // as its pseudonyms begin: [a-z]{1,8}
  std::vector<KeyringEpoch> epochs = {{1}};  // ascending from 1
  // The next epoch's number, at least: others may have been used that this keyring doesn't know.
  uint32_t next_epoch_min = 0;
  uint32_t newest() const { return epochs.back().number; }
  int64_t newest_begun_unix_ms() const { return epochs.back().begun_unix_ms; }
  // nullptr: there was never such an epoch.
  const KeyringEpoch* Find(uint32_t epoch) const;
};

// A file isn't larger, and a keyring that would make a larger one isn't written.
inline constexpr size_t kKeyringBytesMax = 256 * 1024;

// The file, version 4: `SLUICE-KEYRING 4\n`, the wrapped data key with its length before it (two
// bytes, big-endian), a 12-byte nonce, and sluice.privacy.v1.KeyringContent under AES-256-GCM with
// the data key; all that stands before is associated data. The data key is new each time. Versions
// 1 to 3 are read too: 3 has no checks, 2 doesn't say when an epoch was begun, and 1 has the
// content itself wrapped. A program that knows version 3 only can't read 4: it would make other
// pseudonyms.
//
// An epoch's keys derive from root secret and the epoch's own secret, so that destroying the latter
// destroys the keys, which no key derived from the root alone would allow. Epochs that come from a
// file of version 1 have no secret of their own: their keys are what they always were, and can't be
// destroyed.
//
// Not thread-safe while it is changed; reading is.
class Keyring {
 public:
  // With a fresh root secret. An error names a domain whose name or label is doubled or malformed.
  // Here and below, `now_unix_ms` is when epochs that are made are begun; 0: that isn't known.
  // `check_bytes` is kCheckBytes, or 0: a keyring as programs made it that left none.
  static absl::StatusOr<Keyring> Create(std::vector<KeyringDomain> domains,
                                        base::RandomSource& random, int64_t now_unix_ms = 0,
                                        size_t check_bytes = kCheckBytes);
  // Of 16: what is left names more identifiers than there are, and one block in four billion that
  // other keys made looks right.
  static constexpr size_t kCheckBytes = 4;
  // Of a domain's name in a new keyring, or added to one.
  static constexpr size_t kDomainNameBytesMax = 128;

  // Errors name the file and what to do; none of them changes it.
  static absl::StatusOr<Keyring> Load(const std::string& path, KeyEncryption& key);
  // With the key in the file at `key_path`.
  static absl::StatusOr<Keyring> Load(const std::string& path, const std::string& key_path);

  // Writes the file as a whole or not at all, readable by its owner only. Overwrites only the file
  // that this keyring was loaded from or last saved to, unchanged since: anything else may be all
  // there is of other keys, or somebody else's rotation (kAborted: load again).
  absl::Status Save(const std::string& path, KeyEncryption& key, base::RandomSource& random);
  absl::Status Save(const std::string& path, const std::string& key_path,
                    base::RandomSource& random);
  // The same content to a file that must not exist yet, perhaps under another key.
  absl::Status SaveCopy(const std::string& path, KeyEncryption& key, base::RandomSource& random);

  // For a keyring that comes from a backup: the numbers that its domains may have used since are
  // left out, so that none is used twice with another secret. `record` knows them where it is
  // the one that the keyring was written beside; else a random number of them, up to a million, is
  // left out.
  absl::Status Restored(const EpochRecord* record, base::RandomSource& random);
  // Whether a record knows every epoch since this keyring was written: it is the one that it was
  // written beside.
  bool KnownTo(const EpochRecord* record) const;

  // Writes a new key-encryption key, 64 hexadecimal digits, to a file that must not exist yet.
  static absl::Status CreateKeyFile(const std::string& key_path, base::RandomSource& random) {
    return FileKeyEncryption::CreateFile(key_path, random);
  }

  const std::vector<KeyringDomain>& domains() const { return domains_; }
  const KeyringDomain* Find(std::string_view name) const;
  const KeyringDomain* FindByLabel(std::string_view label) const;
  // How often it was written.
  uint64_t generation() const { return generation_; }
  bool SameRoot(const Keyring& other) const { return root_.Equals(other.root_); }
  // 16 hexadecimal digits over the root secret, which tell keyrings apart and say nothing of it.
  absl::StatusOr<std::string> Fingerprint() const;
  // How many bytes at a block's end are zero before the outer layer: 4, or 0 where it was made by a
  // program that left none.
  size_t check_bytes() const { return check_bytes_; }

  // The life of domains and epochs. Errors: kNotFound, kAlreadyExists, kInvalidArgument; nothing is
  // changed then. Changes last from the next Save on.
  absl::Status AddDomain(const std::string& name, std::string label, base::RandomSource& random,
                         int64_t now_unix_ms = 0);
  // The number of the new epoch, which makes new pseudonyms from now on.
  absl::StatusOr<uint32_t> Rotate(std::string_view domain, base::RandomSource& random,
                                  int64_t now_unix_ms = 0);
  // Not of a domain's newest epoch.
  absl::Status Retire(std::string_view domain, uint32_t epoch);
  // Only a retired epoch. What it was can be had back from older copies of the file only: these are
  // for the caller to destroy.
  absl::Status Destroy(std::string_view domain, uint32_t epoch);

  // The HMAC-SHA256 key of a kind of identifier, the same in all domains and epochs: 32 bytes.
  absl::StatusOr<base::SecretBytes> KindKey(contract::v1::IdentifierKind kind) const;
  // The same for values in a scope (PseudonymBatch::BeginScope).
  absl::StatusOr<base::SecretBytes> ScopedKindKey(contract::v1::IdentifierKind kind) const;
  // What a record of epochs is authenticated with: 32 bytes.
  absl::StatusOr<base::SecretBytes> RecordKey() const;
  // What the pseudonymiser's own state is sealed with: 32 bytes.
  absl::StatusOr<base::SecretBytes> StateKey() const;
  // The keys of a domain in an epoch. kFailedPrecondition: it is destroyed.
  //
  // The AES-256 key that enciphers blocks: 32 bytes.
  absl::StatusOr<base::SecretBytes> DomainKey(std::string_view domain, uint32_t epoch) const;
  // Of ValueCipher: 64 bytes.
  absl::StatusOr<base::SecretBytes> EncryptionKey(std::string_view domain, uint32_t epoch) const;
  // Of FormatPreserver: 32 bytes.
  absl::StatusOr<base::SecretBytes> FormatKey(std::string_view domain, uint32_t epoch) const;

 private:
  Keyring() = default;
  absl::Status Check() const;
  absl::StatusOr<std::string> Seal(KeyEncryption& key, base::RandomSource& random,
                                   uint64_t generation) const;
  absl::StatusOr<KeyringDomain*> Mutable(std::string_view name);
  // Not a domain's newest epoch.
  absl::StatusOr<KeyringEpoch*> MutableOld(std::string_view name, uint32_t epoch);
  absl::StatusOr<base::SecretBytes> MakeSecret(std::string_view domain, KeyringEpoch& epoch,
                                               base::RandomSource& random) const;
  absl::StatusOr<std::string> CheckOf(std::string_view domain, uint32_t epoch,
                                      const base::SecretBytes* secret) const;
  absl::StatusOr<base::SecretBytes> Derive(std::string_view context,
                                           const base::SecretBytes* secret, size_t bytes) const;
  // What every key of a domain and epoch derives from, by a context that says its purpose.
  absl::StatusOr<base::SecretBytes> EpochKey(std::string_view purpose, std::string_view domain,
                                             uint32_t epoch, size_t bytes) const;

  base::SecretBytes root_;
  std::vector<KeyringDomain> domains_;
  std::map<std::pair<std::string, uint32_t>, base::SecretBytes> secrets_;  // by domain and epoch
  // By domain: the highest number that the record beside the file knows.
  std::map<std::string, uint32_t> recorded_;
  std::string record_id_;
  uint64_t generation_ = 0;
  size_t check_bytes_ = 0;
};

}  // namespace sluice::privacy
