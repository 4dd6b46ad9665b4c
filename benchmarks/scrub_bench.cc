// Free text: how fast identifiers are found in it, how many of those that are there, and how many
// of those found are any.
#include <algorithm>
#include <iterator>

#include "benchmarks/bench.h"
#include "benchmarks/process_usage.h"
#include "benchmarks/workload.h"
#include "common/base/strings.h"
#include "common/privacy/scrub.h"
#include "tests/support/texts/marked_corpus.h"

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

struct Event {
  std::string name, birth, warrant, narrative;
};

// The workload's narratives, each with its event's people.
std::vector<Event> Narratives() {
  std::vector<Event> events;
  Workload workload(1);
  for (int i = 0; i < kTexts; ++i) {
    std::string event = workload.Next();
    events.push_back({Member(event, "name"), Member(event, "date_of_birth"),
                      Member(event, "warrant_no"), Member(event, "narrative")});
  }
  return events;
}

// One character in twenty is beyond ASCII, as people's names and word processors have them.
std::string Mixed(const std::string& text) {
  constexpr std::string_view kOthers[] = {"\u00E9", "\u2019", "\u201C",
                                          "\u2013", "\u00A0", "\u00FC"};
  std::string mixed;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % 20 == 10) {
      mixed += kOthers[i / 20 % std::size(kOthers)];
    } else {
      mixed += text[i];
    }
  }
  return mixed;
}

double MegabytesPerSecond(const std::vector<Event>& events) {
  size_t bytes = 0;
  for (const Event& event : events) bytes += event.narrative.size();
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

Found FindIn(const PlantedText& text, privacy::Scrubber& scrubber) {
  scrubber.NextEvent(text.year);
  for (const std::string& name : text.names) scrubber.AddName(name);
  for (const std::string& birth : text.births) scrubber.AddBirth(birth);
  if (!text.warrant.empty()) scrubber.AddNumber(contract::v1::WARRANT_NUMBER, text.warrant);
  if (!text.passport.empty()) scrubber.AddNumber(contract::v1::PASSPORT, text.passport);
  return Compare(text, scrubber.Find(text.text));
}

struct Tally {
  double planted = 0, claimed = 0, found = 0, found_claimed = 0, findings = 0, right = 0;
  void Add(const PlantedText& text, const Found& in) {
    planted += static_cast<double>(text.planted.size());
    for (const Planted& at : text.planted) claimed += at.claimed;
    found += static_cast<double>(in.planted);
    found_claimed += static_cast<double>(in.claimed);
    findings += static_cast<double>(in.findings);
    right += static_cast<double>(in.right);
  }
  double recall() const { return claimed == 0 ? 0 : found_claimed / claimed; }
  double precision() const { return findings == 0 ? 0 : right / findings; }
};

std::string Key(std::string_view name) {
  std::string key(name);
  std::replace(key.begin(), key.end(), ' ', '_');
  return key;
}

}  // namespace

// A planted identifier counts as found when every byte of it but spaces and punctuation is covered;
// a finding as right when it touches a planted identifier of its kind.
absl::Status RunScrub(const Options&, Report& report) {
  std::vector<Event> events = Narratives();
  report.Add("scrub.mb_per_core_second", MegabytesPerSecond(events), "MB/s");
  for (Event& event : events) event.narrative = Mixed(event.narrative);
  report.Add("scrub.mixed_mb_per_core_second", MegabytesPerSecond(events), "MB/s");

  privacy::Scrubber scrubber;
  ScrubCorpus corpus(1);
  Tally texts;
  for (int i = 0; i < kTexts; ++i) {
    PlantedText text = corpus.Next();
    texts.Add(text, FindIn(text, scrubber));
  }
  if (texts.findings == 0 || texts.claimed == 0)
    return absl::InternalError("nothing was planted, or found");
  report.Add("scrub.precision", texts.precision(), "ratio");
  report.Add("scrub.recall", texts.found / texts.planted, "ratio");
  report.Add("scrub.recall_of_claimed", texts.recall(), "ratio");

  // Each sort beside each mark, so often that each has its 10,000.
  constexpr size_t kSamples = 400;
  MarkedCorpus marked(1);
  std::vector<Tally> by_sort(MarkedCorpus::sorts()), by_mark(MarkedCorpus::marks());
  Tally all;
  for (size_t sort = 0; sort < by_sort.size(); ++sort) {
    for (size_t mark = 0; mark < by_mark.size(); ++mark) {
      for (size_t i = 0; i < kSamples; ++i) {
        const PlantedText text = marked.Next(sort, mark);
        const Found found = FindIn(text, scrubber);
        by_sort[sort].Add(text, found);
        by_mark[mark].Add(text, found);
        all.Add(text, found);
      }
    }
  }
  double recall_min = 1;
  for (size_t sort = 0; sort < by_sort.size(); ++sort) {
    recall_min = std::min(recall_min, by_sort[sort].recall());
    report.Add(base::StrCat("scrub.recall.", MarkedCorpus::NameOfSort(sort)),
               by_sort[sort].recall(), "ratio");
  }
  for (size_t mark = 0; mark < by_mark.size(); ++mark) {
    recall_min = std::min(recall_min, by_mark[mark].recall());
    report.Add(base::StrCat("scrub.recall_beside.", Key(MarkedCorpus::NameOfMark(mark))),
               by_mark[mark].recall(), "ratio");
  }
  for (int i = 0; i < 10 * kTexts; ++i) {
    const PlantedText text = marked.Ordinary();
    all.Add(text, FindIn(text, scrubber));
  }
  report.Add("scrub.marked_recall_min", recall_min, "ratio");
  report.Add("scrub.marked_precision", all.precision(), "ratio");
  return absl::OkStatus();
}

}  // namespace sluice::bench
