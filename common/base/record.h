// A raw record, free of any broker's types: what a stream hands to an engine.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::base {

struct Header {
  std::string_view name;
  std::string_view value;  // without data: a null value, which is another than an empty one
};

// The views are valid for as long as the call that they were given to says.
struct InputRecord {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp_ms = -1;            // the record's own, milliseconds since the epoch; -1: none
  std::optional<std::string_view> key;  // nullopt: null
  std::optional<std::string_view> value;  // nullopt: null (a tombstone)
  std::string_view traceparent;           // inbound header `traceparent`, empty when absent
  uint32_t generation = 0;                // inbound header `sluice-generation`, 0 when absent
  // All inbound headers, in their order. Quarantine keeps them; nothing else may pass them on.
  std::span<const Header> headers;
  std::string_view topic_id;  // what the brokers know the topic by; empty: not known
};

}  // namespace sluice::base
