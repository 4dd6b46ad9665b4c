// Raw events from files: JSON lines, or CSV whose header names the sources of a contract's fields.
#pragma once

#include <istream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/contract/plan.h"

namespace sluice::ctl {

enum class EventFormat { kJsonLines, kCsv };

// Events that were read together; valid until the next call.
struct EventChunk {
  std::vector<std::string_view> events;  // JSON, as a raw topic would have it
  std::vector<uint64_t> lines;           // where each begins, from 1
  uint64_t bytes = 0;                    // read so far in all
};

// Single-threaded. Memory is bounded by the chunk and the longest event.
class EventReader {
 public:
  // A line may be no longer: an event of the largest size that a pipeline can allow fits.
  static constexpr size_t kLineBytesMax = 65 * 1024 * 1024;
  static constexpr size_t kChunkEvents = 128;

  virtual ~EventReader() = default;

  // At most kChunkEvents; none: that was all. An error names the line.
  virtual absl::Status Next(EventChunk& chunk) = 0;

  // `name` is for errors. Empty lines are skipped.
  static std::unique_ptr<EventReader> JsonLines(std::istream& in, std::string name);
  // Column `subject.name` becomes the member `name` of the object `subject`. Empty cells are left
  // out. A cell of a field that is a number or a boolean is written so where it has that form;
  // everything else is text, for the contract's reading rules to make something of.
  static absl::StatusOr<std::unique_ptr<EventReader>> Csv(
      std::istream& in, std::string name, std::shared_ptr<const contract::Plan> plan);
};

}  // namespace sluice::ctl
