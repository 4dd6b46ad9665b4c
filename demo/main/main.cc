// The whole main job at work: a real Kafka, the processor as its own process, events, and the proof
// that none was lost.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/kafka/writer.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "common/privacy/seal.h"
#include "demo/generator.h"
#include "demo/main/apart.h"
#include "demo/reference_sets.h"
#include "services/audit/audit.h"
#include "services/processor/processor.h"
#include "tests/support/child_process.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::demo {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::atomic<bool> interrupted = false;

struct Options {
  uint64_t events = 200'000;
  uint64_t seed = 1;
  std::string broker;
  bool keep = false;
  bool apart = false;
  uint64_t rate = 0;           // events a second; 0: as fast as they go
  std::string targets;         // file
  std::string root = ".";      // of the repository
  std::string program_folder;  // of the build
};

// A GET over loopback; empty when it fails.
std::string Get(int port, std::string_view path) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    std::string request =
        base::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
      char buffer[8192];
      for (ssize_t got; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;)
        answer.append(buffer, static_cast<size_t>(got));
    }
  }
  close(fd);
  return answer;
}

// What the live line shows, from the processor's own metrics.
struct Progress {
  double in = 0, clean = 0, quarantined = 0, lag = 0;
  std::vector<std::pair<double, double>> latency;  // upper bound in seconds, count up to it

  static Progress From(const std::string& metrics) {
    Progress progress;
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
      size_t space = line.rfind(' ');
      if (line.empty() || line[0] == '#' || space == std::string::npos) continue;
      double value = std::atof(line.c_str() + space);
      if (line.starts_with("sluice_events_in_total")) progress.in = value;
      if (line.find("outcome=\"clean\"") != std::string::npos) progress.clean = value;
      if (line.find("outcome=\"quarantined\"") != std::string::npos) progress.quarantined = value;
      if (line.starts_with("sluice_lag_records")) progress.lag += value;
      if (line.starts_with("sluice_end_to_end_latency_seconds_bucket")) {
        size_t bound = line.find("le=\"");
        if (bound != std::string::npos)
          progress.latency.emplace_back(std::atof(line.c_str() + bound + 4), value);
      }
    }
    return progress;
  }

  // The bound of the bucket that this share of events lies in.
  double Latency(double share) const {
    for (const auto& [bound, count] : latency) {
      if (in > 0 && count >= share * in) return bound;
    }
    return 0;
  }
};

class Demo {
 public:
  explicit Demo(Options options) : options_(std::move(options)) {}

  absl::StatusOr<bool> Run() {
    SLUICE_ASSIGN_OR_RETURN(folder_, test_support::TempDir::Create("sluice-demo"));
    SLUICE_RETURN_IF_ERROR(StartKafka());
    SLUICE_RETURN_IF_ERROR(Configure());
    if (options_.apart) {
      SLUICE_ASSIGN_OR_RETURN(
          apart_, Apart::Start({folder_->path(), options_.program_folder, audit_topic_,
                                setup_->config}));
    }
    SLUICE_RETURN_IF_ERROR(StartProcessor());
    SLUICE_RETURN_IF_ERROR(WriteTargets());
    SLUICE_RETURN_IF_ERROR(Feed());
    if (interrupted) return false;
    SLUICE_RETURN_IF_ERROR(ShowOneEvent());
    if (options_.keep) {
      std::printf(
          "\nKept running until Ctrl-C.\n  metrics   http://127.0.0.1:%d/metrics\n  Kafka     %s\n",
          port_, broker_.c_str());
      for (const std::string& topic : topics_) std::printf("  topic     %s\n", topic.c_str());
      std::fflush(stdout);
      while (!interrupted && processor_->running()) std::this_thread::sleep_for(100ms);
    }
    SLUICE_RETURN_IF_ERROR(processor_->Signal(SIGTERM));
    SLUICE_ASSIGN_OR_RETURN(test_support::Exit ended, processor_->Wait(30s));
    if (ended != test_support::Exit{})
      return absl::InternalError("the processor didn't stop cleanly: " + ended.ToString());
    return Prove();
  }

 private:
  absl::Status StartKafka() {
    broker_ = options_.broker;
    if (!broker_.empty()) return absl::OkStatus();
    std::printf("Starting Kafka ...\n");
    std::fflush(stdout);
    SLUICE_ASSIGN_OR_RETURN(kafka_, test_support::KafkaBroker::Create({}));
    SLUICE_RETURN_IF_ERROR(kafka_->Start());
    broker_ = kafka_->bootstrap();
    return absl::OkStatus();
  }

