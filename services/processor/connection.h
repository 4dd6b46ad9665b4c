// From the configuration's words for Kafka to the clients'.
#pragma once

#include <string>

#include "common/kafka/connection.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

// Makes paths that are relative to the configuration's file usable from the working folder.
void ResolveFiles(config::v1::Kafka& kafka, const std::string& config_file);

// How this process's clients reach the brokers; what they say goes to its log.
kafka::ConnectionOptions Connection(const config::v1::Kafka& kafka, std::string client_id);
// The same without a log.
kafka::ConnectionOptions ConnectionOf(const config::v1::Kafka& kafka, std::string client_id);

}  // namespace sluice::processor
