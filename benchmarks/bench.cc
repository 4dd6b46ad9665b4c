// Measures, one line per figure: `name value unit`. A ratio is to the mirror, in the same run.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "benchmarks/allocation_count.h"
#include "benchmarks/workload.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/source.h"
#include "common/kafka/writer.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/processor/processor.h"
#include "tests/support/child_process.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Figure {
  std::string name;
  double value;
  std::string unit;
};

class Discard final : public engine::OutcomeSink {
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord&) override {
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&, const engine::QuarantineRecord&) override {
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}
};

// CPU seconds and peak resident KiB of a process that runs.
struct Usage {
  double cpu_seconds = 0;
  double peak_kib = 0;
};
Usage UsageOf(pid_t pid) {
  Usage usage;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 3; i <= 15 && fields >> field; ++i) {
    if (i == 14 || i == 15)
      usage.cpu_seconds += std::atof(field.c_str()) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) usage.peak_kib = std::atof(line.c_str() + 6);
  }
  return usage;
}

class Bench {
 public:
  explicit Bench(int events) : events_(events) {}

  absl::Status Prepare() {
    SLUICE_ASSIGN_OR_RETURN(folder_, test_support::TempDir::Create("sluice-bench"));
    std::string path = folder_->path();
    mkdir((path + "/proto").c_str(), 0700);
    std::ofstream(path + "/proto/bench.proto") << kWorkloadContract;
    std::ofstream boroughs(path + "/boroughs.csv");
    boroughs << "code,name,ward\n";
    for (int i = 1; i <= 33; ++i)
      boroughs << "E09" << std::string(i < 10 ? "00000" : "0000") << i << ",Borough " << i
               << ",Ward " << i << "\n";
    boroughs.close();
    base::SystemRandom random;
    SLUICE_RETURN_IF_ERROR(privacy::Keyring::CreateKeyFile(path + "/kek", random));
    SLUICE_ASSIGN_OR_RETURN(auto keyring, privacy::Keyring::Create({{"bench", "ben"}}, random));
    SLUICE_RETURN_IF_ERROR(keyring.Save(path + "/keyring", path + "/kek", random));
    SLUICE_ASSIGN_OR_RETURN(auto keys, privacy::NewSealingKeys(random));
    std::ofstream(path + "/quarantine.pub") << keys.public_pem;
    return absl::OkStatus();
  }

  absl::Status Configure(const std::string& broker, const std::string& group,
                         int commit_interval_ms = 0) {
    std::ofstream config(folder_->path() + "/processor.yaml");
    config << "kafka: {brokers: [\"" << broker << "\"], group: " << group
           << ", instance: bench}\ncommit: {interval_ms: " << commit_interval_ms
           << "}\ncontracts: [proto]\n"
           << "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, key: "
              "code}]}}\npipeline:\n";
    std::istringstream pipeline{std::string(kWorkloadPipeline)};
    for (std::string line; std::getline(pipeline, line);) config << "  " << line << "\n";
    return absl::OkStatus();
  }

