// The processor: the one file that names the concrete classes behind the engine's and the stream's
// ports.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/config/source_map.h"
#include "common/engine/pipeline.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/privacy/keyring.h"
#include "common/stream/driver.h"
#include "common/telemetry/http_server.h"
#include "services/processor/engine_transform.h"
#include "services/processor/probe.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

// What a configuration says, loaded and checked: everything that can be wrong without Kafka is
// wrong here.
struct Setup {
  config::v1::Processor config;
  std::shared_ptr<const engine::Pipeline> pipeline;
  privacy::Keyring keyring;
  std::string quarantine_key_pem;
};

// Reads the configuration's file and the files that it names, whose paths are relative to its own.
// Errors name file, line and what to change.
absl::StatusOr<Setup> LoadSetup(const std::string& config_file);

// Life: Create, Start, Wait. Stop may be called from any thread.
class Processor {
 public:
  // Asks the brokers for what the guarantees rest on.
  static absl::StatusOr<std::unique_ptr<Processor>> Create(Setup setup);
  ~Processor();

  // Begins to serve HTTP and to consume.
  absl::Status Start();
  // Every worker completes its transaction and leaves its group.
  void Stop();
  // Until all workers have ended; why, if not by Stop.
  absl::Status Wait();

  int http_port() const { return http_->port(); }

 private:
  struct Worker {
    std::unique_ptr<kafka::KafkaSource> source;
    std::unique_ptr<kafka::KafkaTransaction> transaction;
    std::unique_ptr<EngineTransform> transform;
    std::unique_ptr<WorkerProbe> probe;
    std::unique_ptr<stream::Driver> driver;
    std::thread thread;
    absl::Status ended;
  };

  explicit Processor(Setup setup);
  absl::Status AddWorker(size_t index);
  telemetry::Health Live() const;
  telemetry::Health Ready() const;

  const Setup setup_;
  base::SystemClock clock_;
  base::SystemRandom random_;
  telemetry::Registry registry_;
  Probe probe_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<telemetry::HttpServer> http_;
};

}  // namespace sluice::processor
