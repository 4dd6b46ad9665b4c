// How this process's clients reach the brokers.
#pragma once

#include <string>

#include "common/kafka/connection.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

kafka::ConnectionOptions Connection(const config::v1::Kafka& kafka, std::string client_id);

}  // namespace sluice::processor
