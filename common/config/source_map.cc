#include "common/config/source_map.h"

#include <algorithm>
#include <tuple>

#include "common/base/strings.h"

namespace sluice::config {
namespace {

constexpr size_t kProblemsMax = 100;

// A key or a parser's message may hold anything; an error stays one line of readable text.
std::string OneLine(std::string_view text) {
  constexpr size_t kBytesMax = 400;
  std::string line;
  for (char c : text.substr(0, kBytesMax)) {
    bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    line.push_back(control ? ' ' : c);
  }
  if (text.size() > kBytesMax) {
    // Not in the middle of a UTF-8 sequence.
    while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xc0) == 0x80)
      line.pop_back();
    if (!line.empty() && static_cast<unsigned char>(line.back()) >= 0xc0) line.pop_back();
    line += "...";
  }
  return line;
}

}  // namespace

int SourceMap::Line(std::string_view path) const {
  while (true) {
    if (auto it = lines_.find(path); it != lines_.end()) return it->second;
    if (path.empty()) return 1;
    // A map's key may itself hold dots and brackets, so each cut is tried against what was written.
    size_t cut = path.find_last_of(".[");
    path = cut == std::string_view::npos ? std::string_view() : path.substr(0, cut);
  }
}

std::string SourceMap::Where(std::string_view path) const {
  return base::StrCat(file_name_, ":", Line(path));
}

void Problems::Add(const SourceMap& map, std::string_view path, std::string_view what) {
  Add(map.file_name(), map.Line(path), path, what);
}

void Problems::Add(std::string_view file_name, int line, std::string_view path,
                   std::string_view what) {
  if (++count_ > kProblemsMax) return;
  std::string text = path.empty() ? std::string() : base::StrCat(OneLine(path), ": ");
  problems_.push_back({std::string(file_name), line, base::StrCat(text, OneLine(what))});
}

absl::Status Problems::ToStatus() const {
  if (empty()) return absl::OkStatus();
  std::vector<const Problem*> sorted;
  for (const Problem& problem : problems_) sorted.push_back(&problem);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem* a, const Problem* b) {
    return std::tie(a->file_name, a->line) < std::tie(b->file_name, b->line);
  });
  std::string text;
  for (const Problem* problem : sorted) {
    base::StrAppend(text, text.empty() ? "" : "\n", problem->file_name, ":", problem->line, ": ",
                    problem->text);
  }
  if (count_ > kProblemsMax) base::StrAppend(text, "\nand ", count_ - kProblemsMax, " more");
  return absl::InvalidArgumentError(text);
}

}  // namespace sluice::config
