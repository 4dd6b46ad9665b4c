// What a reference set's rows are (proto/sluice/reference/v1/schema.proto), checked and ready to be
// used.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/contract/plan.h"
#include "common/event/event.h"
#include "re2/re2.h"
#include "sluice/reference/v1/schema.pb.h"

namespace sluice::enrichment {

using Kind = reference::v1::Schema::Kind;
using ColumnType = reference::v1::Column::Type;
using Normalise = reference::v1::Key::Normalise;

inline constexpr size_t kColumnsMax = 200;
inline constexpr size_t kKeyPartsMax = 8;
// A longer key isn't in any set: rows with one are refused.
inline constexpr size_t kKeyBytesMax = 500;
// What stands for "without end" in a bound, as PostgreSQL writes it.
inline constexpr std::string_view kInfinity = "infinity", kMinusInfinity = "-infinity";

struct Column {
  std::string name;
  std::string source;  // its name in the source
  ColumnType type = reference::v1::Column::text;
  bool required = false;
  bool may_be_missing = false;
  // Whether it says from when (or which value) a row holds, or until when.
  enum class Bound { kNone, kLow, kHigh } bound = Bound::kNone;
  std::vector<std::string> in;  // ascending
  std::unique_ptr<const RE2> pattern;
  size_t max_len = 0;  // characters; 0: no bound
  std::optional<double> gte, lte;
  // Undecided: no event gets it.
  contract::Classification classification;
};

struct KeyPart {
  size_t column = 0;
  ColumnType type = reference::v1::Column::text;
  Normalise normalise = reference::v1::Key::none;
};

// When or for which values a row holds: from `low` until just before `high`. A date is its days, a
// time its seconds since the epoch, a double the integer that has its place in order.
struct Interval {
  int64_t low = 0;
  int64_t high = 0;
  bool Holds() const { return low < high; }
};

// Immutable and thread-safe.
class Schema {
 public:
  // Every mistake at once, a line each. `locate` says where a path such as `columns[2].type` stands
  // (`sets.yaml:14`), for errors; may be null.
  static absl::StatusOr<std::shared_ptr<const Schema>> Create(
      const reference::v1::Schema& schema,
      const std::function<std::string(std::string_view path)>& locate = nullptr);
  // Of a source whose header is `columns`: texts, joined on one exact key. Only the key and the
  // columns that are not_personal are read. Errors never say what stands in the header, because a
  // file that has lost it has a row there.
  static absl::StatusOr<std::shared_ptr<const Schema>> OfTexts(
      const std::vector<std::string>& columns, std::string_view key,
      const std::vector<std::string>& not_personal);

  const reference::v1::Schema& definition() const { return definition_; }
  Kind kind() const { return definition_.kind(); }
  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<KeyPart>& key() const { return key_; }
  bool has_interval() const { return low_ != high_; }
  // Where has_interval(): the columns that bound a row.
  size_t low() const { return low_; }
  size_t high() const { return high_; }
  // Of kind area.
  size_t area() const { return area_; }
  // Of kind nearest.
  size_t latitude() const { return latitude_; }
  size_t longitude() const { return longitude_; }
  const reference::v1::Point& point() const { return definition_.point(); }

  std::optional<size_t> Find(std::string_view column) const;
  bool IsKey(size_t column) const;
  // The columns that an event gets when nothing else is said: all that somebody decided about, but
  // areas, and but what the event named itself (the key, where it isn't what is asked for) or what
  // bounds the row.
  std::vector<size_t> PublishedColumns() const;
  // A row's key for people; empty where it has none yet, or where it may be of a person: a key is
  // shown if each of its columns is not_personal, or if it is an area's or a place's and none is
  // classified.
  std::string KeyText(std::span<const event::Value> row) const;
  // The same as ` (key W12)`.
  std::string KeyForPeople(std::span<const event::Value> row) const;
  // What makes two sets of equal rows different: all of the above but rules, names in the source
  // and classifications.
  const std::string& identity() const { return identity_; }

  // Whether a row keeps the rules; the error names the column, never the value.
  absl::Status Check(std::span<const event::Value> row) const;
  // Of a row that keeps the rules. One that begins when it ends, or that never begins or ended
  // always, doesn't hold at any time: its interval doesn't either.
  absl::StatusOr<Interval> IntervalOf(std::span<const event::Value> row) const;
  // A value in an interval's order, as a range's event has it: an integer, a number, a date in text
  // or a time. nullopt: it isn't one.
  std::optional<int64_t> Ordered(const event::Value& value) const;

 private:
  friend class SchemaCompiler;
  Schema() = default;
  std::optional<int64_t> Bound(const event::Value& value) const;

  reference::v1::Schema definition_;
  std::vector<Column> columns_;
  std::vector<KeyPart> key_;
  size_t low_ = 0, high_ = 0;
  size_t area_ = 0;
  size_t latitude_ = 0, longitude_ = 0;
  absl::TimeZone zone_ = absl::UTCTimeZone();
  std::string identity_;
};

// A key as bytes: equal for keys that are equal after normalisation, and different otherwise.
// Allocates nothing.
class KeyEncoder {
 public:
  // Of one value for each part of the schema's key. nullopt: a value is absent, or the key is
  // longer than kKeyBytesMax. The view is into the value or the encoder.
  std::optional<std::string_view> Encode(const Schema& schema,
                                         std::span<const event::Value> parts) {
    if (parts.size() == 1 && parts[0].kind == event::ValueKind::kText &&
        schema.key()[0].normalise == reference::v1::Key::none) [[likely]] {
      if (parts[0].size == 0 || parts[0].size > kKeyBytesMax) return std::nullopt;
      return parts[0].text();
    }
    return EncodeParts(schema, parts);
  }
  std::optional<std::string_view> EncodeRow(const Schema& schema,
                                            std::span<const event::Value> row);

 private:
  std::optional<std::string_view> EncodeParts(const Schema& schema,
                                              std::span<const event::Value> parts);
  std::array<char, kKeyBytesMax> bytes_;
};

// The same on every machine and in every version: rows are ordered by it, and so is what is hashed.
uint64_t HashKey(std::string_view key);

// Characters of valid UTF-8.
size_t CodePoints(std::string_view text);

}  // namespace sluice::enrichment
