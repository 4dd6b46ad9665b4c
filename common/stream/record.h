// What goes into a pipeline and what comes out of it, free of any broker's types.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "common/base/record.h"

namespace sluice::stream {

using base::Header;
using base::InputRecord;  // its views are valid until the Transform call that was given it returns

// One record to write. Produce() copies what it needs before it returns.
struct OutputRecord {
  size_t topic = 0;  // index into the topics that the Output was made with
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const Header> headers;
  std::optional<int64_t> timestamp_ms;  // nullopt: the time of publishing
  std::optional<int32_t> partition;     // nullopt: by the key's hash, as the Java client
};

// What a record counts for against Output::record_bytes_max: its bytes and, for every header, the
// most that its two lengths take (a varint of 5 bytes each).
inline size_t RecordBytes(const OutputRecord& record) {
  size_t bytes = record.key.value_or("").size() + record.value.value_or("").size();
  for (const Header& header : record.headers)
    bytes += header.name.size() + header.value.size() + 10;
  return bytes;
}

}  // namespace sluice::stream
