#include "common/trail/tally.h"

#include <algorithm>
#include <utility>

namespace sluice::trail {
namespace {

constexpr std::string_view kOthers = "(others)";
constexpr std::string_view kSeveral = "(several)";
// Of a refusal's domains and recipients.
constexpr size_t kNamesMax = 3;
// How late a refusal that couldn't wait is written.
constexpr std::chrono::milliseconds kTick{500};
// Of such refusals, when there are always more.
constexpr std::chrono::seconds kBetweenFlushes{10};

void Cut(std::string& text) {
  if (text.size() <= Tally::kTextBytesMax) return;
  text.resize(Tally::kTextBytesMax);
  text += "...";
}

}  // namespace

Entry Tally::Bounded(Entry entry) {
  for (std::string* text : {&entry.who, &entry.action, &entry.reason, &entry.subject,
                            &entry.purpose, &entry.justification, &entry.case_reference})
    Cut(*text);
  for (auto* texts : {&entry.domains, &entry.recipients}) {
    if (texts->size() > kNamesMax) texts->resize(kNamesMax);
    for (std::string& text : *texts) Cut(text);
  }
  return entry;
}

Tally::Key Tally::KeyOf(const Entry& entry) {
  return {entry.who, entry.action, entry.reason, entry.domains.empty() ? "" : entry.domains[0]};
}

std::pair<Entry*, bool> Tally::At(Entry entry) {
  entry = Bounded(std::move(entry));
  entry.count = 0;
  // The first of its kind has said them; what is counted has many.
  for (std::string* text : {&entry.purpose, &entry.justification, &entry.case_reference})
    text->clear();
  entry.recipients.clear();
  Key key = KeyOf(entry);
  if (auto found = entries_.find(key); found != entries_.end()) return {&found->second, false};
  // Only a number is kept of what comes without end.
  auto collapse = [&](std::string_view who, std::string_view reason) {
    entry = {.who = std::string(who),
             .operation = entry.operation,
             .action = entry.action,
             .outcome = entry.outcome,
             .reason = std::string(reason)};
    key = KeyOf(entry);
  };
  const std::string caller = entry.who;
  size_t& kinds = kinds_[caller];
  if (kinds >= kKindsPerCallerMax && entry.outcome == Outcome::kRefused) collapse(caller, kSeveral);
  if (entries_.size() >= kKindsMax && !entries_.contains(key)) collapse(kOthers, entry.reason);
  auto [at, added] = entries_.try_emplace(key, entry);
  if (added) ++kinds;
  if (kinds == 0) kinds_.erase(caller);
  return {&at->second, added};
}

bool Tally::Add(Entry refusal) {
  base::MutexLock lock(mutex_);
  auto [entry, added] = At(std::move(refusal));
  if (!added) ++entry->count;
  return added;
}

void Tally::AddLater(Entry refusal) {
  base::MutexLock lock(mutex_);
  ++At(std::move(refusal)).first->count;
  due_ = true;
}

void Tally::Count(Entry act, uint64_t count) {
  base::MutexLock lock(mutex_);
  At(std::move(act)).first->count += count;
}

bool Tally::due() const {
  base::MutexLock lock(mutex_);
  return due_;
}

std::vector<Entry> Tally::Take() {
  std::map<Key, Entry> entries;
  {
    base::MutexLock lock(mutex_);
    entries.swap(entries_);
    kinds_.clear();
    due_ = false;
  }
  std::vector<Entry> taken;
  for (auto& [key, entry] : entries)
    if (entry.count > 0) taken.push_back(std::move(entry));
  return taken;
}

void Tally::PutBack(Entry entry) {
  base::MutexLock lock(mutex_);
  const uint64_t count = entry.count;
  At(std::move(entry)).first->count += count;
}

RefusalLog::RefusalLog(Chain& chain, std::chrono::milliseconds interval)
    : chain_(chain), interval_(interval), thread_([this] { Run(); }) {}

RefusalLog::~RefusalLog() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
  Flush();
}

bool RefusalLog::Refused(Entry refusal, bool wait) {
  if (!wait) {
    tally_.AddLater(std::move(refusal));
    return false;
  }
  if (!tally_.Add(refusal)) return false;
  refusal = Tally::Bounded(std::move(refusal));
  refusal.count = 1;
  chain_.Append(refusal).IgnoreError();
  return true;
}

void RefusalLog::Flush() {
  for (Entry& entry : tally_.Take())
    if (!chain_.Append(entry).ok()) tally_.PutBack(std::move(entry));
}

void RefusalLog::Run() {
  auto flush_at = std::chrono::steady_clock::now() + interval_;
  auto due_at = std::chrono::steady_clock::now();
  while (true) {
    {
      base::MutexLock lock(mutex_);
      if (lock.WaitFor(changed_, std::min<std::chrono::milliseconds>(interval_, kTick),
                       [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_; }))
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now < flush_at && !(tally_.due() && now >= due_at)) continue;
    Flush();
    flush_at = now + interval_;
    due_at = now + kBetweenFlushes;
  }
}

}  // namespace sluice::trail
