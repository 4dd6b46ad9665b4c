#include "common/base/host_port.h"

#include <algorithm>

namespace sluice::base {

bool IsHostPort(std::string_view text) {
  constexpr size_t kHostBytesMax = 253;  // RFC 1035, section 2.3.4, in text
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  int number = 0;
  if (port.empty() || port.size() > 5) return false;
  for (char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + (c - '0');
  }
  if (number < 1 || number > 65535 || host.size() > kHostBytesMax) return false;
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  return std::all_of(host.begin(), host.end(), [&](char c) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    return plain || (brackets && (c == ':' || c == '%'));
  });
}

}  // namespace sluice::base
