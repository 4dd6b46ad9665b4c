// Sealing to a public key: who writes quarantine can't read it back.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/privacy/aes_gcm.h"

namespace sluice::privacy {

struct PkeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Pkey = std::unique_ptr<EVP_PKEY, PkeyFree>;

// Sealed text, all of it needed to open one record by itself:
//   "SLQ1" | 8 bytes of SHA-256 of the recipient's public key | 32 bytes ephemeral X25519 public
//   key (RFC 7748) | 48 bytes data key, AES-256-GCM under HKDF-SHA256 of the shared secret | 12
//   bytes nonce | AES-256-GCM of the payload under the data key
// The associated data of both encryptions covers what stands before them; the payload's also covers
// `aad`.
//
// Not thread-safe.
class Sealer {
 public:
  // `pem`: an X25519 public key (RFC 8410). `random` outlives the sealer.
  static absl::StatusOr<std::unique_ptr<Sealer>> Create(std::string_view pem,
                                                        base::RandomSource& random);

  // From the next Seal on, another data key: no key seals more than one batch.
  void NewBatch() { cipher_.reset(); }

  // Appends the sealed payload. `aad` must be given again to open it.
  absl::Status Seal(std::string_view aad, std::string_view payload, std::string& out);

  // Bytes that sealing adds.
  static size_t Overhead();

 private:
  Sealer(Pkey recipient, std::string id, base::RandomSource& random)
      : recipient_(std::move(recipient)), recipient_id_(std::move(id)), random_(random) {}
  absl::Status BeginBatch();

  Pkey recipient_;
  std::string recipient_id_;
  base::RandomSource& random_;
  std::optional<AesGcm> cipher_;
  std::string head_;  // what stands before the nonce, the same for the batch
  uint64_t next_nonce_ = 0;
};

class Unsealer {
 public:
  // `pem`: an X25519 private key (PKCS #8).
  static absl::StatusOr<std::unique_ptr<Unsealer>> Create(std::string_view pem);
  // The payload; an error when any byte was changed or it was sealed to another key.
  absl::StatusOr<std::string> Unseal(std::string_view aad, std::string_view sealed);

 private:
  Unsealer(Pkey key, std::string id) : key_(std::move(key)), id_(std::move(id)) {}
  Pkey key_;
  std::string id_;
};

struct SealingKeys {
  std::string private_pem;
  std::string public_pem;
};
absl::StatusOr<SealingKeys> NewSealingKeys(base::RandomSource& random);

}  // namespace sluice::privacy
