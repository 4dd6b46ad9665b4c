#include "services/processor/deaths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::processor {
namespace {

constexpr int kFatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
// A file of notes beyond it is no file of notes: each death adds a few lines of some 60 bytes.
constexpr size_t kBytesMax = 4 * 1024 * 1024;
constexpr size_t kNotesMax = 10'000;
// Runs of one partition in a chunk; what is beyond widens the last one's partition.
constexpr size_t kRunsMax = 256;
constexpr size_t kStackBytes = 64 * 1024;

// The rest is read by the handler of a signal: plain data, nothing that allocates.
struct Run {
  const char* topic;
  size_t topic_bytes;
  int32_t partition;
  int64_t first, last;
};
struct Work {
  volatile sig_atomic_t active = 0;
  bool alone = false;
  const std::atomic<const base::InputRecord*>* record = nullptr;
  size_t run_count = 0;
  Run runs[kRunsMax];
};
thread_local Work work;
thread_local std::unique_ptr<char[]> signal_stack;

char notes_path[4096];
std::atomic_flag dying = ATOMIC_FLAG_INIT;

char* Append(char* at, int64_t number) {
  char digits[20];
  size_t count = 0;
  auto rest = number < 0 ? 0 : static_cast<uint64_t>(number);
  do {
    digits[count++] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

// topic partition first last
void WriteLine(int file, const Run& run) {
  constexpr size_t kTopicMax = 249;  // Kafka's own bound
  char line[kTopicMax + 80];
  char* at = line;
  const size_t topic = run.topic_bytes < kTopicMax ? run.topic_bytes : kTopicMax;
  std::memcpy(at, run.topic, topic);
  at += topic;
  for (int64_t number : {int64_t{run.partition}, run.first, run.last}) {
    *at++ = ' ';
    at = Append(at, number);
  }
  *at++ = '\n';
  // Nobody is left who could do anything about a write that fails.
  [[maybe_unused]] ssize_t written = write(file, line, static_cast<size_t>(at - line));
}

void OnFatalSignal(int signal, siginfo_t* info, void*) {
  // Only what this process did itself: a person's kill says nothing of the events.
  const bool own = info->si_code > 0 || info->si_pid == getpid();
  if (own && work.active != 0 && !dying.test_and_set()) {
    int file = open(notes_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
      const base::InputRecord* record =
          work.record == nullptr ? nullptr : work.record->load(std::memory_order_relaxed);
      if (!work.alone) {
        for (size_t i = 0; i < work.run_count; ++i) WriteLine(file, work.runs[i]);
      } else if (record != nullptr) {
        WriteLine(file, {record->topic.data(), record->topic.size(), record->partition,
                         record->offset, record->offset});
      }
      fsync(file);
      close(file);
    }
  }
  // Its default action follows, with its own signal.
  std::signal(signal, SIG_DFL);
  raise(signal);
}

void HandleFatalSignals(bool on) {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  if (on) {
    action.sa_sigaction = OnFatalSignal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND;
  } else {
    action.sa_handler = SIG_DFL;
  }
  for (int signal : kFatal) sigaction(signal, &action, nullptr);
}

// A stack that has overflown can't run a handler.
void GiveSignalsAStack() {
  if (signal_stack != nullptr) return;
  signal_stack = std::make_unique<char[]>(kStackBytes);
  stack_t stack{};
  stack.ss_sp = signal_stack.get();
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, nullptr);
}

}  // namespace

std::vector<DeathNote> ParseDeathNotes(std::string_view text) {
  std::vector<DeathNote> notes;
  auto number = [](const std::string& word, auto& to) {
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), to);
    return error == std::errc() && end == word.data() + word.size() && to >= 0;
  };
  for (absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n',
                                               absl::SkipEmpty())) {
    std::vector<std::string> words = absl::StrSplit(line, ' ');
    DeathNote note;
    if (words.size() != 4 || words[0].empty() || !number(words[1], note.partition) ||
        !number(words[2], note.first) || !number(words[3], note.last) || note.last < note.first ||
        notes.size() >= kNotesMax)
      continue;
    note.topic = words[0];
    notes.push_back(std::move(note));
  }
  return notes;
}

