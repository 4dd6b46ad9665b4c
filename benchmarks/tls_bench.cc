// The processor over SASL_SSL beside the processor over plain TCP, on the same Kafka, in turn.
#include <algorithm>

#include "benchmarks/bench.h"
#include "benchmarks/pipeline_run.h"
#include "common/base/status.h"

namespace sluice::bench {

absl::Status RunTls(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto run, PipelineRun::Create(options, PipelineRun::Broker::kAlsoTls));
  // The best of each: what else the machine does makes a run slower, never quicker.
  RunFigures plain{.cpu_us_per_event = 1e9}, tls{.cpu_us_per_event = 1e9};
  auto take = [](RunFigures& best, const RunFigures& found) {
    best.events_per_second = std::max(best.events_per_second, found.events_per_second);
    best.cpu_us_per_event = std::min(best.cpu_us_per_event, found.cpu_us_per_event);
  };
  constexpr int kRuns = 3;
  for (int i = 0; i < kRuns; ++i) {
    SLUICE_ASSIGN_OR_RETURN(RunFigures found, run->Processor(nullptr));
    take(plain, found);
    SLUICE_ASSIGN_OR_RETURN(RunFigures secured, run->ProcessorOverTls());
    take(tls, secured);
  }
  report.Add("pipeline.tls_rate_ratio", tls.events_per_second / plain.events_per_second, "ratio");
  report.Add("pipeline.tls_cpu_ratio", tls.cpu_us_per_event / plain.cpu_us_per_event, "ratio");
  return absl::OkStatus();
}

}  // namespace sluice::bench
