// The keyring in use, and what derives from it, replaced while calls go on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/pseudonymiser/probe.h"

namespace sluice::pseudonymiser {

// What one call at a time works with.
struct Door {
  std::unique_ptr<privacy::LocalPseudonymiser> keys;
  // Reused from call to call.
  privacy::PseudonymBatch batch;
  privacy::PseudonymAnswer answer;
};

// One state of the keyring, and doors to it for as many calls at a time as there are. Thread-safe.
class Keys {
 public:
  static absl::StatusOr<std::shared_ptr<Keys>> Create(privacy::Keyring keyring);
  const privacy::Keyring& keyring() const { return keyring_; }

  // A door for one call; goes back when the object goes, without the call's values.
  class Lease {
   public:
    Lease(std::shared_ptr<Keys> keys, std::unique_ptr<Door> door)
        : keys_(std::move(keys)), door_(std::move(door)) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Door* operator->() const { return door_.get(); }
    const privacy::Keyring& keyring() const { return keys_->keyring(); }

   private:
    std::shared_ptr<Keys> keys_;
    std::unique_ptr<Door> door_;
  };
  static absl::StatusOr<Lease> Take(std::shared_ptr<Keys> keys);

 private:
  explicit Keys(privacy::Keyring keyring) : keyring_(std::move(keyring)) {}
  absl::StatusOr<std::unique_ptr<Door>> MakeDoor() const;

  const privacy::Keyring keyring_;
  base::Mutex mutex_;
  std::vector<std::unique_ptr<Door>> idle_ ABSL_GUARDED_BY(mutex_);
};

// Thread-safe.
class KeyStore {
 public:
  struct Options {
    std::string keyring;
    std::string key_encryption_key;
    // Where is kept which epochs were in use, so that another keyring, or an older copy of this
    // one, is noticed after a restart too; empty: nowhere.
    std::string epochs;
  };
  // `random` and `probe` outlive it. Errors name the file.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(Options options, base::RandomSource& random,
                                                        Probe& probe);

  std::shared_ptr<Keys> current() const;
  absl::StatusOr<Keys::Lease> Take() const { return Keys::Take(current()); }

  // Takes the keyring from its file, if it is the successor of the one in use: of the same root
  // secret, and not written less often. Else the one in use stays.
  absl::Status Reload();

  // Reads the file, applies `change`, asks `record`, and writes the file; the keys in use are its
  // then. kAborted: somebody else wrote it meanwhile. After an error of `change` or `record`
  // nothing is changed.
  absl::Status Change(absl::FunctionRef<absl::Status(privacy::Keyring&)> change,
                      absl::FunctionRef<absl::Status()> record);

 private:
  KeyStore(Options options, base::RandomSource& random, Probe& probe)
      : options_(std::move(options)), random_(random), probe_(probe) {}
  absl::Status Use(privacy::Keyring keyring) ABSL_EXCLUSIVE_LOCKS_REQUIRED(changing_);

  const Options options_;
  base::RandomSource& random_;
  Probe& probe_;
  base::Mutex changing_;  // held while the file is read or written
  mutable base::Mutex mutex_;
  std::shared_ptr<Keys> current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::pseudonymiser
