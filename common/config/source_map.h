// Where in its file each part of a configuration was written, and the list of what is wrong with
// it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace sluice::config {

// Line of each field path of a parsed message, such as
// `pipeline.streams[0].treat[PHONE].generalise`. The whole file's path is "". Immutable once filled
// by ParseYaml(); then thread-safe.
class SourceMap {
 public:
  SourceMap() = default;
  explicit SourceMap(std::string_view file_name) : file_name_(file_name) {}

  // Keeps the first line given for a path.
  void Add(std::string_view path, int line) { lines_.try_emplace(std::string(path), line); }

  // Line of `path`, or of the nearest part around it that is in the file. Counts from 1.
  int Line(std::string_view path) const;
  // Whether the file has this very path.
  bool Has(std::string_view path) const { return lines_.contains(path); }
  // "file:line".
  std::string Where(std::string_view path) const;
  const std::string& file_name() const { return file_name_; }

 private:
  std::string file_name_;
  std::map<std::string, int, std::less<>> lines_;
};

// Everything that is wrong with a configuration, so that one run tells all of it. One line each:
// `file:line: path: what is wrong and what to change`. Not thread-safe.
class Problems {
 public:
  // `what` names keys and what to change, and never a secret's content.
  void Add(const SourceMap& map, std::string_view path, std::string_view what);
  void Add(std::string_view file_name, int line, std::string_view path, std::string_view what);

  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  // OK, or kInvalidArgument with the problems in the order of their lines; after the first 100,
  // their number.
  absl::Status ToStatus() const;

 private:
  struct Problem {
    std::string file_name;
    int line;
    std::string text;
  };
  size_t count_ = 0;
  std::vector<Problem> problems_;
};

}  // namespace sluice::config
