// Pseudonyms made in this process, from a keyring.
#pragma once

#include <openssl/sha.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/privacy/aes_blocks.h"
#include "common/privacy/format_preserving.h"
#include "common/privacy/keyring.h"
#include "common/privacy/pseudonymiser.h"
#include "common/privacy/value_cipher.h"

namespace sluice::privacy {

// inner = the first 96 bits of HMAC-SHA256(K(kind), canonical value), and 32 bits of zeros, by
// which whoever deciphers a block knows that it was made with these keys; 128 bits and no zeros
// where the keyring has no check bytes. outer = AES-256(K(domain, epoch), inner).
//
// The two SHA-256 states after a key's inner and outer pad (RFC 2104) are kept, and blocks are
// padded here: a value of up to 55 bytes costs two compressions and nothing else, half of what the
// fastest use of OpenSSL's own HMAC takes. The states are key material, and are wiped at the end. A
// batch's blocks are enciphered domain by domain, one call each. Allocates nothing in the steady
// state.
class LocalPseudonymiser final : public Pseudonymiser {
 public:
  // Derives every key there is, but for retired and destroyed epochs. The keyring isn't needed
  // afterwards.
  static absl::StatusOr<std::unique_ptr<LocalPseudonymiser>> Create(const Keyring& keyring);
  ~LocalPseudonymiser() override;

  absl::StatusOr<uint16_t> Domain(std::string_view name) override;
  // kInvalidArgument: the batch names a kind or a domain that isn't there, or wants a text of a
  // value in a scope. After an error `answer` has neither blocks nor texts.
  absl::Status Pseudonymise(const PseudonymBatch& batch, PseudonymAnswer& answer) override;

 private:
  using HashState = std::array<SHA_LONG, 8>;
  struct HmacState {
    HashState inner;
    HashState outer;
  };
  struct DomainState {
    std::string name;
    DomainEpoch epoch;
    bool newest;
    bool previous;   // the one before the newest
    bool has_older;  // the domain has had more than one, whether or not they are active
    AesBlocks outer;
    ValueCipher encrypt;
    FormatPreserver preserve_format;
    std::vector<uint32_t> targets;  // of the batch at hand, those that are blocks
  };

  LocalPseudonymiser() = default;
  absl::Status AddKey(const base::SecretBytes& key);
  absl::Status AddDomain(const Keyring& keyring, const KeyringDomain& domain, uint32_t epoch);
  absl::Status Encipher(const PseudonymBatch& batch, PseudonymAnswer& answer);
  absl::Status AddTexts(const PseudonymBatch& batch, PseudonymAnswer& answer);
  void Inner(const HmacState& key, std::string_view value, PseudonymBlock& out) const;

  size_t kept_ = sizeof(PseudonymBlock);  // of a block before the outer layer; zeros behind it
  std::vector<HmacState> kinds_;  // by IdentifierKind, then those of values in a scope likewise
  std::vector<DomainState> domains_;
  std::vector<PseudonymBlock> inner_;   // of the batch at hand, by value
  std::vector<PseudonymBlock> blocks_;  // one domain's, in the order of its targets
};

}  // namespace sluice::privacy