  // Keys, reference sets, the pipeline, and topics with names of their own where the Kafka isn't
  // ours.
  absl::Status Configure() {
    base::SystemRandom random;
    std::string path = folder_->path();
    SLUICE_RETURN_IF_ERROR(privacy::Keyring::CreateKeyFile(path + "/kek", random));
    SLUICE_ASSIGN_OR_RETURN(privacy::Keyring keyring,
                            privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}},
                                                     random, base::SystemClock().UnixMillis()));
    SLUICE_RETURN_IF_ERROR(keyring.Save(path + "/keyring", path + "/kek", random));
    SLUICE_ASSIGN_OR_RETURN(privacy::SealingKeys keys, privacy::NewSealingKeys(random));
    std::ofstream(path + "/quarantine.pub") << keys.public_pem;
    std::string root = fs::absolute(options_.root).string();

    SLUICE_RETURN_IF_ERROR(WriteReferenceSets(path, options_.seed));
    std::ifstream pipeline(root + "/demo/stops-pipeline.yaml"),
        reference(root + "/demo/reference.yaml"), boroughs(root + "/deploy/config/boroughs.csv");
    if (!pipeline || !reference || !boroughs)
      return absl::NotFoundError(
          "demo/stops-pipeline.yaml isn't there: run ./run demo from the repository");
    std::ofstream(path + "/boroughs.csv") << boroughs.rdbuf();
    std::ofstream config(path + "/processor.yaml");
    config << "kafka: {brokers: [\"" << broker_ << "\"], group: sluice-demo-" << getpid()
           << ", instance: demo-" << getpid() << "}\n"
           << "contracts: [\"" << root << "/proto\"]\n"
           << "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference:\n";
    for (std::string line; std::getline(reference, line);) config << "  " << line << "\n";
    config << "pipeline:\n";
    std::string suffix = options_.broker.empty() ? "" : base::StrCat(".demo-", getpid());
    for (std::string line; std::getline(pipeline, line);) {
      for (std::string_view topic :
           {"raw.stops", "quarantine.stops", "clean.stops.intelligence", "clean.stops.public"}) {
        size_t at = line.find(topic);
        if (at != std::string::npos) line.insert(at + topic.size(), suffix);
      }
      config << "  " << line << "\n";
    }
    config.close();
    SLUICE_ASSIGN_OR_RETURN(setup_, processor::LoadSetup(path + "/processor.yaml"));
    raw_topic_ = setup_->pipeline->config().input().topic();
    topics_ = processor::OutputTopics(*setup_->pipeline);
    topics_.insert(topics_.begin(), raw_topic_);
    SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(Connection()));
    std::vector<kafka::NewTopic> topics;
    for (const std::string& topic : topics_) topics.push_back({topic, 4});
    topics.push_back({processor::PositionsTopic(setup_->pipeline->config()), 1});
    audit_topic_ = base::StrCat("audit.", raw_topic_);
    if (options_.apart) topics.push_back({audit_topic_, 1});
    return admin->CreateTopics(topics);
  }

  kafka::ConnectionOptions Connection() const {
    kafka::ConnectionOptions connection;
    connection.brokers = {broker_};
    connection.client_id = "sluice-demo";
    return connection;
  }

  absl::Status StartProcessor() {
    std::string log = folder_->path() + "/processor.log";
    SLUICE_ASSIGN_OR_RETURN(
        processor_,
        test_support::ChildProcess::Start(
            {{options_.program_folder + "/services/processor/sluice-processor", "--config",
              apart_ ? apart_->config() : folder_->path() + "/processor.yaml"},
             {},
             log,
             ""}));
    SLUICE_ASSIGN_OR_RETURN(port_, PortOf(*processor_, "http_port"));
    bool ready = test_support::WaitUntil(
        30s, [&] { return interrupted || Get(port_, "/readyz").starts_with("HTTP/1.1 200"); });
    if (!ready)
      return absl::UnavailableError(base::StrCat("the processor isn't ready:\n",
                                                 test_support::Tail(processor_->Output(), 20)));
    return absl::OkStatus();
  }

  // For Prometheus' file_sd_configs: written as a whole, because it watches the file.
  absl::Status WriteTargets() const {
    if (options_.targets.empty()) return absl::OkStatus();
    std::vector<std::pair<std::string, int>> targets = {{"sluice-processor", port_}};
    if (apart_) targets.insert(targets.end(), apart_->targets().begin(), apart_->targets().end());
    std::string part = options_.targets + ".part", separator = "[";
    std::ofstream out(part);
    for (const auto& [job, port] : targets) {
      out << std::exchange(separator, ",\n ") << R"({"targets": ["127.0.0.1:)" << port
          << R"("], "labels": {"job": ")" << job << R"("}})";
    }
    out << "]\n";
    out.close();
    std::error_code error;
    fs::rename(part, options_.targets, error);
    if (error)
      return absl::UnavailableError(
          base::StrCat("--targets ", options_.targets, ": ", error.message()));
    return absl::OkStatus();
  }

  absl::Status Feed() {
    SLUICE_ASSIGN_OR_RETURN(auto writer, kafka::TopicWriter::Create({Connection()}));
    std::printf("Publishing %" PRIu64 " stops and searches to %s\n\n", options_.events,
                raw_topic_.c_str());
    std::printf("%8s %10s %10s %12s %10s %9s %9s %9s\n", "seconds", "in", "clean", "quarantined",
                "events/s", "lag", "p50 ms", "p99 ms");
    absl::Status written;
    std::atomic<bool> done = false;
    std::thread feeder([&] {
      Generator generator(options_.seed);
      auto begun = Clock::now();
      for (uint64_t i = 0; i < options_.events && !interrupted; ++i) {
        if (options_.rate > 0)
          std::this_thread::sleep_until(begun + i * std::chrono::nanoseconds(1s) / options_.rate);
        const std::string& event = generator.Next();
        std::string key = base::StrCat(i);
        written = writer->Write({raw_topic_, std::nullopt, key, event, {}, std::nullopt});
        if (!written.ok()) break;
      }
      if (written.ok()) written = writer->Flush();
      done = true;
    });
    auto start = Clock::now();
    auto moved = start;
    Progress last;
    while (!interrupted) {
      std::this_thread::sleep_for(500ms);
      Progress now = Progress::From(Get(port_, "/metrics"));
      double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      std::printf("%8.1f %10.0f %10.0f %12.0f %10.0f %9.0f %9.0f %9.0f\n", seconds, now.in,
                  now.clean, now.quarantined, now.in / seconds, now.lag, now.Latency(0.5) * 1000,
                  now.Latency(0.99) * 1000);
      std::fflush(stdout);
      if (done && (!written.ok() || now.in >= static_cast<double>(options_.events))) break;
      if (now.in > last.in) moved = Clock::now();
      last = now;
      if (Clock::now() - moved > 60s || !processor_->running()) {
        interrupted = true;
        feeder.join();
        return absl::DeadlineExceededError(
            base::StrCat("the flow stands still:\n", test_support::Tail(processor_->Output(), 20)));
      }
    }
    feeder.join();
    return written;
  }

  // The value of the topic's first record whose header `sluice-src` is `source`; of its first
  // record for an empty one.
  absl::StatusOr<std::pair<std::string, std::string>> FindRecord(const std::string& topic,
                                                                 std::string_view source) {
    std::pair<std::string, std::string> found;  // value, source
    absl::Status read =
        kafka::TopicReader({Connection()})
            .Read(std::vector<std::string>{topic}, [&](const kafka::ReadRecord& record) {
              for (const auto& header : record.headers) {
                if (header.name != "sluice-src" || (!source.empty() && header.value != source))
                  continue;
                found = {std::string(record.value.value_or("")), std::string(header.value)};
                return absl::CancelledError();
              }
              return absl::OkStatus();
            });
    if (!read.ok() && !absl::IsCancelled(read)) return read;
    return found;
  }

  // What a stream knows the raw position by.
  absl::StatusOr<std::string> SourceIn(const engine::StreamPlan& stream,
                                       const std::string& position) {
    if (stream.internal) return position;
    SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser,
                            privacy::LocalPseudonymiser::Create(*setup_->keyring));
    SLUICE_ASSIGN_OR_RETURN(uint16_t domain,
                            pseudonymiser->Domain(setup_->pipeline->domains()[stream.domain]));
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    batch.Add(contract::v1::SOURCE_POSITION, position, std::vector<uint16_t>{domain});
    SLUICE_RETURN_IF_ERROR(pseudonymiser->Pseudonymise(batch, answer));
    char block[privacy::kBlockTextBytes];
    privacy::WriteBlock(answer.blocks[0], block);
    return privacy::PseudonymPrefix(answer.domains[domain]) + std::string(block, sizeof(block));
  }

  absl::Status ShowOneEvent() {
    const auto& streams = setup_->pipeline->streams();
    SLUICE_ASSIGN_OR_RETURN(auto first, FindRecord(streams[0].topic, ""));
    std::string raw;
    absl::Status read =
        kafka::TopicReader({Connection()})
            .Read(std::vector<std::string>{raw_topic_}, [&](const kafka::ReadRecord& record) {
              if (base::StrCat(record.topic, '/', record.partition, '/', record.offset) !=
                  first.second)
                return absl::OkStatus();
              raw = std::string(record.value.value_or(""));
              return absl::CancelledError();
            });
    if (!read.ok() && !absl::IsCancelled(read)) return read;
    std::printf("\nOne event, as it came (%s):\n  %s\n", first.second.c_str(), raw.c_str());
    for (const engine::StreamPlan& stream : streams) {
      SLUICE_ASSIGN_OR_RETURN(std::string source, SourceIn(stream, first.second));
      SLUICE_ASSIGN_OR_RETURN(auto shown, FindRecord(stream.topic, source));
      std::printf("\nThe same event for the audience `%s` (%s):\n  %s\n", stream.name.c_str(),
                  stream.topic.c_str(), shown.first.c_str());
    }
    std::map<std::string, int> reasons;
    SLUICE_RETURN_IF_ERROR(
        kafka::TopicReader({Connection()})
            .Read(std::vector<std::string>{setup_->pipeline->config().quarantine().topic()},
                  [&](const kafka::ReadRecord& record) {
                    std::string reason;
                    for (const auto& header : record.headers) {
                      if (header.name == "sluice-reason") reason.insert(0, header.value);
                      if (header.name == "sluice-path")
                        reason += base::StrCat(" at ", header.value);
                    }
                    ++reasons[reason];
                    return absl::OkStatus();
                  }));
    std::printf("\nQuarantined, payload sealed, reasons in the clear:\n");
    for (const auto& [reason, count] : reasons) std::printf("  %6d  %s\n", count, reason.c_str());
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Prove() {
    SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser,
                            privacy::LocalPseudonymiser::Create(*setup_->keyring));
    SLUICE_ASSIGN_OR_RETURN(audit::Findings found,
                            audit::Audit({Connection(), setup_->config.kafka().group()},
                                         *setup_->pipeline, *pseudonymiser));
    std::printf("\nAudit: in %" PRIu64 " = clean %" PRIu64 " + quarantined %" PRIu64
                " + suppressed %" PRIu64 "; lost %" PRIu64 ", doubled %" PRIu64 ", torn %" PRIu64
                ", unordered %" PRIu64 "\n",
                found.in, found.clean, found.quarantined, found.suppressed, found.lost,
                found.doubled, found.torn, found.unordered);
    for (const std::string& example : found.examples) std::printf("  %s\n", example.c_str());
    bool conserved = found.conserved() && found.in == options_.events;
    std::printf(conserved ? "Every event has exactly one result.\n" : "NOT CONSERVED.\n");
    return conserved;
  }

  const Options options_;
  std::unique_ptr<test_support::TempDir> folder_;
  std::unique_ptr<test_support::KafkaBroker> kafka_;
  std::unique_ptr<Apart> apart_;
  std::unique_ptr<test_support::ChildProcess> processor_;
  std::optional<processor::Setup> setup_;
  std::string broker_, raw_topic_, audit_topic_;
  std::vector<std::string> topics_;
  int port_ = 0;
};

}  // namespace
}  // namespace sluice::demo

