#include "common/trail/chain.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/telemetry/json.h"

namespace sluice::trail {
namespace {

using base::StrAppend;
using base::StrCat;

constexpr std::string_view kOperations[] = {"collection", "alteration",  "consultation",
                                            "disclosure", "combination", "erasure"};
constexpr size_t kHashDigits = 64;
constexpr std::string_view kHashKey = ",\"hash\":\"";
constexpr size_t kReadBytes = 1024 * 1024;

void AppendText(std::string& line, std::string_view key, std::string_view text) {
  if (text.empty()) return;
  StrAppend(line, ",\"", key, "\":");
  telemetry::AppendJsonText(line, text);
}

void AppendList(std::string& line, std::string_view key, const std::vector<std::string>& texts) {
  if (texts.empty()) return;
  StrAppend(line, ",\"", key, "\":[");
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) line.push_back(',');
    telemetry::AppendJsonText(line, texts[i]);
  }
  line.push_back(']');
}

std::string Prefix(std::string_view writer, const Head& head) {
  std::string line = "{\"writer\":";
  telemetry::AppendJsonText(line, writer);
  StrAppend(line, ",\"sequence\":", head.sequence + 1, ",\"previous\":\"", head.hash, '"');
  return line;
}

std::string HashOf(std::string_view text) {
  base::Sha256 hash;
  hash.Add(text);
  return hash.Hex();
}

// The JSON text, still escaped, of the writer that the line names; empty: it names none.
std::string_view WriterOf(std::string_view line) {
  constexpr std::string_view kBegin = "{\"writer\":\"", kEnd = "\",\"sequence\":";
  if (!line.starts_with(kBegin)) return "";
  line.remove_prefix(kBegin.size());
  size_t end = line.find(kEnd);
  return end == std::string_view::npos ? "" : line.substr(0, end);
}

// Verifies the file's whole lines, piece by piece: its size isn't bounded, memory is. Sets where
// they end.
absl::Status VerifyFile(int file, std::string& writer, Head& head, uint64_t& whole) {
  std::string text;
  uint64_t lines = 0;
  off_t at = 0;
  whole = 0;
  while (true) {
    const size_t kept = text.size();
    text.resize(kept + kReadBytes);
    ssize_t got = pread(file, text.data() + kept, kReadBytes, at);
    if (got < 0 && errno == EINTR)
      got = 0;
    else if (got < 0)
      return absl::FailedPreconditionError("can't be read to its end");
    else if (got == 0)
      return absl::OkStatus();
    at += got;
    text.resize(kept + static_cast<size_t>(got));
    // What was kept holds no line break.
    const size_t last = text.rfind('\n');
    if (last == std::string::npos || last < kept) continue;
    const std::string_view piece = std::string_view(text).substr(0, last + 1);
    SLUICE_RETURN_IF_ERROR(Verify(piece, writer, head, lines));
    lines += static_cast<uint64_t>(std::count(piece.begin(), piece.end(), '\n'));
    whole += piece.size();
    text.erase(0, piece.size());
  }
}

// The name of a file is in its folder, and is durable with it only.
bool SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool durable = directory >= 0 && fsync(directory) == 0;
  if (directory >= 0) close(directory);
  return durable;
}

}  // namespace

std::string_view OperationName(Operation operation) {
  return kOperations[static_cast<size_t>(operation)];
}

