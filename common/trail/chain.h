// The audit trail: a file of JSON lines, each of which seals the one before.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/trail/entry.h"

namespace sluice::trail {

// Where a writer's chain stands.
struct Head {
  uint64_t sequence = 0;  // of the last line; 0: none yet
  std::string hash = std::string(64, '0');
};

// A line is
//   {"writer":"...","sequence":7,"previous":"<hash of line 6>",...,"hash":"<hash of this line>"}
// where the hash is SHA-256 of the line up to `,"hash":`, in hexadecimal. Whoever changes, removes
// or adds a line breaks the chain there. Whoever rewrites it all, or cuts its end off, is found by
// comparing with a head that was kept elsewhere: the audit topic, or a note of sequence and hash.

// No line is longer, its line break included: whoever copies lines elsewhere can rely on it. Files
// of before this bound may hold longer ones; they are read.
inline constexpr size_t kLineBytesMax = 512 * 1024;

// Checks the lines that follow `head`, all of one writer, and moves it to their end. Error:
// kDataLoss, `line N: what is wrong` of the first broken link. `lines_before` were checked in
// earlier calls.
absl::Status Verify(std::string_view lines, std::string& writer, Head& head,
                    uint64_t lines_before = 0);

// Appends to one file; the only writer of it. Thread-safe.
class Chain {
 public:
  struct Options {
    std::string path;
    // Its name in every line; not empty.
    std::string writer;
  };
  // Continues the file, once all of it has been verified. A last line without its line break was
  // being written when the process died, before the act that it tells of was done: it is cut off.
  // kDataLoss: the chain is broken; the file is left as it is. `clock` outlives the chain.
  static absl::StatusOr<std::unique_ptr<Chain>> Open(Options options, const base::Clock& clock);
  ~Chain();
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  // Durable when it returns OK; what can't be written must not be done. kInvalidArgument: the line
  // would be longer than kLineBytesMax. kUnavailable: it can't be written, or what an earlier call
  // left half written can't be cut off.
  absl::Status Append(const Entry& entry);
  Head head() const;
  const std::string& path() const { return options_.path; }
  const std::string& writer() const { return options_.writer; }

 private:
  Chain(Options options, const base::Clock& clock, int file, Head head, uint64_t size)
      : options_(std::move(options)),
        clock_(clock),
        file_(file),
        head_(std::move(head)),
        size_(size) {}

  const Options options_;
  const base::Clock& clock_;
  const int file_;
  mutable base::Mutex mutex_;
  Head head_ ABSL_GUARDED_BY(mutex_);
  uint64_t size_ ABSL_GUARDED_BY(mutex_);
  // Behind size_ may be what wasn't written whole: nothing is appended before it is cut off.
  bool tail_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::trail
