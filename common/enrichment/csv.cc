#include "common/enrichment/csv.h"

#include <cstring>
#include <map>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"

namespace sluice::enrichment {

absl::StatusOr<CsvReader> CsvReader::Create(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (text.empty()) return absl::InvalidArgumentError("line 1: no header line");
  if (!base::IsUtf8(text)) return absl::InvalidArgumentError("the text isn't UTF-8");
  CsvReader reader(text);
  base::Arena arena(4096);
  std::vector<std::string_view> names;
  SLUICE_RETURN_IF_ERROR(reader.ReadRow(arena, names));
  // Errors give columns' numbers, never what stands there: a file that has lost its header has
  // somebody's row in its place.
  std::map<std::string_view, size_t> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string_view name = names[i];
    if (name.empty()) return absl::InvalidArgumentError("line 1: a column has no name");
    if (auto [other, added] = seen.emplace(name, i + 1); !added) {
      return absl::InvalidArgumentError(
          base::StrCat("line 1: columns ", other->second, " and ", i + 1, " have one name"));
    }
    reader.header_.emplace_back(name);
  }
  return reader;
}

absl::Status CsvReader::Error(std::string_view what) const {
  return absl::InvalidArgumentError(base::StrCat("line ", line_, ": ", what));
}

bool CsvReader::AtLineEnd() const {
  return AtEnd() || text_[at_] == '\n' ||
         (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n');
}

absl::StatusOr<bool> CsvReader::Next(base::Arena& arena, std::vector<std::string_view>& cells) {
  if (AtEnd()) return false;
  cells.clear();
  SLUICE_RETURN_IF_ERROR(ReadRow(arena, cells));
  if (cells.size() != header_.size()) {
    return absl::InvalidArgumentError(base::StrCat("line ", row_line_, ": ", cells.size(),
                                                   " cells where the header has ", header_.size()));
  }
  return true;
}

absl::Status CsvReader::ReadRow(base::Arena& arena, std::vector<std::string_view>& cells) {
  row_line_ = line_;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(std::string_view cell, Cell(arena));
    cells.push_back(cell);
    if (AtEnd()) return absl::OkStatus();
    if (text_[at_] == ',') {
      ++at_;
      continue;
    }
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
    return absl::OkStatus();
  }
}

absl::StatusOr<std::string_view> CsvReader::Cell(base::Arena& arena) {
  if (!AtEnd() && text_[at_] == '"') return Quoted(arena);
  size_t begin = at_;
  while (!AtLineEnd() && text_[at_] != ',') {
    if (text_[at_] == '"') return Error("a quote inside a cell that isn't quoted");
    ++at_;
  }
  return text_.substr(begin, at_ - begin);
}

absl::StatusOr<std::string_view> CsvReader::Quoted(base::Arena& arena) {
  size_t begin = ++at_;
  size_t quotes = 0;
  while (true) {
    if (AtEnd()) return Error("a quoted cell doesn't end");
    char c = text_[at_++];
    if (c == '\n') ++line_;
    if (c != '"') continue;
    if (AtEnd() || text_[at_] != '"') break;
    ++quotes;
    ++at_;
  }
  if (!AtLineEnd() && text_[at_] != ',') return Error("text after a closing quote");
  std::string_view raw = text_.substr(begin, at_ - 1 - begin);
  if (quotes == 0) return raw;
  char* cell = arena.Allocate(raw.size() - quotes);
  char* to = cell;
  for (size_t i = 0; i < raw.size(); ++i) {
    *to++ = raw[i];
    if (raw[i] == '"') ++i;
  }
  return std::string_view(cell, static_cast<size_t>(to - cell));
}

}  // namespace sluice::enrichment
