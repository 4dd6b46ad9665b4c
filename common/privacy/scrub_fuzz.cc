// Any text: the search ends, and what it finds lies in the text, in order, without overlaps.
#include <cstdlib>

#include "common/privacy/scrub.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  sluice::privacy::Scrubber scrubber;
  scrubber.NextEvent(2026);
  // The first line is a name, the rest the text.
  size_t line = text.find('\n');
  if (line != std::string_view::npos) scrubber.AddName(text.substr(0, line));
  scrubber.AddBirth("1981-03-12");
  text.remove_prefix(line == std::string_view::npos ? 0 : line + 1);
  uint32_t done = 0;
  for (const sluice::privacy::Finding& finding : scrubber.Find(text)) {
    if (finding.begin < done || finding.end <= finding.begin || finding.end > text.size())
      std::abort();
    done = finding.end;
    scrubber.canonical(finding);
  }
  return 0;
}
