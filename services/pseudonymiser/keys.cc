#include "services/pseudonymiser/keys.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/epoch_record.h"

namespace sluice::pseudonymiser {

// Of a door's buffers: batches of processors fit.
constexpr size_t kKeptBytesMax = 512 * 1024;

using privacy::Keyring;
using privacy::LocalPseudonymiser;

absl::StatusOr<std::unique_ptr<Door>> Keys::MakeDoor() const {
  auto door = std::make_unique<Door>();
  SLUICE_ASSIGN_OR_RETURN(door->keys, LocalPseudonymiser::Create(keyring_));
  return door;
}

absl::StatusOr<std::shared_ptr<Keys>> Keys::Create(Keyring keyring) {
  auto keys = std::shared_ptr<Keys>(new Keys(std::move(keyring)));
  // The first is made here: a keyring that nothing can be derived from isn't taken into use.
  SLUICE_ASSIGN_OR_RETURN(auto first, keys->MakeDoor());
  {
    base::MutexLock lock(keys->mutex_);
    keys->idle_.push_back(std::move(first));
  }
  return keys;
}

absl::StatusOr<Keys::Lease> Keys::Take(std::shared_ptr<Keys> keys) {
  std::unique_ptr<Door> door;
  {
    base::MutexLock lock(keys->mutex_);
    if (!keys->idle_.empty()) {
      door = std::move(keys->idle_.back());
      keys->idle_.pop_back();
    }
  }
  if (door == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(door, keys->MakeDoor());
  }
  return Lease(std::move(keys), std::move(door));
}

Keys::Lease::~Lease() {
  if (keys_ == nullptr) return;
  std::string& values = door_->batch.bytes();
  OPENSSL_cleanse(values.data(), values.size());
  // What one large call needed isn't kept for the next ones.
  if (values.capacity() > kKeptBytesMax) {
    door_->batch = privacy::PseudonymBatch();
    door_->answer = privacy::PseudonymAnswer();
  }
  door_->batch.Clear();
  base::MutexLock lock(keys_->mutex_);
  keys_->idle_.push_back(std::move(door_));
}

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(Options options,
                                                         base::RandomSource& random, Probe& probe) {
  auto store = std::unique_ptr<KeyStore>(new KeyStore(std::move(options), random, probe));
  SLUICE_ASSIGN_OR_RETURN(
      Keyring keyring, Keyring::Load(store->options_.keyring, store->options_.key_encryption_key));
  base::MutexLock changing(store->changing_);
  SLUICE_RETURN_IF_ERROR(store->Use(std::move(keyring)));
  return store;
}

std::shared_ptr<Keys> KeyStore::current() const {
  base::MutexLock lock(mutex_);
  return current_;
}

absl::Status KeyStore::Use(Keyring keyring) {
  if (!options_.epochs.empty()) {
    SLUICE_ASSIGN_OR_RETURN(auto record, privacy::EpochRecord::LoadOrNew(options_.epochs, keyring));
    SLUICE_RETURN_IF_ERROR(record.Check(keyring));
    // Before the first pseudonym is made.
    if (record.Learn(keyring)) SLUICE_RETURN_IF_ERROR(record.Save(options_.epochs, keyring));
  }
  SLUICE_ASSIGN_OR_RETURN(auto keys, Keys::Create(std::move(keyring)));
  probe_.Keyring(keys->keyring());
  std::shared_ptr<Keys> before;  // wiped outside of the lock, or by the last call that uses it
  base::MutexLock lock(mutex_);
  before = std::exchange(current_, std::move(keys));
  return absl::OkStatus();
}

absl::Status KeyStore::Reload() {
  base::MutexLock changing(changing_);
  auto read = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(Keyring next,
                            Keyring::Load(options_.keyring, options_.key_encryption_key));
    std::shared_ptr<Keys> keys = current();
    if (!next.SameRoot(keys->keyring())) {
      return absl::FailedPreconditionError(base::StrCat(
          options_.keyring,
          ": is another keyring than the one in use: every pseudonym would change; restart the "
          "service if that is meant"));
    }
    if (next.generation() < keys->keyring().generation()) {
      return absl::FailedPreconditionError(
          base::StrCat(options_.keyring, ": is an older copy than the one in use (written ",
                       next.generation(), " times, not ", keys->keyring().generation(),
                       "): put the newer one back, or restart the service if that is meant"));
    }
    return Use(std::move(next));
  };
  absl::Status status = read();
  probe_.KeyringRead(status);
  return status;
}

absl::Status KeyStore::Change(absl::FunctionRef<absl::Status(Keyring&)> change,
                              absl::FunctionRef<absl::Status()> record) {
  base::MutexLock changing(changing_);
  // Before anything is recorded as done.
  const std::string folder = std::filesystem::path(options_.keyring).parent_path().string();
  if (access(folder.empty() ? "." : folder.c_str(), W_OK) != 0) {
    return absl::FailedPreconditionError(base::StrCat(
        options_.keyring,
        ": can't be written here, as where a Secret is mounted: change it with `sluicectl keys` "
        "elsewhere, and renew what is mounted; every replica picks it up"));
  }
  SLUICE_ASSIGN_OR_RETURN(Keyring keyring,
                          Keyring::Load(options_.keyring, options_.key_encryption_key));
  std::shared_ptr<Keys> keys = current();
  if (!keyring.SameRoot(keys->keyring()) || keyring.generation() < keys->keyring().generation()) {
    return absl::FailedPreconditionError(base::StrCat(
        options_.keyring, ": isn't the keyring in use, nor its successor; nothing was changed"));
  }
  SLUICE_RETURN_IF_ERROR(change(keyring));
  SLUICE_RETURN_IF_ERROR(record());
  SLUICE_RETURN_IF_ERROR(keyring.Save(options_.keyring, options_.key_encryption_key, random_));
  return Use(std::move(keyring));
}

}  // namespace sluice::pseudonymiser
