#include "common/privacy/keyring.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/aes_gcm.h"
#include "common/privacy/aes_siv.h"
#include "common/privacy/epoch_record.h"
#include "common/privacy/key_file.h"
#include "common/privacy/pseudonym.h"
#include "sluice/privacy/v1/keyring.pb.h"

namespace sluice::privacy {
namespace {

constexpr std::string_view kHeader1 = "SLUICE-KEYRING 1\n";
constexpr std::string_view kHeader2 = "SLUICE-KEYRING 2\n";
constexpr std::string_view kHeader3 = "SLUICE-KEYRING 3\n";
constexpr std::string_view kHeader4 = "SLUICE-KEYRING 4\n";
static_assert(kHeader2.size() == kHeader4.size() && kHeader3.size() == kHeader4.size());
constexpr size_t kIdentityBytes = 8;
// How many numbers are left out, where nobody knows which were used.
constexpr uint32_t kSkippedMin = 1'000, kSkippedMax = 1'000'000;
constexpr size_t kSecretBytes = 32;
constexpr size_t kWrappedBytesMax = 16 * 1024;
constexpr base::SecretAccess kAccess{};

absl::Status Destroyed(std::string_view domain, uint32_t epoch) {
  return absl::FailedPreconditionError(
      base::StrCat("epoch ", epoch, " of domain '", domain, "' is destroyed"));
}

// Its secrets are wiped when it goes.
class Content {
 public:
  ~Content() {
    Wipe(*message_.mutable_root_secret());
    for (v1::KeyringDomain& domain : *message_.mutable_domains()) {
      for (v1::KeyringEpoch& epoch : *domain.mutable_epoch()) Wipe(*epoch.mutable_secret());
    }
  }
  v1::KeyringContent* operator->() { return &message_; }

 private:
  static void Wipe(std::string& text) { OPENSSL_cleanse(text.data(), text.size()); }
  v1::KeyringContent message_;
};

absl::StatusOr<base::SecretBytes> RandomSecret(base::RandomSource& random) {
  base::SecretBytes secret(kSecretBytes);
  if (!random.Fill(secret.RevealMutable(kAccess)))
    return absl::InternalError("the system has no randomness");
  return secret;
}

void SetBytes(std::string& out, const base::SecretBytes& secret) {
  out.assign(secret.RevealText(kAccess));
}

absl::Status NotOpened(const std::string& path, const KeyEncryption& key) {
  return KeyFileError(path,
                      base::StrCat("can't be opened with ", key.name(),
                                   ": it is another keyring's key, or the keyring is damaged"));
}

absl::Status CutShort(const std::string& path) {
  return KeyFileError(path, "is cut short; restore it from its backup");
}

// The content of a file of any version, still serialised.
absl::StatusOr<base::SecretBytes> Open(const std::string& path, std::string_view file,
                                       KeyEncryption& key) {
  if (file.starts_with(kHeader1)) {
    auto content = key.Unwrap(kHeader1, file.substr(kHeader1.size()));
    if (!content.ok()) return NotOpened(path, key);
    return content;
  }
  if (!file.starts_with(kHeader2) && !file.starts_with(kHeader3) && !file.starts_with(kHeader4)) {
    return KeyFileError(path, file.starts_with("SLUICE-KEYRING ")
                                  ? "is of a version that this program doesn't know"
                                  : "isn't a keyring");
  }
  std::string_view header = file.substr(0, kHeader4.size());
  size_t at = header.size();
  if (file.size() < at + 2) return CutShort(path);
  size_t wrapped_bytes =
      static_cast<size_t>(static_cast<uint8_t>(file[at])) << 8 | static_cast<uint8_t>(file[at + 1]);
  size_t body = at + 2 + wrapped_bytes;
  if (file.size() < body + kGcmNonceBytes + kGcmTagBytes) return CutShort(path);
  auto data_key = key.Unwrap(header, file.substr(at + 2, wrapped_bytes));
  if (!data_key.ok()) return NotOpened(path, key);
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, AesGcm::Create(data_key->Reveal(kAccess)));
  std::string plain;
  absl::Cleanup wipe = [&] { OPENSSL_cleanse(plain.data(), plain.size()); };
  absl::Status opened =
      cipher.Decrypt({reinterpret_cast<const uint8_t*>(file.data()) + body, kGcmNonceBytes},
                     file.substr(0, body), file.substr(body + kGcmNonceBytes), plain);
  if (!opened.ok()) return NotOpened(path, key);
  return base::SecretBytes(plain);
}

std::string Hex(const base::SecretBytes& bytes) {
  std::string_view text = bytes.RevealText(kAccess);
  return absl::BytesToHexString({text.data(), text.size()});
}

// It goes into logs, metrics and audit logs.
absl::Status CheckNewName(std::string_view name) {
  if (name.size() <= Keyring::kDomainNameBytesMax &&
      std::none_of(name.begin(), name.end(),
                   [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return absl::OkStatus();
  return absl::InvalidArgumentError(base::StrCat("a domain's name is one line of at most ",
                                                 Keyring::kDomainNameBytesMax, " bytes"));
}

// Each part with its length before it, so that no two contexts are alike.
std::string Context(std::string_view purpose, std::string_view kind, std::string_view domain,
                    uint32_t epoch) {
  std::string info = "sluice/1";
  std::string number = std::to_string(epoch);
  for (std::string_view part : {purpose, kind, domain, std::string_view(number)}) {
    base::StrAppend(info, '|', part.size(), ':', part);
  }
  return info;
}

}  // namespace

absl::StatusOr<base::SecretBytes> Hkdf(std::span<const uint8_t> secret, std::string_view info,
                                       size_t bytes) {
  std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr),
                                                        EVP_KDF_free);
  std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(EVP_KDF_CTX_new(kdf.get()),
                                                                    EVP_KDF_CTX_free);
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<uint8_t*>(secret.data()),
                                        secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(info.data()),
                                        info.size()),
      OSSL_PARAM_construct_end()};
  base::SecretBytes out(bytes);
  std::span<uint8_t> at = out.RevealMutable(kAccess);
  if (context == nullptr || EVP_KDF_derive(context.get(), at.data(), at.size(), parameters) != 1) {
    return absl::InternalError("OpenSSL: HKDF failed");
  }
  return out;
}

