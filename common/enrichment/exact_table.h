// A reference set joined on one exact key.
#pragma once

#include "common/enrichment/key_index.h"
#include "common/enrichment/memory_table.h"

namespace sluice::enrichment {

class ExactTable final : public MemoryTable {
 public:
  ExactTable(std::string_view set, std::shared_ptr<const RowSet> rows)
      : MemoryTable(set, std::move(rows)), index_(*rows_) {}
  // From the text of a CSV file: its key and the columns that are not_personal, all of them texts.
  // `source` names the file in errors.
  static absl::StatusOr<std::shared_ptr<const Table>> FromCsv(
      std::string_view set, std::string_view key_column,
      const std::vector<std::string>& not_personal, std::string_view text, std::string_view source);

  RowId Find(const Question& question) const override;

 private:
  const KeyIndex index_;
};

}  // namespace sluice::enrichment
