// Writes events that look real and are nobody's into a topic, at a steady rate: for a first look at
// a whole system.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "common/kafka/writer.h"
#include "demo/generator.h"

namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t stopped = 0;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "sluice-generate: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes events of policing.stops.v1.StopSearch into a topic, until it is stopped.");
  std::string broker, topic = "raw.stops";
  uint64_t rate = 100, events = 0, seed = 1;
  app.add_option("--broker", broker, "host:port of a Kafka broker without TLS")->required();
  app.add_option("--topic", topic, "The topic; it must exist")->capture_default_str();
  app.add_option("--rate", rate, "Events a second")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--events", events, "End after so many; 0: never")->capture_default_str();
  app.add_option("--seed", seed, "The same seed gives the same events")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  for (int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stopped = 1; });

  auto writer = sluice::kafka::TopicWriter::Create(
      {.connection = {.brokers = {broker}, .client_id = "sluice-generate"}});
  if (!writer.ok()) return Fail(writer.status());
  sluice::demo::Generator generator(seed);
  uint64_t written = 0;
  const auto start = Clock::now();
  while (stopped == 0 && (events == 0 || written < events)) {
    const auto passed = std::chrono::duration<double>(Clock::now() - start).count();
    uint64_t due = static_cast<uint64_t>(passed * static_cast<double>(rate)) + 1;
    if (events != 0) due = std::min(due, events);
    for (; written < due && stopped == 0; ++written) {
      absl::Status queued =
          (*writer)->Write({topic, std::nullopt, std::nullopt, generator.Next(), {}, {}});
      if (!queued.ok()) return Fail(queued);
    }
    if (absl::Status flushed = (*writer)->Flush(); !flushed.ok()) return Fail(flushed);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::printf("%" PRIu64 " events\n", written);
  return 0;
}