const KeyringEpoch* KeyringDomain::Find(uint32_t epoch) const {
  for (const KeyringEpoch& at : epochs) {
    if (at.number == epoch) return &at;
  }
  return nullptr;
}

absl::Status Keyring::Check() const {
  std::set<std::string_view> names, labels;
  for (const KeyringDomain& domain : domains_) {
    auto wrong = [&](std::string_view what) {
      return absl::InvalidArgumentError(base::StrCat("domain '", domain.name, "': ", what));
    };
    if (domain.name.empty() || domain.name.find('@') != std::string::npos ||
        !names.insert(domain.name).second) {
      return wrong("the name is empty, has an @, or is doubled");
    }
    if (!IsDomainLabel(domain.label) || !labels.insert(domain.label).second) {
      return wrong("its label isn't 1 to 8 letters a-z, or is another's too");
    }
    if (domain.epochs.empty() || domain.epochs.front().number < 1)
      return wrong("has no epoch from 1 on");
    for (size_t i = 1; i < domain.epochs.size(); ++i) {
      if (domain.epochs[i].number <= domain.epochs[i - 1].number)
        return wrong("its epochs don't ascend");
    }
    if (domain.epochs.back().state != EpochState::kActive)
      return wrong("its newest epoch isn't active");
  }
  return absl::OkStatus();
}

absl::StatusOr<Keyring> Keyring::Create(std::vector<KeyringDomain> domains,
                                        base::RandomSource& random, int64_t now_unix_ms,
                                        size_t check_bytes) {
  Keyring keyring;
  SLUICE_ASSIGN_OR_RETURN(keyring.root_, RandomSecret(random));
  keyring.domains_ = std::move(domains);
  keyring.check_bytes_ = check_bytes;
  SLUICE_RETURN_IF_ERROR(keyring.Check());
  for (KeyringDomain& domain : keyring.domains_) {
    SLUICE_RETURN_IF_ERROR(CheckNewName(domain.name));
    for (KeyringEpoch& epoch : domain.epochs) {
      epoch.begun_unix_ms = now_unix_ms;
      SLUICE_ASSIGN_OR_RETURN(base::SecretBytes secret,
                              keyring.MakeSecret(domain.name, epoch, random));
      keyring.secrets_.insert_or_assign(std::pair(domain.name, epoch.number), std::move(secret));
    }
  }
  return keyring;
}

