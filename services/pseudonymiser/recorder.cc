#include "services/pseudonymiser/recorder.h"

#include <utility>

#include "common/telemetry/log.h"

namespace sluice::pseudonymiser {
namespace {

// Callers whom the policy doesn't know have names without end; what goes beyond is counted as one.
constexpr size_t kTalliesMax = 10'000;
constexpr std::string_view kOthers = "(others)";

}  // namespace

absl::Status Recorder::Append(const trail::Entry& entry) {
  absl::Status written = chain_.Append(entry);
  writable_ = written.ok();
  probe_.Recorded(written.ok());
  if (!written.ok()) {
    Log(telemetry::Severity::kError, "audit_trail_failed",
        {{"status", telemetry::SafeText(written)}});
  }
  return written;
}

absl::Status Recorder::Done(const trail::Entry& entry) { return Append(entry); }

void Recorder::Refused(const trail::Entry& entry) {
  bool first = false;
  {
    base::MutexLock lock(mutex_);
    Key key(entry.who, entry.action, entry.reason,
            entry.domains.empty() ? "" : entry.domains.front());
    if (tallies_.size() >= kTalliesMax && !tallies_.contains(key))
      key = {std::string(kOthers), entry.action, entry.reason, ""};
    auto [at, added] = tallies_.try_emplace(std::move(key), entry);
    first = added;
    if (added) {
      // The first is written now; those that follow are counted from nothing.
      at->second.who = std::get<0>(at->first);
      at->second.count = 0;
    } else {
      ++at->second.count;
    }
  }
  if (!first) return;
  trail::Entry one = entry;
  one.count = 1;
  // The refusal stands either way.
  Append(one).IgnoreError();
}

void Recorder::Count(std::string_view who, std::string_view domain, uint64_t values) {
  base::MutexLock lock(mutex_);
  Key key{std::string(who), "Pseudonymise", "", std::string(domain)};
  auto [at, added] = tallies_.try_emplace(std::move(key));
  if (added) {
    at->second = {.who = std::string(who),
                  .operation = trail::Operation::kAlteration,
                  .action = "Pseudonymise",
                  .domains = {std::string(domain)}};
  }
  at->second.count += values;
}

void Recorder::Flush() {
  std::map<Key, trail::Entry> tallies;
  {
    base::MutexLock lock(mutex_);
    tallies.swap(tallies_);
  }
  for (auto& [key, entry] : tallies) {
    if (entry.count == 0 || Append(entry).ok()) continue;
    // Counted again with what comes until the next one.
    base::MutexLock lock(mutex_);
    auto [at, added] = tallies_.try_emplace(key, entry);
    if (!added) at->second.count += entry.count;
  }
  // A trail that couldn't be written is tried again here, with nothing else to say.
  if (!writable_) {
    Append({.who = chain_.writer(),
            .operation = trail::Operation::kConsultation,
            .action = "TrailWritableAgain"})
        .IgnoreError();
  }
}

absl::Status Recorder::Writable() const {
  if (writable_) return absl::OkStatus();
  return absl::UnavailableError("the audit trail can't be written: nothing is done until it can");
}

}  // namespace sluice::pseudonymiser
