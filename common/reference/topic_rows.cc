#include "common/reference/topic_rows.h"

#include <algorithm>

namespace sluice::reference {

void TopicRows::Put(std::string_view key, int32_t partition, int64_t offset,
                    std::optional<std::string_view> value) {
  Map::key_type place(key, partition);
  if (!value) {
    auto at = rows_.find(place);
    if (at == rows_.end()) return;
    bytes_ -= key.size() + at->second.value.size();
    rows_.erase(at);
    return;
  }
  auto [at, made] = rows_.try_emplace(std::move(place));
  bytes_ += made ? key.size() : 0;
  bytes_ -= at->second.value.size();
  at->second = {offset, std::string(*value)};
  bytes_ += value->size();
}

void TopicRows::Clear() {
  rows_.clear();
  bytes_ = 0;
}

TopicRows::Map::const_iterator TopicRows::FindTwice() const {
  return std::adjacent_find(rows_.begin(), rows_.end(), [](const auto& one, const auto& next) {
    return one.first.first == next.first.first;
  });
}

}  // namespace sluice::reference
