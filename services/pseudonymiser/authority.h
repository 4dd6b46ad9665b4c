// What all replicas of the service know together, and beyond their own lives: requests for
// re-identification, their approvals, and which callers are locked.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/base/secret.h"
#include "common/privacy/key_file.h"
#include "common/privacy/keyring.h"
#include "sluice/pseudonymiser/v1/state.pb.h"

namespace sluice::pseudonymiser {

// The state's bounds: what may be written is what can be read back, by every replica, whatever its
// limits are. Requests leave room for a lock of each caller that a policy may have.
inline constexpr size_t kStateBytesMax = size_t{32} << 20;
inline constexpr size_t kLocksBytesMax = size_t{4} << 20;
// kResourceExhausted: the requests in it have no room.
absl::Status CheckRequestsFit(const v1::AuthorityState& state);

// One file, `SLUICE-AUTHORITY 1\n`, a 12-byte nonce, and v1::AuthorityState under AES-256-GCM with
// a key of the keyring's: nobody writes an approval into it with an editor. Whoever changes it
// takes the file's lock, reads it, and replaces it; whoever only reads takes no lock, because the
// file is replaced whole, and reads it again only when it is another one. Who puts an older copy
// back brings back what it held; the audit trail shows that. Thread-safe.
//
// Time: `now_ms` goes on with the process's own steady clock, and never goes back by less than
// kClockStepMs: neither when the machine's clock is set, nor by a restart. When the clock is found
// further behind than that, then it was wrong before or is wrong now. So that nobody keeps a grant
// longer by setting a clock, and none ahead of time decides for years, all requests and grants that
// are open end then, and time goes on from the clock as it is.
class Authority {
 public:
  static constexpr int64_t kClockStepMs = 5 * 60'000;

  using Work = absl::FunctionRef<absl::Status(v1::AuthorityState& state, int64_t now_ms)>;
  using Look = absl::FunctionRef<absl::Status(const v1::AuthorityState& state, int64_t now_ms)>;
  // Told before open requests end because of the clock, with how many; an error keeps it from being
  // done.
  using ClockReset = std::function<absl::Status(int64_t behind_ms, int ended)>;

  // Makes the file where there is none. kFailedPrecondition: it is damaged, or another keyring's.
  // `clock` and `random` outlive it.
  static absl::StatusOr<std::unique_ptr<Authority>> Open(std::string path,
                                                         const privacy::Keyring& keyring,
                                                         const base::Clock& clock,
                                                         base::RandomSource& random,
                                                         ClockReset clock_reset = nullptr);
  // Reads the file, if there is one.
  static absl::Status Check(const std::string& path, const privacy::Keyring& keyring);

  // There was no file.
  bool made() const { return made_; }

  // `work` is alone with the state, among all replicas. What it changes is durable when this
  // returns OK; with an error of its own nothing is changed, and that is returned. kUnavailable:
  // the file can't be read or written, or another has held its lock for kWaitMs, and nothing may be
  // done that depends on it.
  absl::Status With(Work work);

  // `look` sees the state as it was written last. Waits for nobody. kUnavailable as above.
  absl::Status See(Look look) const;

 private:
  static constexpr int kWaitMs = 2'000;
  struct Read {
    privacy::FileStamp stamp;
    std::string plain;
    v1::AuthorityState state;
  };
  Authority(std::string path, base::SecretBytes key, const base::Clock& clock,
            base::RandomSource& random, ClockReset clock_reset);
  absl::StatusOr<std::shared_ptr<const Read>> ReadFile() const;
  absl::Status Write(const v1::AuthorityState& state) const;
  int64_t Clock() const;
  // Ends what is open where the clock is far behind what was written; how many that are.
  static int Settle(v1::AuthorityState& state, int64_t clock_ms);
  static int64_t NowOf(const v1::AuthorityState& state, int64_t clock_ms);

  const std::string path_;
  const base::SecretBytes key_;
  const base::Clock& clock_;
  base::RandomSource& random_;
  const ClockReset clock_reset_;
  bool made_ = false;

  // One thread of this process at a time changes the file; the file's lock is among processes.
  base::Mutex turn_mutex_;
  std::condition_variable turn_changed_;
  bool changing_ ABSL_GUARDED_BY(turn_mutex_) = false;

  mutable base::Mutex mutex_;
  mutable std::shared_ptr<const Read> read_ ABSL_GUARDED_BY(mutex_);
  // Both sides of the clock when they agreed last.
  mutable int64_t anchor_unix_ms_ ABSL_GUARDED_BY(mutex_);
  mutable std::chrono::steady_clock::time_point anchor_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::pseudonymiser
