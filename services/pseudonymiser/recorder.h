// What of this service's work is put on the audit trail, and how often.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/trail/chain.h"
#include "common/trail/tally.h"
#include "services/pseudonymiser/probe.h"

namespace sluice::pseudonymiser {

// Privileged acts are written one by one, before they are done. What comes by the thousand is
// counted: values that are pseudonymised, and refusals beyond the first of their kind since the
// last Flush(). A process that is killed loses the counts since then. Thread-safe.
class Recorder {
 public:
  // They outlive it.
  Recorder(trail::Chain& chain, Probe& probe) : chain_(chain), probe_(probe) {}

  // Durable when it returns OK. kUnavailable: it can't be, and the act must not be done.
  absl::Status Done(const trail::Entry& entry);
  // `entry` is of a refusal. The caller is refused whether or not this can be written.
  void Refused(const trail::Entry& entry);
  // The same without a wait for the file; written by the next Flush().
  void RefusedLater(const trail::Entry& entry) { tally_.AddLater(entry); }
  // Whether RefusedLater() has left something to write.
  bool due() const { return tally_.due(); }
  // Values that were pseudonymised for a domain.
  void Count(std::string_view who, std::string_view domain, uint64_t values);
  // Writes what was counted since the last one.
  void Flush();

  // kUnavailable since something couldn't be written, until something can: nothing that has to be
  // recorded may be done.
  absl::Status Writable() const;

 private:
  absl::Status Append(const trail::Entry& entry);

  trail::Chain& chain_;
  Probe& probe_;
  std::atomic<bool> writable_ = true;
  trail::Tally tally_;
};

}  // namespace sluice::pseudonymiser