int main(int argc, char** argv) {
  sluice::demo::Options options;
  CLI::App app("Real events through a real Kafka, and the proof that none was lost.");
  app.add_option("--events", options.events, "How many")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  app.add_option("--broker", options.broker,
                 "host:port of a Kafka that is there; topics of their own are made in it");
  app.add_option("--seed", options.seed, "Of the generator")->capture_default_str();
  app.add_option("--rate", options.rate, "Events a second; 0: as fast as they go")
      ->capture_default_str();
  app.add_option("--targets", options.targets,
                 "Writes what Prometheus is to scrape to this file, for its file_sd_configs");
  app.add_flag("--apart", options.apart,
               "Keys and reference sets in services of their own, as on a site");
  app.add_flag("--keep", options.keep, "Leave all of it running until Ctrl-C");
  CLI11_PARSE(app, argc, argv);
  options.program_folder =
      std::filesystem::canonical("/proc/self/exe").parent_path().parent_path().string();
  for (int signal : {SIGINT, SIGTERM}) {
    std::signal(signal, [](int) { sluice::demo::interrupted = true; });
  }
  auto conserved = sluice::demo::Demo(options).Run();
  if (!conserved.ok()) {
    std::fprintf(stderr, "demo: %s\n", std::string(conserved.status().message()).c_str());
    return 2;
  }
  return *conserved ? 0 : sluice::demo::interrupted ? 130 : 1;
}
