#include "common/config/file_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "common/base/strings.h"

namespace sluice::config {
namespace {

namespace fs = std::filesystem;

void AppendStat(const std::string& path, std::string& out) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) {
    base::StrAppend(out, path, " none\n");
    return;
  }
  base::StrAppend(out, path, ' ', static_cast<uint64_t>(found.st_ino), ' ',
                  static_cast<int64_t>(found.st_size), ' ',
                  static_cast<int64_t>(found.st_mtim.tv_sec), '.',
                  static_cast<int64_t>(found.st_mtim.tv_nsec), '\n');
}

}  // namespace

std::string FileState(const std::vector<std::string>& files) {
  std::vector<std::string> paths;
  for (const std::string& file : files) {
    paths.push_back(file);
    std::error_code error;
    for (fs::recursive_directory_iterator at(file, error), end; !error && at != end;
         at.increment(error))
      paths.push_back(at->path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::string out;
  for (const std::string& path : paths) AppendStat(path, out);
  return out;
}

}  // namespace sluice::config
