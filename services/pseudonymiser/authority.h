// What all replicas of the service know together, and beyond their own lives: requests for
// re-identification, their approvals, and which callers are locked.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/base/secret.h"
#include "common/privacy/keyring.h"
#include "sluice/pseudonymiser/v1/state.pb.h"

namespace sluice::pseudonymiser {

// One file, `SLUICE-AUTHORITY 1\n`, a 12-byte nonce, and v1::AuthorityState under AES-256-GCM with
// a key of the keyring's: nobody writes an approval into it with an editor. Nothing of it is kept
// in memory: whoever acts takes the file's lock, reads it, and replaces it. Who puts an older copy
// back brings back what it held; the audit trail shows that. Thread-safe.
class Authority {
 public:
  // `now_ms` never goes back, whatever becomes of the machine's clock: not while the process lives,
  // and not behind what was written last.
  using Work = absl::FunctionRef<absl::Status(v1::AuthorityState& state, int64_t now_ms)>;

  // Makes the file where there is none. kFailedPrecondition: it is damaged, or another keyring's.
  // `clock` and `random` outlive it.
  static absl::StatusOr<std::unique_ptr<Authority>> Open(std::string path,
                                                         const privacy::Keyring& keyring,
                                                         const base::Clock& clock,
                                                         base::RandomSource& random);
  // Reads the file, if there is one.
  static absl::Status Check(const std::string& path, const privacy::Keyring& keyring);

  // There was no file.
  bool made() const { return made_; }

  // `work` is alone with the state, among all replicas. What it changes is durable when this
  // returns OK; with an error of its own nothing is changed, and that is returned. kUnavailable:
  // the file can't be read or written, and nothing may be done that depends on it.
  absl::Status With(Work work);

 private:
  Authority(std::string path, base::SecretBytes key, const base::Clock& clock,
            base::RandomSource& random);
  absl::Status Write(const v1::AuthorityState& state) const;
  int64_t Now(const v1::AuthorityState& state) const;

  const std::string path_;
  const base::SecretBytes key_;
  const base::Clock& clock_;
  base::RandomSource& random_;
  // Both sides of the clock when the process began.
  const int64_t begun_unix_ms_;
  const std::chrono::steady_clock::time_point begun_;
  bool made_ = false;
  base::Mutex mutex_;  // among this process's threads; the file's lock is among processes
};

}  // namespace sluice::pseudonymiser
