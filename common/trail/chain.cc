#include "common/trail/chain.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
constexpr size_t kFileBytesMax = size_t{1} << 32;

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

absl::StatusOr<std::string> ReadAll(int file, const std::string& path) {
  struct stat info;
  if (fstat(file, &info) != 0 || info.st_size > static_cast<off_t>(kFileBytesMax)) {
    return absl::FailedPreconditionError(
        StrCat(path, ": is larger than 4 GiB: move it to the archive, and begin a new one"));
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t have = 0;
  while (have < text.size()) {
    ssize_t got = pread(file, text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::FailedPreconditionError(StrCat(path, ": can't be read to its end"));
    have += static_cast<size_t>(got);
  }
  return text;
}

}  // namespace

std::string_view OperationName(Operation operation) {
  return kOperations[static_cast<size_t>(operation)];
}

absl::Status Verify(std::string_view lines, std::string& writer, Head& head) {
  for (size_t number = 1; !lines.empty(); ++number) {
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
  int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (file < 0) return error(StrCat("can't be opened: ", std::strerror(errno)));
  absl::Cleanup close_file = [file] { close(file); };
  if (flock(file, LOCK_EX | LOCK_NB) != 0) return error("another process writes to it");
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadAll(file, path));
  size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  if (whole != text.size() && ftruncate(file, static_cast<off_t>(whole)) != 0)
    return error("its last line is half written, and can't be cut off");
  Head head;
  std::string quoted, writer;
  telemetry::AppendJsonText(quoted, options.writer);
  writer = quoted.substr(1, quoted.size() - 2);
  absl::Status verified = Verify(std::string_view(text).substr(0, whole), writer, head);
  if (!verified.ok()) {
    return absl::DataLossError(StrCat(path, ": ", base::View(verified.message()),
                                      "; keep the file as evidence, and begin a new one"));
  }
  auto chain = std::unique_ptr<Chain>(new Chain(std::move(options), clock, file, std::move(head)));
  {
    base::MutexLock lock(chain->mutex_);
    chain->size_ = whole;
  }
  std::move(close_file).Cancel();
  return chain;
}

Chain::~Chain() { close(file_); }

absl::Status Chain::Append(const Entry& entry) {
  base::MutexLock lock(mutex_);
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
    // Half a line is cut off, or written over by the next one.
    [[maybe_unused]] int cut = ftruncate(file_, static_cast<off_t>(size_));
    return absl::UnavailableError(
        StrCat(options_.path, ": the audit trail can't be written; nothing was done"));
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
