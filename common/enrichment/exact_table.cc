#include "common/enrichment/exact_table.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/csv.h"
#include "common/enrichment/row_reader.h"

namespace sluice::enrichment {

absl::StatusOr<std::shared_ptr<const Table>> ExactTable::FromCsv(
    std::string_view set, std::string_view key_column, const std::vector<std::string>& not_personal,
    std::string_view text, std::string_view source) {
  auto in_source = [&](const absl::Status& status, std::string_view where) {
    return absl::InvalidArgumentError(
        base::StrCat(source, ": ", where, base::View(status.message())));
  };
  absl::StatusOr<CsvReader> header = CsvReader::Create(text);
  if (!header.ok()) return in_source(header.status(), "");
  auto schema = Schema::OfTexts(header->header(), key_column, not_personal);
  if (!schema.ok()) return in_source(schema.status(), "line 1: ");
  RowSet::Builder builder(*std::move(schema));
  SLUICE_RETURN_IF_ERROR(ReadCsv(text, source, builder));
  absl::StatusOr<std::shared_ptr<const RowSet>> rows = builder.Finish();
  if (!rows.ok()) return builder.size() == 0 ? in_source(rows.status(), "") : rows.status();
  return MakeTable(set, *std::move(rows));
}

RowId ExactTable::Find(const Question& question) const {
  KeyEncoder encoder;
  auto key = encoder.Encode(rows_->schema(), question.key);
  if (!key) return kNoRow;
  KeyIndex::Run run = index_.Find(*key);
  return run.begin == run.end ? kNoRow : run.begin;
}

}  // namespace sluice::enrichment
