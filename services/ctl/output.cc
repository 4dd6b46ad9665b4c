#include "services/ctl/output.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "common/base/strings.h"

namespace sluice::ctl {
namespace {

constexpr std::string_view kReset = "\033[0m";
constexpr uint64_t kBarCells = 24;
constexpr std::chrono::milliseconds kDrawInterval{100};

std::string_view CodeOf(Colour colour) {
  switch (colour) {
    case Colour::kRed:
      return "\033[31m";
    case Colour::kGreen:
      return "\033[32m";
    case Colour::kYellow:
      return "\033[33m";
    case Colour::kBold:
      return "\033[1m";
    case Colour::kDim:
      return "\033[2m";
  }
  return "";
}

// Characters that a terminal shows: without colours' codes, UTF-8's continuation bytes not counted.
size_t WidthOf(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      i = std::min(text.find('m', i), text.size());
    } else if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) {
      ++width;
    }
  }
  return width;
}

}  // namespace

std::string Output::Paint(Colour colour, std::string_view text) const {
  if (!options_.colour || text.empty()) return std::string(text);
  return base::StrCat(CodeOf(colour), text, kReset);
}

void Table::Print(Output& output) const {
  std::vector<size_t> widths;
  auto measure = [&](const std::vector<std::string>& row) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], WidthOf(row[i]));
  };
  measure(header_);
  for (const auto& row : rows_) measure(row);
  auto print = [&](const std::vector<std::string>& row, bool header) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += header ? output.Paint(Colour::kBold, row[i]) : row[i];
      if (i + 1 < row.size()) line.append(widths[i] - WidthOf(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    output.out() << line << "\n";
  };
  if (!header_.empty()) print(header_, true);
  for (const auto& row : rows_) print(row, false);
}

Progress::Progress(Output& output, std::string what, uint64_t total)
    : output_(output),
      what_(std::move(what)),
      total_(total),
      start_(Clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  if (shown_) output_.err() << "\r\033[K" << std::flush;
}

void Progress::Set(uint64_t done) {
  if (!output_.live()) return;
  Clock::time_point now = Clock::now();
  if (now - drawn_ < kDrawInterval) return;
  Draw(done, now);
}

void Progress::Draw(uint64_t done, Clock::time_point now) {
  drawn_ = now;
  shown_ = true;
  double seconds = std::chrono::duration<double>(now - start_).count();
  std::string line = base::StrCat("\r\033[K", what_, " ");
  if (total_ > 0) {
    uint64_t filled = std::min(done, total_) * kBarCells / total_;
    line += '[';
    line.append(filled, '#');
    line.append(kBarCells - filled, '.');
    base::StrAppend(line, "] ", std::min(done, total_) * 100 / total_, "% ");
  }
  char rate[64];
  std::snprintf(rate, sizeof(rate), "%" PRIu64 " (%.0f/s)", done,
                seconds > 0 ? static_cast<double>(done) / seconds : 0.0);
  output_.err() << line << rate << std::flush;
}

}  // namespace sluice::ctl
