#include "common/enrichment/exact_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/csv.h"

namespace sluice::enrichment {
namespace {

absl::Status Error(std::string_view source, std::string_view what) {
  return absl::InvalidArgumentError(base::StrCat(source, ": ", what));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ExactTable>> ExactTable::FromCsv(std::string_view set,
                                                                      std::string_view key_column,
                                                                      std::string_view text,
                                                                      std::string_view source) {
  absl::StatusOr<CsvDocument> parsed = ParseCsv(text);
  if (!parsed.ok()) return Error(source, base::View(parsed.status().message()));
  CsvDocument& document = *parsed;

  auto key = std::find(document.header.begin(), document.header.end(), key_column);
  if (key == document.header.end()) {
    return Error(source,
                 base::StrCat("line 1: no column '", key_column,
                              "' (the set's key); it has: ", absl::StrJoin(document.header, ", ")));
  }
  size_t key_index = static_cast<size_t>(key - document.header.begin());
  if (document.rows.empty()) return Error(source, "no rows below the header");

  auto table = std::shared_ptr<ExactTable>(new ExactTable());
  table->set_ = std::string(set);
  for (const std::string& name : document.header) {
    if (name != key_column) table->columns_.push_back(name);
  }
  // The id doesn't depend on the order of rows: a source that sorts differently is no new version.
  std::sort(document.rows.begin(), document.rows.end(), [&](const CsvRow& a, const CsvRow& b) {
    return std::pair(std::string_view(a.cells[key_index]), a.line) <
           std::pair(std::string_view(b.cells[key_index]), b.line);
  });
  base::Sha256 hash;
  hash.AddPart(key_column);
  for (const std::string& name : table->columns_) hash.AddPart(name);
  for (CsvRow& row : document.rows) {
    std::string key_text = std::move(row.cells[key_index]);
    if (key_text.empty())
      return Error(source, base::StrCat("line ", row.line, ": the key is empty"));
    hash.AddPart(key_text);
    for (size_t i = 0; i < row.cells.size(); ++i) {
      if (i == key_index) continue;
      hash.AddPart(row.cells[i]);
      table->cells_.push_back(std::move(row.cells[i]));
    }
    RowId id = static_cast<RowId>(table->rows_.size());
    if (!table->rows_.emplace(std::move(key_text), id).second) {
      return Error(source,
                   base::StrCat("line ", row.line, ": this key stands in an earlier line too"));
    }
  }
  table->id_ = hash.Hex(32);
  return table;
}

}  // namespace sluice::enrichment
