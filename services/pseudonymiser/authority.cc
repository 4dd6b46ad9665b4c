#include "services/pseudonymiser/authority.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

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

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::StatusOr<v1::AuthorityState> Read(const std::string& path, const base::SecretBytes& key) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes bytes,
                          privacy::ReadKeyFile(path, privacy::Readers::kOwnerAndGroup));
  std::string_view file = bytes.RevealText(kAccess);
  if (!file.starts_with(kHeader)) return KeyFileError(path, "isn't the pseudonymiser's state");
  file.remove_prefix(kHeader.size());
  SLUICE_ASSIGN_OR_RETURN(privacy::AesGcm cipher, privacy::AesGcm::Create(key.Reveal(kAccess)));
  std::string plain;
  v1::AuthorityState state;
  if (file.size() < privacy::kGcmNonceBytes ||
      !cipher
           .Decrypt({reinterpret_cast<const uint8_t*>(file.data()), privacy::kGcmNonceBytes},
                    kHeader, file.substr(privacy::kGcmNonceBytes), plain)
           .ok() ||
      !state.ParseFromString(plain)) {
    return KeyFileError(path,
                        "was changed by somebody else, is damaged, or is another keyring's: put "
                        "the right one back, or move it away, which forgets requests, grants and "
                        "locks");
  }
  return state;
}

}  // namespace

Authority::Authority(std::string path, base::SecretBytes key, const base::Clock& clock,
                     base::RandomSource& random)
    : path_(std::move(path)),
      key_(std::move(key)),
      clock_(clock),
      random_(random),
      begun_unix_ms_(clock.UnixMillis()),
      begun_(clock.Now()) {}

absl::StatusOr<std::unique_ptr<Authority>> Authority::Open(std::string path,
                                                           const privacy::Keyring& keyring,
                                                           const base::Clock& clock,
                                                           base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.StateKey());
  auto authority =
      std::unique_ptr<Authority>(new Authority(std::move(path), std::move(key), clock, random));
  SLUICE_ASSIGN_OR_RETURN(auto lock, privacy::KeyFileLock::Take(authority->path_));
  if (Exists(authority->path_)) {
    SLUICE_RETURN_IF_ERROR(Read(authority->path_, authority->key_).status());
    return authority;
  }
  SLUICE_RETURN_IF_ERROR(authority->Write(v1::AuthorityState()));
  authority->made_ = true;
  return authority;
}

absl::Status Authority::Check(const std::string& path, const privacy::Keyring& keyring) {
  if (!Exists(path)) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.StateKey());
  return Read(path, key).status();
}

int64_t Authority::Now(const v1::AuthorityState& state) const {
  const auto lived =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now() - begun_).count();
  return std::max({clock_.UnixMillis(), begun_unix_ms_ + lived, state.written_unix_ms()});
}

absl::Status Authority::Write(const v1::AuthorityState& state) const {
  uint8_t nonce[privacy::kGcmNonceBytes];
  if (!random_.Fill(nonce)) return absl::InternalError("the system has no randomness");
  SLUICE_ASSIGN_OR_RETURN(privacy::AesGcm cipher, privacy::AesGcm::Create(key_.Reveal(kAccess)));
  std::string file(kHeader);
  file.append(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  SLUICE_RETURN_IF_ERROR(cipher.Encrypt(nonce, kHeader, state.SerializeAsString(), file));
  return privacy::WriteKeyFile(path_, file, privacy::Overwrite::kReplace);
}

absl::Status Authority::With(Work work) {
  auto unusable = [](const absl::Status& why) {
    Log(telemetry::Severity::kError, "state_failed", {{"status", telemetry::SafeText(why)}});
    return absl::UnavailableError(
        "what the replicas know together can't be read or written: nothing that depends on it is "
        "done until it can");
  };
  base::MutexLock mutex(mutex_);
  auto lock = privacy::KeyFileLock::Take(path_);
  if (!lock.ok()) return unusable(lock.status());
  auto state = Read(path_, key_);
  if (!state.ok()) return unusable(state.status());
  const std::string before = state->SerializeAsString();
  const int64_t now = Now(*state);
  SLUICE_RETURN_IF_ERROR(work(*state, now));
  if (state->SerializeAsString() == before) return absl::OkStatus();
  state->set_written_unix_ms(now);
  absl::Status written = Write(*state);
  return written.ok() ? written : unusable(written);
}

}  // namespace sluice::pseudonymiser
