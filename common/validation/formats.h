// The well-known formats of text, as protovalidate defines them.
#pragma once

#include <string_view>

namespace sluice::validation {

// All thread-safe, all without allocation in the steady state (RE2 fills its caches at first).

// RFC 9562's text form, in either letter case.
bool IsUuid(std::string_view text);
// A UUID without its hyphens.
bool IsTrimmedUuid(std::string_view text);
// The HTML standard's "valid e-mail address", which is narrower than RFC 5322 and what people mean.
bool IsEmail(std::string_view text);
// RFC 1123: labels of letters, digits and hyphens, 63 each, 253 in all, one dot at the end allowed;
// the last label isn't all digits.
bool IsHostname(std::string_view text);
// Dotted decimal without leading zeros.
bool IsIpv4(std::string_view text);
// RFC 4291, with an optional zone (RFC 4007).
bool IsIpv6(std::string_view text);
// RFC 3986.
bool IsUri(std::string_view text);
bool IsUriReference(std::string_view text);

}  // namespace sluice::validation
