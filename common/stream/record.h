// What goes into a pipeline and what comes out of it, free of any broker's types.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::stream {

struct Header {
  std::string_view name;
  std::string_view value;
};

// One record as read. The views are valid until the Transform call that was given it returns.
struct InputRecord {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp_ms = -1;               // the record's own, milliseconds since the epoch; -1: none
  std::optional<std::string_view> key;     // nullopt: null
  std::optional<std::string_view> value;   // nullopt: null (a tombstone)
  std::string_view traceparent;            // inbound header `traceparent`, empty when absent
  uint32_t generation = 0;                 // inbound header `sluice-generation`, 0 when absent
};

// One record to write. Produce() copies what it needs before it returns.
struct OutputRecord {
  size_t topic = 0;                        // index into the topics that the Output was made with
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const Header> headers;
  std::optional<int64_t> timestamp_ms;     // nullopt: the time of publishing
};

}  // namespace sluice::stream
