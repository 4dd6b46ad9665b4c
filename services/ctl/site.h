// What the commands that talk to Kafka need of a processor's configuration: where, and which
// topics. No key is read.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/source_map.h"
#include "common/kafka/connection.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::ctl {

struct Site {
  config::v1::Processor config;
  // Where in the file each part of it stands.
  config::SourceMap map;
  kafka::ConnectionOptions connection;
  // The audit trail's file; empty: the configuration names none.
  std::string trail;

  const std::string& raw() const { return config.pipeline().input().topic(); }
  const std::string& quarantine() const { return config.pipeline().quarantine().topic(); }
  // What has become of quarantine records.
  std::string ledger() const { return quarantine() + ".ledger"; }
  // Of the pins that this group writes; empty: it writes none.
  std::string control() const {
    const config::v1::Control& control = config.reference().control();
    return control.follow().empty() ? control.topic() : "";
  }
  std::vector<std::string> clean() const;
};

// Reads the file; errors name file and line.
absl::StatusOr<Site> LoadSite(const std::string& config_file);

// The connection that a configuration names.
kafka::ConnectionOptions ConnectionOf(const config::v1::Kafka& kafka);

// The account and the machine that run this, user@host: what an audit says of who did something.
std::string Operator();

}  // namespace sluice::ctl