absl::StatusOr<Keyring> Keyring::Load(const std::string& path, const std::string& key_path) {
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(FileKeyEncryption key, FileKeyEncryption::Load(key_path, random));
  return Load(path, key);
}

absl::StatusOr<Keyring> Keyring::Load(const std::string& path, KeyEncryption& key) {
  SLUICE_ASSIGN_OR_RETURN(SealedFile file,
                          ReadSealedFile(path, Readers::kAnyone, kKeyringBytesMax));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes plain, Open(path, file.bytes, key));
  Content content;
  if (!content->ParseFromArray(plain.Reveal(kAccess).data(), static_cast<int>(plain.size())) ||
      content->root_secret().size() != kSecretBytes) {
    return KeyFileError(path, "holds no root secret");
  }
  Keyring keyring;
  keyring.root_ = base::SecretBytes(content->root_secret());
  keyring.generation_ = content->generation();
  keyring.check_bytes_ = content->check_bytes();
  keyring.record_id_ = content->record_id();
  if (keyring.check_bytes_ != 0 && keyring.check_bytes_ != kCheckBytes)
    return KeyFileError(path, "makes pseudonyms that this program doesn't know");
  for (const v1::KeyringDomain& domain : content->domains()) {
    KeyringDomain& to = keyring.domains_.emplace_back();
    to = {domain.name(), domain.label(), {}, domain.next_epoch_min()};
    for (uint32_t epoch : domain.epochs()) to.epochs.push_back({epoch});
    for (const v1::KeyringEpoch& epoch : domain.epoch()) {
      if (!v1::KeyringEpoch::State_IsValid(epoch.state()) ||
          (!epoch.secret().empty() && epoch.secret().size() != kSecretBytes)) {
        return KeyFileError(path, "holds an epoch that this program doesn't understand");
      }
      if (!epoch.check().empty() && epoch.check().size() != kIdentityBytes)
        return KeyFileError(path, "holds an epoch whose check this program doesn't understand");
      to.epochs.push_back({epoch.number(), static_cast<EpochState>(epoch.state()),
                           epoch.begun_unix_ms(), absl::BytesToHexString(epoch.check())});
      if (!epoch.secret().empty()) {
        keyring.secrets_.emplace(std::pair(to.name, epoch.number()),
                                 base::SecretBytes(epoch.secret()));
      }
    }
  }
  absl::Status checked = keyring.Check();
  if (!checked.ok()) return KeyFileError(path, base::View(checked.message()));
  for (KeyringDomain& domain : keyring.domains_) {
    for (KeyringEpoch& epoch : domain.epochs) {
      if (epoch.state == EpochState::kDestroyed) continue;
      auto secret = keyring.secrets_.find({domain.name, epoch.number});
      SLUICE_ASSIGN_OR_RETURN(
          std::string check,
          keyring.CheckOf(domain.name, epoch.number,
                          secret == keyring.secrets_.end() ? nullptr : &secret->second));
      if (!epoch.check.empty() && epoch.check != check) {
        return KeyFileError(path, base::StrCat("epoch ", epoch.number, " of domain '", domain.name,
                                               "' isn't what its check says"));
      }
      epoch.check = std::move(check);
    }
  }
  // Numbers that were about to be used when a writer was killed. A record that isn't this keyring's
  // is for whoever uses it to refuse.
  auto record = EpochRecord::Load(EpochRecord::PathOf(path), keyring);
  for (const KeyringDomain& domain : keyring.domains_)
    if (record.ok()) keyring.recorded_[domain.name] = record->Newest(domain.label);
  return keyring;
}

