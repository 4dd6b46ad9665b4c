// The processor with its keys in the pseudonymiser's process, over mutual TLS, beside the mirror.
#include "benchmarks/bench.h"
#include "benchmarks/pipeline_run.h"
#include "common/base/status.h"

namespace sluice::bench {

// Both processes' CPU time is counted.
absl::Status RunPipelineRemote(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto run, PipelineRun::Create(options));
  SLUICE_ASSIGN_OR_RETURN(auto keys, run->site().StartPseudonymiser(options.programs));
  double mirror_cpu = 0, mirror_rate = 0, cpu = 0, rate = 0;
  constexpr int kRuns = 2;
  for (int i = 0; i < kRuns; ++i) {
    SLUICE_ASSIGN_OR_RETURN(RunFigures mirror, run->Mirror());
    mirror_cpu += mirror.cpu_us_per_event;
    mirror_rate += mirror.events_per_second;
    SLUICE_ASSIGN_OR_RETURN(RunFigures ours, run->Processor(keys.get()));
    cpu += ours.cpu_us_per_event;
    rate += ours.events_per_second;
  }
  report.Add("pipeline_remote.cpu_us_per_event", cpu / kRuns, "us");
  report.Add("pipeline_remote.events_per_second", rate / kRuns, "events/s");
  report.Add("pipeline_remote.cpu_ratio", cpu / mirror_cpu, "ratio");
  report.Add("pipeline_remote.rate_ratio", rate / mirror_rate, "ratio");
  return absl::OkStatus();
}

}  // namespace sluice::bench
