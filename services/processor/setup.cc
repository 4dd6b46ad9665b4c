#include "services/processor/setup.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/reference/source.h"

namespace sluice::processor {
namespace {

// The files and folders that a setup is read from.
std::vector<std::string> FilesOf(const Definition& definition) {
  const config::v1::Processor& config = definition.config;
  const config::v1::LocalPseudonymiser& keys = config.pseudonymiser().local();
  std::vector<std::string> named(config.contracts().begin(), config.contracts().end());
  for (const config::v1::ReferenceSet& set : config.reference().local().sets())
    if (std::string file = reference::SourceFile(set); !file.empty()) named.push_back(file);
  for (const std::string& file :
       {config.pipeline().quarantine().public_key(), keys.keyring(), keys.key_encryption_key()})
    named.push_back(file);
  std::vector<std::string> files = {definition.config_file};
  for (const std::string& name : named) files.push_back(definition.Resolve(name));
  return files;
}

}  // namespace

absl::StatusOr<Setup> LoadSetup(const std::string& config_file) {
  SLUICE_ASSIGN_OR_RETURN(Definition definition, LoadDefinition(config_file));
  return LoadKeys(std::move(definition));
}

absl::StatusOr<Setup> LoadKeys(Definition definition) {
  const config::v1::Processor& config = definition.config;
  const config::v1::LocalPseudonymiser& local = config.pseudonymiser().local();
  auto keyring = privacy::Keyring::Load(definition.Resolve(local.keyring()),
                                        definition.Resolve(local.key_encryption_key()));
  if (!keyring.ok()) return definition.At("pseudonymiser.local", keyring.status());
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(*keyring));
  config::Problems problems;
  for (int i = 0; i < config.pipeline().streams_size(); ++i) {
    const std::string& name = config.pipeline().streams(i).domain();
    if (name.empty()) continue;
    if (auto domain = pseudonymiser->Domain(name); !domain.ok()) {
      problems.Add(definition.map, base::StrCat("pipeline.streams[", i, "].domain"),
                   base::View(domain.status().message()));
    }
  }
  auto pem = ReadFile(definition.Resolve(config.pipeline().quarantine().public_key()));
  if (!pem.ok()) return definition.At("pipeline.quarantine.public_key", pem.status());
  base::SystemRandom random;
  if (auto sealer = privacy::Sealer::Create(*pem, random); !sealer.ok()) {
    return definition.At("pipeline.quarantine.public_key", sealer.status());
  }
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  std::vector<std::string> files = FilesOf(definition);
  return Setup{std::move(definition.config),
               std::move(definition.pipeline),
               *std::move(keyring),
               *std::move(pem),
               std::move(definition.config_file),
               std::move(files)};
}

absl::StatusOr<KeyedEngine> KeyedEngine::Create(const Setup& setup,
                                                std::shared_ptr<const engine::Pipeline> pipeline,
                                                base::RandomSource& random) {
  KeyedEngine keyed;
  SLUICE_ASSIGN_OR_RETURN(keyed.pseudonymiser, privacy::LocalPseudonymiser::Create(setup.keyring));
  SLUICE_ASSIGN_OR_RETURN(keyed.sealer, privacy::Sealer::Create(setup.quarantine_key_pem, random));
  SLUICE_ASSIGN_OR_RETURN(
      keyed.engine,
      engine::Engine::Create(std::move(pipeline), *keyed.pseudonymiser, *keyed.sealer));
  return keyed;
}

}  // namespace sluice::processor
