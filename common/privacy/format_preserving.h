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
// A value stays in its format, and a valid one becomes one that is valid:
// - phones: a British mobile becomes a mobile, a landline a landline, and so for personal, pager,
//   freephone, service (084, 087), premium, nationwide (03), corporate and VoIP numbers, by what
//   Ofcom has allotted; other British numbers keep their first digit and don't become any of these.
//   Of another country's, the first three digits stay, and its own plan isn't looked at.
// - vehicle marks: current, prefix, suffix, dateless, Q, diplomatic and military ones apart, and
//   Jersey's and Ireland's. The age of a current one that was issued after 2025 stays, and
//   Ireland's years. Guernsey's, trade plates and the Isle of Man's of five digits are too few and
//   are refused, as postcodes abroad and phones with an extension are. Driving licences have real
//   dates of birth. NHS numbers stay in their country's range; Scotland's begin with real dates.
//   PNC IDs of after 2025 keep their year. Postcodes are of areas that there are; district and unit
//   may be none's.
// - CRO numbers are standard or short (SF) as before. What else there is of a value is random.
//
// The result may be somebody's true identifier. It doesn't say its domain or epoch. Not
// thread-safe.
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
