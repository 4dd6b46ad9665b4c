#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>

#include "common/privacy/local_pseudonymiser.h"
#include "services/audit/audit.h"
#include "services/processor/setup.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Checks that every raw event has exactly one result. Exit code 0: so it is; 1: it isn't; 2: "
      "it couldn't be checked.");
  std::string config;
  app.add_option("--config", config, "The processor's configuration")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto fail = [](const absl::Status& status) {
    std::fprintf(stderr, "sluice-audit: %s\n", std::string(status.message()).c_str());
    return 2;
  };
  auto setup = sluice::processor::LoadSetup(config);
  if (!setup.ok()) return fail(setup.status());
  auto pseudonymiser = sluice::privacy::LocalPseudonymiser::Create(setup->keyring);
  if (!pseudonymiser.ok()) return fail(pseudonymiser.status());
  sluice::kafka::ConnectionOptions connection;
  const auto& kafka = setup->config.kafka();
  connection.brokers.assign(kafka.brokers().begin(), kafka.brokers().end());
  connection.properties.insert(kafka.properties().begin(), kafka.properties().end());
  auto findings =
      sluice::audit::Audit({connection, kafka.group()}, *setup->pipeline, **pseudonymiser);
  if (!findings.ok()) return fail(findings.status());
  std::printf("in %" PRIu64 " = clean %" PRIu64 " + quarantined %" PRIu64 " + suppressed %" PRIu64
              "\n"
              "lost %" PRIu64 ", doubled %" PRIu64 ", torn %" PRIu64 ", unordered %" PRIu64
              ", unknown %" PRIu64 "\n",
              findings->in, findings->clean, findings->quarantined, findings->suppressed,
              findings->lost, findings->doubled, findings->torn, findings->unordered,
              findings->unknown);
  for (const std::string& example : findings->examples) std::printf("  %s\n", example.c_str());
  return findings->conserved() ? 0 : 1;
}
