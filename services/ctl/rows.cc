#include "services/ctl/rows.h"

#include <algorithm>
#include <set>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/telemetry/json.h"

namespace sluice::ctl {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

enum class Parse { kDone, kGoesOn, kStrayQuote, kTextAfterQuote };

// The cells of a whole row.
Parse ParseCells(std::string_view row, std::vector<std::string>& cells) {
  cells.clear();
  size_t at = 0;
  while (true) {
    std::string& cell = cells.emplace_back();
    if (at < row.size() && row[at] == '"') {
      for (++at;; ++at) {
        if (at >= row.size()) return Parse::kGoesOn;
        if (row[at] != '"') {
          cell.push_back(row[at]);
        } else if (at + 1 < row.size() && row[at + 1] == '"') {
          cell.push_back('"');
          ++at;
        } else {
          ++at;
          break;
        }
      }
      if (at < row.size() && row[at] != ',') return Parse::kTextAfterQuote;
    } else {
      size_t end = std::min(row.find(',', at), row.size());
      std::string_view text = row.substr(at, end - at);
      if (text.find('"') != text.npos) return Parse::kStrayQuote;
      cell = text;
      at = end;
    }
    if (at >= row.size()) return Parse::kDone;
    ++at;
  }
}

}  // namespace

struct RowReader::Member {
  std::string name;
  size_t column = SIZE_MAX;  // SIZE_MAX: an object
  std::vector<Member> members;

  bool Holds(const std::vector<std::string>& cells) const {
    if (column != SIZE_MAX) return !cells[column].empty();
    return std::any_of(members.begin(), members.end(),
                       [&](const Member& member) { return member.Holds(cells); });
  }

  // An empty cell is an absent field.
  void Write(const std::vector<std::string>& cells, std::string& out) const {
    if (column != SIZE_MAX) return telemetry::AppendJsonText(out, cells[column]);
    char before = '{';
    for (const Member& member : members) {
      if (!member.Holds(cells)) continue;
      out += before;
      before = ',';
      telemetry::AppendJsonText(out, member.name);
      out += ':';
      member.Write(cells, out);
    }
    out += before == '{' ? "{}" : "}";
  }
};

RowReader::RowReader(std::istream& in, RowOptions options)
    : in_(in), options_(std::move(options)), root_(std::make_shared<Member>()) {}

absl::StatusOr<std::unique_ptr<RowReader>> RowReader::Create(std::istream& in, RowOptions options) {
  std::unique_ptr<RowReader> reader(new RowReader(in, std::move(options)));
  if (reader->options_.csv) SLUICE_RETURN_IF_ERROR(reader->ReadHeader());
  return reader;
}

bool RowReader::TakeLine(Line& line) {
  if (again_.empty()) return ReadLine(line);
  line = std::move(again_.front());
  again_.pop_front();
  return true;
}

bool RowReader::ReadLine(Line& line) {
  line = {};
  std::streambuf& bytes = *in_.rdbuf();
  int c = bytes.sbumpc();
  if (c == EOF) return false;
  for (; c != EOF && c != '\n'; c = bytes.sbumpc()) {
    if (line.text.size() < options_.row_bytes_max) {
      line.text.push_back(static_cast<char>(c));
    } else {
      line.too_long = true;
    }
  }
  line.number = ++lines_;
  if (line.text.ends_with('\r')) line.text.pop_back();
  if (lines_ == 1 && line.text.starts_with(kByteOrderMark))
    line.text.erase(0, kByteOrderMark.size());
  return true;
}

