#include "services/pseudonymiser/authority.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/aes_gcm.h"
#include "common/privacy/key_file.h"
#include "common/telemetry/log.h"

namespace sluice::pseudonymiser {
namespace {

using privacy::KeyFileError;

constexpr base::SecretAccess kAccess{};
constexpr std::string_view kHeader = "SLUICE-AUTHORITY 1\n";
constexpr size_t kFileBytesMax =
    kStateBytesMax + kHeader.size() + privacy::kGcmNonceBytes + privacy::kGcmTagBytes;

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

struct Opened {
  std::string plain;
  privacy::FileStamp stamp;
};

absl::StatusOr<Opened> OpenState(const std::string& path, const base::SecretBytes& key,
                                 v1::AuthorityState& state) {
  SLUICE_ASSIGN_OR_RETURN(
      privacy::SealedFile sealed,
      privacy::ReadSealedFile(path, privacy::Readers::kOwnerAndGroup, kFileBytesMax));
  std::string_view file = sealed.bytes;
  if (!file.starts_with(kHeader)) return KeyFileError(path, "isn't the pseudonymiser's state");
  file.remove_prefix(kHeader.size());
  SLUICE_ASSIGN_OR_RETURN(privacy::AesGcm cipher, privacy::AesGcm::Create(key.Reveal(kAccess)));
  Opened opened{.stamp = sealed.stamp};
  if (file.size() < privacy::kGcmNonceBytes ||
      !cipher
           .Decrypt({reinterpret_cast<const uint8_t*>(file.data()), privacy::kGcmNonceBytes},
                    kHeader, file.substr(privacy::kGcmNonceBytes), opened.plain)
           .ok() ||
      !state.ParseFromString(opened.plain)) {
    return KeyFileError(path,
                        "was changed by somebody else, is damaged, or is another keyring's: put "
                        "the right one back, or move it away, which forgets requests, grants and "
                        "locks");
  }
  return opened;
}

absl::Status Unusable(const absl::Status& why) {
  Log(telemetry::Severity::kError, "state_failed", {{"status", telemetry::SafeText(why)}});
  return absl::UnavailableError(
      "what the replicas know together can't be read or written: nothing that depends on it is "
      "done until it can");
}

}  // namespace

absl::Status CheckRequestsFit(const v1::AuthorityState& state) {
  if (state.ByteSizeLong() <= kStateBytesMax - kLocksBytesMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "there are too many requests for re-identification: wait until some have expired");
}

Authority::Authority(std::string path, base::SecretBytes key, const base::Clock& clock,
                     base::RandomSource& random, ClockReset clock_reset)
    : path_(std::move(path)),
      key_(std::move(key)),
      clock_(clock),
      random_(random),
      clock_reset_(std::move(clock_reset)),
      anchor_unix_ms_(clock.UnixMillis()),
      anchor_(clock.Now()) {}

absl::StatusOr<std::unique_ptr<Authority>> Authority::Open(std::string path,
                                                           const privacy::Keyring& keyring,
                                                           const base::Clock& clock,
                                                           base::RandomSource& random,
                                                           ClockReset clock_reset) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.StateKey());
  auto authority = std::unique_ptr<Authority>(
      new Authority(std::move(path), std::move(key), clock, random, std::move(clock_reset)));
  SLUICE_ASSIGN_OR_RETURN(auto lock, privacy::KeyFileLock::Take(authority->path_));
  if (Exists(authority->path_)) {
    SLUICE_RETURN_IF_ERROR(authority->ReadFile().status());
    return authority;
  }
  SLUICE_RETURN_IF_ERROR(authority->Write(v1::AuthorityState()));
  authority->made_ = true;
  return authority;
}

absl::Status Authority::Check(const std::string& path, const privacy::Keyring& keyring) {
  if (!Exists(path)) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.StateKey());
  v1::AuthorityState state;
  return OpenState(path, key, state).status();
}

int64_t Authority::Clock() const {
  const int64_t wall = clock_.UnixMillis();
  const auto steady = clock_.Now();
  base::MutexLock lock(mutex_);
  const int64_t expected =
      anchor_unix_ms_ +
      std::chrono::duration_cast<std::chrono::milliseconds>(steady - anchor_).count();
  // A small step back is waited out.
  if (wall < expected && expected - wall <= kClockStepMs) return expected;
  anchor_unix_ms_ = wall;
  anchor_ = steady;
  return wall;
}

int64_t Authority::NowOf(const v1::AuthorityState& state, int64_t clock_ms) {
  return state.written_unix_ms() - clock_ms <= kClockStepMs
             ? std::max(clock_ms, state.written_unix_ms())
             : clock_ms;
}

