#include "common/enrichment/key_index.h"

#include <bit>

namespace sluice::enrichment {

KeyIndex::KeyIndex(const RowSet& rows) : rows_(rows) {
  size_t keys = 0;
  for (size_t i = 0; i < rows.size(); ++i) keys += i == 0 || rows.key(i) != rows.key(i - 1);
  // Half full at most, so that a search ends soon.
  size_t capacity = std::bit_ceil(std::max<size_t>(2 * keys, 16));
  slots_.resize(capacity);
  mask_ = capacity - 1;
  shift_ = 64 - std::countr_zero(capacity);
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    for (end = begin + 1; end < rows.size() && rows.key(end) == rows.key(begin);) ++end;
    uint64_t hash = HashKey(rows.key(begin));
    size_t at = hash >> shift_;
    while (slots_[at].begin != kEmpty) at = (at + 1) & mask_;
    slots_[at] = {static_cast<uint32_t>(hash), static_cast<uint32_t>(begin),
                  static_cast<uint32_t>(end)};
  }
}

}  // namespace sluice::enrichment
