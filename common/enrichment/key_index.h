// Keys -> the runs of rows that have them, in a flat hash table.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/enrichment/row_set.h"

namespace sluice::enrichment {

// Of a row set, which must outlive it: rows of one key are neighbours in it. Immutable; a look-up
// allocates nothing and costs about two cache misses.
class KeyIndex {
 public:
  explicit KeyIndex(const RowSet& rows);

  struct Run {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  // An empty run when no row has the key.
  Run Find(std::string_view key) const {
    uint64_t hash = HashKey(key);
    auto tag = static_cast<uint32_t>(hash);
    for (size_t at = hash >> shift_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.begin == kEmpty) return {};
      if (slot.tag == tag && rows_.key(slot.begin) == key) return {slot.begin, slot.end};
    }
  }

 private:
  static constexpr uint32_t kEmpty = ~uint32_t{0};
  struct Slot {
    uint32_t tag = 0;  // the hash's lower half; its upper bits say where to look
    uint32_t begin = kEmpty;
    uint32_t end = 0;
  };

  const RowSet& rows_;
  std::vector<Slot> slots_;
  int shift_ = 0;
  size_t mask_ = 0;
};

}  // namespace sluice::enrichment
