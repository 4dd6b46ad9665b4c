// A reference set that is larger than memory may be: in an LMDB file, mapped, and shared by all who
// open it.
//
// The rows stand in their canonical order (by HashKey, key, interval) in buckets of 64 KiB, each
// under the last hash in it. Readers keep where each bucket is mapped; a look-up touches four or
// five pages and copies nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/enrichment/row_set.h"
#include "common/enrichment/table.h"

struct MDB_env;
struct MDB_txn;

namespace sluice::reference {

// Kinds exact, as_of and range.
class LmdbTable final : public enrichment::Table, public enrichment::Rows {
 public:
  // What LmdbBuilder wrote for this schema. The file must not change afterwards; it may be deleted.
  static absl::StatusOr<std::shared_ptr<const LmdbTable>> Open(
      std::string_view set, const std::string& file,
      std::shared_ptr<const enrichment::Schema> schema);
  // The same, for whatever schema it was written.
  static absl::StatusOr<std::shared_ptr<const LmdbTable>> Open(std::string_view set,
                                                               const std::string& file);
  ~LmdbTable() override;
  LmdbTable(const LmdbTable&) = delete;
  LmdbTable& operator=(const LmdbTable&) = delete;

  const std::string& set() const override { return set_; }
  const std::string& id() const override { return id_; }
  const enrichment::Schema& schema() const override { return *schema_; }
  size_t size() const override { return size_; }
  std::unique_ptr<Cursor> Walk() const override;
  const std::string& file() const { return file_; }
  enrichment::RowId Find(const enrichment::Question& question) const override;
  event::Value Cell(enrichment::RowId row, size_t column) const override {
    return enrichment::CellOfRow(buckets_[row >> 32].bytes + static_cast<uint32_t>(row), column);
  }

 private:
  struct Bucket {
    uint64_t last_hash;
    const char* bytes;
  };

  class BucketCursor;

  LmdbTable(std::string_view set, const std::string& file,
            std::shared_ptr<const enrichment::Schema> schema)
      : set_(set), file_(file), schema_(std::move(schema)) {}
  absl::Status Map();
  absl::Status CheckSchema(std::string_view identity, const std::string& definition);

  const std::string set_, file_;
  std::shared_ptr<const enrichment::Schema> schema_;
  std::string id_;
  size_t size_ = 0;
  MDB_env* environment_ = nullptr;
  MDB_txn* transaction_ = nullptr;  // keeps the map as it is
  std::vector<Bucket> buckets_;     // ascending
  std::vector<uint32_t> first_;     // by a hash's upper bits: the first bucket that may have it
  int shift_ = 0;
};

// Whether the rows are in a file, not in memory.
inline bool IsMapped(const enrichment::Rows& rows) {
  return dynamic_cast<const LmdbTable*>(&rows) != nullptr;
}

}  // namespace sluice::reference