absl::StatusOr<std::string> Keyring::Seal(KeyEncryption& key, base::RandomSource& random,
                                          uint64_t generation) const {
  Content content;
  SetBytes(*content->mutable_root_secret(), root_);
  content->set_generation(generation);
  content->set_check_bytes(static_cast<uint32_t>(check_bytes_));
  content->set_record_id(record_id_);
  for (const KeyringDomain& domain : domains_) {
    v1::KeyringDomain& out = *content->add_domains();
    out.set_name(domain.name);
    out.set_label(domain.label);
    out.set_next_epoch_min(domain.next_epoch_min);
    for (const KeyringEpoch& epoch : domain.epochs) {
      v1::KeyringEpoch& to = *out.add_epoch();
      to.set_number(epoch.number);
      to.set_state(static_cast<v1::KeyringEpoch::State>(epoch.state));
      to.set_begun_unix_ms(epoch.begun_unix_ms);
      to.set_check(base::BytesOfHex(epoch.check));
      auto secret = secrets_.find({domain.name, epoch.number});
      if (secret != secrets_.end()) SetBytes(*to.mutable_secret(), secret->second);
    }
  }
  base::SecretBytes plain(content->ByteSizeLong());
  if (!content->SerializeToArray(plain.RevealMutable(kAccess).data(),
                                 static_cast<int>(plain.size()))) {
    return absl::InternalError("the keyring can't be serialised");
  }
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes data_key, RandomSecret(random));
  SLUICE_ASSIGN_OR_RETURN(std::string wrapped, key.Wrap(kHeader4, data_key));
  if (wrapped.size() > kWrappedBytesMax)
    return absl::InternalError(base::StrCat(key.name(), ": its wrapped key is too long"));
  std::string file(kHeader4);
  base::StrAppend(file, static_cast<char>(wrapped.size() >> 8), static_cast<char>(wrapped.size()),
                  wrapped);
  std::string aad = file;
  uint8_t nonce[kGcmNonceBytes];
  if (!random.Fill(nonce)) return absl::InternalError("the system has no randomness");
  file.append(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, AesGcm::Create(data_key.Reveal(kAccess)));
  SLUICE_RETURN_IF_ERROR(cipher.Encrypt(nonce, aad, plain.RevealText(kAccess), file));
  if (file.size() > kKeyringBytesMax) {
    return absl::ResourceExhaustedError(base::StrCat(
        "the keyring would be larger than ", kKeyringBytesMax,
        " bytes, and couldn't be read again: it has too many domains and epochs; nothing was "
        "changed"));
  }
  return file;
}

absl::Status Keyring::Save(const std::string& path, const std::string& key_path,
                           base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(FileKeyEncryption key, FileKeyEncryption::Load(key_path, random));
  return Save(path, key, random);
}

absl::Status Keyring::Save(const std::string& path, KeyEncryption& key,
                           base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(KeyFileLock lock, KeyFileLock::Take(path));
  if (access(path.c_str(), F_OK) == 0) {
    SLUICE_ASSIGN_OR_RETURN(Keyring old, Load(path, key));
    if (!SameRoot(old)) return KeyFileError(path, "holds other keys; nothing was overwritten");
    if (old.generation_ != generation_) {
      return absl::AbortedError(
          base::StrCat(path, ": was changed in the meantime; nothing was overwritten: try again"));
    }
  }
  // First what is known of the epochs, then the epochs: a number whose keyring was lost in between
  // isn't used again.
  const std::string record_path = EpochRecord::PathOf(path);
  SLUICE_ASSIGN_OR_RETURN(EpochRecord record, EpochRecord::LoadOrNew(record_path, *this));
  SLUICE_RETURN_IF_ERROR(record.Check(*this));
  SLUICE_RETURN_IF_ERROR(record.Identify(random));
  record_id_ = record.id();
  SLUICE_ASSIGN_OR_RETURN(std::string file, Seal(key, random, generation_ + 1));
  record.LearnPending(*this);
  SLUICE_RETURN_IF_ERROR(record.Save(record_path, *this));
  SLUICE_RETURN_IF_ERROR(WriteKeyFile(path, file, Overwrite::kReplace));
  ++generation_;
  record.Learn(*this);
  return record.Save(record_path, *this);
}

absl::Status Keyring::SaveCopy(const std::string& path, KeyEncryption& key,
                               base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(std::string file, Seal(key, random, generation_));
  return WriteKeyFile(path, file, Overwrite::kNever);
}

const KeyringDomain* Keyring::Find(std::string_view name) const {
  for (const KeyringDomain& domain : domains_) {
    if (domain.name == name) return &domain;
  }
  return nullptr;
}

const KeyringDomain* Keyring::FindByLabel(std::string_view label) const {
  for (const KeyringDomain& domain : domains_) {
    if (domain.label == label) return &domain;
  }
  return nullptr;
}

