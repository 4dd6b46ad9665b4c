// Any bytes as the headers of a quarantine record: they select it or they don't, and no text of
// theirs is taken for more than it is.
#include <algorithm>

#include "common/base/strings.h"
#include "services/ctl/quarantine.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  static constexpr std::string_view kNames[] = {
      "sluice-src",    "sluice-reason", "sluice-path", "sluice-generation",
      "sluice-src-id", "content-type",  "traceparent", "ce_id"};
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  kafka::ReadRecord record;
  record.partition = 3;
  record.offset = 42;
  // A header's name by one byte, its length by another.
  std::vector<base::Header> headers;
  while (rest.size() >= 2) {
    const std::string_view name = kNames[static_cast<uint8_t>(rest[0]) % std::size(kNames)];
    const size_t bytes = std::min<size_t>(static_cast<uint8_t>(rest[1]), rest.size() - 2);
    headers.push_back({name, rest.substr(2, bytes)});
    rest.remove_prefix(2 + bytes);
  }
  record.headers = headers;
  const ctl::Quarantined quarantined = ctl::Quarantined::From(record);
  fuzz::Require(quarantined.place == ctl::Place{3, 42}, "another place than the record's");
  const std::vector<std::string_view> rules = quarantined.Rules();
  fuzz::Require(std::is_sorted(rules.begin(), rules.end()) &&
                    std::adjacent_find(rules.begin(), rules.end()) == rules.end(),
                "a rule named twice");
  for (std::string_view rule : rules) {
    ctl::Selection selection;
    selection.reasons = {std::string(rule)};
    fuzz::Require(selection.Takes(quarantined), "a rule of the record doesn't select it");
  }
  ctl::Selection none;
  none.paths = {"no.such.path"};
  none.reasons = {"no.such.rule"};
  fuzz::Require(!none.Takes(quarantined), "selected by what it doesn't name");
  for (std::string_view text :
       {std::string_view(quarantined.source), std::string_view(quarantined.paths)}) {
    auto place = ctl::ParsePlace(text);
    if (!place.ok()) continue;
    auto again = ctl::ParsePlace(ctl::PlaceName(*place));
    fuzz::Require(again.ok() && *again == *place, "a place reads as another one");
    fuzz::Planted(place->first == 7 && place->second > 1000);
  }
  return 0;
}
