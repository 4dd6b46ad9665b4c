// Whether files have changed since they were read.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sluice::config {

// What tells one state of the files from another: names, inodes, sizes and times, also of what is
// in folders. A file that is missing has a state too.
std::string FileState(const std::vector<std::string>& files);

// Files that are looked at from time to time. A change counts once it has stood still for one look,
// so that a file that is being written isn't read. Not thread-safe.
class WatchedFiles {
 public:
  // Before the files are read, so that no change is missed.
  explicit WatchedFiles(std::vector<std::string> files)
      : files_(std::move(files)), read_(FileState(files_)), seen_(read_) {}

  // Whether they are to be read again; `anyway`: they will be.
  bool Changed(bool anyway = false) {
    std::string found = FileState(files_);
    const bool changed = anyway || (found != read_ && found == seen_);
    if (changed) read_ = found;
    seen_ = std::move(found);
    return changed;
  }

 private:
  const std::vector<std::string> files_;
  std::string read_, seen_;
};

}  // namespace sluice::config