absl::StatusOr<base::SecretBytes> Keyring::MakeSecret(std::string_view domain, KeyringEpoch& epoch,
                                                      base::RandomSource& random) const {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes secret, RandomSecret(random));
  SLUICE_ASSIGN_OR_RETURN(epoch.check, CheckOf(domain, epoch.number, &secret));
  return secret;
}

absl::Status Keyring::AddDomain(const std::string& name, std::string label,
                                base::RandomSource& random, int64_t now_unix_ms) {
  SLUICE_RETURN_IF_ERROR(CheckNewName(name));
  if (Find(name) != nullptr || FindByLabel(label) != nullptr) {
    return absl::AlreadyExistsError(
        base::StrCat("the keyring has a domain '", name, "', or one with the label given"));
  }
  KeyringEpoch first{1, EpochState::kActive, now_unix_ms};
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes secret, MakeSecret(name, first, random));
  domains_.push_back({name, std::move(label), {std::move(first)}});
  absl::Status added = Check();
  if (added.ok()) {
    secrets_.insert_or_assign(std::pair(name, 1u), std::move(secret));
  } else {
    domains_.pop_back();
  }
  return added;
}

absl::StatusOr<KeyringDomain*> Keyring::Mutable(std::string_view name) {
  for (KeyringDomain& domain : domains_) {
    if (domain.name == name) return &domain;
  }
  return absl::NotFoundError(base::StrCat("the keyring has no domain '", name, "'"));
}

absl::StatusOr<uint32_t> Keyring::Rotate(std::string_view name, base::RandomSource& random,
                                         int64_t now_unix_ms) {
  SLUICE_ASSIGN_OR_RETURN(KeyringDomain * domain, Mutable(name));
  auto recorded = recorded_.find(domain->name);
  const uint64_t number = std::max<uint64_t>(
      uint64_t{std::max(domain->newest(), recorded == recorded_.end() ? 0 : recorded->second)} + 1,
      domain->next_epoch_min);
  if (number > std::numeric_limits<uint32_t>::max())
    return absl::ResourceExhaustedError("the domain's numbers of epochs are used up");
  KeyringEpoch epoch{static_cast<uint32_t>(number), EpochState::kActive, now_unix_ms};
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes secret, MakeSecret(domain->name, epoch, random));
  secrets_.insert_or_assign(std::pair(domain->name, epoch.number), std::move(secret));
  domain->epochs.push_back(std::move(epoch));
  return domain->newest();
}

absl::Status Keyring::Restored(const EpochRecord* record, base::RandomSource& random) {
  const bool all_known = KnownTo(record);
  for (KeyringDomain& domain : domains_) {
    const uint32_t known = record == nullptr ? 0 : record->Newest(domain.label);
    uint64_t next =
        std::max<uint64_t>(uint64_t{std::max(domain.newest(), known)} + 1, domain.next_epoch_min);
    if (!all_known) {
      uint32_t number = 0;
      if (!random.Fill({reinterpret_cast<uint8_t*>(&number), sizeof(number)}))
        return absl::InternalError("the system has no randomness");
      next += kSkippedMin + number % (kSkippedMax - kSkippedMin);
    }
    if (next > std::numeric_limits<uint32_t>::max())
      return absl::ResourceExhaustedError("a domain's numbers of epochs are used up");
    domain.next_epoch_min = static_cast<uint32_t>(next);
  }
  return absl::OkStatus();
}

bool Keyring::KnownTo(const EpochRecord* record) const {
  return record != nullptr && !record_id_.empty() && record->id() == record_id_;
}

absl::StatusOr<std::string> Keyring::Fingerprint() const {
  SLUICE_ASSIGN_OR_RETURN(
      base::SecretBytes bytes,
      Hkdf(root_.Reveal(kAccess), Context("fingerprint", "", "", 0), kIdentityBytes));
  return Hex(bytes);
}

absl::StatusOr<std::string> Keyring::CheckOf(std::string_view domain, uint32_t epoch,
                                             const base::SecretBytes* secret) const {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes bytes,
                          Derive(Context("check", "", domain, epoch), secret, kIdentityBytes));
  return Hex(bytes);
}

