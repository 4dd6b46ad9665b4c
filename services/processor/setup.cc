#include "services/processor/setup.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/epoch_record.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/reference/source.h"
#include "services/brokers/connection.h"

namespace sluice::processor {
namespace {

// The files and folders that a setup is read from.
std::vector<std::string> FilesOf(const Definition& definition) {
  const config::v1::Processor& config = definition.config;
  const config::v1::LocalPseudonymiser& keys = config.pseudonymiser().local();
  std::vector<std::string> named(config.contracts().begin(), config.contracts().end());
  for (const config::v1::ReferenceSet& set : config.reference().local().sets())
    if (std::string file = reference::SourceFile(set); !file.empty()) named.push_back(file);
  named.push_back(config.pipeline().quarantine().public_key());
  if (config.pseudonymiser().has_local()) {
    named.push_back(keys.keyring());
    named.push_back(keys.key_encryption_key());
  }
  std::vector<std::string> files = {definition.config_file};
  for (const std::string& name : named) files.push_back(definition.Resolve(name));
  return files;
}

absl::Status LoadKeyring(const Definition& definition, Setup& setup) {
  const config::v1::LocalPseudonymiser& local = setup.config.pseudonymiser().local();
  auto keyring = privacy::Keyring::Load(definition.Resolve(local.keyring()),
                                        definition.Resolve(local.key_encryption_key()));
  if (!keyring.ok()) return definition.At("pseudonymiser.local", keyring.status());
  // What `sluicectl keys` keeps beside the keyring that was here before.
  auto record = privacy::EpochRecord::LoadOrNew(
      privacy::EpochRecord::PathOf(definition.Resolve(local.keyring())), *keyring);
  absl::Status known = record.ok() ? record->Check(*keyring) : record.status();
  if (!known.ok()) return definition.At("pseudonymiser.local", known);
  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(*keyring));
  config::Problems problems;
  const config::v1::Pipeline& pipeline = setup.config.pipeline();
  for (int i = 0; i < pipeline.streams_size(); ++i) {
    const std::string& name = pipeline.streams(i).domain();
    if (name.empty()) continue;
    if (auto domain = pseudonymiser->Domain(name); !domain.ok()) {
      problems.Add(definition.map, base::StrCat("pipeline.streams[", i, "].domain"),
                   base::View(domain.status().message()));
    }
  }
  setup.held_keys = HeldKeysOf(keyring->domains(), pipeline,
                               base::StrCat("pseudonymiser.local.keyring (", local.keyring(), ")"),
                               /*whole=*/true);
  setup.keyring = *std::move(keyring);
  return problems.ToStatus();
}

// Whether it can be reached, and has the streams' domains, shows when it is asked.
absl::Status LoadKeyService(const Definition& definition, Setup& setup) {
  const config::v1::RemotePseudonymiser& remote = setup.config.pseudonymiser().remote();
  KeyService::Options options;
  options.channel.address = remote.address();
  if (remote.has_tls()) {
    const config::v1::Tls& tls = remote.tls();
    options.channel.tls = {definition.Resolve(tls.certificate()),
                           definition.Resolve(tls.private_key()),
                           definition.Resolve(tls.client_ca())};
  }
  if (remote.deadline_ms() != 0) options.deadline = std::chrono::milliseconds(remote.deadline_ms());
  if (remote.in_flight() != 0) options.in_flight = static_cast<size_t>(remote.in_flight());
  if (remote.values_per_call() != 0)
    options.values_per_call = static_cast<size_t>(remote.values_per_call());
  auto service = KeyService::Create(std::move(options));
  if (!service.ok()) return definition.At("pseudonymiser.remote", service.status());
  setup.key_service = *std::move(service);
  return absl::OkStatus();
}

}  // namespace

uint32_t Setup::EpochOf(std::string_view domain) const {
  if (key_service != nullptr) return key_service->EpochOf(domain);
  const privacy::KeyringDomain* found = keyring ? keyring->Find(domain) : nullptr;
  return found == nullptr ? 0 : found->newest();
}

absl::StatusOr<Setup> LoadSetup(const std::string& config_file, const LoadOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(Definition definition, LoadDefinition(config_file, nullptr, options));
  return LoadKeys(std::move(definition));
}

absl::StatusOr<Setup> LoadKeys(Definition definition) {
  Setup setup;
  setup.config = definition.config;
  setup.pipeline = definition.pipeline;
  setup.config_file = definition.config_file;
  SLUICE_RETURN_IF_ERROR(setup.config.pseudonymiser().has_remote()
                             ? LoadKeyService(definition, setup)
                             : LoadKeyring(definition, setup));
  auto pem = ReadFile(definition.Resolve(setup.config.pipeline().quarantine().public_key()));
  if (!pem.ok()) return definition.At("pipeline.quarantine.public_key", pem.status());
  // The files are there, as those of the keys must be.
  if (auto secure = kafka::SecuritySettings(brokers::Connection(setup.config.kafka(), "").security);
      !secure.ok()) {
    return definition.At("kafka.security", secure.status());
  }
  base::SystemRandom random;
  if (auto sealer = privacy::Sealer::Create(*pem, random); !sealer.ok()) {
    return definition.At("pipeline.quarantine.public_key", sealer.status());
  }
  setup.quarantine_key_pem = *std::move(pem);
  setup.files = FilesOf(definition);
  setup.contract = std::move(definition.contract);
  setup.joined = std::move(definition.joined);
  return setup;
}

absl::StatusOr<KeyedEngine> KeyedEngine::Create(const Setup& setup,
                                                std::shared_ptr<const engine::Pipeline> pipeline,
                                                base::RandomSource& random) {
  KeyedEngine keyed;
  if (setup.key_service != nullptr) {
    keyed.pseudonymiser = std::make_unique<RemotePseudonymiser>(setup.key_service, random);
  } else {
    SLUICE_ASSIGN_OR_RETURN(keyed.pseudonymiser,
                            privacy::LocalPseudonymiser::Create(*setup.keyring));
  }
  SLUICE_ASSIGN_OR_RETURN(keyed.sealer, privacy::Sealer::Create(setup.quarantine_key_pem, random));
  SLUICE_ASSIGN_OR_RETURN(
      keyed.engine,
      engine::Engine::Create(std::move(pipeline), *keyed.pseudonymiser, *keyed.sealer));
  return keyed;
}

}  // namespace sluice::processor
