#include "services/pseudonymiser/recorder.h"

#include <utility>

#include "common/telemetry/log.h"

namespace sluice::pseudonymiser {

absl::Status Recorder::Append(const trail::Entry& entry) {
  absl::Status written = chain_.Append(entry);
  // A line that is too long says nothing about the next one.
  writable_ = written.ok() || absl::IsInvalidArgument(written);
  probe_.Recorded(written.ok());
  if (!written.ok()) {
    Log(telemetry::Severity::kError, "audit_trail_failed",
        {{"status", telemetry::SafeText(written)}});
  }
  return written;
}

absl::Status Recorder::Done(const trail::Entry& entry) { return Append(entry); }

void Recorder::Refused(const trail::Entry& entry) {
  if (!tally_.Add(entry)) return;
  trail::Entry one = trail::Tally::Bounded(entry);
  one.count = 1;
  // The refusal stands either way.
  Append(one).IgnoreError();
}

void Recorder::Count(std::string_view who, std::string_view domain, uint64_t values) {
  tally_.Count({.who = std::string(who),
                .operation = trail::Operation::kAlteration,
                .action = "Pseudonymise",
                .domains = {std::string(domain)}},
               values);
}

void Recorder::Flush() {
  // Counted again with what comes until the next one, where it can't be written.
  for (trail::Entry& entry : tally_.Take())
    if (!Append(entry).ok()) tally_.PutBack(std::move(entry));
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
