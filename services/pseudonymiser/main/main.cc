#include <malloc.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "common/base/secure_memory.h"
#include "common/privacy/keyring.h"
#include "common/rpc/library.h"
#include "common/telemetry/log.h"
#include "services/pseudonymiser/config.h"
#include "services/pseudonymiser/pseudonymiser.h"

namespace {

// Three keyrings of the largest size: the one in use, the one that replaces it, and one that calls
// under way still use; and the content of a file at a time. Nothing that grows otherwise is in it.
constexpr size_t kSecretHeapBytes = 8 * sluice::privacy::kKeyringBytesMax;

constexpr int kReturnedBytesMin = 512 * 1024;
// Each of many threads that serves a large call now and then would keep a heap of that call's size:
// 40 s of such calls took 690 MiB with glibc's eight heaps a core, 30 s took 141 MiB with two.
constexpr int kHeaps = 2;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluice-pseudonymiser: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Holds the keys: makes, rotates and converts pseudonyms, re-identifies by authority.");
  std::string config_file, instance;
  app.add_option("--config", config_file, "The pseudonymiser's configuration, YAML")->required();
  app.add_option("--instance", instance,
                 "This replica's name in the audit trail, where audit.writer is left out");
  bool check = false;
  app.add_flag("--check", check,
               "Check the configuration, keyring, policy, state and certificates, and end");
  CLI11_PARSE(app, argc, argv);
  sluice::base::ForbidCoreDumps();
  // Large buffers, which are those of large calls, go back to the system when they are freed.
  mallopt(M_MMAP_THRESHOLD, kReturnedBytesMin);
  mallopt(M_ARENA_MAX, kHeaps);
  absl::Status memory = sluice::base::LockMemory(kSecretHeapBytes);
  // Signals are taken by this thread; all others are made after they are blocked.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sluice::rpc::InitialiseLibrary();
  sluice::base::SystemClock clock;

  auto config = sluice::pseudonymiser::LoadConfig(config_file, instance);
  if (!config.ok()) return Fail(config.status());
  if (check) {
    auto found = sluice::pseudonymiser::PseudonymiserProcess::Check(*config);
    if (!found.ok()) return Fail(found.status());
    std::printf("ok: %s\n", found->c_str());
    return 0;
  }
  auto process = sluice::pseudonymiser::PseudonymiserProcess::Create(*config, memory, clock);
  if (!process.ok()) return Fail(process.status());
  if (absl::Status started = (*process)->Start(); !started.ok()) return Fail(started);
  sluice::telemetry::Log(
      sluice::telemetry::Severity::kInfo, "started",
      {{"http_port", (*process)->http_port()}, {"grpc_port", (*process)->grpc_port()}});

  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGHUP) (*process)->Reload();
  (*process)->Stop();
  return 0;
}
