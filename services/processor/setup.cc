#include "services/processor/setup.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/source_map.h"
#include "common/config/yaml.h"
#include "common/contract/loader.h"
#include "common/enrichment/exact_table.h"
#include "common/privacy/local_pseudonymiser.h"

namespace sluice::processor {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return absl::NotFoundError(base::StrCat(path, ": can't be read"));
  return text.str();
}

// The error with the place in the configuration that named the file.
absl::Status At(const config::SourceMap& map, std::string_view path, const absl::Status& status) {
  return absl::Status(
      status.code(), base::StrCat(map.Where(path), ": ", path, ": ", base::View(status.message())));
}

}  // namespace

absl::StatusOr<Setup> LoadSetup(const std::string& config_file) {
  config::SourceMap map;
  config::v1::Processor config;
  SLUICE_RETURN_IF_ERROR(config::ParseYamlFile(config_file, config, &map));
  config::Problems problems;
  auto relative = [&](const std::string& path) {
    return (fs::path(config_file).parent_path() / path).string();
  };

  if (config.kafka().brokers().empty())
    problems.Add(map, "kafka.brokers", "name at least one, host:port");
  if (config.workers() < 0 || config.workers() > 64)
    problems.Add(map, "workers", "must be 1 to 64");
  if (!config.has_pseudonymiser() || !config.pseudonymiser().has_local()) {
    problems.Add(map, "pseudonymiser", "give local: {keyring: ..., key_encryption_key: ...}");
  }
  if (config.contracts().empty())
    problems.Add(map, "contracts", "name at least one folder with .proto files");
  if (!config.listen().has_tls() && !config.listen().callers().empty()) {
    problems.Add(map, "listen.callers", "callers are known by their certificates: set listen.tls");
  }
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  if (config.listen().has_tls()) {
    config::v1::Tls& tls = *config.mutable_listen()->mutable_tls();
    for (std::string* file :
         {tls.mutable_certificate(), tls.mutable_private_key(), tls.mutable_client_ca()}) {
      *file = relative(*file);
    }
  }

  engine::Pipeline::Options options;
  std::vector<std::string> paths;
  for (const std::string& path : config.contracts()) paths.push_back(relative(path));
  SLUICE_ASSIGN_OR_RETURN(auto contracts, contract::Contracts::Load(paths));
  auto contract = contracts->Compile(config.pipeline().contract());
  if (!contract.ok()) return At(map, "pipeline.contract", contract.status());
  options.contract = *std::move(contract);
  for (int i = 0; i < config.reference().local().sets_size(); ++i) {
    const config::v1::ReferenceSet& set = config.reference().local().sets(i);
    std::string path = base::StrCat("reference.local.sets[", i, "]");
    auto text = ReadFile(relative(set.csv()));
    if (!text.ok()) return At(map, path + ".csv", text.status());
    auto table = enrichment::ExactTable::FromCsv(set.name(), set.key(), *text, set.csv());
    if (!table.ok()) return At(map, path, table.status());
    options.tables.push_back(*std::move(table));
  }
  options.config = config.pipeline();
  options.locate = [&](std::string_view path) { return map.Where(path); };
  SLUICE_ASSIGN_OR_RETURN(auto pipeline, engine::Pipeline::Compile(std::move(options)));

  const config::v1::LocalPseudonymiser& local = config.pseudonymiser().local();
  auto keyring =
      privacy::Keyring::Load(relative(local.keyring()), relative(local.key_encryption_key()));
  if (!keyring.ok()) return At(map, "pseudonymiser.local", keyring.status());
  for (int i = 0; i < config.pipeline().streams_size(); ++i) {
    const std::string& domain = config.pipeline().streams(i).domain();
    if (!domain.empty() && keyring->Find(domain) == nullptr) {
      problems.Add(map, base::StrCat("pipeline.streams[", i, "].domain"),
                   base::StrCat("the keyring has no domain '", domain, "'"));
    }
  }
  auto pem = ReadFile(relative(config.pipeline().quarantine().public_key()));
  if (!pem.ok()) return At(map, "pipeline.quarantine.public_key", pem.status());
  base::SystemRandom random;
  if (auto sealer = privacy::Sealer::Create(*pem, random); !sealer.ok()) {
    return At(map, "pipeline.quarantine.public_key", sealer.status());
  }
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  return Setup{std::move(config), std::move(pipeline), *std::move(keyring), *std::move(pem)};
}

absl::StatusOr<KeyedEngine> KeyedEngine::Create(const Setup& setup, base::RandomSource& random) {
  KeyedEngine keyed;
  SLUICE_ASSIGN_OR_RETURN(keyed.pseudonymiser, privacy::LocalPseudonymiser::Create(setup.keyring));
  SLUICE_ASSIGN_OR_RETURN(keyed.sealer, privacy::Sealer::Create(setup.quarantine_key_pem, random));
  SLUICE_ASSIGN_OR_RETURN(
      keyed.engine, engine::Engine::Create(setup.pipeline, *keyed.pseudonymiser, *keyed.sealer));
  return keyed;
}

}  // namespace sluice::processor
