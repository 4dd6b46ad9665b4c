#include "benchmarks/site.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "benchmarks/workload.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/privacy/keyring.h"
#include "common/privacy/seal.h"

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

absl::Status Site::Configure(const Processor& processor) const {
  std::ofstream out(config());
  out << "kafka: {brokers: [\"" << processor.broker << "\"], group: " << processor.group
      << ", instance: bench}\ncommit: {interval_ms: " << processor.commit_interval_ms
      << "}\ncontracts: [proto]\n"
      << "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
      << "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, key: code}]}}\n"
      << "pipeline:\n";
  std::istringstream pipeline{std::string(kWorkloadPipeline)};
  for (std::string line; std::getline(pipeline, line);) out << "  " << line << "\n";
  out.close();
  return out.good() ? absl::OkStatus() : absl::InternalError(config() + ": can't be written");
}

}  // namespace sluice::bench
