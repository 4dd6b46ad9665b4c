// Which epochs a keyring has had: what outlives the keyring's file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/privacy/keyring.h"

namespace sluice::privacy {

// A file beside a keyring, or beside what was made with it: the keyring's fingerprint, and of each
// epoch that it ever had its domain's label, its number and its check. It holds no secret. Whoever
// uses a keyring compares it with the record first: another keyring, an older copy, and an epoch
// whose number was used with another secret are noticed, also after a restart. Lines of text:
//
//   SLUICE-EPOCHS 1
//   record 0123456789abcdef
//   keyring 5f3a9c0d12345678
//   epoch int 1 0011223344556677
//   epoch int 2 8899aabbccddeeff pending
//   mac <64 hexadecimal digits: HMAC-SHA256 of the lines before it, by a key of the keyring's>
//
// An epoch is pending from before its keyring is written until after: if the writer is killed in
// between, the keyring may lack it, and its number isn't used again all the same. Not thread-safe.
class EpochRecord {
 public:
  // Beside a keyring's file.
  static std::string PathOf(const std::string& keyring) { return keyring + ".epochs"; }

  // kNotFound: there is none. kFailedPrecondition: it is another keyring's, damaged or changed; the
  // text says which, and what to do.
  static absl::StatusOr<EpochRecord> Load(const std::string& path, const Keyring& keyring);
  // An empty one of this keyring where there is none.
  static absl::StatusOr<EpochRecord> LoadOrNew(const std::string& path, const Keyring& keyring);

  // Of the keyring that a process uses; `name` is what errors call it.
  static EpochRecord Of(const Keyring& keyring, std::string name);

  // kFailedPrecondition: the keyring is an older copy, which lacks epochs that were used and might
  // use their numbers again, or has an epoch whose secret is another one. A keyring that was
  // restored by `sluicectl keys restore` leaves those numbers out, and passes.
  absl::Status Check(const Keyring& keyring) const;

  // All its epochs, none of which is pending then. Whether there is anything new.
  bool Learn(const Keyring& keyring);
  // The same before the keyring is written: those that are new are pending.
  void LearnPending(const Keyring& keyring);
  absl::Status Save(const std::string& path, const Keyring& keyring) const;

  // Tells it from a record that is begun where this one was lost; empty until Identify().
  const std::string& id() const { return id_; }
  // Gives it an id where it has none.
  absl::Status Identify(base::RandomSource& random);

  // The highest number that a domain has used; 0: none.
  uint32_t Newest(std::string_view label) const;

 private:
  explicit EpochRecord(std::string path) : path_(std::move(path)) {}

  std::string path_;
  std::string id_;
  struct Epoch {
    std::string check;  // empty: nobody knows
    bool pending = false;
    friend bool operator==(const Epoch&, const Epoch&) = default;
  };
  std::map<std::pair<std::string, uint32_t>, Epoch> epochs_;  // by label and number
};

}  // namespace sluice::privacy
