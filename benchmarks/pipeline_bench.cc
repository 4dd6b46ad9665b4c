// The processor with its shipped defaults beside the mirror, on a real Kafka, in turn.
#include <algorithm>

#include "benchmarks/bench.h"
#include "benchmarks/pipeline_run.h"
#include "common/base/status.h"

namespace sluice::bench {

absl::Status RunPipeline(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto run, PipelineRun::Create(options));
  double mirror_cpu = 0, mirror_rate = 0, cpu = 0, rate = 0, peak_kib = 0, start_ms = 1e9;
  constexpr int kRuns = 2;
  for (int i = 0; i < kRuns; ++i) {
    SLUICE_ASSIGN_OR_RETURN(RunFigures mirror, run->Mirror());
    mirror_cpu += mirror.cpu_us_per_event;
    mirror_rate += mirror.events_per_second;
    SLUICE_ASSIGN_OR_RETURN(RunFigures ours, run->Processor(nullptr));
    cpu += ours.cpu_us_per_event;
    rate += ours.events_per_second;
    peak_kib = std::max(peak_kib, ours.peak_kib);
    start_ms = std::min(start_ms, ours.start_ms);
  }
  report.Add("mirror.cpu_us_per_event", mirror_cpu / kRuns, "us");
  report.Add("mirror.events_per_second", mirror_rate / kRuns, "events/s");
  report.Add("pipeline.cpu_us_per_event", cpu / kRuns, "us");
  report.Add("pipeline.events_per_second", rate / kRuns, "events/s");
  report.Add("pipeline.cpu_ratio", cpu / mirror_cpu, "ratio");
  report.Add("pipeline.rate_ratio", rate / mirror_rate, "ratio");
  report.Add("pipeline.rss_mib", peak_kib / 1024, "MiB");
  report.Add("processor.start_ms", start_ms, "ms");
  return absl::OkStatus();
}

}  // namespace sluice::bench
