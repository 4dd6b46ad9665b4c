#include "services/ctl/event_reader.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/enrichment/csv.h"
#include "common/telemetry/json.h"

namespace sluice::ctl {
namespace {

constexpr size_t kReadBytes = 1024 * 1024;

absl::Status TooLong(const std::string& name, uint64_t line) {
  return absl::InvalidArgumentError(base::StrCat(name, ":", line, ": is longer than ",
                                                 EventReader::kLineBytesMax,
                                                 " bytes: is it one event a line?"));
}

// Lines of a stream, a block at a time. The views are valid until the next Fill.
class Lines {
 public:
  Lines(std::istream& in, std::string name) : in_(in), name_(std::move(name)) {}

  // The next line without its end; false: that was all, or Fill is needed, as `more` says.
  bool Take(std::string_view& line) {
    const char* begin = buffer_.data() + at_;
    size_t left = size_ - at_;
    const void* end = left == 0 ? nullptr : std::memchr(begin, '\n', left);
    if (end == nullptr) {
      if (!ended_ || left == 0) return false;
      line = {begin, left};
      at_ = size_;
    } else {
      line = {begin, static_cast<size_t>(static_cast<const char*>(end) - begin)};
      at_ += line.size() + 1;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++line_;
    return true;
  }

  bool exhausted() const { return ended_ && at_ == size_; }

  // Reads on behind what hasn't been taken.
  absl::Status Fill() {
    if (at_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + at_, size_ - at_);
      size_ -= at_;
      at_ = 0;
    }
    if (size_ > EventReader::kLineBytesMax) return TooLong(name_, line_ + 1);
    if (buffer_.size() < size_ + kReadBytes) buffer_.resize(size_ + kReadBytes);
    in_.read(buffer_.data() + size_, kReadBytes);
    auto got = static_cast<size_t>(in_.gcount());
    size_ += got;
    bytes_ += got;
    if (in_.bad()) return absl::InternalError(name_ + ": can't be read any further");
    ended_ = in_.eof();
    return absl::OkStatus();
  }

  uint64_t line() const { return line_; }  // of the last taken
  uint64_t bytes() const { return bytes_; }
  const std::string& name() const { return name_; }

 private:
  std::istream& in_;
  const std::string name_;
  std::string buffer_;
  size_t at_ = 0, size_ = 0;
  uint64_t line_ = 0, bytes_ = 0;
  bool ended_ = false;
};

class JsonLinesReader final : public EventReader {
 public:
  JsonLinesReader(std::istream& in, std::string name) : lines_(in, std::move(name)) {}

  absl::Status Next(EventChunk& chunk) override {
    chunk.events.clear();
    chunk.lines.clear();
    // A block's lines first: filling moves them.
    while (chunk.events.empty() && !lines_.exhausted()) {
      std::string_view line;
      while (chunk.events.size() < kChunkEvents && lines_.Take(line)) {
        if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
        chunk.events.push_back(line);
        chunk.lines.push_back(lines_.line());
      }
      if (chunk.events.empty() && !lines_.exhausted()) SLUICE_RETURN_IF_ERROR(lines_.Fill());
    }
    chunk.bytes = lines_.bytes();
    return absl::OkStatus();
  }

 private:
  Lines lines_;
};

// What a column is written as.
enum class Cell { kText, kNumber, kBool };

// The columns as a tree of JSON objects.
struct Member {
  std::string name;
  size_t column = 0;  // meaningful without members
  Cell cell = Cell::kText;
  std::vector<Member> members;
};

bool IsNumber(const contract::Node& node) {
  using contract::Type;
  return node.type == Type::kInt32 || node.type == Type::kInt64 || node.type == Type::kUint32 ||
         node.type == Type::kUint64 || node.type == Type::kFloat || node.type == Type::kDouble;
}

// As RFC 8259 has it.
bool IsJsonNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  auto digits = [&] {
    size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(count);
    return count;
  };
  bool zero = text.starts_with('0');
  size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return text.empty();
}

// The field that a source is read into; nullptr: none.
const contract::Node* FieldOf(const contract::Plan& plan, const contract::Node& parent,
                              absl::Span<const std::string> keys) {
  for (const contract::Node& node : plan.children(parent)) {
    std::vector<std::vector<std::string>> sources = {{node.name}, {node.json_name}};
    if (!node.read.source.empty()) sources = {node.read.source};
    for (const auto& source : sources) {
      if (source.size() > keys.size() || !std::equal(source.begin(), source.end(), keys.begin()))
        continue;
      if (source.size() == keys.size()) return &node;
      if (node.is_message()) {
        if (const auto* found = FieldOf(plan, node, keys.subspan(source.size()))) return found;
      }
    }
  }
  return nullptr;
}

class CsvReader final : public EventReader {
 public:
  CsvReader(std::istream& in, std::string name, std::shared_ptr<const contract::Plan> plan)
      : lines_(in, std::move(name)), plan_(std::move(plan)) {}

  absl::Status Start() {
    uint64_t line = 0;
    SLUICE_ASSIGN_OR_RETURN(bool there, NextRow(header_, line));
    if (!there) return absl::InvalidArgumentError(lines_.name() + ": is empty; name the columns");
    SLUICE_ASSIGN_OR_RETURN(auto document, Parse(""));
    for (size_t i = 0; i < document.header.size(); ++i)
      SLUICE_RETURN_IF_ERROR(AddColumn(document.header[i], i));
    return absl::OkStatus();
  }

