// The processor with its shipped defaults beside the mirror, on a real Kafka, in turn.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/bench.h"
#include "benchmarks/process_usage.h"
#include "benchmarks/site.h"
#include "benchmarks/workload.h"
#include "common/base/status.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "tests/support/child_process.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::bench {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

absl::Status RunPipeline(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto site, Site::Create());
  SLUICE_ASSIGN_OR_RETURN(auto broker,
                          test_support::KafkaBroker::Create({.heap_mb = 1024, .jvm_flags = {}}));
  SLUICE_RETURN_IF_ERROR(broker->Start());
  kafka::ConnectionOptions connection;
  connection.brokers = {broker->bootstrap()};
  SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(connection));
  std::vector<kafka::NewTopic> topics;
  for (const char* name : {"bench.raw", "bench.clean", "bench.quarantine", "bench.mirror"})
    topics.push_back({name, 4});
  SLUICE_RETURN_IF_ERROR(admin->CreateTopics(topics));
  SLUICE_ASSIGN_OR_RETURN(auto writer, kafka::TopicWriter::Create({connection}));
  Workload workload(1);
  for (int i = 0; i < options.events; ++i) {
    std::string event = workload.Next();
    char key[12];
    std::snprintf(key, sizeof(key), "%08d", i);
    SLUICE_RETURN_IF_ERROR(
        writer->Write({"bench.raw", std::nullopt, key, event, {}, std::nullopt}));
  }
  SLUICE_RETURN_IF_ERROR(writer->Flush());

  double mirror_cpu = 0, mirror_rate = 0, cpu = 0, rate = 0, peak_kib = 0, start_ms = 1e9;
  constexpr int kRuns = 2;
  for (int run = 0; run < kRuns; ++run) {
    std::string out = site->path() + "/mirror" + std::to_string(run);
    SLUICE_ASSIGN_OR_RETURN(
        auto mirror, test_support::ChildProcess::Start(
                         {{options.programs + "/benchmarks/sluice-mirror", broker->bootstrap(),
                           "mirror" + std::to_string(run), "bench.raw", "bench.mirror",
                           std::to_string(options.events), "100"},
                          {},
                          out,
                          ""}));
    SLUICE_ASSIGN_OR_RETURN(auto ended, mirror->Wait(300s));
    double run_cpu = 0, run_rate = 0;
    if (ended != test_support::Exit{} ||
        std::sscanf(test_support::ReadFile(out).c_str(), "%lf %lf", &run_cpu, &run_rate) != 2) {
      return absl::InternalError("the mirror failed: " + test_support::ReadFile(out));
    }
    mirror_cpu += run_cpu;
    mirror_rate += run_rate;

    SLUICE_RETURN_IF_ERROR(
        site->Configure({broker->bootstrap(), "processor" + std::to_string(run)}));
    std::string log = site->path() + "/processor" + std::to_string(run);
    auto launched = Clock::now();
    SLUICE_ASSIGN_OR_RETURN(
        auto process, test_support::ChildProcess::Start(
                          {{options.programs + "/services/processor/sluice-processor", "--config",
                            site->config()},
                           {},
                           log,
                           ""}));
    SLUICE_RETURN_IF_ERROR(process->WaitForOutput("partitions_assigned", 30s));
    start_ms = std::min(start_ms,
                        std::chrono::duration<double, std::milli>(Clock::now() - launched).count());
    double cpu_before = UsageOf(process->pid()).cpu_seconds;
    auto begun = Clock::now();
    int64_t wanted = static_cast<int64_t>(options.events) * (run + 1), seen = 0;
    bool all = test_support::WaitUntil(300s, [&] {
      seen = 0;
      for (const char* topic : {"bench.clean", "bench.quarantine"}) {
        auto ranges = admin->Ranges(topic);
        if (!ranges.ok()) return false;
        for (const auto& range : *ranges) seen += range.end - range.begin;
      }
      return seen >= wanted;
    });
    if (!all)
      return absl::DeadlineExceededError("the processor didn't finish: " +
                                         std::string(test_support::Tail(process->Output(), 10)));
    double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    ProcessUsage usage = UsageOf(process->pid());
    cpu += (usage.cpu_seconds - cpu_before) * 1e6 / options.events;
    rate += options.events / seconds;
    peak_kib = std::max(peak_kib, usage.peak_kib);
    SLUICE_RETURN_IF_ERROR(process->Signal(SIGTERM));
    SLUICE_RETURN_IF_ERROR(process->Wait(40s).status());
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
