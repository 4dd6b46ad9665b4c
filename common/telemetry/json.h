// JSON text as log lines and health answers need it (RFC 8259).
#pragma once

#include <string>
#include <string_view>

namespace sluice::telemetry {

// Appends `text` in quotes, escaped; one line whatever it holds. Bytes that aren't UTF-8 become
// U+FFFD.
void AppendJsonText(std::string& out, std::string_view text);

}  // namespace sluice::telemetry
