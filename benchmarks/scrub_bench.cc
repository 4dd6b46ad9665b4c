// Free text: how fast identifiers are found in it, how many of those that are there, and how many
// of those found are any.
#include <algorithm>

#include "benchmarks/bench.h"
#include "benchmarks/process_usage.h"
#include "benchmarks/scrub_corpus.h"
#include "benchmarks/workload.h"
#include "common/base/strings.h"
#include "common/privacy/scrub.h"

namespace sluice::bench {
namespace {

constexpr int kTexts = 20'000;

// The value of a JSON member of one of the workload's events; they escape nothing.
std::string Member(std::string_view event, std::string_view name) {
  std::string start = base::StrCat("\"", name, "\":\"");
  size_t at = event.find(start);
  if (at == std::string_view::npos) return "";
  at += start.size();
  return std::string(event.substr(at, event.find('"', at) - at));
}

// The workload's narratives, each with its event's people.
double MegabytesPerSecond() {
  struct Event {
    std::string name, birth, warrant, narrative;
  };
  std::vector<Event> events;
  Workload workload(1);
  size_t bytes = 0;
  for (int i = 0; i < kTexts; ++i) {
    std::string event = workload.Next();
    events.push_back({Member(event, "name"), Member(event, "date_of_birth"),
                      Member(event, "warrant_no"), Member(event, "narrative")});
    bytes += events.back().narrative.size();
  }
  privacy::Scrubber scrubber;
  size_t found = 0;
  double best = 1e9;
  for (int pass = 0; pass < 20; ++pass) {
    double start = ThreadCpuSeconds();
    for (const Event& event : events) {
      scrubber.NextEvent(2026);
      scrubber.AddName(event.name);
      scrubber.AddBirth(event.birth);
      scrubber.AddNumber(contract::v1::WARRANT_NUMBER, event.warrant);
      found += scrubber.Find(event.narrative).size();
    }
    best = std::min(best, ThreadCpuSeconds() - start);
  }
  // Nothing is to be found in them; counted so that the work is done.
  return found == SIZE_MAX ? 0 : static_cast<double>(bytes) / best / 1e6;
}

}  // namespace

// A planted identifier counts as found when every byte of it but spaces and commas is covered; a
// finding as right when it touches a planted identifier of its kind.
absl::Status RunScrub(const Options&, Report& report) {
  report.Add("scrub.mb_per_core_second", MegabytesPerSecond(), "MB/s");

  ScrubCorpus corpus(1);
  privacy::Scrubber scrubber;
  double planted = 0, claimed = 0, found = 0, found_claimed = 0, findings = 0, right = 0;
  for (int i = 0; i < kTexts; ++i) {
    PlantedText text = corpus.Next();
    scrubber.NextEvent(text.year);
    for (const std::string& name : text.names) scrubber.AddName(name);
    for (const std::string& birth : text.births) scrubber.AddBirth(birth);
    scrubber.AddNumber(contract::v1::WARRANT_NUMBER, text.warrant);
    scrubber.AddNumber(contract::v1::PASSPORT, text.passport);
    std::vector<bool> covered(text.text.size());
    for (const privacy::Finding& finding : scrubber.Find(text.text)) {
      std::fill(covered.begin() + finding.begin, covered.begin() + finding.end, true);
      bool touches = false;
      for (const Planted& at : text.planted)
        touches |= finding.kind == at.kind && finding.begin < at.end && at.begin < finding.end;
      ++findings;
      right += touches;
    }
    for (const Planted& at : text.planted) {
      bool all = true;
      for (size_t byte = at.begin; byte < at.end; ++byte)
        all &= covered[byte] || text.text[byte] == ' ' || text.text[byte] == ',';
      ++planted;
      found += all;
      claimed += at.claimed;
      found_claimed += at.claimed && all;
    }
  }
  if (findings == 0 || claimed == 0) return absl::InternalError("nothing was planted, or found");
  report.Add("scrub.precision", right / findings, "ratio");
  report.Add("scrub.recall", found / planted, "ratio");
  report.Add("scrub.recall_of_claimed", found_claimed / claimed, "ratio");
  return absl::OkStatus();
}

}  // namespace sluice::bench
