// The processor: the one file that names the concrete classes behind the engine's and the stream's
// ports.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/rpc/server.h"
#include "common/stream/driver.h"
#include "common/telemetry/http_server.h"
#include "services/processor/editions.h"
#include "services/processor/engine_transform.h"
#include "services/processor/probe.h"
#include "services/processor/service.h"
#include "services/processor/setup.h"

namespace sluice::processor {

// Life: Create, Start, Wait. Stop may be called from any thread.
class Processor final : public Controls {
 public:
  // Asks the brokers for what the guarantees rest on.
  static absl::StatusOr<std::unique_ptr<Processor>> Create(Setup setup);
  ~Processor() override;

  // Begins to serve HTTP and gRPC and to consume.
  absl::Status Start();
  // Reads the configuration again; thread-safe, returns at once.
  void Reload() { editions_->Reload(); }
  // Every worker completes its transaction and leaves its group.
  void Stop();
  // Until all workers have ended; why, if not by Stop.
  absl::Status Wait();

  int http_port() const { return http_->port(); }
  int grpc_port() const { return rpc_->port(); }

 private:
  struct Worker {
    std::unique_ptr<PositionRecorder> recorder;
    std::unique_ptr<kafka::KafkaSource> source;
    std::unique_ptr<kafka::KafkaTransaction> transaction;
    std::unique_ptr<EngineTransform> transform;
    std::unique_ptr<WorkerProbe> probe;
    std::unique_ptr<stream::Driver> driver;
    std::thread thread;
    absl::Status ended;
  };

  explicit Processor(Setup setup);
  absl::Status LookUpInput();
  // Ends what a predecessor of these workers' names, killed with its transactions open, has left.
  void EndPredecessors();
  absl::Status AddWorker(size_t index);
  Edition current() const override { return editions_->current(); }
  void FillStatus(v1::GetStatusResponse& status) const override;
  void Pause() override;
  void Resume() override;
  absl::Status SetOffsets(const v1::SetOffsetsRequest& request,
                          v1::SetOffsetsResponse& response) override;
  void Collect();
  // What gRPC's health check says follows the workers' states.
  void UpdateHealth();
  // What keeps a worker from the brokers for long enough to be told.
  std::optional<kafka::BrokerFailure> FailureOf(const Worker& worker) const;
  telemetry::Health Live() const;
  telemetry::Health Ready() const;

  const config::v1::Processor config_;  // what of it only a restart changes
  PositionSite site_;
  base::SystemClock clock_;
  base::SystemRandom random_;
  telemetry::Registry registry_;
  Probe probe_;
  std::unique_ptr<Deaths> deaths_;       // null: no folder for them is given
  std::unique_ptr<ControlLog> control_;  // null: there is no control topic
  std::unique_ptr<PositionGuard> guard_;
  std::unique_ptr<Editions> editions_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<telemetry::HttpServer> http_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<rpc::Server> rpc_;
  std::optional<rpc::ConnectionMetrics> connections_;
};

}  // namespace sluice::processor
