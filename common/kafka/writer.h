// Writes records outside transactions, each once and in order (idempotent): for gateways,
// generators and tests.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/connection.h"
#include "common/stream/record.h"

namespace sluice::kafka {

struct WriterOptions {
  ConnectionOptions connection;
  int linger_ms = 5;
  int write_queue_kib = 32 * 1024;  // when full, Write waits
  int delivery_timeout_ms = 120'000;
};

struct WriteRecord {
  std::string_view topic;
  std::optional<int32_t> partition;  // nullopt: by the key's hash, as the Java client
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const stream::Header> headers;
  std::optional<int64_t> timestamp_ms;  // nullopt: now
};

// Single-threaded.
class TopicWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TopicWriter>> Create(WriterOptions options);
  ~TopicWriter();

  // Queues a copy. An error is of this record or of one before it.
  absl::Status Write(const WriteRecord& record);
  // Waits until the brokers have acknowledged all of them; the first failure since the last Flush.
  absl::Status Flush();

 private:
  struct Context : ClientContext {
    absl::Status failure;
  };
  explicit TopicWriter(WriterOptions options);

  const WriterOptions options_;
  Context context_;
  ClientPtr client_;
};

}  // namespace sluice::kafka
