#include "common/telemetry/memory_limit.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "common/base/strings.h"

namespace sluice::telemetry {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();
// Version 1 says "no limit" with the largest number of whole pages.
constexpr double kUnlimited = 1e18;

// Version 2 says "max" for none. In a container, the path may be one of the host's: no file.
double Read(const std::string& file) {
  double bytes = 0;
  return std::ifstream(file) >> bytes && bytes < kUnlimited ? bytes : kNone;
}

}  // namespace

double MemoryLimitBytes(const std::string& proc_cgroup, const std::string& mount) {
  double limit = kNone;
  std::ifstream groups(proc_cgroup);
  // hierarchy:controllers:path; version 2 is hierarchy 0 with no controllers.
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    bool v2 = controllers.empty();
    if (!v2 && base::StrCat(",", controllers, ",").find(",memory,") == std::string::npos) continue;
    std::string root = v2 ? mount : base::StrCat(mount, "/memory");
    const char* file = v2 ? "/memory.max" : "/memory.limit_in_bytes";
    // A group is bound by those above it.
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      limit = std::min(limit, Read(base::StrCat(root, path, file)));
      if (path.empty() || path[0] != '/') break;
    }
  }
  return limit;
}

}  // namespace sluice::telemetry
