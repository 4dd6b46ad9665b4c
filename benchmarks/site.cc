#include "benchmarks/site.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "benchmarks/workload.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/privacy/keyring.h"
#include "common/privacy/seal.h"
#include "tests/support/free_port.h"

namespace sluice::bench {

absl::StatusOr<std::unique_ptr<Site>> Site::Create() {
  auto site = std::make_unique<Site>();
  SLUICE_ASSIGN_OR_RETURN(site->folder_, test_support::TempDir::Create("sluice-bench"));
  const std::string& path = site->path();
  mkdir((path + "/proto").c_str(), 0700);
  std::ofstream(path + "/proto/bench.proto") << kWorkloadContract;
  std::ofstream boroughs(path + "/boroughs.csv");
  boroughs << "code,name,ward\n";
  for (int i = 1; i <= 33; ++i)
    boroughs << "E09" << std::string(i < 10 ? "00000" : "0000") << i << ",Borough " << i << ",Ward "
             << i << "\n";
  boroughs.close();
  base::SystemRandom random;
  SLUICE_RETURN_IF_ERROR(privacy::Keyring::CreateKeyFile(path + "/kek", random));
  SLUICE_ASSIGN_OR_RETURN(auto keyring, privacy::Keyring::Create({{"bench", "ben"}}, random));
  SLUICE_RETURN_IF_ERROR(keyring.Save(path + "/keyring", path + "/kek", random));
  SLUICE_ASSIGN_OR_RETURN(auto keys, privacy::NewSealingKeys(random));
  std::ofstream(path + "/quarantine.pub") << keys.public_pem;
  return site;
}

absl::StatusOr<std::unique_ptr<test_support::ChildProcess>> Site::StartPseudonymiser(
    const std::string& programs) {
  SLUICE_ASSIGN_OR_RETURN(int port, test_support::FreePort());
  auto server = certificates_.Issue("authority", "pseudonymiser", "DNS:localhost");
  processor_ = certificates_.Issue("authority", "processor", "URI:spiffe://bench/processor");
  std::ofstream(path() + "/policy.yaml")
      << "callers: [{caller: \"spiffe://bench/processor\", limits: {bulk: true}, may: [{calls: "
         "[pseudonymise], domains: [bench]}]}]\n";
  address_ = "localhost:" + std::to_string(port);
  std::ofstream(path() + "/keys.yaml")
      << "keyring: keyring\nkey_encryption_key: kek\npolicy: policy.yaml\n"
      << "audit: {file: audit.log, writer: bench}\nlisten: {grpc: \"" << address_
      << "\", tls: {certificate: \"" << server.certificate << "\", private_key: \""
      << server.private_key << "\", client_ca: \"" << server.authority << "\"}}\n";
  SLUICE_ASSIGN_OR_RETURN(
      auto process,
      test_support::ChildProcess::Start({{programs + "/services/pseudonymiser/sluice-pseudonymiser",
                                          "--config", path() + "/keys.yaml"},
                                         {},
                                         path() + "/pseudonymiser",
                                         ""}));
  SLUICE_RETURN_IF_ERROR(process->WaitForOutput("grpc_port", std::chrono::seconds(30)));
  return process;
}

absl::Status Site::Configure(const Processor& processor) const {
  std::ofstream out(config());
  out << "kafka: {brokers: [\"" << processor.broker << "\"], group: " << processor.group
      << ", instance: bench";
  if (!processor.security.empty()) out << ", security: " << processor.security;
  out << "}\ncommit: {interval_ms: " << processor.commit_interval_ms << "}\ncontracts: [proto]\n"
      << "pseudonymiser: ";
  if (address_.empty()) {
    out << "{local: {keyring: keyring, key_encryption_key: kek}}\n";
  } else {
    out << "{remote: {address: \"" << address_ << "\", tls: {certificate: \""
        << processor_.certificate << "\", private_key: \"" << processor_.private_key
        << "\", client_ca: \"" << processor_.authority << "\"}}}\n";
  }
  out << "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, key: code, not_personal: "
         "[name, ward]}]}}\n"
      << "pipeline:\n";
  std::istringstream pipeline{std::string(kWorkloadPipeline)};
  for (std::string line; std::getline(pipeline, line);) out << "  " << line << "\n";
  out.close();
  return out.good() ? absl::OkStatus() : absl::InternalError(config() + ": can't be written");
}

}  // namespace sluice::bench
