#include "common/validation/formats.h"

#include <arpa/inet.h>

#include <cctype>
#include <cstring>

#include "re2/re2.h"

namespace sluice::validation {
namespace {

bool IsHex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool Matches(const RE2& pattern, std::string_view text) {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), pattern);
}

// What inet_pton wants ends in NUL; no address is longer than this.
bool IsAddress(int family, std::string_view text) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.size() >= sizeof(copy) || text.find('\0') != std::string_view::npos) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  unsigned char address[16];
  return inet_pton(family, copy, address) == 1;
}

// RFC 3986, appendix A.
#define UNRESERVED "A-Za-z0-9\\-._~"
#define SUB_DELIMS "!$&'()*+,;="
#define PERCENT "%[0-9A-Fa-f]{2}"
#define PCHAR "(?:[" UNRESERVED SUB_DELIMS ":@]|" PERCENT ")"
#define AUTHORITY                                                                                \
  "(?:(?:[" UNRESERVED SUB_DELIMS ":]|" PERCENT                                                  \
  ")*@)?"                                                                                        \
  "(?:\\[([0-9A-Fa-f:.]+(?:%25(?:[" UNRESERVED "]|" PERCENT                                      \
  ")+)?|"                                                                                        \
  "[vV][0-9A-Fa-f]+\\.[" UNRESERVED SUB_DELIMS ":]+)\\]|(?:[" UNRESERVED SUB_DELIMS "]|" PERCENT \
  ")*)"                                                                                          \
  "(?::[0-9]*)?"
#define QUERY_AND_FRAGMENT "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
#define ABSOLUTE_PATH "/(?:" PCHAR "+(?:/" PCHAR "*)*)?"

// Matches `pattern` and, where the host is in brackets, has an address there.
bool IsUriLike(const RE2& pattern, std::string_view text) {
  re2::StringPiece bracketed;
  if (!RE2::FullMatch(re2::StringPiece(text.data(), text.size()), pattern, &bracketed))
    return false;
  if (bracketed.data() == nullptr || bracketed.empty() || bracketed[0] == 'v' ||
      bracketed[0] == 'V')
    return true;
  std::string_view host(bracketed.data(), bracketed.size());
  return IsAddress(AF_INET6, host.substr(0, host.find('%')));
}

}  // namespace

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < 36; ++i) {
    bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : !IsHex(text[i])) return false;
  }
  return true;
}

bool IsTrimmedUuid(std::string_view text) {
  if (text.size() != 32) return false;
  for (char c : text) {
    if (!IsHex(c)) return false;
  }
  return true;
}

bool IsEmail(std::string_view text) {
  static const RE2& pattern = *new RE2(
      "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
      "(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*");
  return Matches(pattern, text);
}

bool IsHostname(std::string_view text) {
  if (text.size() > 253) return false;
  if (text.ends_with('.')) text.remove_suffix(1);
  bool all_digits = false;
  while (true) {
    std::string_view label = text.substr(0, text.find('.'));
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-')
      return false;
    all_digits = true;
    for (char c : label) {
      if (!IsAlnum(c) && c != '-') return false;
      all_digits = all_digits && IsDigit(c);
    }
    if (label.size() == text.size()) return !all_digits;
    text.remove_prefix(label.size() + 1);
  }
}

bool IsIpv4(std::string_view text) { return IsAddress(AF_INET, text); }

bool IsIpv6(std::string_view text) {
  size_t zone = text.find('%');
  if (zone != std::string_view::npos && zone + 1 == text.size()) return false;
  return IsAddress(AF_INET6, text.substr(0, zone));
}

bool IsUri(std::string_view text) {
  static const RE2& pattern =
      *new RE2("[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY "(?:/" PCHAR "*)*|" ABSOLUTE_PATH "|" PCHAR
               "+(?:/" PCHAR "*)*|)" QUERY_AND_FRAGMENT);
  return IsUriLike(pattern, text);
}

bool IsUriReference(std::string_view text) {
  static const RE2& relative =
      *new RE2("(?://" AUTHORITY "(?:/" PCHAR "*)*|" ABSOLUTE_PATH "|(?:[" UNRESERVED SUB_DELIMS
               "@]|" PERCENT ")+(?:/" PCHAR "*)*|)" QUERY_AND_FRAGMENT);
  return IsUri(text) || IsUriLike(relative, text);
}

}  // namespace sluice::validation
