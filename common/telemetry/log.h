// Structured log: one JSON object a line, to standard error.
//
//   Log(Severity::kInfo, "partitions_assigned", {{"partitions", count}, {"topic",
//   SafeText(topic)}});
//   {"time":"2026-03-04T05:06:07.089Z","severity":"INFO","component":"processor",
//    "event":"partitions_assigned","partitions":3,"topic":"raw.stops"}
//
// A value of an event can't be logged by accident: text is taken only as a literal or as SafeText,
// whose name can be searched for.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/clock.h"

namespace sluice::telemetry {

enum class Severity { kDebug, kInfo, kWarning, kError };

// Text that the caller vouches for: it comes from the configuration, a library or this program, and
// never from an event.
class SafeText {
 public:
  explicit SafeText(std::string text) : text_(std::move(text)) {}
  explicit SafeText(std::string_view text) : text_(text) {}
  explicit SafeText(const char* text) : text_(text) {}
  // Statuses name paths and rules, never values, by the rule of the whole project.
  explicit SafeText(const absl::Status& status) : text_(status.ToString()) {}
  std::string_view text() const { return text_; }

 private:
  std::string text_;
};

// Of an event or a key: a literal in lower_snake_case that isn't a key of every line. Checked by
// the compiler.
class LogName {
 public:
  consteval LogName(const char* name) : name_(name) {
    for (char c : name_) {
      if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
        throw "not lower_snake_case";
    }
    if (name_.empty()) throw "empty";
    for (std::string_view reserved : {"time", "severity", "component", "event", "suppressed"}) {
      if (name_ == reserved) throw "reserved";
    }
  }
  std::string_view text() const { return name_; }

 private:
  std::string_view name_;
};

// Lives as long as the statement that makes it.
class LogValue {
 public:
  enum class Kind { kText, kSigned, kUnsigned, kDouble, kBool };

  consteval LogValue(const char* literal) : kind_(Kind::kText), text_(literal) {}
  LogValue(const SafeText& safe) : kind_(Kind::kText), text_(safe.text()) {}
  template <typename T>
    requires std::same_as<T, bool>
  LogValue(T value) : kind_(Kind::kBool), unsigned_(value) {}
  template <std::signed_integral T>
  LogValue(T value) : kind_(Kind::kSigned), signed_(value) {}
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool>)
  LogValue(T value) : kind_(Kind::kUnsigned), unsigned_(value) {}
  template <std::floating_point T>
  LogValue(T value) : kind_(Kind::kDouble), double_(value) {}
  // A character is a piece of text.
  LogValue(char) = delete;

  void AppendTo(std::string& line) const;

 private:
  Kind kind_;
  std::string_view text_;
  int64_t signed_ = 0;
  uint64_t unsigned_ = 0;
  double double_ = 0;
};

struct LogField {
  LogName key;
  LogValue value;
};

struct LogOptions {
  std::string component = "sluice";
  // What is less severe isn't written.
  Severity severity_min = Severity::kInfo;
  // For each event name; more are dropped, and their number is in the next line of that event
  // (`suppressed`) and in LogLinesSuppressed().
  int lines_per_second_max = 20;
  // Gets each line without its line break, one at a time; must not log. Default: standard error.
  std::function<void(std::string_view line)> sink;
  // Default: the system's. Outlives its use here.
  const base::Clock* clock = nullptr;
};

// Replaces the process's options and gives the former ones back. Thread-safe.
LogOptions ConfigureLog(LogOptions options);

// Writes a line. Thread-safe.
void Log(Severity severity, LogName event, std::initializer_list<LogField> fields = {});

// Lines dropped since the process began.
uint64_t LogLinesSuppressed();

}  // namespace sluice::telemetry
