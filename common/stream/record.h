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
  size_t topic = 0;                        // index into the topics that the Output was made with
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::span<const Header> headers;
  std::optional<int64_t> timestamp_ms;     // nullopt: the time of publishing
};

}  // namespace sluice::stream