  absl::Status Engine() {
    SLUICE_RETURN_IF_ERROR(Configure("127.0.0.1:1", "engine"));
    SLUICE_ASSIGN_OR_RETURN(auto setup, processor::LoadSetup(folder_->path() + "/processor.yaml"));
    SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(setup.keyring));
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
    Report("engine.ns_per_event", best, "ns");
    Report("engine.allocations_per_event",
           static_cast<double>(AllocationCount() - before) / static_cast<double>(valid.size()),
           "allocations");
    return absl::OkStatus();
  }

  absl::Status Pipeline(const std::string& programs) {
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
    for (int i = 0; i < events_; ++i) {
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
      std::string out = folder_->path() + "/mirror" + std::to_string(run);
      SLUICE_ASSIGN_OR_RETURN(auto mirror,
                              test_support::ChildProcess::Start(
                                  {{programs + "/benchmarks/sluice-mirror", broker->bootstrap(),
                                    "mirror" + std::to_string(run), "bench.raw", "bench.mirror",
                                    std::to_string(events_), "100"},
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

      SLUICE_RETURN_IF_ERROR(Configure(broker->bootstrap(), "processor" + std::to_string(run)));
      std::string log = folder_->path() + "/processor" + std::to_string(run);
      auto launched = Clock::now();
      SLUICE_ASSIGN_OR_RETURN(auto process, test_support::ChildProcess::Start(
                                                {{programs + "/services/processor/sluice-processor",
                                                  "--config", folder_->path() + "/processor.yaml"},
                                                 {},
                                                 log,
                                                 ""}));
      SLUICE_RETURN_IF_ERROR(process->WaitForOutput("partitions_assigned", 30s));
      start_ms = std::min(
          start_ms, std::chrono::duration<double, std::milli>(Clock::now() - launched).count());
      double cpu_before = UsageOf(process->pid()).cpu_seconds;
      auto begun = Clock::now();
      int64_t wanted = static_cast<int64_t>(events_) * (run + 1), seen = 0;
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
      Usage usage = UsageOf(process->pid());
      cpu += (usage.cpu_seconds - cpu_before) * 1e6 / events_;
      rate += events_ / seconds;
      peak_kib = std::max(peak_kib, usage.peak_kib);
      SLUICE_RETURN_IF_ERROR(process->Signal(SIGTERM));
      SLUICE_RETURN_IF_ERROR(process->Wait(40s).status());
    }
    Report("mirror.cpu_us_per_event", mirror_cpu / kRuns, "us");
    Report("mirror.events_per_second", mirror_rate / kRuns, "events/s");
    Report("pipeline.cpu_us_per_event", cpu / kRuns, "us");
    Report("pipeline.events_per_second", rate / kRuns, "events/s");
    Report("pipeline.cpu_ratio", cpu / mirror_cpu, "ratio");
    Report("pipeline.rate_ratio", rate / mirror_rate, "ratio");
    Report("pipeline.rss_mib", peak_kib / 1024, "MiB");
    Report("processor.start_ms", start_ms, "ms");
    return absl::OkStatus();
  }

  // From the time a raw record is produced until a read_committed reader has its clean record, at a
  // steady rate far below the highest. The clean stream is internal: its records keep the raw ones'
  // timestamps, on the same machine's clock.
  absl::Status Latency(const std::string& programs, int commit_interval_ms,
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
    SLUICE_RETURN_IF_ERROR(admin->CreateTopics(topics));
    SLUICE_RETURN_IF_ERROR(Configure(broker->bootstrap(), "latency", commit_interval_ms));
    SLUICE_ASSIGN_OR_RETURN(auto process, test_support::ChildProcess::Start(
                                              {{programs + "/services/processor/sluice-processor",
                                                "--config", folder_->path() + "/processor.yaml"},
                                               {},
                                               folder_->path() + "/" + figure,
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
      return absl::InternalError(
          base::StrCat("only ", latencies_ms.size(), " records came through"));
    }
    std::sort(latencies_ms.begin(), latencies_ms.end());
    auto percentile = [&](size_t percent) {
      return static_cast<double>(latencies_ms[latencies_ms.size() * percent / 100]);
    };
    Report("pipeline.p50_" + figure, percentile(50), "ms");
    Report("pipeline.p99_" + figure, percentile(99), "ms");
    return absl::OkStatus();
  }

  absl::Status WriteJson(const std::string& path) const {
    std::ofstream out(path);
    out << "{";
    for (size_t i = 0; i < figures_.size(); ++i)
      out << (i ? "," : "") << "\n  \"" << figures_[i].name << "\": " << figures_[i].value;
    out << "\n}\n";
    return out.good() ? absl::OkStatus() : absl::InternalError(path + ": can't be written");
  }

 private:
  void Report(const std::string& name, double value, const std::string& unit) {
    figures_.push_back({name, value, unit});
    std::printf("%s %.6g %s\n", name.c_str(), value, unit.c_str());
    std::fflush(stdout);
  }

  const int events_;
  std::unique_ptr<test_support::TempDir> folder_;
  std::vector<Figure> figures_;
};

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  CLI::App app("Measures the engine, and the processor on a real Kafka beside the mirror.");
  std::string name, json;
  int events = 1'000'000;
  app.add_option("NAME", name, "engine, pipeline or latency; all without it")
      ->check(CLI::IsMember(std::set<std::string>{"engine", "pipeline", "latency"}));
  app.add_option("--json", json, "Also write the figures to this file");
  app.add_option("--events", events, "Of the pipeline's workload")
      ->check(CLI::Range(1000, 100'000'000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  char self[4096];
  ssize_t size = readlink("/proc/self/exe", self, sizeof(self));
  std::string programs(self, static_cast<size_t>(size));
  programs = programs.substr(0, programs.rfind("/benchmarks/"));
  sluice::bench::Bench bench(events);
  absl::Status status = bench.Prepare();
  auto wanted = [&](const char* part) { return status.ok() && (name.empty() || name == part); };
  if (wanted("engine")) status = bench.Engine();
  if (wanted("pipeline")) status = bench.Pipeline(programs);
  // At the default commit interval, and at a short one.
  if (wanted("latency")) status = bench.Latency(programs, 100, "ms");
  if (wanted("latency")) status = bench.Latency(programs, 20, "at_20_ms");
  if (status.ok() && !json.empty()) status = bench.WriteJson(json);
  if (!status.ok()) std::fprintf(stderr, "bench: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