std::string DeathNotesText(std::span<const DeathNote> notes) {
  std::string text;
  for (const DeathNote& note : notes)
    base::StrAppend(text, note.topic, ' ', note.partition, ' ', note.first, ' ', note.last, '\n');
  return text;
}

absl::StatusOr<std::unique_ptr<Deaths>> Deaths::Open(const std::string& folder) {
  const std::string path = folder + "/deaths";
  if (path.size() >= sizeof(notes_path))
    return absl::InvalidArgumentError(base::StrCat(folder, ": the path is too long"));
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return absl::FailedPreconditionError(
        base::StrCat(folder, ": cannot be made a folder: ", std::strerror(errno)));
  auto deaths = std::unique_ptr<Deaths>(new Deaths(path));
  absl::StatusOr<std::string> text = base::ReadFile(path, kBytesMax);
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  {
    base::MutexLock lock(deaths->mutex_);
    deaths->notes_ = ParseDeathNotes(text.ok() ? *text : "");
    deaths->any_ = !deaths->notes_.empty();
    // That this works is known before it is needed.
    SLUICE_RETURN_IF_ERROR(deaths->Write());
  }
  std::memcpy(notes_path, path.c_str(), path.size() + 1);
  HandleFatalSignals(true);
  return deaths;
}

Deaths::~Deaths() { HandleFatalSignals(false); }

Deaths::Verdict Deaths::Judge(const base::InputRecord& record) const {
  if (!any_.load(std::memory_order_relaxed)) return Verdict::kSound;
  base::MutexLock lock(mutex_);
  int deaths = 0;
  bool named = false;
  for (const DeathNote& note : notes_) {
    if (note.partition != record.partition || note.topic != record.topic ||
        record.offset < note.first || record.offset > note.last)
      continue;
    ++deaths;
    named = named || note.first == note.last;
  }
  if (deaths >= 2 && named) return Verdict::kCondemned;
  return deaths > 0 ? Verdict::kAlone : Verdict::kSound;
}

void Deaths::Passed(std::string_view topic, int32_t partition, int64_t offset) {
  if (!any_.load(std::memory_order_relaxed)) return;
  base::MutexLock lock(mutex_);
  auto gone = std::remove_if(notes_.begin(), notes_.end(), [&](const DeathNote& note) {
    return note.partition == partition && note.topic == topic && note.last < offset;
  });
  if (gone == notes_.end()) return;
  notes_.erase(gone, notes_.end());
  any_ = !notes_.empty();
  // Where this fails, the next process works on some events alone that are done: it costs time
  // only.
  Write().IgnoreError();
}

size_t Deaths::notes() const {
  base::MutexLock lock(mutex_);
  return notes_.size();
}

absl::Status Deaths::Write() const {
  const std::string text = DeathNotesText(notes_);
  const std::string temporary = path_ + ".new";
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool well = file >= 0 &&
              write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
              fsync(file) == 0;
  if (file >= 0) close(file);
  if (well && rename(temporary.c_str(), path_.c_str()) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      base::StrCat(path_, ": cannot be written: ", std::strerror(errno)));
}

Deaths::AtWork::AtWork(std::span<const base::InputRecord> records, bool alone,
                       const std::atomic<const base::InputRecord*>& record) {
  GiveSignalsAStack();
  work.run_count = 0;
  for (const base::InputRecord& next : records) {
    size_t at = 0;
    while (at < work.run_count &&
           (work.runs[at].partition != next.partition ||
            work.runs[at].topic_bytes != next.topic.size() ||
            std::memcmp(work.runs[at].topic, next.topic.data(), next.topic.size()) != 0))
      ++at;
    if (at == kRunsMax) continue;
    Run& run = work.runs[at];
    if (at == work.run_count) {
      ++work.run_count;
      run = {next.topic.data(), next.topic.size(), next.partition, next.offset, next.offset};
    } else {
      run.first = std::min(run.first, next.offset);
      run.last = std::max(run.last, next.offset);
    }
  }
  work.alone = alone;
  work.record = &record;
  std::atomic_signal_fence(std::memory_order_release);
  work.active = 1;
}

Deaths::AtWork::~AtWork() {
  work.active = 0;
  std::atomic_signal_fence(std::memory_order_release);
}

}  // namespace sluice::processor
