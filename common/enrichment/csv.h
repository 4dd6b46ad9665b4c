// CSV as RFC 4180 has it, read strictly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::enrichment {

struct CsvRow {
  int line = 0;  // where the row begins, from 1
  std::vector<std::string> cells;
};

// Splits a whole document: a header line and its rows. Lines end in LF or CRLF, mixed as they come;
// a UTF-8 byte order mark is skipped; an empty last line is no row. Errors (`line N: ...`): a quote
// inside a bare cell, a quoted cell that doesn't end, text after a closing quote, a row with more
// or fewer cells than the header, text that isn't UTF-8, no header, an empty or doubled column
// name.
struct CsvDocument {
  std::vector<std::string> header;
  std::vector<CsvRow> rows;
};
absl::StatusOr<CsvDocument> ParseCsv(std::string_view text);

}  // namespace sluice::enrichment
