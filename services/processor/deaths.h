// What this process died of, told to the next one: an event that brings the program down is not
// worked on for ever.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/record.h"

namespace sluice::processor {

// Offsets of one partition that a process was at when it died, both ends included.
struct DeathNote {
  std::string topic;
  int32_t partition = 0;
  int64_t first = 0, last = 0;
  bool operator==(const DeathNote&) const = default;
};
// A file's notes, a line each: `topic partition first last`. Lines that a death cut off, or that
// say nothing, are left out, and so are those beyond a bound.
std::vector<DeathNote> ParseDeathNotes(std::string_view text);
std::string DeathNotesText(std::span<const DeathNote> notes);

// A fatal signal of the program's own (a wild pointer, abort(), an arithmetic trap; never a kill
// from outside) that comes while a worker is at a chunk leaves a note: the chunk's topic,
// partitions and offsets. The next process works on the events of that range one at a time. Dies it
// again, the note names one event, and the process after that sends the event to quarantine unseen.
// A note goes away once everything it names is committed.
//
// The notes are a file in a folder that must outlive the container; offsets are all that is in it.
// One process at a time uses the folder. Thread-safe.
class Deaths {
 public:
  // What the process is to do with a record.
  enum class Verdict : uint8_t {
    kSound,      // nothing is known of it
    kAlone,      // the process died while it was at a chunk with this record
    kCondemned,  // it died again, with this record alone
  };

  // Reads the notes, and from now on this process leaves its own there. kFailedPrecondition: the
  // folder cannot be written, or the file in it is no file of notes.
  static absl::StatusOr<std::unique_ptr<Deaths>> Open(const std::string& folder);
  ~Deaths();

  Verdict Judge(const base::InputRecord& record) const;
  // All before `offset` is committed.
  void Passed(std::string_view topic, int32_t partition, int64_t offset);

  // Events that Judge() condemns, and deaths that are noted.
  size_t notes() const;

  // What the calling thread is at, for as long as this lives. Each thread has one at a time.
  class AtWork {
   public:
    // `alone`: the records are worked on one at a time, and `record` says which.
    AtWork(std::span<const base::InputRecord> records, bool alone,
           const std::atomic<const base::InputRecord*>& record);
    ~AtWork();
    AtWork(const AtWork&) = delete;
    AtWork& operator=(const AtWork&) = delete;
  };

 private:
  explicit Deaths(std::string path) : path_(std::move(path)) {}
  absl::Status Write() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  std::atomic<bool> any_ = false;
  mutable base::Mutex mutex_;
  std::vector<DeathNote> notes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::processor
