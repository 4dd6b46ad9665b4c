#include "common/privacy/local_pseudonymiser.h"

#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/domain_name.h"

// SHA256_Init and its sisters are deprecated in OpenSSL 3 for the EVP interface, which can't hand
// out the state after a pad. AddKind() checks each state against EVP.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace sluice::privacy {
namespace {

constexpr base::SecretAccess kAccess{};
constexpr size_t kKinds = contract::v1::IdentifierKind_MAX + 1;
constexpr size_t kHashBlockBytes = 64;
// A block's room for the message: the end mark and the length in bits take nine bytes.
constexpr size_t kLengthAt = kHashBlockBytes - 8;

template <typename Word>
void StoreBigEndian(Word word, uint8_t* out) {
  for (size_t i = 0; i < sizeof(Word); ++i) {
    out[i] = static_cast<uint8_t>(word >> (8 * (sizeof(Word) - 1 - i)));
  }
}

// Ends a message of `bytes` bytes, of which `block` holds the last `used`: FIPS 180-4
// section 5.1.1.
void HashLastBlock(uint8_t (&block)[kHashBlockBytes], size_t used, uint64_t bytes,
                   SHA256_CTX& state) {
  block[used++] = 0x80;
  if (used > kLengthAt) {
    std::memset(block + used, 0, kHashBlockBytes - used);
    SHA256_Transform(&state, block);
    used = 0;
  }
  std::memset(block + used, 0, kLengthAt - used);
  StoreBigEndian(bytes * 8, block + kLengthAt);
  SHA256_Transform(&state, block);
}

void HashPad(std::span<const uint8_t> key, uint8_t with, std::array<SHA_LONG, 8>& out) {
  uint8_t pad[kHashBlockBytes];
  for (size_t i = 0; i < sizeof(pad); ++i) pad[i] = with ^ (i < key.size() ? key[i] : 0);
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Transform(&state, pad);
  std::memcpy(out.data(), state.h, sizeof(state.h));
  OPENSSL_cleanse(pad, sizeof(pad));
  OPENSSL_cleanse(&state, sizeof(state));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalPseudonymiser>> LocalPseudonymiser::Create(
    const Keyring& keyring) {
  auto made = std::unique_ptr<LocalPseudonymiser>(new LocalPseudonymiser());
  made->kept_ -= keyring.check_bytes();
  // Never grown after keys are in it: growing would leave a copy behind.
  made->kinds_.reserve(2 * kKinds);
  for (size_t kind = 0; kind < kKinds; ++kind) {
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key,
                            keyring.KindKey(static_cast<IdentifierKind>(kind)));
    SLUICE_RETURN_IF_ERROR(made->AddKey(key));
  }
  for (size_t kind = 0; kind < kKinds; ++kind) {
    SLUICE_ASSIGN_OR_RETURN(base::SecretBytes key,
                            keyring.ScopedKindKey(static_cast<IdentifierKind>(kind)));
    SLUICE_RETURN_IF_ERROR(made->AddKey(key));
  }
  for (const KeyringDomain& domain : keyring.domains())
    SLUICE_RETURN_IF_ERROR(made->AddDomain(keyring, domain, domain.newest()));
  for (const KeyringDomain& domain : keyring.domains()) {
    // From the newest of them to the oldest.
    for (size_t i = domain.epochs.size() - 1; i-- > 0;) {
      if (domain.epochs[i].state == EpochState::kActive)
        SLUICE_RETURN_IF_ERROR(made->AddDomain(keyring, domain, domain.epochs[i].number));
    }
  }
  return made;
}

absl::Status LocalPseudonymiser::AddDomain(const Keyring& keyring, const KeyringDomain& domain,
                                           uint32_t epoch) {
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes outer_key, keyring.DomainKey(domain.name, epoch));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes siv_key, keyring.EncryptionKey(domain.name, epoch));
  SLUICE_ASSIGN_OR_RETURN(base::SecretBytes ff1_key, keyring.FormatKey(domain.name, epoch));
  SLUICE_ASSIGN_OR_RETURN(AesBlocks outer, AesBlocks::Create(outer_key.Reveal(kAccess)));
  SLUICE_ASSIGN_OR_RETURN(ValueCipher encrypt,
                          ValueCipher::Create(siv_key.Reveal(kAccess), domain.name));
  SLUICE_ASSIGN_OR_RETURN(FormatPreserver preserve_format,
                          FormatPreserver::Create(ff1_key.Reveal(kAccess)));
  domains_.push_back({domain.name,
                      {domain.label, epoch},
                      epoch == domain.newest(),
                      domain.epochs.size() > 1 && epoch == domain.epochs.end()[-2].number,
                      domain.epochs.size() > 1,
                      std::move(outer),
                      std::move(encrypt),
                      std::move(preserve_format),
                      {}});
  return absl::OkStatus();
}

