// Rows that hold for a time or for a range of values: kinds as_of and range.
#pragma once

#include <optional>

#include "common/enrichment/key_index.h"
#include "common/enrichment/memory_table.h"

namespace sluice::enrichment {

class IntervalTable final : public MemoryTable {
 public:
  IntervalTable(std::string_view set, std::shared_ptr<const RowSet> rows)
      : MemoryTable(set, std::move(rows)), index_(*rows_) {}

  RowId Find(const Question& question) const override;

 private:
  const KeyIndex index_;
};

}  // namespace sluice::enrichment
