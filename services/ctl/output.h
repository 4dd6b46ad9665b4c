// Where commands write: results to one stream, remarks and progress to the other.
#pragma once

#include <chrono>
#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::ctl {

enum class Colour { kRed, kGreen, kYellow, kBold, kDim };

// Not thread-safe.
class Output {
 public:
  struct Options {
    bool json = false;    // results are one JSON document
    bool colour = false;  // of results
    bool live = false;    // remarks go to a terminal: progress may be drawn
    bool screen = false;  // results do: they may be drawn over
  };
  // The streams outlive it.
  Output(std::istream& in, std::ostream& out, std::ostream& err, Options options)
      : in_(in), out_(out), err_(err), options_(options) {}

  bool json() const { return options_.json; }
  bool live() const { return options_.live; }
  bool screen() const { return options_.screen; }
  // What a person types or a pipe brings, for arguments written `-`.
  std::istream& in() { return in_; }
  std::ostream& out() { return out_; }
  std::ostream& err() { return err_; }
  // The text in a colour where colours are on.
  std::string Paint(Colour colour, std::string_view text) const;

 private:
  std::istream& in_;
  std::ostream& out_;
  std::ostream& err_;
  const Options options_;
};

// Columns that line up. Cells may be painted.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  // Missing cells are empty.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void Print(Output& output) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// A bar on the terminal for work that takes long; nothing where there is none. The end of its life
// clears it.
class Progress {
 public:
  // `total` in units of the work; 0: it isn't known, and only what is done is shown.
  Progress(Output& output, std::string what, uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap enough to be called for each unit: it draws ten times a second at most.
  void Set(uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  void Draw(uint64_t done, Clock::time_point now);

  Output& output_;
  const std::string what_;
  const uint64_t total_;
  const Clock::time_point start_;
  Clock::time_point drawn_;
  bool shown_ = false;
};

}  // namespace sluice::ctl
