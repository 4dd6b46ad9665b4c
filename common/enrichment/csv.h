// CSV as RFC 4180 has it, read strictly, row by row.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/arena.h"

namespace sluice::enrichment {

// Reads a header line, then its rows. Lines end in LF or CRLF, mixed as they come; a UTF-8 byte
// order mark is skipped; an empty last line is no row. Errors (`line N: ...`): a quote inside a
// bare cell, a quoted cell that doesn't end, text after a closing quote, a row with more or fewer
// cells than the header, text that isn't UTF-8, no header, an empty or doubled column name.
//
// The text must outlive the reader; it may be a file's, mapped. Memory is one row's.
class CsvReader {
 public:
  static absl::StatusOr<CsvReader> Create(std::string_view text);

  const std::vector<std::string>& header() const { return header_; }
  // The next row's cells, one for each name in the header; false at the end. They are views of the
  // text, or of `arena` where a quoted cell has quotes in it.
  absl::StatusOr<bool> Next(base::Arena& arena, std::vector<std::string_view>& cells);
  // Where the last row began, from 1.
  int line() const { return row_line_; }

 private:
  explicit CsvReader(std::string_view text) : text_(text) {}
  absl::Status Error(std::string_view what) const;
  bool AtEnd() const { return at_ >= text_.size(); }
  bool AtLineEnd() const;
  absl::Status ReadRow(base::Arena& arena, std::vector<std::string_view>& cells);
  absl::StatusOr<std::string_view> Cell(base::Arena& arena);
  absl::StatusOr<std::string_view> Quoted(base::Arena& arena);

  std::string_view text_;
  std::vector<std::string> header_;
  size_t at_ = 0;
  int line_ = 1;
  int row_line_ = 1;
};

}  // namespace sluice::enrichment
