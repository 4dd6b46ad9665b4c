// Labels of internationalised domain names in ASCII.
#pragma once

#include <string>
#include <string_view>

namespace sluice::privacy {

// Appends the A-label (RFC 5890 section 2.3.2.1: xn-- and Punycode, RFC 3492) of a label beyond
// ASCII that is in lower case and in form NFC. False, with `out` as it was: `label` isn't UTF-8,
// holds what no name may (RFC 5892: neither letter, mark, digit nor hyphen), or has more than the
// 63 characters of a label.
bool AppendALabel(std::string_view label, std::string& out);

}  // namespace sluice::privacy