absl::Status RowReader::ReadHeader() {
  Line line;
  if (!ReadLine(line) || line.text.empty())
    return absl::InvalidArgumentError("line 1: there is no header");
  if (!base::IsUtf8(line.text)) return absl::InvalidArgumentError("line 1: isn't UTF-8");
  if (ParseCells(line.text, cells_) != Parse::kDone)
    return absl::InvalidArgumentError("line 1: a header's cell must end on its line");
  columns_ = cells_.size();
  std::set<std::string> seen;
  for (size_t i = 0; i < columns_; ++i) {
    if (cells_[i].empty())
      return absl::InvalidArgumentError(base::StrCat("line 1: column ", i + 1, " has no name"));
    if (!seen.insert(cells_[i]).second) {
      return absl::InvalidArgumentError(
          base::StrCat("line 1: two columns are named '", cells_[i], "'"));
    }
    if (cells_[i] == options_.key_column) key_column_ = i;
    auto renamed = options_.names.find(cells_[i]);
    SLUICE_RETURN_IF_ERROR(
        AddColumn(renamed == options_.names.end() ? cells_[i] : renamed->second, i));
  }
  if (!options_.key_column.empty() && key_column_ == SIZE_MAX) {
    return absl::InvalidArgumentError(
        base::StrCat("--key: there is no column '", options_.key_column, "'"));
  }
  for (const auto& [column, name] : options_.names) {
    if (!seen.contains(column))
      return absl::InvalidArgumentError(base::StrCat("--name: there is no column '", column, "'"));
  }
  return absl::OkStatus();
}

// `subject.name` is the member `name` of the object `subject`.
absl::Status RowReader::AddColumn(const std::string& name, size_t column) {
  if (name.empty()) return absl::OkStatus();
  Member* at = root_.get();
  for (size_t begin = 0; begin <= name.size();) {
    size_t end = std::min(name.find('.', begin), name.size());
    std::string part = name.substr(begin, end - begin);
    bool last = end == name.size();
    auto found = std::find_if(at->members.begin(), at->members.end(),
                              [&](const Member& member) { return member.name == part; });
    if (part.empty() || (found != at->members.end() && (last || found->column != SIZE_MAX))) {
      return absl::InvalidArgumentError(
          base::StrCat("line 1: column ", column + 1, " ('", name,
                       "') has no place in the event: its name is another's, or part of it"));
    }
    if (found == at->members.end()) {
      at->members.push_back({part, last ? column : SIZE_MAX, {}});
      found = at->members.end() - 1;
    }
    at = &*found;
    begin = end + 1;
  }
  return absl::OkStatus();
}

std::string RowReader::ReadCells(const Line& first) {
  std::string row = first.text;
  std::vector<Line> taken;
  Parse parsed = ParseCells(row, cells_);
  while (parsed == Parse::kGoesOn && taken.size() + 1 < options_.row_lines_max) {
    Line line;
    if (!TakeLine(line)) break;
    taken.push_back(line);
    if (line.too_long || row.size() + line.text.size() + 1 > options_.row_bytes_max) break;
    base::StrAppend(row, '\n', line.text);
    parsed = ParseCells(row, cells_);
  }
  if (parsed == Parse::kDone) {
    if (cells_.size() != columns_)
      return base::StrCat(cells_.size(), " cells where the header has ", columns_);
    return base::IsUtf8(row) ? "" : "isn't UTF-8";
  }
  // Only the first line is lost: the others are rows of their own, or fragments that say so.
  again_.insert(again_.begin(), std::make_move_iterator(taken.begin()),
                std::make_move_iterator(taken.end()));
  switch (parsed) {
    case Parse::kGoesOn:
      return "a quoted cell doesn't end";
    case Parse::kStrayQuote:
      return "a quote inside a cell that isn't quoted";
    default:
      return "text behind a closing quote";
  }
}

bool RowReader::Next(Row& row) {
  Line line;
  do {
    if (!TakeLine(line)) return false;
  } while (line.text.find_first_not_of(" \t") == std::string::npos && !line.too_long);
  row.number = ++rows_;
  row.line = line.number;
  row.json.clear();
  row.key.clear();
  row.refusal.clear();
  if (line.too_long) {
    row.refusal = base::StrCat("is longer than ", options_.row_bytes_max, " bytes");
  } else if (options_.csv) {
    row.refusal = ReadCells(line);
    if (!row.refusal.empty()) return true;
    root_->Write(cells_, row.json);
    if (key_column_ != SIZE_MAX) row.key = cells_[key_column_];
  } else if (!base::IsUtf8(line.text)) {
    row.refusal = "isn't UTF-8";
  } else {
    size_t begin = line.text.find_first_not_of(" \t");
    size_t end = line.text.find_last_not_of(" \t");
    row.json = line.text.substr(begin, end - begin + 1);
    if (row.json.front() != '{' || row.json.back() != '}') row.refusal = "isn't a JSON object";
  }
  return true;
}

}  // namespace sluice::ctl
