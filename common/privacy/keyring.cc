#include "common/privacy/keyring.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/aes_gcm.h"
#include "common/privacy/aes_siv.h"
#include "common/privacy/key_file.h"
#include "common/privacy/pseudonym.h"
#include "sluice/privacy/v1/keyring.pb.h"

namespace sluice::privacy {
namespace {

constexpr std::string_view kHeader1 = "SLUICE-KEYRING 1\n";
constexpr std::string_view kHeader2 = "SLUICE-KEYRING 2\n";
constexpr std::string_view kHeader3 = "SLUICE-KEYRING 3\n";
static_assert(kHeader2.size() == kHeader3.size());
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
  if (!file.starts_with(kHeader2) && !file.starts_with(kHeader3)) {
    return KeyFileError(path, file.starts_with("SLUICE-KEYRING ")
                                  ? "is of a version that this program doesn't know"
                                  : "isn't a keyring");
  }
  std::string_view header = file.substr(0, kHeader3.size());
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
      return wrong(base::StrCat("its label '", domain.label,
                                "' isn't 1 to 8 letters a-z, or is another's too"));
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
                                        base::RandomSource& random, int64_t now_unix_ms) {
  Keyring keyring;
  SLUICE_ASSIGN_OR_RETURN(keyring.root_, RandomSecret(random));
  keyring.domains_ = std::move(domains);
  SLUICE_RETURN_IF_ERROR(keyring.Check());
  for (KeyringDomain& domain : keyring.domains_) {
    for (KeyringEpoch& epoch : domain.epochs) {
      epoch.begun_unix_ms = now_unix_ms;
      SLUICE_RETURN_IF_ERROR(keyring.AddSecret(domain.name, epoch.number, random));
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
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes file, ReadKeyFile(path, Readers::kAnyone));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes plain, Open(path, file.RevealText(kAccess), key));
  Content content;
  if (!content->ParseFromArray(plain.Reveal(kAccess).data(), static_cast<int>(plain.size())) ||
      content->root_secret().size() != kSecretBytes) {
    return KeyFileError(path, "holds no root secret");
  }
  Keyring keyring;
  keyring.root_ = base::SecretBytes(content->root_secret());
  keyring.generation_ = content->generation();
  for (const v1::KeyringDomain& domain : content->domains()) {
    KeyringDomain& to = keyring.domains_.emplace_back();
    to = {domain.name(), domain.label(), {}};
    for (uint32_t epoch : domain.epochs()) to.epochs.push_back({epoch});
    for (const v1::KeyringEpoch& epoch : domain.epoch()) {
      if (!v1::KeyringEpoch::State_IsValid(epoch.state()) ||
          (!epoch.secret().empty() && epoch.secret().size() != kSecretBytes)) {
        return KeyFileError(path, "holds an epoch that this program doesn't understand");
      }
      to.epochs.push_back(
          {epoch.number(), static_cast<EpochState>(epoch.state()), epoch.begun_unix_ms()});
      if (!epoch.secret().empty()) {
        keyring.secrets_.emplace(std::pair(to.name, epoch.number()),
                                 base::SecretBytes(epoch.secret()));
      }
    }
  }
  absl::Status checked = keyring.Check();
  if (!checked.ok()) return KeyFileError(path, base::View(checked.message()));
  return keyring;
}

absl::StatusOr<std::string> Keyring::Seal(KeyEncryption& key, base::RandomSource& random,
                                          uint64_t generation) const {
  Content content;
  SetBytes(*content->mutable_root_secret(), root_);
  content->set_generation(generation);
  for (const KeyringDomain& domain : domains_) {
    v1::KeyringDomain& out = *content->add_domains();
    out.set_name(domain.name);
    out.set_label(domain.label);
    for (const KeyringEpoch& epoch : domain.epochs) {
      v1::KeyringEpoch& to = *out.add_epoch();
      to.set_number(epoch.number);
      to.set_state(static_cast<v1::KeyringEpoch::State>(epoch.state));
      to.set_begun_unix_ms(epoch.begun_unix_ms);
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
  SLUICE_ASSIGN_OR_RETURN(std::string wrapped, key.Wrap(kHeader3, data_key));
  if (wrapped.size() > kWrappedBytesMax)
    return absl::InternalError(base::StrCat(key.name(), ": its wrapped key is too long"));
  std::string file(kHeader3);
  base::StrAppend(file, static_cast<char>(wrapped.size() >> 8), static_cast<char>(wrapped.size()),
                  wrapped);
  std::string aad = file;
  uint8_t nonce[kGcmNonceBytes];
  if (!random.Fill(nonce)) return absl::InternalError("the system has no randomness");
  file.append(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, AesGcm::Create(data_key.Reveal(kAccess)));
  SLUICE_RETURN_IF_ERROR(cipher.Encrypt(nonce, aad, plain.RevealText(kAccess), file));
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
  SLUICE_ASSIGN_OR_RETURN(std::string file, Seal(key, random, generation_ + 1));
  SLUICE_RETURN_IF_ERROR(WriteKeyFile(path, file, Overwrite::kReplace));
  ++generation_;
  return absl::OkStatus();
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

absl::Status Keyring::AddSecret(const std::string& domain, uint32_t epoch,
                                base::RandomSource& random) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes secret, RandomSecret(random));
  secrets_.insert_or_assign(std::pair(domain, epoch), std::move(secret));
  return absl::OkStatus();
}

absl::Status Keyring::AddDomain(const std::string& name, std::string label,
                                base::RandomSource& random, int64_t now_unix_ms) {
  if (Find(name) != nullptr || FindByLabel(label) != nullptr) {
    return absl::AlreadyExistsError(
        base::StrCat("the keyring has a domain '", name, "', or one with the label '", label, "'"));
  }
  domains_.push_back({name, std::move(label), {{1, EpochState::kActive, now_unix_ms}}});
  absl::Status added = Check();
  if (added.ok()) added = AddSecret(name, 1, random);
  if (!added.ok()) domains_.pop_back();
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
  uint32_t epoch = domain->newest() + 1;
  SLUICE_RETURN_IF_ERROR(AddSecret(domain->name, epoch, random));
  domain->epochs.push_back({epoch, EpochState::kActive, now_unix_ms});
  return epoch;
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
  std::string context = Context(purpose, "", domain, epoch);
  auto secret = secrets_.find({std::string(domain), epoch});
  if (secret == secrets_.end()) return Hkdf(root_.Reveal(kAccess), context, bytes);
  base::SecretBytes both(2 * kSecretBytes);
  std::span<uint8_t> out = both.RevealMutable(kAccess);
  std::ranges::copy(root_.Reveal(kAccess), out.begin());
  std::ranges::copy(secret->second.Reveal(kAccess), out.begin() + kSecretBytes);
  return Hkdf(both.Reveal(kAccess), context, bytes);
}

}  // namespace sluice::privacy