absl::StatusOr<KeyringEpoch*> Keyring::MutableOld(std::string_view name, uint32_t epoch) {
  SLUICE_ASSIGN_OR_RETURN(KeyringDomain * domain, Mutable(name));
  for (KeyringEpoch& at : domain->epochs) {
    if (at.number != epoch) continue;
    if (epoch == domain->newest()) {
      return absl::FailedPreconditionError(base::StrCat(
          "epoch ", epoch, " of domain '", name, "' is its newest: rotate the domain first"));
    }
    return &at;
  }
  return absl::NotFoundError(base::StrCat("domain '", name, "' has no epoch ", epoch));
}

absl::Status Keyring::Retire(std::string_view name, uint32_t epoch) {
  SLUICE_ASSIGN_OR_RETURN(KeyringEpoch * old, MutableOld(name, epoch));
  if (old->state == EpochState::kDestroyed) return Destroyed(name, epoch);
  old->state = EpochState::kRetired;
  return absl::OkStatus();
}

absl::Status Keyring::Destroy(std::string_view name, uint32_t epoch) {
  SLUICE_ASSIGN_OR_RETURN(KeyringEpoch * old, MutableOld(name, epoch));
  if (old->state == EpochState::kDestroyed) return Destroyed(name, epoch);
  if (old->state == EpochState::kActive) {
    return absl::FailedPreconditionError(base::StrCat(
        "epoch ", epoch, " of domain '", name, "' is in use: convert what it made, and retire it"));
  }
  if (secrets_.erase({std::string(name), epoch}) == 0) {
    return absl::FailedPreconditionError(base::StrCat(
        "epoch ", epoch, " of domain '", name,
        "' comes from a keyring of version 1 and has no secret of its own: its keys follow from "
        "the root secret, and can't be destroyed without it"));
  }
  old->state = EpochState::kDestroyed;
  return absl::OkStatus();
}

absl::StatusOr<base::SecretBytes> Keyring::KindKey(contract::v1::IdentifierKind kind) const {
  return Hkdf(root_.Reveal(kAccess),
              Context("kind", contract::v1::IdentifierKind_Name(kind), "", 0), 32);
}

absl::StatusOr<base::SecretBytes> Keyring::ScopedKindKey(contract::v1::IdentifierKind kind) const {
  return Hkdf(root_.Reveal(kAccess),
              Context("scoped", contract::v1::IdentifierKind_Name(kind), "", 0), 32);
}

absl::StatusOr<base::SecretBytes> Keyring::RecordKey() const {
  return Hkdf(root_.Reveal(kAccess), Context("record", "", "", 0), kSecretBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::StateKey() const {
  return Hkdf(root_.Reveal(kAccess), Context("state", "", "", 0), kAesKeyBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::DomainKey(std::string_view domain,
                                                     uint32_t epoch) const {
  return EpochKey("domain", domain, epoch, kAesKeyBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::EncryptionKey(std::string_view domain,
                                                         uint32_t epoch) const {
  return EpochKey("encrypt", domain, epoch, kSivKeyBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::FormatKey(std::string_view domain,
                                                     uint32_t epoch) const {
  return EpochKey("format", domain, epoch, kAesKeyBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::EpochKey(std::string_view purpose,
                                                    std::string_view domain, uint32_t epoch,
                                                    size_t bytes) const {
  const KeyringDomain* found = Find(domain);
  const KeyringEpoch* at = found == nullptr ? nullptr : found->Find(epoch);
  if (at == nullptr)
    return absl::NotFoundError(base::StrCat("domain '", domain, "' has no epoch ", epoch));
  if (at->state == EpochState::kDestroyed) return Destroyed(domain, epoch);
  auto secret = secrets_.find({std::string(domain), epoch});
  return Derive(Context(purpose, "", domain, epoch),
                secret == secrets_.end() ? nullptr : &secret->second, bytes);
}

absl::StatusOr<base::SecretBytes> Keyring::Derive(std::string_view context,
                                                  const base::SecretBytes* secret,
                                                  size_t bytes) const {
  if (secret == nullptr) return Hkdf(root_.Reveal(kAccess), context, bytes);
  base::SecretBytes both(2 * kSecretBytes);
  std::span<uint8_t> out = both.RevealMutable(kAccess);
  std::ranges::copy(root_.Reveal(kAccess), out.begin());
  std::ranges::copy(secret->Reveal(kAccess), out.begin() + kSecretBytes);
  return Hkdf(both.Reveal(kAccess), context, bytes);
}

}  // namespace sluice::privacy
