#include "services/processor/shuffle.h"

#include <algorithm>
#include <tuple>

namespace sluice::processor {
namespace {

// FNV-1a from a stream's own beginning, with a last mixing step: the same in every process, so that
// a replay has the same order.
uint64_t HashOf(size_t topic, std::string_view text) {
  uint64_t hash = (0xCBF29CE484222325 ^ topic) * 0x9E3779B97F4A7C15;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  hash ^= hash >> 32;
  return hash * 0x9E3779B97F4A7C15;
}

constexpr std::string_view kPlaceHeader = "sluice-src";

}  // namespace

Shuffle::Span Shuffle::Copy(std::string_view text) {
  Span span{bytes_.size(), text.size()};
  bytes_.append(text);
  return span;
}

void Shuffle::Hold(const stream::OutputRecord& record) {
  Held held;
  held.has_key = record.key.has_value();
  held.has_value = record.value.has_value();
  held.key = Copy(record.key.value_or(""));
  held.value = Copy(record.value.value_or(""));
  held.timestamp_ms = record.timestamp_ms;
  held.first_header = headers_.size();
  held.header_count = record.headers.size();
  // Without a key a record has no order to keep, and its place's pseudonym is its own in the
  // stream.
  std::string_view hashed = record.key.value_or("");
  for (const base::Header& header : record.headers) {
    if (!held.has_key && header.name == kPlaceHeader) hashed = header.value;
    headers_.push_back({Copy(header.name), Copy(header.value)});
  }
  order_.push_back({record.topic, HashOf(record.topic, hashed), held_.size()});
  held_.push_back(held);
}

absl::Status Shuffle::Release(stream::Output& output) {
  std::sort(order_.begin(), order_.end(), [](const Place& a, const Place& b) {
    return std::tie(a.topic, a.hash, a.held) < std::tie(b.topic, b.hash, b.held);
  });
  absl::Status status;
  for (const Place& place : order_) {
    const Held& held = held_[place.held];
    views_.clear();
    for (size_t i = held.first_header; i < held.first_header + held.header_count; ++i)
      views_.push_back({At(headers_[i].name), At(headers_[i].value)});
    stream::OutputRecord record;
    record.topic = place.topic;
    if (held.has_key) record.key = At(held.key);
    if (held.has_value) record.value = At(held.value);
    record.headers = views_;
    record.timestamp_ms = held.timestamp_ms;
    status = output.Produce(record);
    if (!status.ok()) break;
  }
  Clear();
  return status;
}

void Shuffle::Drop(size_t count) {
  if (count >= held_.size()) return;
  const Held& first = held_[count];
  bytes_.resize(first.key.begin);
  headers_.resize(first.first_header);
  held_.resize(count);
  order_.resize(count);
}

void Shuffle::Clear() {
  bytes_.clear();
  held_.clear();
  order_.clear();
  headers_.clear();
}

}  // namespace sluice::processor
