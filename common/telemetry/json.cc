#include "common/telemetry/json.h"

#include "common/base/utf8.h"

namespace sluice::telemetry {

void AppendJsonText(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  const bool utf8 = base::IsUtf8(text);
  out.push_back('"');
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    } else if (byte >= 0x80 && !utf8) {
      out += "\\ufffd";
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

}  // namespace sluice::telemetry
