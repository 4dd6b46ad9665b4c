#include "benchmarks/pipeline_run.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <vector>

#include "benchmarks/process_usage.h"
#include "benchmarks/workload.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/writer.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/audit/audit.h"
#include "services/processor/setup.h"
#include "tests/support/wait_until.h"

namespace sluice::bench {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

absl::StatusOr<std::unique_ptr<PipelineRun>> PipelineRun::Create(const Options& options,
                                                                 Broker broker) {
  auto run = std::unique_ptr<PipelineRun>(new PipelineRun(options));
  SLUICE_ASSIGN_OR_RETURN(run->site_, Site::Create());
  test_support::KafkaBroker::Options kafka{.heap_mb = 1024, .jvm_flags = {}};
  if (broker == Broker::kAlsoTls) {
    auto server = run->certificates_.Issue("brokers", "broker", "IP:127.0.0.1");
    kafka.security = {
        server.certificate, server.private_key, server.authority, {{"bench", "password"}}};
    kafka.properties = {{"super.users", "User:ANONYMOUS;User:bench"}};
    const std::string password = run->site_->path() + "/password";
    std::ofstream(password) << "password";
    run->security_ = "{tls: {ca: \"" + server.authority +
                     "\"}, sasl: {username: bench, password: \"" + password + "\"}}";
  }
  SLUICE_ASSIGN_OR_RETURN(run->broker_, test_support::KafkaBroker::Create(std::move(kafka)));
  SLUICE_RETURN_IF_ERROR(run->broker_->Start());
  kafka::ConnectionOptions connection;
  connection.brokers = {run->broker_->direct()};
  SLUICE_ASSIGN_OR_RETURN(run->admin_, kafka::Admin::Create(connection));
  std::vector<kafka::NewTopic> topics;
  for (const char* name : {"bench.raw", "bench.clean", "bench.quarantine", "bench.mirror"})
    topics.push_back({name, 4});
  topics.push_back({"bench.quarantine.positions", 1});
  SLUICE_RETURN_IF_ERROR(run->admin_->CreateTopics(topics));
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
  return run;
}

absl::StatusOr<RunFigures> PipelineRun::Mirror() {
  const std::string name = "mirror" + std::to_string(mirrors_++);
  const std::string out = site_->path() + "/" + name;
  SLUICE_ASSIGN_OR_RETURN(
      auto mirror, test_support::ChildProcess::Start(
                       {{options_.programs + "/benchmarks/sluice-mirror", broker_->bootstrap(),
                         name, "bench.raw", "bench.mirror", std::to_string(options_.events), "100"},
                        {},
                        out,
                        ""}));
  SLUICE_ASSIGN_OR_RETURN(auto ended, mirror->Wait(300s));
  RunFigures figures;
  if (ended != test_support::Exit{} ||
      std::sscanf(test_support::ReadFile(out).c_str(), "%lf %lf", &figures.cpu_us_per_event,
                  &figures.events_per_second) != 2) {
    return absl::InternalError("the mirror failed: " + test_support::ReadFile(out));
  }
  return figures;
}

// A figure counts only where every event has exactly one result.
absl::Status PipelineRun::CheckOutputs(const std::string& group) const {
  SLUICE_ASSIGN_OR_RETURN(auto setup, processor::LoadSetup(site_->config()));
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(*setup.keyring));
  audit::Options audited;
  audited.connection.brokers = {broker_->direct()};
  audited.group = group;
  SLUICE_ASSIGN_OR_RETURN(auto found, audit::Audit(audited, *setup.pipeline, *pseudonymiser));
  if (found.conserved() && found.in == static_cast<uint64_t>(options_.events))
    return absl::OkStatus();
  return absl::DataLossError(base::StrCat(
      "of ", options_.events, " events ", found.in, " are committed; lost ", found.lost,
      ", doubled ", found.doubled, ", unordered ", found.unordered, ", unknown ", found.unknown,
      found.examples.empty() ? "" : "; the first: " + found.examples.front()));
}

absl::StatusOr<RunFigures> PipelineRun::Processor(test_support::ChildProcess* also) {
  return Run(broker_->direct(), "", also);
}

absl::StatusOr<RunFigures> PipelineRun::ProcessorOverTls() {
  return Run(broker_->bootstrap(), security_, nullptr);
}

absl::StatusOr<RunFigures> PipelineRun::Run(const std::string& address, const std::string& security,
                                            test_support::ChildProcess* also) {
  const std::string name = "processor" + std::to_string(processors_++);
  SLUICE_RETURN_IF_ERROR(
      site_->Configure({.broker = address, .group = name, .security = security}));
  auto launched = Clock::now();
  SLUICE_ASSIGN_OR_RETURN(
      auto process, test_support::ChildProcess::Start(
                        {{options_.programs + "/services/processor/sluice-processor", "--config",
                          site_->config()},
                         {},
                         site_->path() + "/" + name,
                         ""}));
  SLUICE_RETURN_IF_ERROR(process->WaitForOutput("partitions_assigned", 30s));
  RunFigures figures;
  figures.start_ms = std::chrono::duration<double, std::milli>(Clock::now() - launched).count();
  auto cpu_seconds = [&] {
    return UsageOf(process->pid()).cpu_seconds +
           (also == nullptr ? 0 : UsageOf(also->pid()).cpu_seconds);
  };
  const double cpu_before = cpu_seconds();
  auto begun = Clock::now();
  const int64_t wanted = static_cast<int64_t>(options_.events) * processors_;
  bool all = test_support::WaitUntil(300s, [&] {
    int64_t seen = 0;
    for (const char* topic : {"bench.clean", "bench.quarantine"}) {
      auto ranges = admin_->Ranges(topic);
      if (!ranges.ok()) return false;
      for (const auto& range : *ranges) seen += range.end - range.begin;
    }
    return seen >= wanted;
  });
  if (!all)
    return absl::DeadlineExceededError("the processor didn't finish: " +
                                       std::string(test_support::Tail(process->Output(), 10)));
  figures.events_per_second =
      options_.events / std::chrono::duration<double>(Clock::now() - begun).count();
  figures.cpu_us_per_event = (cpu_seconds() - cpu_before) * 1e6 / options_.events;
  figures.peak_kib = UsageOf(process->pid()).peak_kib;
  SLUICE_RETURN_IF_ERROR(process->Signal(SIGTERM));
  SLUICE_RETURN_IF_ERROR(process->Wait(40s).status());
  // Later runs write into the same topics, and remote keys aren't here to recompute pseudonyms.
  if (processors_ == 1 && also == nullptr) SLUICE_RETURN_IF_ERROR(CheckOutputs(name));
  return figures;
}

}  // namespace sluice::bench