LocalPseudonymiser::~LocalPseudonymiser() {
  OPENSSL_cleanse(kinds_.data(), kinds_.size() * sizeof(HmacState));
  OPENSSL_cleanse(inner_.data(), inner_.size() * sizeof(PseudonymBlock));
}

absl::Status LocalPseudonymiser::AddKey(const base::SecretBytes& key) {
  std::span<const uint8_t> bytes = key.Reveal(kAccess);
  HmacState& state = kinds_.emplace_back();
  HashPad(bytes, 0x36, state.inner);
  HashPad(bytes, 0x5c, state.outer);

  // Lengths on both sides of where the padding takes another block.
  for (size_t length : {0, 1, 55, 56, 63, 64, 119, 120, 300}) {
    std::string probe(length, 'x');
    PseudonymBlock ours;
    Inner(state, probe, ours);
    unsigned char theirs[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    HMAC(EVP_sha256(), bytes.data(), static_cast<int>(bytes.size()),
         reinterpret_cast<const unsigned char*>(probe.data()), probe.size(), theirs, &size);
    if (size < ours.size() || std::memcmp(ours.data(), theirs, kept_) != 0) {
      return absl::InternalError("HMAC-SHA256 disagrees with OpenSSL's own");
    }
  }
  return absl::OkStatus();
}

void LocalPseudonymiser::Inner(const HmacState& key, std::string_view value,
                               PseudonymBlock& out) const {
  SHA256_CTX state;  // only `h` is used by SHA256_Transform
  uint8_t block[kHashBlockBytes];

  std::memcpy(state.h, key.inner.data(), sizeof(state.h));
  const uint64_t hashed = kHashBlockBytes + value.size();
  for (; value.size() >= kHashBlockBytes; value.remove_prefix(kHashBlockBytes)) {
    SHA256_Transform(&state, reinterpret_cast<const unsigned char*>(value.data()));
  }
  std::copy(value.begin(), value.end(), block);
  HashLastBlock(block, value.size(), hashed, state);

  for (size_t i = 0; i < 8; ++i) StoreBigEndian(static_cast<uint32_t>(state.h[i]), block + 4 * i);
  std::memcpy(state.h, key.outer.data(), sizeof(state.h));
  HashLastBlock(block, SHA256_DIGEST_LENGTH, kHashBlockBytes + SHA256_DIGEST_LENGTH, state);
  for (size_t i = 0; i < out.size() / 4; ++i) {
    StoreBigEndian(static_cast<uint32_t>(state.h[i]), out.data() + 4 * i);
  }
  std::memset(out.data() + kept_, 0, out.size() - kept_);
}

absl::StatusOr<uint16_t> LocalPseudonymiser::Domain(std::string_view name) {
  const DomainName wanted = DomainName::Of(name);
  for (size_t i = 0; i < domains_.size(); ++i) {
    if (domains_[i].name != wanted.name) continue;
    // They come newest first.
    if (!wanted.pinned || std::to_string(domains_[i].epoch.epoch) == wanted.epoch)
      return static_cast<uint16_t>(i);
    if (!wanted.previous()) continue;
    // Never an older one instead: its pseudonyms are other people's than those of before.
    if (domains_[i].previous || (domains_[i].newest && !domains_[i].has_older))
      return static_cast<uint16_t>(i);
  }
  return absl::NotFoundError(base::StrCat("the keyring has no domain '", wanted.name, "'",
                                          wanted.epoch.empty() ? "" : " with the active epoch ",
                                          wanted.epoch));
}

absl::Status LocalPseudonymiser::Pseudonymise(const PseudonymBatch& batch,
                                              PseudonymAnswer& answer) {
  answer.domains.resize(domains_.size());
  for (size_t i = 0; i < domains_.size(); ++i) answer.domains[i] = domains_[i].epoch;
  answer.texts.clear();
  answer.text_ends.clear();
  absl::Status status = Encipher(batch, answer);
  if (status.ok() && batch.has_texts()) status = AddTexts(batch, answer);
  // Nobody is to publish a block that has only its inner layer.
  if (!status.ok()) answer.Clear();
  return status;
}

absl::Status LocalPseudonymiser::Encipher(const PseudonymBatch& batch, PseudonymAnswer& answer) {
  const std::vector<PseudonymBatch::Value>& values = batch.values();
  inner_.resize(values.size());
  uint32_t begin = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto kind = static_cast<size_t>(values[i].kind);
    if (kind >= kKinds) {
      return absl::InvalidArgumentError("a batch names a kind of identifier that isn't there");
    }
    std::string_view value(batch.bytes().data() + begin, values[i].end - begin);
    Inner(kinds_[values[i].scoped ? kKinds + kind : kind], value, inner_[i]);
    begin = values[i].end;
  }

  for (DomainState& domain : domains_) domain.targets.clear();
  const std::vector<PseudonymBatch::Target>& targets = batch.targets();
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].domain >= domains_.size()) {
      return absl::InvalidArgumentError("a batch names a domain that isn't there");
    }
    if (targets[i].form == Form::kBlock)
      domains_[targets[i].domain].targets.push_back(static_cast<uint32_t>(i));
  }

  answer.blocks.resize(targets.size());
  for (DomainState& domain : domains_) {
    if (domain.targets.empty()) continue;
    blocks_.clear();
    for (uint32_t target : domain.targets) blocks_.push_back(inner_[targets[target].value]);
    if (!domain.outer.Apply(blocks_.data()->data(), blocks_.size() * sizeof(PseudonymBlock)))
      return absl::InternalError("OpenSSL: AES-256 failed");
    for (size_t i = 0; i < blocks_.size(); ++i) answer.blocks[domain.targets[i]] = blocks_[i];
  }
  return absl::OkStatus();
}

absl::Status LocalPseudonymiser::AddTexts(const PseudonymBatch& batch, PseudonymAnswer& answer) {
  for (const PseudonymBatch::Target& target : batch.targets()) {
    if (target.form != Form::kBlock) {
      const PseudonymBatch::Value& value = batch.values()[target.value];
      if (value.scoped)
        return absl::InvalidArgumentError("a batch wants a text of a value in a scope");
      size_t begin = target.value == 0 ? 0 : batch.values()[target.value - 1].end;
      std::string_view canonical(batch.bytes().data() + begin, value.end - begin);
      DomainState& domain = domains_[target.domain];
      if (target.form == Form::kEncrypted) {
        SLUICE_RETURN_IF_ERROR(domain.encrypt.Encrypt(value.kind, canonical, answer.texts));
      } else {
        absl::Status status = domain.preserve_format.Encrypt(value.kind, canonical, answer.texts);
        if (!status.ok() && !absl::IsOutOfRange(status)) return status;
      }
    }
    answer.text_ends.push_back(static_cast<uint32_t>(answer.texts.size()));
  }
  return absl::OkStatus();
}

}  // namespace sluice::privacy
