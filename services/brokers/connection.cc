#include "services/brokers/connection.h"

#include <filesystem>
#include <utility>

#include "common/telemetry/log.h"

namespace sluice::brokers {
namespace {

std::string MechanismName(config::v1::SaslMechanism mechanism) {
  switch (mechanism) {
    case config::v1::scram_sha_256:
      return "SCRAM-SHA-256";
    case config::v1::plain:
      return "PLAIN";
    default:
      return "SCRAM-SHA-512";
  }
}

template <typename Config>
void Resolve(Config& kafka, const std::string& config_file) {
  if (!kafka.has_security()) return;
  auto resolve = [&](std::string* path) {
    if (!path->empty()) *path = (std::filesystem::path(config_file).parent_path() / *path).string();
  };
  if (kafka.security().has_tls()) {
    config::v1::KafkaTls& tls = *kafka.mutable_security()->mutable_tls();
    resolve(tls.mutable_ca());
    resolve(tls.mutable_certificate());
    resolve(tls.mutable_private_key());
    resolve(tls.mutable_private_key_password());
  }
  if (kafka.security().has_sasl())
    resolve(kafka.mutable_security()->mutable_sasl()->mutable_password());
}

kafka::Security SecurityOf(const config::v1::KafkaSecurity& security) {
  kafka::Security out;
  if (security.has_tls()) {
    const config::v1::KafkaTls& tls = security.tls();
    out.tls = true;
    out.ca = tls.ca();
    out.certificate = tls.certificate();
    out.private_key = tls.private_key();
    out.private_key_password = tls.private_key_password();
  }
  if (security.has_sasl()) {
    const config::v1::KafkaSasl& sasl = security.sasl();
    out.mechanism = MechanismName(sasl.mechanism());
    out.username = sasl.username();
    out.password = sasl.password();
  }
  return out;
}

template <typename Config>
kafka::ConnectionOptions ConnectionOf(const Config& kafka, std::string client_id) {
  kafka::ConnectionOptions options;
  options.brokers.assign(kafka.brokers().begin(), kafka.brokers().end());
  options.client_id = std::move(client_id);
  options.properties.insert(kafka.properties().begin(), kafka.properties().end());
  options.security = SecurityOf(kafka.security());
  options.log = [](int severity, std::string_view facility, std::string_view text) {
    Log(severity <= 3 ? telemetry::Severity::kError : telemetry::Severity::kWarning, "kafka_client",
        {{"facility", telemetry::SafeText(facility)}, {"text", telemetry::SafeText(text)}});
  };
  return options;
}

}  // namespace

void ResolveFiles(config::v1::Kafka& kafka, const std::string& config_file) {
  Resolve(kafka, config_file);
}
void ResolveFiles(config::v1::Brokers& kafka, const std::string& config_file) {
  Resolve(kafka, config_file);
}
void ResolveFiles(config::v1::AuditTopic& kafka, const std::string& config_file) {
  Resolve(kafka, config_file);
}

kafka::ConnectionOptions Connection(const config::v1::Kafka& kafka, std::string client_id) {
  return ConnectionOf(kafka, std::move(client_id));
}
kafka::ConnectionOptions Connection(const config::v1::Brokers& kafka, std::string client_id) {
  return ConnectionOf(kafka, std::move(client_id));
}
kafka::ConnectionOptions Connection(const config::v1::AuditTopic& kafka, std::string client_id) {
  return ConnectionOf(kafka, std::move(client_id));
}

}  // namespace sluice::brokers
