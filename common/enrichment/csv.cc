#include "common/enrichment/csv.h"

#include <algorithm>
#include <set>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"

namespace sluice::enrichment {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }

  absl::StatusOr<CsvRow> Row() {
    CsvRow row;
    row.line = line_;
    while (true) {
      SLUICE_ASSIGN_OR_RETURN(std::string cell, Cell());
      row.cells.push_back(std::move(cell));
      if (AtEnd()) return row;
      if (text_[at_] == ',') {
        ++at_;
        continue;
      }
      EndLine();
      return row;
    }
  }

 private:
  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(base::StrCat("line ", line_, ": ", what));
  }

  bool AtLineEnd() const { return AtEnd() || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n"; }

  void EndLine() {
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
  }

  absl::StatusOr<std::string> Cell() {
    if (!AtEnd() && text_[at_] == '"') return Quoted();
    size_t begin = at_;
    while (!AtLineEnd() && text_[at_] != ',') {
      if (text_[at_] == '"') return Error("a quote inside a cell that isn't quoted");
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  absl::StatusOr<std::string> Quoted() {
    std::string cell;
    ++at_;
    while (true) {
      if (AtEnd()) return Error("a quoted cell doesn't end");
      char c = text_[at_++];
      if (c == '\n') ++line_;
      if (c != '"') {
        cell.push_back(c);
      } else if (!AtEnd() && text_[at_] == '"') {
        cell.push_back('"');
        ++at_;
      } else if (AtLineEnd() || text_[at_] == ',') {
        return cell;
      } else {
        return Error("text after a closing quote");
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

absl::StatusOr<CsvDocument> ParseCsv(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (text.empty()) return absl::InvalidArgumentError("line 1: no header line");
  if (!base::IsUtf8(text)) return absl::InvalidArgumentError("the text isn't UTF-8");

  Parser parser(text);
  CsvDocument document;
  SLUICE_ASSIGN_OR_RETURN(CsvRow header, parser.Row());
  document.header = std::move(header.cells);
  std::set<std::string_view> names;
  for (const std::string& name : document.header) {
    if (name.empty()) return absl::InvalidArgumentError("line 1: a column has no name");
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(base::StrCat("line 1: two columns are named '", name, "'"));
    }
  }
  while (!parser.AtEnd()) {
    SLUICE_ASSIGN_OR_RETURN(CsvRow row, parser.Row());
    if (row.cells.size() != document.header.size()) {
      return absl::InvalidArgumentError(base::StrCat("line ", row.line, ": ", row.cells.size(),
                                                     " cells where the header has ",
                                                     document.header.size()));
    }
    document.rows.push_back(std::move(row));
  }
  return document;
}

}  // namespace sluice::enrichment
