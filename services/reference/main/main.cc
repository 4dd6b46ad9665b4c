#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "common/base/secure_memory.h"
#include "common/rpc/library.h"
#include "common/telemetry/log.h"
#include "services/reference/server.h"

namespace {

constexpr std::chrono::milliseconds kStopMax{4'500};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluice-reference: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Loads, checks, versions and serves reference sets.");
  std::string config;
  bool check = false;
  app.add_option("--config", config, "The service's configuration, YAML")->required();
  app.add_flag("--check", check, "Check the configuration, without its sources, and end");
  CLI11_PARSE(app, argc, argv);
  // Rows may be personal, and the certificate's key is in memory.
  sluice::base::ForbidCoreDumps();
  // Signals are taken here; every other thread is made after they are blocked.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sluice::rpc::InitialiseLibrary();
  sluice::telemetry::ConfigureLog({.component = "reference"});

  // A signal that comes while the last versions are still being read, which may take longer than a
  // process has, ends it at once: what is on disk is whole at every moment.
  std::atomic<sluice::reference::Server*> serving = nullptr;
  std::thread([&signals, &serving] {
    int signal = 0;
    sigwait(&signals, &signal);
    sluice::reference::Server* server = serving;
    if (server == nullptr) std::_Exit(0);
    // Sources are told to end. One may be in the midst of what cannot be cut short: a disk that
    // hangs.
    std::thread([] {
      std::this_thread::sleep_for(kStopMax);
      sluice::telemetry::Log(sluice::telemetry::Severity::kWarning, "stopped",
                             {{"reason", "a set was still being read"}});
      std::_Exit(0);
    }).detach();
    server->Stop();
    std::fflush(nullptr);
    std::_Exit(0);
  }).detach();

  auto settings = sluice::reference::LoadSettings(config);
  if (!settings.ok()) return Fail(settings.status());
  if (check) {
    std::puts("ok");
    return 0;
  }
  auto server = sluice::reference::Server::Create(*std::move(settings));
  if (!server.ok()) return Fail(server.status());
  if (absl::Status started = (*server)->Start(); !started.ok()) return Fail(started);
  sluice::telemetry::Log(
      sluice::telemetry::Severity::kInfo, "started",
      {{"http_port", (*server)->http_port()}, {"grpc_port", (*server)->grpc_port()}});
  serving = server->get();
  while (true) pause();
}
