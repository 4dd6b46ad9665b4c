// Any bytes as GeoJSON, JSON lines and CSV, and whatever is accepted as a table that is asked. Run
// it with -rss_limit_mb=512: what a text takes to read is in proportion to it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/enrichment/row_reader.h"
#include "common/enrichment/table.h"
#include "tests/fuzz/planted.h"

namespace {

using sluice::enrichment::ColumnsSeen;
using sluice::enrichment::RowSet;
using sluice::enrichment::Schema;

std::shared_ptr<const Schema> AreaSchema() {
  sluice::reference::v1::Schema schema;
  schema.set_kind(sluice::reference::v1::Schema::area);
  auto& code = *schema.add_columns();
  code.set_name("code");
  code.set_source("id");
  auto& shape = *schema.add_columns();
  shape.set_name("shape");
  shape.set_type(sluice::reference::v1::Column::area);
  for (const char* name : {"from", "to"}) {
    auto& column = *schema.add_columns();
    column.set_name(name);
    column.set_type(sluice::reference::v1::Column::date);
    column.set_may_be_missing(true);
  }
  schema.add_key()->set_column("code");
  schema.mutable_valid()->set_from("from");
  schema.mutable_valid()->set_to("to");
  return *Schema::Create(schema);
}

void Run(std::string_view text,
         absl::Status (*read)(std::string_view, std::string_view, sluice::enrichment::RowSink&)) {
  static const auto& schema = *new std::shared_ptr<const Schema>(AreaSchema());
  RowSet::Builder builder(schema);
  if (!read(text, "fuzz", builder).ok()) return;
  auto rows = builder.Finish();
  if (!rows.ok()) return;
  auto table = sluice::enrichment::MakeTable("fuzz", *rows);
  if (!table.ok()) return;
  sluice::fuzz::Planted((*rows)->size() == 3);
  // A corner of each area is in it, or in one with a smaller key.
  for (size_t row = 0; row < (*rows)->size(); ++row) {
    sluice::enrichment::Question question;
    question.point =
        sluice::enrichment::ParseArea((*rows)->row(row)[(*schema).area()].text())[0][0][0];
    question.at = (*rows)->intervals()[row].low;
    auto found = (*table)->Find(question);
    sluice::fuzz::Require(
        found != sluice::enrichment::kNoRow && (*rows)->key(found) <= (*rows)->key(row),
        "an area doesn't have its own corner");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Run(text, sluice::enrichment::ReadGeoJson);
  Run(text, sluice::enrichment::ReadJsonLines);
  Run(text, sluice::enrichment::ReadCsv);
  return 0;
}
