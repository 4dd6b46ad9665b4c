// Raw events from files, as an import would send them, a chunk at a time.
#pragma once

#include <istream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/rows.h"

namespace sluice::ctl {

// A row that can't be an event.
struct RefusedRow {
  uint64_t line = 0;
  std::string reason;  // never a value
};

// Events that were read together; valid until the next call.
struct EventChunk {
  std::vector<std::string_view> events;  // JSON, as a raw topic would have it
  std::vector<uint64_t> lines;           // where each begins, from 1
  std::vector<RefusedRow> refused;       // among them
  uint64_t bytes = 0;                    // read so far in all; 0: not known
};

// Single-threaded. Memory is bounded by the chunk and the longest event.
class EventReader {
 public:
  // A line may be no longer: an event of the largest size that a pipeline can allow fits.
  static constexpr size_t kLineBytesMax = 65 * 1024 * 1024;
  static constexpr size_t kChunkEvents = 128;

  virtual ~EventReader() = default;

  // At most kChunkEvents; none, and nothing refused: that was all. An error names the line.
  virtual absl::Status Next(EventChunk& chunk) = 0;

  // `name` is for errors. Empty lines are skipped.
  static std::unique_ptr<EventReader> JsonLines(std::istream& in, std::string name);
  // Column `subject.name` becomes the member `name` of the object `subject`; every cell is text
  // (see rows.h).
  static absl::StatusOr<std::unique_ptr<EventReader>> Csv(std::istream& in, const std::string& name,
                                                          RowOptions rows);
};

}  // namespace sluice::ctl
