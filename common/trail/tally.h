// Refusals by the thousand, as few lines of an audit log.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "common/base/mutex.h"
#include "common/trail/chain.h"
#include "common/trail/entry.h"

namespace sluice::trail {

// Counts refusals by caller, action, reason and domain. Its memory is bounded: of one caller's
// kinds beyond kKindsPerCallerMax only the number is kept, and of callers beyond kKindsMax kinds in
// all. Texts are cut to kTextBytesMax. Thread-safe.
class Tally {
 public:
  static constexpr size_t kKindsMax = 10'000;
  static constexpr size_t kKindsPerCallerMax = 20;
  static constexpr size_t kTextBytesMax = 300;

  // Counts it. Whether it is the first of its kind since the last Take(): that one is for the
  // caller to write now, with the count 1, and isn't counted.
  bool Add(Entry refusal);
  // Counts it, the first too: for who can't wait for a file.
  void AddLater(Entry refusal);
  // Counts what isn't a refusal, by `who`, action and domain.
  void Count(Entry act, uint64_t count);
  // Something was counted by AddLater() since the last Take().
  bool due() const;
  // What was counted, without what is 0; begins anew.
  std::vector<Entry> Take();
  // What couldn't be written is counted with what comes.
  void PutBack(Entry entry);

  // As Add() keeps it.
  static Entry Bounded(Entry entry);

 private:
  // who, action, reason, domain
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  static Key KeyOf(const Entry& entry);
  // The entry that counts this one, with the count 0 where it is new.
  std::pair<Entry*, bool> At(Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable base::Mutex mutex_;
  std::map<Key, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, size_t> kinds_ ABSL_GUARDED_BY(mutex_);  // by caller
  bool due_ ABSL_GUARDED_BY(mutex_) = false;
};

// Writes refusals to an audit log: the first of a kind at once, what follows as a count every
// interval and at the end, on a thread of its own. Thread-safe.
class RefusalLog {
 public:
  // `chain` outlives it.
  RefusalLog(Chain& chain, std::chrono::milliseconds interval);
  ~RefusalLog();
  RefusalLog(const RefusalLog&) = delete;
  RefusalLog& operator=(const RefusalLog&) = delete;

  // The refusal stands whether or not it can be written. `wait`: may write at once. Whether it is
  // the first of its kind since the last count.
  bool Refused(Entry refusal, bool wait = true);

 private:
  void Run();
  void Flush();

  Chain& chain_;
  const std::chrono::milliseconds interval_;
  Tally tally_;
  base::Mutex mutex_;
  std::condition_variable changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::trail
