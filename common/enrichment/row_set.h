// The rows of one version of a set, in the one order that they have wherever they come from.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/arena.h"
#include "common/base/sha256.h"
#include "common/enrichment/schema.h"

namespace sluice::enrichment {

// Where a row stands in its source, for errors.
struct RowPlace {
  enum Noun : uint8_t { kLine, kRow, kFeature };

  std::string_view source;
  int number = 0;  // lines and rows from 1, features from 0
  Noun noun = kLine;

  // `units.csv: line 4`, `postgres: row 4`, `wards.geojson: features[3]`.
  std::string ToString() const;
};

// Takes rows from a source's reader. Single-threaded.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual const Schema& schema() const = 0;
  // One value for each column of the schema, of its type; texts are valid during the call. A row
  // that never holds is counted, and isn't part of the version. An error ends the version: half of
  // it is none.
  virtual absl::Status Add(std::span<const event::Value> row, const RowPlace& place) = 0;
};

// The sources of many rows, each held once.
class RowSources {
 public:
  // The number of a place's source.
  uint32_t Add(const RowPlace& place) {
    if (sources_.empty() || sources_.back().noun != place.noun ||
        sources_.back().name != place.source)
      sources_.push_back({std::string(place.source), place.noun});
    return static_cast<uint32_t>(sources_.size() - 1);
  }
  RowPlace Place(uint32_t source, int number) const {
    return {sources_[source].name, number, sources_[source].noun};
  }
  void Clear() { sources_.clear(); }

 private:
  struct Source {
    std::string name;
    RowPlace::Noun noun;
  };
  std::vector<Source> sources_;
};

// What is wrong with a row, or with two of one key, for people.
absl::Status RowError(const Schema& schema, std::span<const event::Value> row,
                      const RowPlace& place, std::string_view what);
absl::Status SameKeyError(const Schema& schema, std::span<const event::Value> row,
                          const RowPlace& place, const RowPlace& before);
// Where a version has no row at all.
absl::Status NoRowsError(uint64_t never_hold);

// Wherever they are: in memory or in a file. Immutable and thread-safe. Rows stand by HashKey of
// their keys, then by key, then by interval.
class Rows {
 public:
  // Goes over them in their order. Single-threaded; doesn't outlive the rows.
  class Cursor {
   public:
    virtual ~Cursor() = default;
    // On to the next row, or the first; false: there is none.
    virtual bool Next() = 0;

    // Of the row, valid until Next().
    uint64_t hash = 0;
    std::string_view key;
    Interval interval;       // where the schema has_interval()
    std::string_view bytes;  // as AppendRow has them
  };

  virtual ~Rows() = default;
  virtual const Schema& schema() const = 0;
  virtual size_t size() const = 0;
  // The snapshot's id: 32 hex digits that are equal where schema and rows are.
  virtual const std::string& id() const = 0;
  virtual std::unique_ptr<Cursor> Walk() const = 0;
};

// In memory.
class RowSet final : public Rows {
 public:
  class Builder;

  const std::shared_ptr<const Schema>& shared_schema() const { return schema_; }
  const Schema& schema() const override { return *schema_; }
  size_t size() const override { return key_ends_.size(); }
  const std::string& id() const override { return id_; }
  std::unique_ptr<Cursor> Walk() const override;

  std::span<const event::Value> row(size_t index) const {
    return std::span(cells_).subspan(index * schema_->columns().size(), schema_->columns().size());
  }
  // As KeyEncoder has it; empty where the schema has no key.
  std::string_view key(size_t index) const {
    size_t begin = index == 0 ? 0 : key_ends_[index - 1];
    return std::string_view(keys_).substr(begin, key_ends_[index] - begin);
  }
  // One for each row where the schema has_interval(); else empty.
  const std::vector<Interval>& intervals() const { return intervals_; }

 private:
  class RowCursor;
  RowSet() = default;

  std::shared_ptr<const Schema> schema_;
  std::string id_;
  base::Arena arena_;
  std::vector<event::Value> cells_;  // row by row
  std::string keys_;
  std::vector<size_t> key_ends_;
  std::vector<Interval> intervals_;
};

class RowSet::Builder final : public RowSink {
 public:
  explicit Builder(std::shared_ptr<const Schema> schema);

  const Schema& schema() const override { return *schema_; }
  absl::Status Add(std::span<const event::Value> row, const RowPlace& place) override;
  size_t size() const { return rows_.size(); }
  // Rows that were left out, as they begin and end at once.
  uint64_t never_hold() const { return never_hold_; }
  // The set; the builder is empty after it. An error: no row at all, one key twice, or two rows of
  // one key that hold at the same time.
  absl::StatusOr<std::shared_ptr<const RowSet>> Finish();

 private:
  struct Row {
    uint64_t hash;
    std::string_view key;
    Interval interval;
    const event::Value* cells;
    uint32_t source;
    int number;
  };

  std::shared_ptr<const Schema> schema_;
  std::unique_ptr<RowSet> set_;  // its arena holds what rows_ points to
  std::vector<Row> rows_;
  RowSources sources_;
  KeyEncoder encoder_;
  uint64_t never_hold_ = 0;
};

// Appends a row as bytes, the same for equal rows: hashed for a snapshot's id, and stored.
void AppendRow(std::span<const event::Value> row, std::string& out);
// One column of what AppendRow wrote. Texts are views of the bytes.
event::Value CellOfRow(const char* bytes, size_t column);
// How many bytes AppendRow wrote for a row of so many columns.
size_t SizeOfRow(const char* bytes, size_t columns);
// All columns of what AppendRow may have written: false where the bytes aren't one row of so many.
bool ReadRow(std::string_view bytes, std::span<event::Value> row);

// The id of a version: told its rows in their order.
class SnapshotId {
 public:
  explicit SnapshotId(const Schema& schema) { hash_.AddPart(schema.identity()); }
  void Add(std::string_view row_bytes) { hash_.AddPart(row_bytes); }
  std::string Finish() { return hash_.Hex(32); }

 private:
  base::Sha256 hash_;
};

}  // namespace sluice::enrichment
