// Kafka clients of a simulated world, as librdkafka's behave: what they hide, remember and refuse.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/kafka/client.h"
#include "tests/simulation/world.h"

namespace sluice::simulation {

// How a process's network is at the moment.
struct Network {
  Time away_until{};           // nothing is answered until then
  double lost_answer = 0;      // the broker did it, and the client asks again
  double delayed_request = 0;  // the broker does it later, and the client asks again
  bool frozen = false;         // the process itself stands still
};

class SimulatedFactory final : public kafka::ClientFactory {
 public:
  // All outlive the clients.
  SimulatedFactory(World& world, Network& network) : world_(world), network_(network) {}

  absl::StatusOr<std::unique_ptr<kafka::ConsumerClient>> MakeConsumer(
      const kafka::ConnectionOptions& connection, const kafka::Settings& settings,
      kafka::RebalanceListener& listener) override;
  absl::StatusOr<std::unique_ptr<kafka::ProducerClient>> MakeProducer(
      const kafka::ConnectionOptions& connection, const kafka::Settings& settings,
      const std::vector<std::string>& topics) override;
  absl::StatusOr<std::vector<int64_t>> MessageBytesMax(
      const kafka::ConnectionOptions& connection, const std::vector<std::string>& topics) override;

  bool fail_clients = false;  // none can be made

 private:
  World& world_;
  Network& network_;
};

// What a record's value says: where the raw one stood.
std::string ValueOf(const Source& source);

}  // namespace sluice::simulation
