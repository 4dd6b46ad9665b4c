// What a compacted topic's keys have last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::reference {

// Each key's last value on each partition. A tombstone takes away what its own partition has, and
// nothing is kept of it, so that what is kept is what a read from the topic's beginning would give,
// in whatever order the partitions are read, and before compaction as after it.
class TopicRows {
 public:
  struct Row {
    int64_t offset = 0;
    std::string value;
  };
  // By key, then by partition.
  using Map = std::map<std::pair<std::string, int32_t>, Row>;

  // A record; of one partition, in the order of their offsets. Without a value: a tombstone.
  void Put(std::string_view key, int32_t partition, int64_t offset,
           std::optional<std::string_view> value);
  void Clear();

  const Map& rows() const { return rows_; }
  // Of the keys and values that are kept.
  size_t bytes() const { return bytes_; }
  // The first of two rows next to each other that are one key's; end(): each key has one row.
  Map::const_iterator FindTwice() const;

 private:
  Map rows_;
  size_t bytes_ = 0;
};

}  // namespace sluice::reference
