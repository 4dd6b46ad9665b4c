// Rows of legacy extracts, one at a time: what can't be an event is refused and read past.
#pragma once

#include <cstdint>
#include <deque>
#include <istream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::ctl {

struct RowOptions {
  // CSV (RFC 4180) with a header line; else JSON lines.
  bool csv = true;
  size_t row_bytes_max = 1024 * 1024;  // a longer row is refused
  // A quoted cell that doesn't end within so many lines began with a stray quote: its first line is
  // refused, and reading goes on behind that.
  size_t row_lines_max = 200;
  // Of CSV. Column -> the name of its member in the event; an empty name leaves it out.
  std::map<std::string, std::string> names;
  std::string key_column;  // whose cell is the record's key
};

struct Row {
  uint64_t number = 0;  // from 1, without the header; every row counts, also a refused one
  uint64_t line = 0;    // where it begins in the file, from 1
  std::string json;     // the event
  std::string key;      // empty: none
  std::string refusal;  // why it isn't one; never a value
};

// Lines end in LF or CRLF, mixed as they come; a byte order mark is skipped; empty lines are no
// rows. The same file gives the same rows every time. Memory is bounded by one row.
// Single-threaded.
class RowReader {
 public:
  // The stream outlives it. kInvalidArgument: CSV without a header, with a column that has no name
  // or another's, or with too many parts, or options that name a column that isn't there.
  // kUnavailable: the stream cannot be read.
  static absl::StatusOr<std::unique_ptr<RowReader>> Create(std::istream& in, RowOptions options);

  // False: that was all, or as status() says.
  bool Next(Row& row);
  // kUnavailable: the stream could not be read to its end, and what was read is not all.
  const absl::Status& status() const { return status_; }

 private:
  struct Line {
    uint64_t number = 0;
    std::string text;
    bool too_long = false;
  };
  struct Member;  // a column, or an object of columns
  class Cells;

  RowReader(std::istream& in, RowOptions options);
  bool TakeLine(Line& line);
  bool ReadLine(Line& line);
  bool FillBlock();
  absl::Status ReadHeader();
  absl::Status AddColumn(const std::string& name, size_t column);
  // Fills the cells from the line and, where a quoted cell goes on, those behind it; or says why
  // not.
  std::string ReadCells(const Line& line);

  std::istream& in_;
  const RowOptions options_;
  absl::Status status_;
  std::string block_;  // read and not yet taken: from block_at_ to block_end_
  size_t block_at_ = 0, block_end_ = 0;
  std::deque<Line> again_;  // lines that a row took and gave back
  uint64_t lines_ = 0;
  uint64_t rows_ = 0;
  size_t columns_ = 0;
  size_t key_column_ = SIZE_MAX;
  std::shared_ptr<Member> root_;
  std::vector<std::string> cells_;
};

}  // namespace sluice::ctl
