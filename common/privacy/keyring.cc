#include "common/privacy/keyring.h"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/aes_gcm.h"
#include "common/privacy/aes_siv.h"
#include "common/privacy/pseudonym.h"
#include "sluice/privacy/v1/keyring.pb.h"

namespace sluice::privacy {
namespace {

constexpr std::string_view kHeader = "SLUICE-KEYRING 1\n";
constexpr size_t kRootBytes = 32;
constexpr size_t kFileBytesMax = 1024 * 1024;
constexpr base::SecretAccess kAccess{};

absl::Status FileError(const std::string& path, std::string_view what) {
  return absl::FailedPreconditionError(base::StrCat(path, ": ", what));
}

// The file's bytes. `secret`: nobody but its owner may read it.
absl::StatusOr<base::SecretBytes> ReadFile(const std::string& path, bool secret) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileError(path, base::StrCat("can't be opened: ", std::strerror(errno)));
  absl::Cleanup close_file = [file] { close(file); };
  struct stat info;
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) return FileError(path, "isn't a file");
  if (secret && (info.st_mode & (S_IRWXG | S_IRWXO) & ~(S_IRGRP)) != 0) {
    return FileError(path,
                     "others than its owner and group can read it; make it mode 0400 or 0440");
  }
  if (info.st_size > static_cast<off_t>(kFileBytesMax))
    return FileError(path, "is larger than 1 MiB");
  base::SecretBytes bytes(static_cast<size_t>(info.st_size));
  std::span<uint8_t> at = bytes.RevealMutable(kAccess);
  while (!at.empty()) {
    ssize_t got = read(file, at.data(), at.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return FileError(path, "can't be read to its end");
    at = at.subspan(static_cast<size_t>(got));
  }
  return bytes;
}

// Into a file beside it, made durable, then renamed over it.
absl::Status WriteFile(const std::string& path, std::string_view bytes, bool must_be_new) {
  std::string temporary = must_be_new ? path : base::StrCat(path, ".new");
  if (!must_be_new) unlink(temporary.c_str());
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) {
    return FileError(path, errno == EEXIST
                               ? "exists already; nothing was overwritten"
                               : base::StrCat("can't be written: ", std::strerror(errno)));
  }
  bool written = true;
  while (written && !bytes.empty()) {
    ssize_t put = write(file, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    written = put > 0;
    if (written) bytes.remove_prefix(static_cast<size_t>(put));
  }
  written = fsync(file) == 0 && written;
  written = close(file) == 0 && written;
  if (written && !must_be_new) written = rename(temporary.c_str(), path.c_str()) == 0;
  if (!written) {
    unlink(temporary.c_str());
    return FileError(path, "can't be written; the old one, if any, is unchanged");
  }
  // The name is in the folder, and is durable with it only.
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool durable = directory >= 0 && fsync(directory) == 0;
  if (directory >= 0) close(directory);
  return durable
             ? absl::OkStatus()
             : FileError(path,
                         "is written, but may be lost at a power cut: its folder can't be synced");
}

absl::StatusOr<AesGcm> LoadKeyEncryptionKey(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes bytes, ReadFile(path, true));
  std::span<const uint8_t> raw = bytes.Reveal(kAccess);
  if (raw.size() == kAesKeyBytes) return AesGcm::Create(raw);
  absl::string_view text(reinterpret_cast<const char*>(raw.data()), raw.size());
  text = absl::StripAsciiWhitespace(text);
  bool hex = text.size() == 2 * kAesKeyBytes;
  for (char c : text) hex = hex && absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (!hex)
    return FileError(path, "isn't a key: it has neither 32 bytes nor 64 hexadecimal digits");
  std::string decoded = absl::HexStringToBytes(text);
  absl::Cleanup wipe = [&] { OPENSSL_cleanse(decoded.data(), decoded.size()); };
  return AesGcm::Create({reinterpret_cast<const uint8_t*>(decoded.data()), decoded.size()});
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

absl::Status Keyring::Check() const {
  std::set<std::string_view> names, labels;
  for (const KeyringDomain& domain : domains_) {
    if (domain.name.empty() || !names.insert(domain.name).second) {
      return absl::InvalidArgumentError(
          base::StrCat("domain '", domain.name, "': the name is empty or doubled"));
    }
    if (!IsDomainLabel(domain.label) || !labels.insert(domain.label).second) {
      return absl::InvalidArgumentError(
          base::StrCat("domain '", domain.name, "': its label '", domain.label,
                       "' isn't 1 to 8 letters a-z, or is another's too"));
    }
    if (domain.epochs.empty() || domain.epochs.front() < 1) {
      return absl::InvalidArgumentError(
          base::StrCat("domain '", domain.name, "': has no epoch from 1 on"));
    }
    for (size_t i = 1; i < domain.epochs.size(); ++i) {
      if (domain.epochs[i] <= domain.epochs[i - 1]) {
        return absl::InvalidArgumentError(
            base::StrCat("domain '", domain.name, "': its epochs don't ascend"));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Keyring> Keyring::Create(std::vector<KeyringDomain> domains,
                                        base::RandomSource& random) {
  Keyring keyring;
  keyring.root_ = base::SecretBytes(kRootBytes);
  if (!random.Fill(keyring.root_.RevealMutable(kAccess)))
    return absl::InternalError("the system has no randomness");
  keyring.domains_ = std::move(domains);
  SLUICE_RETURN_IF_ERROR(keyring.Check());
  return keyring;
}

absl::StatusOr<Keyring> Keyring::Load(const std::string& path, const std::string& key_path) {
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, LoadKeyEncryptionKey(key_path));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes file, ReadFile(path, false));
  std::span<const uint8_t> bytes = file.Reveal(kAccess);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kHeader)) {
    return FileError(path, text.starts_with("SLUICE-KEYRING ")
                               ? "is of a version that this program doesn't know"
                               : "isn't a keyring");
  }
  if (bytes.size() < kHeader.size() + kGcmNonceBytes + kGcmTagBytes)
    return FileError(path, "is cut short; restore it from its backup");
  std::string plain;
  absl::Cleanup wipe = [&] { OPENSSL_cleanse(plain.data(), plain.size()); };
  absl::Status opened = cipher.Decrypt(bytes.subspan(kHeader.size(), kGcmNonceBytes), kHeader,
                                       text.substr(kHeader.size() + kGcmNonceBytes), plain);
  if (!opened.ok()) {
    return FileError(path,
                     base::StrCat("can't be opened with ", key_path,
                                  ": it is another keyring's key, or the keyring is damaged"));
  }
  v1::KeyringContent content;
  bool parsed = content.ParseFromString(plain);
  absl::Cleanup wipe_root = [&] {
    OPENSSL_cleanse(content.mutable_root_secret()->data(), content.root_secret().size());
  };
  if (!parsed || content.root_secret().size() != kRootBytes)
    return FileError(path, "holds no root secret");
  Keyring keyring;
  keyring.root_ = base::SecretBytes(content.root_secret());
  for (const v1::KeyringDomain& domain : content.domains()) {
    keyring.domains_.push_back(
        {domain.name(), domain.label(), {domain.epochs().begin(), domain.epochs().end()}});
  }
  absl::Status checked = keyring.Check();
  if (!checked.ok()) return FileError(path, base::View(checked.message()));
  return keyring;
}

absl::Status Keyring::Save(const std::string& path, const std::string& key_path,
                           base::RandomSource& random) const {
  SLUICE_ASSIGN_OR_RETURN(AesGcm cipher, LoadKeyEncryptionKey(key_path));
  if (access(path.c_str(), F_OK) == 0) {
    SLUICE_ASSIGN_OR_RETURN(Keyring old, Load(path, key_path));
    if (!old.root_.Equals(root_))
      return FileError(path, "holds other keys; nothing was overwritten");
  }
  v1::KeyringContent content;
  std::span<const uint8_t> root = root_.Reveal(kAccess);
  content.set_root_secret(root.data(), root.size());
  for (const KeyringDomain& domain : domains_) {
    v1::KeyringDomain& out = *content.add_domains();
    out.set_name(domain.name);
    out.set_label(domain.label);
    out.mutable_epochs()->Assign(domain.epochs.begin(), domain.epochs.end());
  }
  std::string plain = content.SerializeAsString();
  absl::Cleanup wipe = [&] {
    OPENSSL_cleanse(plain.data(), plain.size());
    OPENSSL_cleanse(content.mutable_root_secret()->data(), content.root_secret().size());
  };
  uint8_t nonce[kGcmNonceBytes];
  if (!random.Fill(nonce)) return absl::InternalError("the system has no randomness");
  std::string file(kHeader);
  file.append(reinterpret_cast<const char*>(nonce), sizeof(nonce));
  SLUICE_RETURN_IF_ERROR(cipher.Encrypt(nonce, kHeader, plain, file));
  return WriteFile(path, file, false);
}

absl::Status Keyring::CreateKeyFile(const std::string& key_path, base::RandomSource& random) {
  uint8_t key[kAesKeyBytes];
  if (!random.Fill(key)) return absl::InternalError("the system has no randomness");
  std::string text =
      absl::BytesToHexString({reinterpret_cast<const char*>(key), sizeof(key)}) + "\n";
  absl::Cleanup wipe = [&] {
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text.data(), text.size());
  };
  return WriteFile(key_path, text, true);
}

