#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "benchmarks/bench.h"
#include "benchmarks/site.h"
#include "benchmarks/workload.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/source.h"
#include "common/kafka/writer.h"
#include "tests/support/child_process.h"
#include "tests/support/kafka_broker.h"

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// From the time a raw record is produced until a read_committed reader has its clean record, at a
// steady rate far below the highest. The clean stream is internal: its records keep the raw ones'
// timestamps, on the same machine's clock.
absl::Status Latency(const Options& options, Report& report, int commit_interval_ms,
                     const std::string& figure) {
  constexpr int kEventsPerSecond = 10'000, kWarmUpSeconds = 3, kSeconds = 12;
  SLUICE_ASSIGN_OR_RETURN(auto broker,
                          test_support::KafkaBroker::Create({.heap_mb = 1024, .jvm_flags = {}}));
  SLUICE_RETURN_IF_ERROR(broker->Start());
  kafka::ConnectionOptions connection;
  connection.brokers = {broker->bootstrap()};
  SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(connection));
  std::vector<kafka::NewTopic> topics;
  for (const char* name : {"bench.raw", "bench.clean", "bench.quarantine"})
    topics.push_back({name, 4});
  topics.push_back({"bench.quarantine.positions", 1});
  SLUICE_RETURN_IF_ERROR(admin->CreateTopics(topics));
  SLUICE_ASSIGN_OR_RETURN(auto site, Site::Create());
  SLUICE_RETURN_IF_ERROR(site->Configure({broker->bootstrap(), "latency", commit_interval_ms}));
  SLUICE_ASSIGN_OR_RETURN(
      auto process,
      test_support::ChildProcess::Start(
          {{options.programs + "/services/processor/sluice-processor", "--config", site->config()},
           {},
           site->path() + "/" + figure,
           ""}));
  SLUICE_RETURN_IF_ERROR(process->WaitForOutput("partitions_assigned", 30s));
  SLUICE_ASSIGN_OR_RETURN(auto writer, kafka::TopicWriter::Create({connection}));
  SLUICE_ASSIGN_OR_RETURN(auto reader, kafka::KafkaSource::Create({.connection = connection,
                                                                   .group = "subscriber",
                                                                   .instance = "subscriber",
                                                                   .topics = {"bench.clean"}}));
  SLUICE_RETURN_IF_ERROR(reader->Start());
  while (!std::holds_alternative<stream::Assigned>(reader->Poll(1, 100ms))) {
  }

  constexpr int kEvents = kEventsPerSecond * (kWarmUpSeconds + kSeconds);
  std::atomic<bool> done = false;
  absl::Status produced;
  std::thread producer([&] {
    Workload workload(1);
    auto next = Clock::now();
    for (int i = 0; i < kEvents && produced.ok(); ++i) {
      if (i % 10 == 0) std::this_thread::sleep_until(next += 1ms);
      std::string event = workload.Next();
      produced =
          writer->Write({"bench.raw", std::nullopt, std::to_string(i), event, {}, std::nullopt});
    }
    produced.Update(writer->Flush());
    done = true;
  });
  base::SystemClock clock;
  const int64_t measured_from_ms = clock.UnixMillis() + kWarmUpSeconds * 1000;
  std::vector<int64_t> latencies_ms;
  auto quiet_since = Clock::now();
  while (!done || Clock::now() - quiet_since < 2s) {
    stream::SourceEvent event = reader->Poll(10'000, 5ms);
    const auto* records = std::get_if<stream::Records>(&event);
    if (records == nullptr) continue;
    int64_t now_ms = clock.UnixMillis();
    quiet_since = Clock::now();
    for (const stream::InputRecord& record : records->records) {
      if (record.timestamp_ms >= measured_from_ms)
        latencies_ms.push_back(now_ms - record.timestamp_ms);
    }
  }
  producer.join();
  reader->Leave();
  SLUICE_RETURN_IF_ERROR(produced);
  SLUICE_RETURN_IF_ERROR(process->Signal(SIGTERM));
  SLUICE_RETURN_IF_ERROR(process->Wait(40s).status());
  if (latencies_ms.size() < static_cast<size_t>(kEventsPerSecond) * kSeconds * 9 / 10) {
    return absl::InternalError(base::StrCat("only ", latencies_ms.size(), " records came through"));
  }
  std::sort(latencies_ms.begin(), latencies_ms.end());
  auto percentile = [&](size_t percent) {
    return static_cast<double>(latencies_ms[latencies_ms.size() * percent / 100]);
  };
  report.Add("pipeline.p50_" + figure, percentile(50), "ms");
  report.Add("pipeline.p99_" + figure, percentile(99), "ms");
  return absl::OkStatus();
}

}  // namespace

absl::Status RunLatency(const Options& options, Report& report) {
  SLUICE_RETURN_IF_ERROR(Latency(options, report, 100, "ms"));  // the default
  return Latency(options, report, 20, "at_20_ms");
}

}  // namespace sluice::bench
