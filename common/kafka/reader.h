// Reads whole topics: for audits, command lines and tests.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/kafka/connection.h"
#include "common/stream/record.h"

namespace sluice::kafka {

// Valid during the callback only.
struct ReadRecord {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp_ms = -1;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const stream::Header> headers;
};

struct ReaderOptions {
  ConnectionOptions connection;
  int idle_timeout_ms =
      30'000;  // kDeadlineExceeded when nothing comes for this long before the end
  int read_ahead_kib = 16 * 1024;
};

// Offsets [begin, end) of a partition.
struct ReadRange {
  std::string topic;
  int32_t partition = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

// Without a group, so it changes nothing that others see. Single-threaded.
class TopicReader {
 public:
  explicit TopicReader(ReaderOptions options) : options_(std::move(options)) {}

  // Hands every record of the topics, as a read_committed reader sees them, to `each`: from the
  // beginning to the ends as they are at the call. In order within a partition. Ends early with the
  // status that `each` returns, unless OK.
  absl::Status Read(std::span<const std::string> topics,
                    const std::function<absl::Status(const ReadRecord&)>& each);
  // The same of ranges. Where an end lies behind an open transaction it waits for that one's end,
  // so that nothing below the range's end is missed that will ever be seen.
  absl::Status Read(std::span<const ReadRange> ranges,
                    const std::function<absl::Status(const ReadRecord&)>& each);

 private:
  const ReaderOptions options_;
};

}  // namespace sluice::kafka
