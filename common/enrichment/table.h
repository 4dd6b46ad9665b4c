// The port through which events are joined: one immutable version of one reference set.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/enrichment/geometry.h"
#include "common/enrichment/row_set.h"
#include "common/enrichment/schema.h"

namespace sluice::enrichment {

// Means something to the table that gave it, only.
using RowId = uint64_t;
inline constexpr RowId kNoRow = ~RowId{0};

// What is asked of a table; each kind reads what it needs.
struct Question {
  // One value for each part of the schema's key, of its type. Kinds exact, as_of, and range where
  // it has a key.
  std::span<const event::Value> key;
  // Kind as_of, and area and nearest where they have a validity: seconds since the epoch. Kind
  // range: Schema::Ordered of the value.
  int64_t at = 0;
  // Kinds area and nearest.
  GridPoint point;
};

// A snapshot. Immutable and thread-safe; look-ups allocate nothing. All replicas that hold the same
// id hold the same content, and give the same answers.
class Table {
 public:
  virtual ~Table() = default;

  // The reference set's name.
  virtual const std::string& set() const = 0;
  // The snapshot's id: a hash of schema and rows. 32 hex digits.
  virtual const std::string& id() const = 0;
  virtual const Schema& schema() const = 0;
  virtual size_t size() const = 0;

  // kNoRow when there is none.
  virtual RowId Find(const Question& question) const = 0;
  // A row's value; absent where it has none. Valid as long as the table.
  virtual event::Value Cell(RowId row, size_t column) const = 0;

  // Kind nearest: the set of areas whose borders it keeps to; null: none.
  virtual const Table* within() const { return nullptr; }
  // Kind area: the side, in metres, of a square as large as the smallest area; 0: nobody knows.
  virtual double smallest_metres() const { return 0; }
};

// A table over rows in memory, of the schema's kind. `within` is the set of areas that the schema
// names; an error when it isn't given, or isn't of areas.
absl::StatusOr<std::shared_ptr<const Table>> MakeTable(
    std::string_view set, std::shared_ptr<const RowSet> rows,
    std::shared_ptr<const Table> within = nullptr);

}  // namespace sluice::enrichment