absl::Status Verify(std::string_view lines, std::string& writer, Head& head,
                    uint64_t lines_before) {
  for (uint64_t number = lines_before + 1; !lines.empty(); ++number) {
    auto broken = [&](std::string_view what) {
      return absl::DataLossError(StrCat("line ", number, ": ", what));
    };
    size_t end = lines.find('\n');
    if (end == std::string_view::npos)
      return broken("has no end: it was being written, or was cut");
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 1);
    size_t at = line.size() < kHashDigits + kHashKey.size() + 2
                    ? std::string_view::npos
                    : line.size() - kHashDigits - kHashKey.size() - 2;
    if (at == std::string_view::npos || line.substr(at, kHashKey.size()) != kHashKey ||
        !line.ends_with("\"}")) {
      return broken("isn't a line of an audit trail");
    }
    std::string_view hash = line.substr(at + kHashKey.size(), kHashDigits);
    std::string_view own = WriterOf(line);
    if (writer.empty()) writer = own;
    if (own.empty() || own != writer) return broken("is of another writer");
    std::string expected =
        StrCat("{\"writer\":\"", writer, "\",\"sequence\":", head.sequence + 1, ',');
    if (!line.starts_with(expected)) {
      return broken(StrCat("isn't number ", head.sequence + 1,
                           ": lines before it were removed, added or moved"));
    }
    expected += StrCat("\"previous\":\"", head.hash, "\"");
    if (!line.starts_with(expected)) return broken("doesn't follow on the line before it");
    if (HashOf(line.substr(0, at)) != hash) return broken("was changed");
    ++head.sequence;
    head.hash = hash;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Chain>> Chain::Open(Options options, const base::Clock& clock) {
  const std::string& path = options.path;
  auto error = [&](std::string_view what) {
    return absl::FailedPreconditionError(StrCat(path, ": ", what));
  };
  if (options.writer.empty())
    return absl::InvalidArgumentError("an audit trail's writer has a name");
  // Only now: a file that isn't a regular one, such as a pipe, would be waited for.
  struct stat info;
  const bool there = stat(path.c_str(), &info) == 0;
  if (there && !S_ISREG(info.st_mode)) return error("isn't a file");
  int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (file < 0) return error(StrCat("can't be opened: ", std::strerror(errno)));
  absl::Cleanup close_file = [file] { close(file); };
  if (!there && !SyncFolderOf(path)) return error("is new, and its folder can't be synced");
  if (flock(file, LOCK_EX | LOCK_NB) != 0) return error("another process writes to it");
  Head head;
  std::string quoted, writer;
  telemetry::AppendJsonText(quoted, options.writer);
  writer = quoted.substr(1, quoted.size() - 2);
  uint64_t whole = 0;
  absl::Status verified = VerifyFile(file, writer, head, whole);
  if (absl::IsDataLoss(verified)) {
    return absl::DataLossError(StrCat(path, ": ", base::View(verified.message()),
                                      "; keep the file as evidence, and begin a new one"));
  }
  if (!verified.ok()) return error(base::View(verified.message()));
  if (fstat(file, &info) != 0 || (static_cast<uint64_t>(info.st_size) != whole &&
                                  ftruncate(file, static_cast<off_t>(whole)) != 0))
    return error("its last line is half written, and can't be cut off");
  auto chain =
      std::unique_ptr<Chain>(new Chain(std::move(options), clock, file, std::move(head), whole));
  std::move(close_file).Cancel();
  return chain;
}

Chain::~Chain() { close(file_); }

absl::Status Chain::Append(const Entry& entry) {
  base::MutexLock lock(mutex_);
  auto unavailable = [&](std::string_view what) {
    return absl::UnavailableError(StrCat(options_.path, ": ", what, "; nothing was done"));
  };
  // A shorter line would not cover all of what an earlier one left behind.
  if (tail_ && ftruncate(file_, static_cast<off_t>(size_)) != 0)
    return unavailable("what was half written can't be cut off the audit trail");
  tail_ = false;
  std::string line = Prefix(options_.writer, head_);
  StrAppend(line, ",\"time\":\"",
            absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(clock_.UnixMillis()),
                             absl::UTCTimeZone()),
            '"');
  AppendText(line, "who", entry.who);
  AppendText(line, "operation", OperationName(entry.operation));
  AppendText(line, "action", entry.action);
  AppendText(line, "outcome", entry.outcome == Outcome::kDone ? "done" : "refused");
  AppendText(line, "reason", entry.reason);
  AppendText(line, "subject", entry.subject);
  AppendText(line, "purpose", entry.purpose);
  AppendText(line, "justification", entry.justification);
  AppendText(line, "case", entry.case_reference);
  AppendList(line, "domains", entry.domains);
  AppendList(line, "recipients", entry.recipients);
  StrAppend(line, ",\"count\":", entry.count);
  std::string hash = HashOf(line);
  StrAppend(line, kHashKey, hash, "\"}\n");
  if (line.size() > kLineBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("an audit trail's line has at most ", kLineBytesMax, " bytes; nothing was done"));
  }
  std::string_view rest = line;
  auto at = static_cast<off_t>(size_);
  while (!rest.empty()) {
    ssize_t put = pwrite(file_, rest.data(), rest.size(), at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) break;
    rest.remove_prefix(static_cast<size_t>(put));
    at += put;
  }
  if (!rest.empty() || fdatasync(file_) != 0) {
    tail_ = ftruncate(file_, static_cast<off_t>(size_)) != 0;
    return unavailable("the audit trail can't be written");
  }
  size_ += line.size();
  ++head_.sequence;
  head_.hash = std::move(hash);
  return absl::OkStatus();
}

Head Chain::head() const {
  base::MutexLock lock(mutex_);
  return head_;
}

}  // namespace sluice::trail
