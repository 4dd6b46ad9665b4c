// Sizes, not speeds: what a node must fetch before a pod can start.
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <string>

#include "benchmarks/bench.h"
#include "common/base/status.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::bench {

using namespace std::chrono_literals;

absl::Status RunImage(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto folder, test_support::TempDir::Create("sluice-bench"));
  std::string root = std::filesystem::path(options.programs).parent_path().parent_path();
  std::string out = folder->path() + "/sizes";
  SLUICE_ASSIGN_OR_RETURN(auto process, test_support::ChildProcess::Start(
                                            {{root + "/scripts/images.sh", "sizes"}, {}, out, ""}));
  SLUICE_ASSIGN_OR_RETURN(auto ended, process->Wait(60s));
  if (ended != test_support::Exit{}) {
    std::fprintf(stderr, "bench: image: skipped, there are no images: ./run images builds them\n");
    return absl::OkStatus();
  }
  std::istringstream lines(test_support::ReadFile(out));
  std::string name;
  double mib = 0;
  while (lines >> name >> mib) report.Add("image." + name + "_mib", mib, "MiB");
  return absl::OkStatus();
}

}  // namespace sluice::bench