  absl::Status Next(EventChunk& chunk) override {
    chunk.events.clear();
    chunk.lines.clear();
    std::string rows, row;
    uint64_t line = 0;
    first_line_ = 0;
    while (chunk.lines.size() < kChunkEvents) {
      SLUICE_ASSIGN_OR_RETURN(bool there, NextRow(row, line));
      if (!there) break;
      if (row.empty()) continue;
      if (chunk.lines.empty()) first_line_ = line;
      chunk.lines.push_back(line);
      rows += row;
    }
    SLUICE_ASSIGN_OR_RETURN(auto document, Parse(rows));
    if (document.rows.size() != chunk.lines.size())
      return absl::InternalError(base::StrCat(lines_.name(), ":", first_line_, ": rows got lost"));
    texts_.resize(document.rows.size());
    for (size_t i = 0; i < document.rows.size(); ++i) {
      texts_[i].clear();
      WriteObject(root_.members, document.rows[i].cells, texts_[i]);
      chunk.events.push_back(texts_[i]);
    }
    chunk.bytes = lines_.bytes();
    return absl::OkStatus();
  }

 private:
  // A row with its line ends, which a quoted cell may hold too; empty: an empty line. False: none.
  absl::StatusOr<bool> NextRow(std::string& row, uint64_t& begins) {
    row.clear();
    bool quoted = false;
    for (std::string_view line;;) {
      if (!lines_.Take(line)) {
        if (lines_.exhausted()) return !row.empty();
        SLUICE_RETURN_IF_ERROR(lines_.Fill());
        continue;
      }
      if (row.empty()) begins = lines_.line();
      if (row.empty() && line.empty()) return true;
      quoted ^= std::count(line.begin(), line.end(), '"') % 2 == 1;
      base::StrAppend(row, line, "\n");
      if (!quoted) return true;
      if (row.size() > kLineBytesMax) return TooLong(lines_.name(), begins);
    }
  }

  absl::StatusOr<enrichment::CsvDocument> Parse(const std::string& rows) const {
    auto document = enrichment::ParseCsv(base::StrCat(header_, rows));
    if (document.ok()) return document;
    std::string where =
        first_line_ == 0
            ? ""
            : base::StrCat(" (counted from the header and, behind it, line ", first_line_, ")");
    return absl::InvalidArgumentError(
        base::StrCat(lines_.name(), ": ", base::View(document.status().message()), where));
  }

  absl::Status AddColumn(const std::string& column, size_t index) {
    std::vector<std::string> keys = absl::StrSplit(column, '.');
    const contract::Node* field = FieldOf(*plan_, plan_->root(), keys);
    Cell cell = Cell::kText;
    if (field != nullptr && IsNumber(*field)) cell = Cell::kNumber;
    if (field != nullptr && field->type == contract::Type::kBool) cell = Cell::kBool;
    Member* at = &root_;
    for (size_t i = 0; i < keys.size(); ++i) {
      auto found = std::find_if(at->members.begin(), at->members.end(),
                                [&](const Member& member) { return member.name == keys[i]; });
      bool last = i + 1 == keys.size();
      if (found != at->members.end() && (last || found->members.empty())) {
        return absl::InvalidArgumentError(
            base::StrCat(lines_.name(), ":1: the column '", column,
                         "' stands where another does: it can't be a value and an object"));
      }
      if (found == at->members.end()) found = at->members.insert(found, {keys[i], index, cell, {}});
      at = &*found;
    }
    return absl::OkStatus();
  }

  // Whether any cell below has a value.
  static bool Holds(const Member& member, const std::vector<std::string>& cells) {
    if (member.members.empty()) return !cells[member.column].empty();
    return std::any_of(member.members.begin(), member.members.end(),
                       [&](const Member& below) { return Holds(below, cells); });
  }

  static void WriteObject(const std::vector<Member>& members, const std::vector<std::string>& cells,
                          std::string& out) {
    out += '{';
    bool first = true;
    for (const Member& member : members) {
      if (!Holds(member, cells)) continue;
      if (!first) out += ',';
      first = false;
      telemetry::AppendJsonText(out, member.name);
      out += ':';
      if (!member.members.empty()) {
        WriteObject(member.members, cells, out);
        continue;
      }
      const std::string& cell = cells[member.column];
      bool bare = (member.cell == Cell::kNumber && IsJsonNumber(cell)) ||
                  (member.cell == Cell::kBool && (cell == "true" || cell == "false"));
      if (bare) {
        out += cell;
      } else {
        telemetry::AppendJsonText(out, cell);
      }
    }
    out += '}';
  }

  Lines lines_;
  const std::shared_ptr<const contract::Plan> plan_;
  std::string header_;
  uint64_t first_line_ = 0;  // of the chunk at hand; 0: the header
  Member root_;
  std::vector<std::string> texts_;
};

}  // namespace

std::unique_ptr<EventReader> EventReader::JsonLines(std::istream& in, std::string name) {
  return std::make_unique<JsonLinesReader>(in, std::move(name));
}

absl::StatusOr<std::unique_ptr<EventReader>> EventReader::Csv(
    std::istream& in, std::string name, std::shared_ptr<const contract::Plan> plan) {
  auto reader = std::make_unique<CsvReader>(in, std::move(name), std::move(plan));
  SLUICE_RETURN_IF_ERROR(reader->Start());
  return reader;
}

}  // namespace sluice::ctl
