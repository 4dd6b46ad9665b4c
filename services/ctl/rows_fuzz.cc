// Any bytes as a legacy extract: every row is an object of JSON or is refused with a reason.
#include <simdjson.h>

#include <sstream>

#include "services/ctl/rows.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size == 0) return 0;
  std::istringstream in(std::string(reinterpret_cast<const char*>(data + 1), size - 1));
  ctl::RowOptions options;
  options.csv = data[0] % 2 == 0;
  options.row_bytes_max = 1000;
  options.row_lines_max = 5;
  auto reader = ctl::RowReader::Create(in, options);
  if (!reader.ok()) return 0;
  ctl::Row row;
  uint64_t rows = 0, line = 0;
  simdjson::dom::parser parser;
  while ((*reader)->Next(row)) {
    fuzz::Require(row.number == ++rows && row.line > line, "rows are numbered in their order");
    line = row.line;
    if (!row.refusal.empty()) continue;
    if (options.csv)
      fuzz::Require(parser.parse(row.json).is_object(), "a row that isn't an object");
    fuzz::Planted(options.csv && row.json.find("}}}") != std::string::npos);
  }
  fuzz::Require((*reader)->status().ok(), "the text can be read to its end");
  return 0;
}
