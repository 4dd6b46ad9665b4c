#include "common/privacy/local_pseudonymiser.h"

#include <cstring>

#include <openssl/hmac.h>

#include "common/base/status.h"
#include "common/base/strings.h"

// SHA256_Init and its sisters are deprecated in OpenSSL 3 for the EVP interface, which can't hand out the state after a
// pad. AddKind() checks each state against EVP.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace sluice::privacy {
namespace {

constexpr base::SecretAccess kAccess{};
constexpr size_t kPadBytes = 64;

void InitPad(std::span<const uint8_t> key, uint8_t with, SHA256_CTX& state) {
  uint8_t pad[kPadBytes];
  for (size_t i = 0; i < kPadBytes; ++i) pad[i] = with ^ (i < key.size() ? key[i] : 0);
  SHA256_Init(&state);
  SHA256_Update(&state, pad, sizeof(pad));
  OPENSSL_cleanse(pad, sizeof(pad));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalPseudonymiser>> LocalPseudonymiser::Create(const Keyring& keyring) {
  auto made = std::unique_ptr<LocalPseudonymiser>(new LocalPseudonymiser());
  for (int kind = 0; kind <= contract::v1::IdentifierKind_MAX; ++kind) {
    SLUICE_RETURN_IF_ERROR(made->AddKind(keyring, static_cast<IdentifierKind>(kind)));
  }
  for (const KeyringDomain& domain : keyring.domains()) {
    uint32_t epoch = domain.epochs.back();
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.DomainKey(domain.name, epoch));
    DomainState state;
    state.name = domain.name;
    state.epoch = {domain.label, epoch};
    state.cipher.reset(EVP_CIPHER_CTX_new());
    // One block by itself is what the permutation is; ECB over many is that, many times.
    if (EVP_EncryptInit_ex(state.cipher.get(), EVP_aes_256_ecb(), nullptr, key.Reveal(kAccess).data(), nullptr) != 1 ||
        EVP_CIPHER_CTX_set_padding(state.cipher.get(), 0) != 1) {
      return absl::InternalError("OpenSSL: AES-256 failed");
    }
    made->domains_.push_back(std::move(state));
  }
  return made;
}

LocalPseudonymiser::~LocalPseudonymiser() {
  OPENSSL_cleanse(kinds_.data(), kinds_.size() * sizeof(HmacState));
  OPENSSL_cleanse(inner_.data(), inner_.size() * sizeof(PseudonymBlock));
}

absl::Status LocalPseudonymiser::AddKind(const Keyring& keyring, IdentifierKind kind) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key, keyring.KindKey(kind));
  std::span<const uint8_t> bytes = key.Reveal(kAccess);
  // Never grown after keys are in it: growing would leave a copy behind.
  if (kinds_.empty()) kinds_.reserve(contract::v1::IdentifierKind_MAX + 1);
  HmacState& state = kinds_.emplace_back();
  InitPad(bytes, 0x36, state.inner);
  InitPad(bytes, 0x5c, state.outer);

  constexpr std::string_view kProbe = "sluice: both ways agree";
  PseudonymBlock ours;
  Inner(kind, kProbe, ours);
  unsigned char theirs[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), bytes.data(), static_cast<int>(bytes.size()),
       reinterpret_cast<const unsigned char*>(kProbe.data()), kProbe.size(), theirs, &size);
  if (std::memcmp(ours.data(), theirs, ours.size()) != 0) {
    return absl::InternalError("HMAC-SHA256 disagrees with OpenSSL's own");
  }
  return absl::OkStatus();
}

void LocalPseudonymiser::Inner(IdentifierKind kind, std::string_view value, PseudonymBlock& out) const {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_CTX state = kinds_[kind].inner;
  SHA256_Update(&state, value.data(), value.size());
  SHA256_Final(digest, &state);
  state = kinds_[kind].outer;
  SHA256_Update(&state, digest, sizeof(digest));
  SHA256_Final(digest, &state);
  std::memcpy(out.data(), digest, out.size());
}

absl::StatusOr<uint16_t> LocalPseudonymiser::Domain(std::string_view name) {
  for (size_t i = 0; i < domains_.size(); ++i) {
    if (domains_[i].name == name) return static_cast<uint16_t>(i);
  }
  return absl::NotFoundError(base::StrCat("the keyring has no domain '", name, "'"));
}

absl::Status LocalPseudonymiser::Pseudonymise(const PseudonymBatch& batch, PseudonymAnswer& answer) {
  inner_.resize(batch.values().size());
  uint32_t begin = 0;
  for (size_t i = 0; i < batch.values().size(); ++i) {
    const PseudonymBatch::Value& value = batch.values()[i];
    Inner(value.kind, std::string_view(batch.bytes()).substr(begin, value.end - begin), inner_[i]);
    begin = value.end;
  }
  if (answer.domains.size() != domains_.size()) {
    answer.domains.clear();
    for (const DomainState& domain : domains_) answer.domains.push_back(domain.epoch);
  }
  answer.blocks.resize(batch.targets().size());
  for (size_t i = 0; i < batch.targets().size(); ++i) {
    uint16_t domain = batch.targets()[i].domain;
    if (domain >= domains_.size()) return absl::InvalidArgumentError("a batch names a domain that isn't there");
    domains_[domain].targets.push_back(static_cast<uint32_t>(i));
  }
  absl::Status status;
  for (DomainState& domain : domains_) {
    blocks_.clear();
    for (uint32_t target : domain.targets) blocks_.push_back(inner_[batch.targets()[target].value]);
    if (!blocks_.empty()) {
      auto* bytes = blocks_.data()->data();
      int size = static_cast<int>(blocks_.size() * sizeof(PseudonymBlock)), written = 0;
      if (EVP_EncryptUpdate(domain.cipher.get(), bytes, &written, bytes, size) != 1 || written != size) {
        status = absl::InternalError("OpenSSL: AES-256 failed");
      }
    }
    for (size_t i = 0; i < domain.targets.size(); ++i) answer.blocks[domain.targets[i]] = blocks_[i];
    domain.targets.clear();
  }
  return status;
}

}  // namespace sluice::privacy
