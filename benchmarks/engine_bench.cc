// The engine alone: raw bytes in, outcomes into nothing, on one core.
#include <algorithm>
#include <chrono>

#include "benchmarks/allocation_count.h"
#include "benchmarks/bench.h"
#include "benchmarks/site.h"
#include "benchmarks/workload.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/engine/engine.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/processor/setup.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

class Discard final : public engine::OutcomeSink {
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord&) override {
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&, const engine::QuarantineRecord&) override {
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}
};

}  // namespace

absl::Status RunEngine(const Options&, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto site, Site::Create());
  SLUICE_RETURN_IF_ERROR(site->Configure({}));
  SLUICE_ASSIGN_OR_RETURN(auto setup, processor::LoadSetup(site->config()));
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(*setup.keyring));
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(auto sealer, privacy::Sealer::Create(setup.quarantine_key_pem, random));
  SLUICE_ASSIGN_OR_RETURN(auto engine,
                          engine::Engine::Create(setup.pipeline, *pseudonymiser, *sealer));
  constexpr size_t kEvents = 20'000, kChunk = 128;
  Workload workload(1);
  std::vector<std::string> events(kEvents);
  std::vector<base::InputRecord> records, valid;
  for (size_t i = 0; i < kEvents; ++i) {
    events[i] = workload.Next();
    base::InputRecord record;
    record.topic = "bench.raw";
    record.offset = static_cast<int64_t>(i);
    record.key = "12345678";
    record.value = events[i];
    records.push_back(record);
    if (i % 100 != 99) valid.push_back(record);
  }
  Discard sink;
  auto run = [&](const std::vector<base::InputRecord>& all) -> absl::Status {
    for (size_t i = 0; i < all.size(); i += kChunk) {
      SLUICE_RETURN_IF_ERROR(
          engine->Process(std::span(all).subspan(i, std::min(kChunk, all.size() - i)), sink));
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(run(records));
  double best = 1e9;
  for (int i = 0; i < 15; ++i) {
    auto start = Clock::now();
    SLUICE_RETURN_IF_ERROR(run(records));
    best = std::min(
        best, std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kEvents);
  }
  SLUICE_RETURN_IF_ERROR(run(valid));
  size_t before = AllocationCount();
  SLUICE_RETURN_IF_ERROR(run(valid));
  // Before the report, which allocates.
  size_t allocations = AllocationCount() - before;
  report.Add("engine.ns_per_event", best, "ns");
  report.Add("engine.allocations_per_event",
             static_cast<double>(allocations) / static_cast<double>(valid.size()), "allocations");
  return absl::OkStatus();
}

}  // namespace sluice::bench