int Authority::Settle(v1::AuthorityState& state, int64_t clock_ms) {
  if (state.written_unix_ms() - clock_ms <= kClockStepMs) return 0;
  auto& all = *state.mutable_reidentifications();
  const int before = all.size();
  all.erase(std::remove_if(all.begin(), all.end(), [](const auto& one) { return !one.redeemed(); }),
            all.end());
  const int ended = before - all.size();
  for (auto& one : all) one.set_expires_unix_ms(std::min(one.expires_unix_ms(), clock_ms));
  for (auto& lock : *state.mutable_locks())
    lock.set_since_unix_ms(std::min(lock.since_unix_ms(), clock_ms));
  state.set_written_unix_ms(clock_ms);
  return ended;
}

absl::StatusOr<std::shared_ptr<const Authority::Read>> Authority::ReadFile() const {
  auto stamp = privacy::StampOf(path_);
  if (stamp.ok()) {
    base::MutexLock lock(mutex_);
    if (read_ != nullptr && read_->stamp == *stamp) return read_;
  }
  auto made = std::make_shared<Read>();
  SLUICE_ASSIGN_OR_RETURN(Opened opened, OpenState(path_, key_, made->state));
  made->plain = std::move(opened.plain);
  made->stamp = opened.stamp;
  base::MutexLock lock(mutex_);
  read_ = made;
  return read_;
}

absl::Status Authority::Write(const v1::AuthorityState& state) const {
  std::string plain = state.SerializeAsString();
  if (plain.size() > kStateBytesMax)
    return absl::ResourceExhaustedError("the state is full: unlock callers that are locked");
  uint8_t nonce[privacy::kGcmNonceBytes];
  if (!random_.Fill(nonce)) return absl::InternalError("the system has no randomness");
  SLUICE_ASSIGN_OR_RETURN(privacy::AesGcm cipher, privacy::AesGcm::Create(key_.Reveal(kAccess)));
  std::string file(kHeader);
  file.append(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  SLUICE_RETURN_IF_ERROR(cipher.Encrypt(nonce, kHeader, plain, file));
  return privacy::WriteKeyFile(path_, file, privacy::Overwrite::kReplace);
}

absl::Status Authority::See(Look look) const {
  auto read = ReadFile();
  if (!read.ok()) return Unusable(read.status());
  const int64_t clock = Clock();
  if ((*read)->state.written_unix_ms() - clock <= kClockStepMs)
    return look((*read)->state, NowOf((*read)->state, clock));
  // As the next change will leave it.
  v1::AuthorityState settled = (*read)->state;
  Settle(settled, clock);
  return look(settled, clock);
}

absl::Status Authority::With(Work work) {
  {
    base::MutexLock turn(turn_mutex_);
    if (!turn.WaitFor(turn_changed_, std::chrono::milliseconds(kWaitMs),
                      [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !changing_; })) {
      return Unusable(absl::UnavailableError(
          base::StrCat(path_, ": others of this process have waited for it for ", kWaitMs, " ms")));
    }
    changing_ = true;
  }
  absl::Cleanup next = [this] {
    {
      base::MutexLock turn(turn_mutex_);
      changing_ = false;
    }
    turn_changed_.notify_one();
  };
  auto lock = privacy::KeyFileLock::Take(path_, kWaitMs);
  if (!lock.ok()) return Unusable(lock.status());
  auto read = ReadFile();
  if (!read.ok()) return Unusable(read.status());
  v1::AuthorityState state = (*read)->state;
  const int64_t clock = Clock();
  const int64_t behind = state.written_unix_ms() - clock;
  if (behind > kClockStepMs) {
    const int ended = Settle(state, clock);
    if (clock_reset_) SLUICE_RETURN_IF_ERROR(clock_reset_(behind, ended));
  }
  const int64_t now = NowOf(state, clock);
  const v1::AuthorityState settled = behind > kClockStepMs ? state : v1::AuthorityState();
  absl::Status worked = work(state, now);
  if (!worked.ok()) {
    // Time was put right all the same, and that was recorded.
    if (behind > kClockStepMs) SLUICE_RETURN_IF_ERROR(Write(settled));
    return worked;
  }
  if (state.SerializeAsString() == (*read)->plain) return absl::OkStatus();
  state.set_written_unix_ms(now);
  absl::Status written = Write(state);
  if (written.ok() || absl::IsResourceExhausted(written)) return written;
  return Unusable(written);
}

}  // namespace sluice::pseudonymiser
