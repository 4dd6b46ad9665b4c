// The order in which an audience outside sees a transaction's records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/engine/outcome.h"
#include "common/stream/transform.h"

namespace sluice::processor {

// Holds the records of streams that aren't internal until their transaction ends, and hands them
// over by a hash of the stream's own key, so that their order in one stream says nothing of the
// order in another. Records of one key stay in their order. Reuses its room. Single-threaded.
class Shuffle {
 public:
  // Copies what the record's views show.
  void Hold(const stream::OutputRecord& record);
  // Hands over all that is held, stream by stream; afterwards nothing is held. The first error ends
  // it.
  absl::Status Release(stream::Output& output);
  void Clear();
  // Forgets what was held after the first `count`.
  void Drop(size_t count);
  size_t count() const { return held_.size(); }
  // How much is held.
  size_t bytes() const { return bytes_.size() + held_.size() * sizeof(Held); }

 private:
  struct Span {
    size_t begin = 0, size = 0;
  };
  struct Held {
    bool has_key = false, has_value = false;
    Span key, value;
    size_t first_header = 0, header_count = 0;
    std::optional<int64_t> timestamp_ms;
  };
  // Small, because these are sorted.
  struct Place {
    size_t topic = 0;
    uint64_t hash = 0;
    size_t held = 0;
  };
  struct HeldHeader {
    Span name, value;
  };

  Span Copy(std::string_view text);
  std::string_view At(Span span) const {
    return std::string_view(bytes_).substr(span.begin, span.size);
  }

  std::string bytes_;
  std::vector<Held> held_;
  std::vector<Place> order_;  // as held_, until it is sorted
  std::vector<HeldHeader> headers_;
  std::vector<base::Header> views_;  // of the record at hand
};

}  // namespace sluice::processor