const KeyringDomain* Keyring::Find(std::string_view name) const {
  for (const KeyringDomain& domain : domains_) {
    if (domain.name == name) return &domain;
  }
  return nullptr;
}

absl::StatusOr<base::SecretBytes> Keyring::KindKey(contract::v1::IdentifierKind kind) const {
  return Hkdf(root_.Reveal(kAccess),
              Context("kind", contract::v1::IdentifierKind_Name(kind), "", 0), 32);
}

absl::StatusOr<base::SecretBytes> Keyring::ScopedKindKey(contract::v1::IdentifierKind kind) const {
  return Hkdf(root_.Reveal(kAccess),
              Context("scoped", contract::v1::IdentifierKind_Name(kind), "", 0), 32);
}

absl::StatusOr<base::SecretBytes> Keyring::DomainKey(std::string_view domain,
                                                     uint32_t epoch) const {
  return Hkdf(root_.Reveal(kAccess), Context("domain", "", domain, epoch), kAesKeyBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::EncryptionKey(std::string_view domain,
                                                         uint32_t epoch) const {
  return Hkdf(root_.Reveal(kAccess), Context("encrypt", "", domain, epoch), kSivKeyBytes);
}

absl::StatusOr<base::SecretBytes> Keyring::FormatKey(std::string_view domain,
                                                     uint32_t epoch) const {
  return Hkdf(root_.Reveal(kAccess), Context("format", "", domain, epoch), kAesKeyBytes);
}

}  // namespace sluice::privacy
