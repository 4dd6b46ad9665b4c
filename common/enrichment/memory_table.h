// What the tables over rows in memory have in common.
#pragma once

#include <memory>
#include <string>

#include "common/enrichment/table.h"

namespace sluice::enrichment {

class MemoryTable : public Table {
 public:
  const std::string& set() const final { return set_; }
  const std::string& id() const final { return rows_->id(); }
  const Schema& schema() const final { return rows_->schema(); }
  size_t size() const final { return rows_->size(); }
  event::Value Cell(RowId row, size_t column) const final { return rows_->row(row)[column]; }

 protected:
  MemoryTable(std::string_view set, std::shared_ptr<const RowSet> rows)
      : set_(set), rows_(std::move(rows)) {}

  const std::string set_;
  const std::shared_ptr<const RowSet> rows_;
};

}  // namespace sluice::enrichment
