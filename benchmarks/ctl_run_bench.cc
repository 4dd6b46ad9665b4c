// `sluicectl run`, a process of its own, over a file of the workload's events.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "benchmarks/bench.h"
#include "benchmarks/site.h"
#include "benchmarks/workload.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "tests/support/child_process.h"

namespace sluice::bench {
namespace {

// CPU seconds of the children that have ended.
double ChildrenSeconds() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

absl::Status RunCtlRun(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto site, Site::Create());
  SLUICE_RETURN_IF_ERROR(site->Configure({}));
  // The workload's stream is keyed by the raw key, which a file doesn't have: its records are the
  // same.
  std::string in = site->path() + "/events.jsonl";
  const int events = std::min(options.events, 500'000);
  {
    std::ofstream out(in);
    Workload workload(1);
    for (int i = 0; i < events; ++i) out << workload.Next() << "\n";
    if (!out.flush()) return absl::InternalError(in + ": can't be written");
  }
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    std::string out = base::StrCat(site->path(), "/out", i);
    double before = ChildrenSeconds();
    SLUICE_ASSIGN_OR_RETURN(auto process, test_support::ChildProcess::Start(
                                              {{options.programs + "/services/ctl/sluicectl", "run",
                                                site->config(), "--in", in, "--out", out},
                                               {},
                                               site->path() + "/log",
                                               ""}));
    SLUICE_ASSIGN_OR_RETURN(auto ended, process->Wait(std::chrono::minutes(5)));
    if (ended != test_support::Exit{})
      return absl::InternalError("sluicectl run failed: " + process->Output());
    best = std::min(best, ChildrenSeconds() - before);
    std::filesystem::remove_all(out);
  }
  report.Add("ctl_run.events_per_core_second", events / best, "events");
  return absl::OkStatus();
}

}  // namespace sluice::bench
