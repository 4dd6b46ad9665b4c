#include "services/processor/connection.h"

#include "common/telemetry/log.h"

namespace sluice::processor {

kafka::ConnectionOptions Connection(const config::v1::Kafka& kafka, std::string client_id) {
  kafka::ConnectionOptions options;
  options.brokers.assign(kafka.brokers().begin(), kafka.brokers().end());
  options.client_id = std::move(client_id);
  options.properties.insert(kafka.properties().begin(), kafka.properties().end());
  options.log = [](int severity, std::string_view facility, std::string_view text) {
    Log(severity <= 3 ? telemetry::Severity::kError : telemetry::Severity::kWarning, "kafka_client",
        {{"facility", telemetry::SafeText(facility)}, {"text", telemetry::SafeText(text)}});
  };
  return options;
}

}  // namespace sluice::processor
