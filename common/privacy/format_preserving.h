// Identifiers that become other identifiers of their kind's format, where a receiving system
// accepts nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/privacy/ff1.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

// Whether the kind has formats with a million values or more each: names, e-mail addresses,
// addresses, IP addresses, event ids and free identifiers haven't.
bool HasPreservableFormat(contract::v1::IdentifierKind kind);

// One domain in one epoch: for each format of each kind a permutation of its valid values, by FF1
// and, where not every value of a product of alphabets is valid, cycle walking. Check digits and
// letters are computed anew.
//
// A value stays in its format: a current vehicle mark becomes a current one, a standard CRO number
// a standard one, a British number keeps its first digit (a mobile stays a mobile), another
// country's the first three of its digits. The result may be somebody's true identifier. It doesn't
// say its domain or epoch. Not thread-safe.
class FormatPreserver {
 public:
  // `key`: Keyring::FormatKey(domain, epoch).
  static absl::StatusOr<FormatPreserver> Create(std::span<const uint8_t> key);

  // Appends. kOutOfRange, and nothing appended: `canonical` isn't a valid canonical form of the
  // kind, or of none of the formats that are preserved.
  absl::Status Encrypt(contract::v1::IdentifierKind kind, std::string_view canonical,
                       std::string& out);
  absl::Status Decrypt(contract::v1::IdentifierKind kind, std::string_view canonical,
                       std::string& out);

 private:
  explicit FormatPreserver(Ff1 ff1) : ff1_(std::move(ff1)) {}
  absl::Status Crypt(bool encrypt, contract::v1::IdentifierKind kind, std::string_view canonical,
                     std::string& out);

  Ff1 ff1_;
  std::string candidate_;
  std::string again_;
};

}  // namespace sluice::privacy
