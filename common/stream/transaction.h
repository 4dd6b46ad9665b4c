// The port that results go to: transactions that hold results and input positions together.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/stream/source.h"
#include "common/stream/transform.h"

namespace sluice::stream {

// What to do after a transactional call.
enum class Verdict {
  kOk,
  kRetry,     // the same call with the same arguments
  kAbort,     // this transaction can't be completed: abort it and do its records again
  kRecreate,  // this producer can do nothing more: Recreate()
  kFenced,    // as kRecreate, and because another producer has taken the transactional id
  kHalt,      // as kAbort, and doing the records again won't help until a person acts
  kDenied,    // as kHalt, for want of a permission; once it is granted it will help
  // As kAbort, because a topic never takes one of the records, whichever; Result::topic is its
  // index.
  kRefused,
};

constexpr std::string_view VerdictName(Verdict verdict) {
  constexpr std::string_view kNames[] = {"ok",     "retry", "abort",  "recreate",
                                         "fenced", "halt",  "denied", "refused"};
  return kNames[static_cast<size_t>(verdict)];
}

struct Result {
  Verdict verdict = Verdict::kOk;
  std::string text;  // what happened and what to do about it; no payload
  size_t topic = 0;  // of kRefused

  bool ok() const { return verdict == Verdict::kOk; }
};

// Delivery promise: what is produced between Begin() and a Commit() that returns kOk becomes
// visible to read_committed readers together with the positions of SendOffsets(), and otherwise
// none of it does. After any other end of Commit() or Abort() only the committed positions, read
// after a successful Recreate(), say which of the two happened. The promise holds only as long as
// no Begin() follows an abort, or a moment at which tainted() was true, without a Recreate() in
// between: requests of the old transaction may still be on their way, and the broker would take
// them for the new one's.
//
// Single-threaded: all calls on the worker's thread.
class Transaction : public Output {
 public:
  virtual Result Begin() = 0;
  // At most one set of positions per transaction; a retry passes the same.
  virtual Result SendOffsets(std::span<const Position> next) = 0;
  virtual Result Commit() = 0;
  // After a Produce() that failed: why the open transaction can't be completed, where that is known;
  // else kOk.
  virtual Result Cause() { return {}; }
  virtual Result Abort() = 0;
  // Takes a new producer epoch: nothing that is late of the old one can take effect any more, and a
  // transaction that was left open is aborted. Also the first call.
  virtual Result Recreate() = 0;
  // Whether a request since the last Recreate() ended without an answer, so that it may still take
  // effect.
  virtual bool tainted() const = 0;
};

}  // namespace sluice::stream
