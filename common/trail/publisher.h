// An audit trail's way to a second place, out of reach of whoever can rewrite the file.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::trail {

// For example the audit topic.
class Publisher {
 public:
  virtual ~Publisher() = default;
  // OK when all lines are there for good. They may be published again after an error or a crash:
  // writer and sequence tell a reader which is which. kInvalidArgument: a line will never be taken,
  // such as one that is too large; any other error: trying again can help.
  virtual absl::Status Publish(std::string_view writer,
                               std::span<const std::string_view> lines) = 0;
};

// Follows the trail's file on a thread of its own and publishes what is new, in order. Where it
// stands, and the hash of the line that ends there, are kept in `<path>.published`: a Publisher
// that is away delays the lines and loses none, and a file in another one's place is published from
// its beginning. No line stops those behind it: in place of one that the Publisher will never take
// goes
//   {"writer":"...","left_out_bytes":12345,"hash":"<hash of the line>"}
// by which the line in the file can be told to be the one.
class Forwarder {
 public:
  // `publisher` outlives it. `failed` is told each failure; tried again every `retry_ms`.
  static std::unique_ptr<Forwarder> Start(std::string path, std::string writer,
                                          Publisher& publisher,
                                          std::function<void(const absl::Status&)> failed,
                                          int retry_ms = 500);
  // Publishes what there is, once, and ends.
  ~Forwarder();

  // Of the file, in bytes.
  uint64_t published() const { return published_; }
  // Lines that were left out since the start.
  uint64_t left_out() const { return left_out_; }

 private:
  Forwarder(std::string path, std::string writer, Publisher& publisher,
            std::function<void(const absl::Status&)> failed, int retry_ms)
      : path_(std::move(path)),
        writer_(std::move(writer)),
        publisher_(publisher),
        failed_(std::move(failed)),
        retry_ms_(retry_ms) {}
  void Run();
  // Whether anything was published.
  absl::StatusOr<bool> Step();
  void Resume();
  // One by one, and stand-ins for those that aren't taken.
  absl::Status PublishSingly(std::span<const std::string_view> lines);

  const std::string path_;
  const std::string writer_;
  Publisher& publisher_;
  const std::function<void(const absl::Status&)> failed_;
  const int retry_ms_;
  std::atomic<uint64_t> published_ = 0;
  std::atomic<uint64_t> left_out_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace sluice::trail
