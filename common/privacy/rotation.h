// Old pseudonyms made those of their domain's newest epoch, without the identifiers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/privacy/aes_blocks.h"
#include "common/privacy/keyring.h"

namespace sluice::privacy {

// A pseudonym's block is one block under the epoch's key: deciphered under the old key and
// enciphered under the new one, it is what the new epoch makes of the same identifier. Encrypted
// and format-preserved values aren't pseudonyms and stay as they are. So does a pseudonym that
// bears an epoch's number and wasn't made by it, such as one of another keyring or of an epoch
// whose secret was lost, where the keyring has check bytes (Keyring::check_bytes). Not thread-safe.
class Rotation {
 public:
  struct Counts {
    uint64_t converted = 0;
    uint64_t already = 0;    // of the newest epoch
    uint64_t untouched = 0;  // of an epoch that is retired, destroyed or unknown
    uint64_t foreign = 0;    // of an epoch's number, and not made by it; untouched too
  };

  // Of one domain; the keyring isn't needed afterwards. kNotFound: it has no such domain.
  static absl::StatusOr<Rotation> Create(const Keyring& keyring, std::string_view domain);

  // Appends `text` with the domain's pseudonyms converted, wherever they stand in it: JSON lines,
  // CSV, plain text. What isn't exactly a pseudonym of the domain is copied.
  absl::Status Convert(std::string_view text, std::string& out, Counts& counts);

 private:
  struct Old {
    uint32_t epoch;
    AesBlocks decipher;
  };
  Rotation(std::string label, uint32_t newest, size_t check_bytes, AesBlocks encipher)
      : label_(std::move(label)),
        newest_(newest),
        check_bytes_(check_bytes),
        encipher_(std::move(encipher)) {}

  std::string label_;
  uint32_t newest_;
  size_t check_bytes_;
  AesBlocks encipher_;
  std::vector<Old> old_;  // and the newest
};

}  // namespace sluice::privacy
