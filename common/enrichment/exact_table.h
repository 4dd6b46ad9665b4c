// A reference set joined on one exact key.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/enrichment/table.h"

namespace sluice::enrichment {

class ExactTable final : public Table {
 public:
  // From the text of a CSV file. `source` names the file in errors. An error when the key column
  // isn't there, a key is empty or stands twice, or there is no row: a half-written file must never
  // become a snapshot.
  static absl::StatusOr<std::shared_ptr<const ExactTable>> FromCsv(std::string_view set,
                                                                   std::string_view key_column,
                                                                   std::string_view text,
                                                                   std::string_view source);

  const std::string& set() const override { return set_; }
  const std::string& id() const override { return id_; }
  const std::vector<std::string>& columns() const override { return columns_; }
  size_t size() const override { return rows_.size(); }
  RowId Find(std::string_view key) const override {
    auto found = rows_.find(absl::string_view(key.data(), key.size()));
    return found == rows_.end() ? kNoRow : found->second;
  }
  std::string_view Cell(RowId row, size_t column) const override {
    return cells_[row * columns_.size() + column];
  }

 private:
  ExactTable() = default;

  std::string set_;
  std::string id_;
  std::vector<std::string> columns_;
  std::vector<std::string> cells_;  // row by row
  absl::flat_hash_map<std::string, RowId> rows_;
};

}  // namespace sluice::enrichment
