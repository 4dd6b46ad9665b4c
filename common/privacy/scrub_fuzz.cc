// Any text: the search ends, and what it finds lies in the text, in order, without overlaps. The
// first line is a name, the rest the text; where the first byte is zero, the next eight are the
// seed of a text of the corpora, which is looked at as it is and with the rest put in its middle.
#include <cstdlib>
#include <cstring>

#include "common/privacy/scrub.h"
#include "tests/fuzz/planted.h"
#include "tests/support/texts/marked_corpus.h"

namespace {

void Look(sluice::privacy::Scrubber& scrubber, std::string_view text) {
  uint32_t done = 0;
  for (const sluice::privacy::Finding& finding : scrubber.Find(text)) {
    if (finding.begin < done || finding.end <= finding.begin || finding.end > text.size())
      std::abort();
    done = finding.end;
    // A number with an extension, which no file of the corpus has.
    sluice::fuzz::Planted(finding.kind == sluice::contract::v1::PHONE &&
                          scrubber.canonical(finding).ends_with(";ext=7"));
  }
}

void LookAtCorpus(std::string_view input) {
  uint64_t seed = 0;
  std::memcpy(&seed, input.data(), std::min<size_t>(input.size(), sizeof(seed)));
  input.remove_prefix(std::min<size_t>(input.size(), sizeof(seed)));
  using sluice::bench::MarkedCorpus;
  MarkedCorpus marked(seed);
  sluice::bench::ScrubCorpus prose(seed);
  for (const sluice::bench::PlantedText& planted :
       {marked.Next(seed % MarkedCorpus::sorts(), seed / 64 % MarkedCorpus::marks()),
        marked.Ordinary(), prose.Next()}) {
    sluice::privacy::Scrubber scrubber;
    scrubber.NextEvent(planted.year);
    for (const std::string& name : planted.names) scrubber.AddName(name);
    for (const std::string& birth : planted.births) scrubber.AddBirth(birth);
    scrubber.AddNumber(sluice::contract::v1::WARRANT_NUMBER, planted.warrant);
    Look(scrubber, planted.text);
    std::string changed = planted.text;
    Look(scrubber, changed.insert(changed.size() / 2, input));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with('\0')) {
    LookAtCorpus(text.substr(1));
    return 0;
  }
  sluice::privacy::Scrubber scrubber;
  scrubber.NextEvent(2026);
  const size_t line = text.find('\n');
  if (line != std::string_view::npos) scrubber.AddName(text.substr(0, line));
  scrubber.AddBirth("1981-03-12");
  scrubber.AddNumber(sluice::contract::v1::WARRANT_NUMBER, "123456");
  text.remove_prefix(line == std::string_view::npos ? 0 : line + 1);
  Look(scrubber, text);
  sluice::fuzz::Planted(scrubber.Find(text).size() == 7);
  return 0;
}
