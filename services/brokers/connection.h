// From the configurations' words for Kafka to the clients': the same for every process.
#pragma once

#include <string>

#include "common/kafka/connection.h"
#include "sluice/config/v1/processor.pb.h"
#include "sluice/config/v1/pseudonymiser.pb.h"
#include "sluice/config/v1/reference_service.pb.h"

namespace sluice::brokers {

// Makes paths that are relative to the configuration's file usable from the working folder. `kafka`
// is what has `security`.
void ResolveFiles(config::v1::Kafka& kafka, const std::string& config_file);
void ResolveFiles(config::v1::Brokers& kafka, const std::string& config_file);
void ResolveFiles(config::v1::AuditTopic& kafka, const std::string& config_file);

// How this process's clients reach the brokers; what they say goes to its log.
kafka::ConnectionOptions Connection(const config::v1::Kafka& kafka, std::string client_id);
kafka::ConnectionOptions Connection(const config::v1::Brokers& kafka, std::string client_id);
kafka::ConnectionOptions Connection(const config::v1::AuditTopic& kafka, std::string client_id);

}  // namespace sluice::brokers
