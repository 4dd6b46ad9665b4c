#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "common/base/secure_memory.h"
#include "common/engine/output_schema.h"
#include "common/rpc/library.h"
#include "common/telemetry/log.h"
#include "services/processor/processor.h"

// Read by jemalloc, where the program is linked with it: what a burst of large events took goes
// back to the system within seconds, also while no events come.
extern "C" {
const char* malloc_conf = "background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:0";
}

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluice-processor: %s\n", std::string(status.message()).c_str());
  return 1;
}

int PrintSchema(const sluice::engine::Pipeline& pipeline, const std::string& name) {
  for (const sluice::engine::StreamPlan& stream : pipeline.streams()) {
    if (stream.name != name) continue;
    auto text = sluice::engine::OutputSchemaText(pipeline, stream);
    if (!text.ok()) return Fail(text.status());
    std::fputs(text->c_str(), stdout);
    return 0;
  }
  return Fail(absl::NotFoundError("--schema: the pipeline has no stream '" + name + "'"));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Consumes raw events, publishes clean streams, exactly once.");
  std::string config;
  bool check = false;
  app.add_option("--config", config, "The processor's configuration, YAML")->required();
  app.add_flag("--check", check,
               "Check the configuration and all that it names, without Kafka, and end");
  std::string instance;
  app.add_option("--instance", instance,
                 "This replica's name, such as its pod's, where kafka.instance is left out");
  std::string schema;
  app.add_option("--schema", schema,
                 "Print the .proto of this stream's records, for its subscribers, and end");
  CLI11_PARSE(app, argc, argv);
  sluice::base::ForbidCoreDumps();
  // Signals are taken by one thread; all others, gRPC's and librdkafka's too, are made after they
  // are blocked.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sluice::rpc::InitialiseLibrary();

  // A signal that comes while the configuration and its reference sets are still being read, which
  // may take longer than a process has, ends it at once: nothing has been written.
  std::atomic<sluice::processor::Processor*> running = nullptr;
  std::atomic<int> drain_timeout_ms = 0;
  std::thread([&signals, &running, &drain_timeout_ms] {
    // A reload waits until there is something to reload.
    sigset_t ends = signals;
    sigdelset(&ends, SIGHUP);
    const timespec tick{0, 50'000'000};
    while (running == nullptr) {
      if (sigtimedwait(&ends, nullptr, &tick) > 0) _exit(0);
    }
    int signal = 0;
    while (sigwait(&signals, &signal) == 0 && signal == SIGHUP) running.load()->Reload();
    running.load()->Stop();
    // A second signal, or a drain that hangs, ends the process as it is: what isn't committed is
    // done again.
    timespec budget{drain_timeout_ms / 1000 + 2, 0};
    sigtimedwait(&ends, nullptr, &budget);
    _exit(3);
  }).detach();

  sluice::processor::LoadOptions options;
  options.may_wait = options.keep = !check && schema.empty();
  auto setup = sluice::processor::LoadSetup(config, options);
  if (!setup.ok()) return Fail(setup.status());
  if (!instance.empty() && !setup->config.kafka().instance().empty()) {
    return Fail(absl::InvalidArgumentError(config +
                                           ": kafka.instance: --instance names this replica too; "
                                           "drop one of them"));
  }
  if (!instance.empty()) setup->config.mutable_kafka()->set_instance(instance);
  if (!schema.empty()) return PrintSchema(*setup->pipeline, schema);
  if (setup->config.kafka().instance().empty()) {
    return Fail(absl::InvalidArgumentError(config +
                                           ": kafka.instance: name this replica, here or with "
                                           "--instance"));
  }
  if (check) {
    std::printf("ok: plan %s\n", setup->pipeline->fingerprint().c_str());
    return 0;
  }
  drain_timeout_ms =
      setup->config.drain_timeout_ms() == 0 ? 25'000 : setup->config.drain_timeout_ms();
  auto processor = sluice::processor::Processor::Create(*std::move(setup));
  if (!processor.ok()) return Fail(processor.status());
  if (absl::Status started = (*processor)->Start(); !started.ok()) return Fail(started);
  sluice::telemetry::Log(
      sluice::telemetry::Severity::kInfo, "started",
      {{"http_port", (*processor)->http_port()}, {"grpc_port", (*processor)->grpc_port()}});

  running = processor->get();
  absl::Status ended = (*processor)->Wait();
  if (!ended.ok()) return Fail(ended);
  std::fflush(nullptr);
  _exit(0);
}
