#include "services/ctl/rows.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "common/event/limits.h"
#include "common/telemetry/json.h"

namespace sluice::ctl {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

constexpr size_t kBlockBytes = 64 * 1024;
// Members within members: an event may have no more (see common/event/limits.h).
constexpr size_t kPartsMax = event::kDepthMax;

}  // namespace

// Cells of a row whose text may come in several pieces: each byte is looked at once.
class RowReader::Cells {
 public:
  enum class Parse { kDone, kGoesOn, kStrayQuote, kTextAfterQuote };

  // Cells beyond `kept` are read and counted only: a line of commas takes no more memory than the
  // row that is expected.
  void Begin(std::vector<std::string>& cells, size_t kept) {
    cells_ = &cells;
    cells_->clear();
    kept_ = kept;
    count_ = 0;
    quoted_ = false;
  }
  size_t count() const { return count_; }
  // A line's end inside a quoted cell.
  void AddLineEnd() { Cell() += '\n'; }

  // The next piece, which ends where a line does. kGoesOn: inside a quoted cell.
  Parse Add(std::string_view text) {
    size_t at = 0;
    while (true) {
      if (!quoted_) {
        std::string& cell = NextCell();
        if (at >= text.size() || text[at] != '"') {
          size_t end = std::min(text.find(',', at), text.size());
          std::string_view whole = text.substr(at, end - at);
          if (whole.find('"') != whole.npos) return Parse::kStrayQuote;
          cell = whole;
          at = end;
        } else {
          quoted_ = true;
          ++at;
        }
      }
      if (quoted_) {
        std::string& cell = Cell();
        while (true) {
          size_t quote = text.find('"', at);
          if (quote == text.npos) {
            cell.append(text, at);
            return Parse::kGoesOn;
          }
          cell.append(text, at, quote - at);
          at = quote + 1;
          if (at >= text.size() || text[at] != '"') break;
          cell.push_back('"');
          ++at;
        }
        quoted_ = false;
        if (at < text.size() && text[at] != ',') return Parse::kTextAfterQuote;
      }
      if (at >= text.size()) return Parse::kDone;
      ++at;
    }
  }

 private:
  std::string& Cell() { return count_ > kept_ ? beyond_ : cells_->back(); }
  std::string& NextCell() {
    if (++count_ <= kept_) return cells_->emplace_back();
    beyond_.clear();
    return beyond_;
  }

  std::vector<std::string>* cells_ = nullptr;
  std::string beyond_;
  size_t kept_ = 0, count_ = 0;
  bool quoted_ = false;
};

struct RowReader::Member {
  std::string name;
  size_t column = SIZE_MAX;  // SIZE_MAX: an object
  std::vector<Member> members;
  std::map<std::string, size_t, std::less<>> index;  // of members, by name

  // An empty cell is an absent field, and so is an object of nothing else: false, and nothing is
  // written.
  bool Write(const std::vector<std::string>& cells, std::string& out) const {
    if (column != SIZE_MAX) {
      if (cells[column].empty()) return false;
      telemetry::AppendJsonText(out, cells[column]);
      return true;
    }
    const size_t before = out.size();
    char separator = '{';
    for (const Member& member : members) {
      const size_t mark = out.size();
      out += separator;
      telemetry::AppendJsonText(out, member.name);
      out += ':';
      if (member.Write(cells, out)) {
        separator = ',';
      } else {
        out.resize(mark);
      }
    }
    if (out.size() == before) return false;
    out += '}';
    return true;
  }
};

RowReader::RowReader(std::istream& in, RowOptions options)
    : in_(in),
      options_(std::move(options)),
      block_(kBlockBytes, '\0'),
      root_(std::make_shared<Member>()) {}

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

bool RowReader::FillBlock() {
  // Not by the stream's buffer, which throws where the system fails; the stream catches it.
  in_.read(block_.data(), static_cast<std::streamsize>(block_.size()));
  block_at_ = 0;
  block_end_ = static_cast<size_t>(in_.gcount());
  if (in_.bad()) status_ = absl::UnavailableError("cannot be read to its end");
  return block_end_ > 0;
}

