#include "common/telemetry/log.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>

#include "common/base/mutex.h"
#include "common/base/strings.h"
#include "common/telemetry/json.h"

namespace sluice::telemetry {
namespace {

std::string_view Name(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "DEBUG";
    case Severity::kInfo:
      return "INFO";
    case Severity::kWarning:
      return "WARNING";
    case Severity::kError:
      return "ERROR";
  }
  return "ERROR";
}

// RFC 3339, UTC, with milliseconds.
std::string Timestamp(int64_t unix_millis) {
  std::time_t seconds = static_cast<std::time_t>(unix_millis / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[48];
  int length = std::snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                             utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                             utc.tm_min, utc.tm_sec, static_cast<int>(unix_millis % 1000));
  return std::string(text, static_cast<size_t>(length));
}

// One write for a line, so that lines of several processes don't mix. A log that can't be written
// must not stop the work: errors are dropped.
void WriteToStandardError(std::string_view line) {
  std::string text = base::StrCat(line, '\n');
  std::string_view rest = text;
  while (!rest.empty()) {
    ssize_t written = write(STDERR_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

// Lines of one event name in the present second.
struct Window {
  std::chrono::steady_clock::time_point start;
  int lines = 0;
  uint64_t suppressed = 0;
};

struct Logger {
  base::Mutex mutex;
  LogOptions options ABSL_GUARDED_BY(mutex);
  // Bounded: names are literals.
  std::map<std::string_view, Window> windows ABSL_GUARDED_BY(mutex);
  uint64_t suppressed ABSL_GUARDED_BY(mutex) = 0;
};

// Never destroyed: threads may log while the process ends.
Logger& TheLogger() {
  static Logger* logger = new Logger;
  return *logger;
}

}  // namespace

void LogValue::AppendTo(std::string& line) const {
  switch (kind_) {
    case Kind::kText:
      return AppendJsonText(line, text_);
    case Kind::kSigned:
      return base::StrAppend(line, signed_);
    case Kind::kUnsigned:
      return base::StrAppend(line, unsigned_);
    case Kind::kBool:
      return base::StrAppend(line, unsigned_ != 0 ? "true" : "false");
    case Kind::kDouble:
      // JSON has no other way to say it.
      if (!std::isfinite(double_)) return base::StrAppend(line, "null");
      return base::StrAppend(line, double_);
  }
}

LogOptions ConfigureLog(LogOptions options) {
  Logger& logger = TheLogger();
  base::MutexLock lock(logger.mutex);
  logger.windows.clear();
  return std::exchange(logger.options, std::move(options));
}

void Log(Severity severity, LogName event, std::initializer_list<LogField> fields) {
  // Never destroyed, as the logger.
  static const base::Clock& system_clock = *new base::SystemClock;
  Logger& logger = TheLogger();
  base::MutexLock lock(logger.mutex);
  const LogOptions& options = logger.options;
  if (severity < options.severity_min) return;
  const base::Clock& clock = options.clock != nullptr ? *options.clock : system_clock;

  auto [it, added] = logger.windows.try_emplace(event.text());
  Window& window = it->second;
  const auto now = clock.Now();
  if (added || now - window.start >= std::chrono::seconds(1)) {
    window.start = now;
    window.lines = 0;
  }
  if (++window.lines > options.lines_per_second_max) {
    ++window.suppressed;
    ++logger.suppressed;
    return;
  }

  std::string line = base::StrCat("{\"time\":\"", Timestamp(clock.UnixMillis()),
                                  "\",\"severity\":\"", Name(severity), "\",\"component\":");
  AppendJsonText(line, options.component);
  base::StrAppend(line, ",\"event\":\"", event.text(), '"');
  for (const LogField& field : fields) {
    base::StrAppend(line, ",\"", field.key.text(), "\":");
    field.value.AppendTo(line);
  }
  if (window.suppressed > 0) base::StrAppend(line, ",\"suppressed\":", window.suppressed);
  window.suppressed = 0;
  line.push_back('}');
  options.sink ? options.sink(line) : WriteToStandardError(line);
}

uint64_t LogLinesSuppressed() {
  Logger& logger = TheLogger();
  base::MutexLock lock(logger.mutex);
  return logger.suppressed;
}

}  // namespace sluice::telemetry
