#include "common/privacy/epoch_record.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <charconv>
#include <optional>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/key_file.h"

namespace sluice::privacy {
namespace {

using base::StrAppend;
using base::StrCat;

constexpr base::SecretAccess kAccess{};
constexpr std::string_view kHeader = "SLUICE-EPOCHS 1\n";
constexpr std::string_view kMac = "mac ";
constexpr std::string_view kPending = "pending";
// As many epochs as a keyring has room for, many times over.
constexpr size_t kBytesMax = 4 * 1024 * 1024;

absl::StatusOr<std::string> MacOf(std::string_view text, const Keyring& keyring) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.RecordKey());
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.Reveal(kAccess).data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size) == nullptr)
    return absl::InternalError("OpenSSL: HMAC-SHA256 failed");
  return absl::BytesToHexString({reinterpret_cast<const char*>(mac), size});
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t space = line.find(' ');
    words.push_back(line.substr(0, space));
    if (space == std::string_view::npos) return words;
    line.remove_prefix(space + 1);
  }
}

std::optional<uint32_t> Number(std::string_view text) {
  uint32_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

absl::StatusOr<EpochRecord> EpochRecord::Load(const std::string& path, const Keyring& keyring) {
  if (!FileExists(path)) return absl::NotFoundError(StrCat(path, ": isn't there"));
  SLUICE_ASSIGN_OR_RETURN(SealedFile file, ReadSealedFile(path, Readers::kAnyone, kBytesMax));
  auto damaged = [&] {
    return KeyFileError(path,
                        "is damaged, or was changed by somebody else: put it back from its backup, "
                        "or move it away, which forgets which epochs there were");
  };
  std::string_view text = file.bytes;
  const size_t at = text.rfind(kMac);
  if (!text.starts_with(kHeader) || at == std::string_view::npos) return damaged();
  EpochRecord record(path);
  std::string fingerprint;
  std::string_view lines = text.substr(kHeader.size(), at - kHeader.size());
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    if (end == std::string_view::npos) return damaged();
    const std::vector<std::string_view> words = Words(lines.substr(0, end));
    lines.remove_prefix(end + 1);
    if (words.size() == 2 && words[0] == "record") {
      record.id_ = words[1];
    } else if (words.size() == 2 && words[0] == "keyring") {
      fingerprint = words[1];
    } else if ((words.size() == 4 || (words.size() == 5 && words[4] == kPending)) &&
               words[0] == "epoch" && Number(words[2])) {
      record.epochs_[{std::string(words[1]), *Number(words[2])}] = {
          words[3] == "-" ? "" : std::string(words[3]), words.size() == 5};
    } else {
      return damaged();
    }
  }
  SLUICE_ASSIGN_OR_RETURN(std::string own, keyring.Fingerprint());
  if (fingerprint != own) {
    return KeyFileError(
        path, StrCat("is of the keyring ", fingerprint, ", and this one is ", own,
                     ": every pseudonym would change. Put the keyring back that was used before; "
                     "if another one is meant, move this file away"));
  }
  SLUICE_ASSIGN_OR_RETURN(std::string mac, MacOf(text.substr(0, at), keyring));
  const std::string expected = StrCat(kMac, mac, "\n");
  if (text.substr(at) != expected) return damaged();
  return record;
}

absl::StatusOr<EpochRecord> EpochRecord::LoadOrNew(const std::string& path,
                                                   const Keyring& keyring) {
  auto loaded = Load(path, keyring);
  if (absl::IsNotFound(loaded.status())) return EpochRecord(path);
  return loaded;
}

absl::Status EpochRecord::Identify(base::RandomSource& random) {
  if (!id_.empty()) return absl::OkStatus();
  uint8_t bytes[8];
  if (!random.Fill(bytes)) return absl::InternalError("the system has no randomness");
  id_ = absl::BytesToHexString({reinterpret_cast<const char*>(bytes), sizeof(bytes)});
  return absl::OkStatus();
}

EpochRecord EpochRecord::Of(const Keyring& keyring, std::string name) {
  EpochRecord record(std::move(name));
  record.Learn(keyring);
  return record;
}

absl::Status EpochRecord::Check(const Keyring& keyring) const {
  for (const auto& [key, epoch] : epochs_) {
    const auto& [label, number] = key;
    const KeyringDomain* domain = keyring.FindByLabel(label);
    const KeyringEpoch* found = domain == nullptr ? nullptr : domain->Find(number);
    if (found != nullptr) {
      if (epoch.check.empty() || found->check.empty() || epoch.check == found->check) continue;
      return KeyFileError(
          path_, StrCat("knows the epoch ", number, " of '", label, "' with the check ",
                        epoch.check, ", and the keyring has another secret under this number (",
                        found->check, "): put the keyring back that was used before"));
    }
    // It was never in a keyring that could be used; or this one was restored, and leaves it out.
    if (epoch.pending || (domain != nullptr && domain->next_epoch_min > number)) continue;
    return KeyFileError(
        path_, StrCat("knows the epoch ", number, " of '", label,
                      "', which the keyring lacks: it is an older copy, and would use the number "
                      "again with another secret. Put the newer one back; if it is lost, make the "
                      "keyring from its backup with `sluicectl keys restore`"));
  }
  return absl::OkStatus();
}

bool EpochRecord::Learn(const Keyring& keyring) {
  const auto before = epochs_;
  LearnPending(keyring);
  for (const KeyringDomain& domain : keyring.domains())
    for (const KeyringEpoch& epoch : domain.epochs)
      epochs_[{domain.label, epoch.number}].pending = false;
  return epochs_ != before;
}

void EpochRecord::LearnPending(const Keyring& keyring) {
  for (const KeyringDomain& domain : keyring.domains()) {
    for (const KeyringEpoch& epoch : domain.epochs) {
      auto [at, added] =
          epochs_.try_emplace({domain.label, epoch.number}, Epoch{epoch.check, true});
      if (at->second.check.empty()) at->second.check = epoch.check;
    }
  }
}

absl::Status EpochRecord::Save(const std::string& path, const Keyring& keyring) const {
  SLUICE_ASSIGN_OR_RETURN(std::string fingerprint, keyring.Fingerprint());
  std::string text(kHeader);
  if (!id_.empty()) StrAppend(text, "record ", id_, "\n");
  StrAppend(text, "keyring ", fingerprint, "\n");
  for (const auto& [key, epoch] : epochs_) {
    StrAppend(text, "epoch ", key.first, " ", key.second, " ",
              epoch.check.empty() ? "-" : epoch.check, epoch.pending ? " pending" : "", "\n");
  }
  SLUICE_ASSIGN_OR_RETURN(std::string mac, MacOf(text, keyring));
  StrAppend(text, kMac, mac, "\n");
  if (text.size() > kBytesMax)
    return absl::ResourceExhaustedError(StrCat(path, ": would be too large; nothing was changed"));
  // It holds no secret, and whoever may read the keyring must be able to read it too.
  return WritePublicFile(path, text, Overwrite::kReplace);
}

uint32_t EpochRecord::Newest(std::string_view label) const {
  uint32_t newest = 0;
  for (const auto& [key, epoch] : epochs_)
    if (key.first == label) newest = key.second;
  return newest;
}

}  // namespace sluice::privacy