bool RowReader::ReadLine(Line& line) {
  line = {};
  if (block_at_ == block_end_ && !FillBlock()) return false;
  for (bool ended = false; !ended;) {
    const char* begin = block_.data() + block_at_;
    const size_t left = block_end_ - block_at_;
    const void* end = std::memchr(begin, '\n', left);
    ended = end != nullptr;
    std::string_view piece(
        begin, ended ? static_cast<size_t>(static_cast<const char*>(end) - begin) : left);
    block_at_ += piece.size() + (ended ? 1 : 0);
    const size_t room = options_.row_bytes_max - line.text.size();
    line.too_long |= piece.size() > room;
    line.text.append(piece.substr(0, room));
    if (!ended && !FillBlock()) break;
  }
  line.number = ++lines_;
  if (line.text.ends_with('\r')) line.text.pop_back();
  if (lines_ == 1 && line.text.starts_with(kByteOrderMark))
    line.text.erase(0, kByteOrderMark.size());
  return true;
}

absl::Status RowReader::ReadHeader() {
  Line line;
  const bool read = ReadLine(line);
  SLUICE_RETURN_IF_ERROR(status_);
  if (!read || line.text.empty()) return absl::InvalidArgumentError("line 1: there is no header");
  if (line.too_long)
    return absl::InvalidArgumentError(
        base::StrCat("line 1: is longer than ", options_.row_bytes_max, " bytes"));
  if (!base::IsUtf8(line.text)) return absl::InvalidArgumentError("line 1: isn't UTF-8");
  Cells parser;
  parser.Begin(cells_, SIZE_MAX);
  if (parser.Add(line.text) != Cells::Parse::kDone)
    return absl::InvalidArgumentError("line 1: a header's cell must end on its line");
  columns_ = cells_.size();
  std::set<std::string> seen;
  for (size_t i = 0; i < columns_; ++i) {
    if (cells_[i].empty())
      return absl::InvalidArgumentError(base::StrCat("line 1: column ", i + 1, " has no name"));
    if (!seen.insert(cells_[i]).second) {
      return absl::InvalidArgumentError(
          base::StrCat("line 1: column ", i + 1, " has another column's name"));
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
  auto refused = [&](std::string_view why) {
    return absl::InvalidArgumentError(base::StrCat("line 1: column ", column + 1, " ", why));
  };
  if (static_cast<size_t>(std::count(name.begin(), name.end(), '.')) >= kPartsMax)
    return refused(base::StrCat("has more than ", kPartsMax, " parts: rename it with --name"));
  Member* at = root_.get();
  for (size_t begin = 0; begin <= name.size();) {
    size_t end = std::min(name.find('.', begin), name.size());
    std::string part = name.substr(begin, end - begin);
    bool last = end == name.size();
    auto [found, added] = at->index.try_emplace(part, at->members.size());
    if (part.empty() || (!added && (last || at->members[found->second].column != SIZE_MAX)))
      return refused("has no place in the event: its name is another's, or part of it");
    if (added) {
      Member& member = at->members.emplace_back();
      member.name = part;
      if (last) member.column = column;
    }
    at = &at->members[found->second];
    begin = end + 1;
  }
  return absl::OkStatus();
}

std::string RowReader::ReadCells(const Line& first) {
  std::vector<Line> taken;
  Cells parser;
  parser.Begin(cells_, columns_);
  size_t bytes = first.text.size();
  bool utf8 = base::IsUtf8(first.text);
  Cells::Parse parsed = parser.Add(first.text);
  while (parsed == Cells::Parse::kGoesOn && taken.size() + 1 < options_.row_lines_max) {
    Line line;
    if (!TakeLine(line)) break;
    taken.push_back(line);
    bytes += line.text.size() + 1;
    if (line.too_long || bytes > options_.row_bytes_max) break;
    parser.AddLineEnd();
    // No character goes over a line's end.
    utf8 = utf8 && base::IsUtf8(line.text);
    parsed = parser.Add(line.text);
  }
  if (parsed == Cells::Parse::kDone) {
    if (parser.count() != columns_)
      return base::StrCat(parser.count(), " cells where the header has ", columns_);
    return utf8 ? "" : "isn't UTF-8";
  }
  // Only the first line is lost: the others are rows of their own, or fragments that say so.
  again_.insert(again_.begin(), std::make_move_iterator(taken.begin()),
                std::make_move_iterator(taken.end()));
  switch (parsed) {
    case Cells::Parse::kGoesOn:
      return "a quoted cell doesn't end";
    case Cells::Parse::kStrayQuote:
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
    if (!root_->Write(cells_, row.json)) row.json = "{}";
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
