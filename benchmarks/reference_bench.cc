// What a worker pays when other versions of the reference sets come while it works.
#include <algorithm>
#include <chrono>
#include <vector>

#include "benchmarks/bench.h"
#include "benchmarks/process_usage.h"
#include "benchmarks/site.h"
#include "benchmarks/workload.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "services/processor/editions.h"
#include "services/processor/engine_transform.h"

namespace sluice::bench {
namespace {

class Discard final : public stream::Output {
  absl::Status Produce(const stream::OutputRecord&) override { return absl::OkStatus(); }
  size_t record_bytes_max(size_t) const override { return 1 << 20; }
};

constexpr size_t kChunk = 128, kChunks = 100;
constexpr int kSwaps = 20;

}  // namespace

// The most CPU time of a chunk in which a new edition was taken, over the median chunk's: includes
// what the new engine's cold memory costs.
absl::Status RunReference(const Options&, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto site, Site::Create());
  SLUICE_RETURN_IF_ERROR(site->Configure({}));
  SLUICE_ASSIGN_OR_RETURN(auto setup, processor::LoadSetup(site->config()));
  config::v1::Pipeline pipeline = setup.config.pipeline();
  base::SystemRandom random;
  base::SystemClock clock;
  telemetry::Registry registry;
  processor::Probe probe(registry, pipeline.contract(), "bench");
  processor::Editions editions({.look_interval = std::chrono::milliseconds(0)}, std::move(setup),
                               probe, random, clock);
  processor::EngineTransform transform(pipeline, editions.AddWorker(), clock, probe);
  SLUICE_RETURN_IF_ERROR(editions.Start());

  Workload workload(1);
  std::vector<std::string> events(kChunk * kChunks);
  std::vector<base::InputRecord> records;
  for (std::string& event : events) {
    event = workload.Next();
    base::InputRecord record;
    record.topic = "bench.raw";
    record.offset = static_cast<int64_t>(records.size());
    record.value = event;
    records.push_back(record);
  }
  Discard output;
  size_t next = 0;
  auto chunk = [&]() -> absl::StatusOr<double> {
    double start = ThreadCpuSeconds() * 1e3;
    SLUICE_RETURN_IF_ERROR(
        transform.Process(std::span(records).subspan(next % kChunks * kChunk, kChunk), output));
    double took = ThreadCpuSeconds() * 1e3 - start;
    ++next;
    transform.Committed();
    return took;
  };
  auto accepted = [&] {
    processor::v1::GetStatusResponse status;
    editions.FillStatus(status);
    return status.reloads_accepted();
  };

  std::vector<double> usual, swapping;
  for (uint64_t swap = 0; swap < kSwaps; ++swap) {
    editions.Reload();
    while (accepted() == swap) {
      SLUICE_ASSIGN_OR_RETURN(double took, chunk());
      usual.push_back(took);
    }
    // It was offered before it was counted: this chunk takes it, or the one before did.
    SLUICE_ASSIGN_OR_RETURN(double took, chunk());
    swapping.push_back(std::max(took, usual.back()));
  }
  std::nth_element(usual.begin(), usual.begin() + static_cast<ptrdiff_t>(usual.size() / 2),
                   usual.end());
  report.Add("reference.swap_stall_ms",
             *std::max_element(swapping.begin(), swapping.end()) - usual[usual.size() / 2], "ms");
  return absl::OkStatus();
}

}  // namespace sluice::bench
