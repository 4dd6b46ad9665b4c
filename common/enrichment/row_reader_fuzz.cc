// Any text as CSV, JSON lines or GeoJSON: a set of rows and a table over them, or an error that
// names the source.
#include <google/protobuf/text_format.h>

#include <memory>

#include "common/enrichment/row_reader.h"
#include "common/enrichment/table.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice::enrichment;

constexpr std::string_view kColumns = R"(
  columns { name: "id" }
  columns { name: "n" type: integer gte: 0 lte: 1000 }
  columns { name: "share" type: number }
  columns { name: "open" type: boolean }
  columns { name: "since" type: date }
  columns { name: "seen" type: time }
)";

std::shared_ptr<const Schema> Make(std::string_view more) {
  sluice::reference::v1::Schema schema;
  google::protobuf::TextFormat::ParseFromString(std::string(kColumns) + std::string(more), &schema);
  auto made = Schema::Create(schema);
  sluice::fuzz::Require(made.ok(), "the schema is wrong");
  return *made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto rows = Make(R"(key { column: "id" })");
  static const auto areas =
      Make(R"(columns { name: "border" type: area } kind: area key { column: "id" })");
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const bool geo = data[0] % 3 == 2;
  RowSet::Builder builder(geo ? areas : rows);
  absl::Status status = data[0] % 3 == 0   ? ReadCsv(text, "rows", builder)
                        : data[0] % 3 == 1 ? ReadJsonLines(text, "rows", builder)
                                           : ReadGeoJson(text, "rows", builder);
  sluice::fuzz::Require(status.ok() || status.message().find("rows") != absl::string_view::npos,
                        "an error without the source's name");
  if (!status.ok()) return 0;
  auto set = builder.Finish();
  if (!set.ok()) return 0;
  auto table = MakeTable("set", *set);
  if (!table.ok()) return 0;
  Question question;
  if (geo) {
    if (auto point = GridPoint::Of(51.5, -0.1)) question.point = *point;
    (*table)->Find(question);
  }
  sluice::fuzz::Planted((*table)->size() == 3);
  return 0;
}
