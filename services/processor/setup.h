// What a processor is made from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/engine/engine.h"
#include "common/privacy/keyring.h"
#include "services/processor/definition.h"
#include "services/processor/key_identities.h"
#include "services/processor/remote_pseudonymiser.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

// What a configuration says, loaded and checked: everything that can be wrong without Kafka is
// wrong here.
struct Setup {
  config::v1::Processor config;
  // Null where sets aren't there yet: `joined.waiting` says why.
  std::shared_ptr<const engine::Pipeline> pipeline;
  // With local keys the keyring, with remote ones the service that has them.
  std::optional<privacy::Keyring> keyring;
  std::shared_ptr<KeyService> key_service;
  // Of the keyring; null with remote keys.
  std::shared_ptr<const HeldKeys> held_keys;
  std::string quarantine_key_pem;
  std::string config_file;
  // All files and folders that it was read from.
  std::vector<std::string> files;
  std::shared_ptr<const contract::Plan> contract;
  JoinedSets joined;

  // The newest epoch of a domain, as far as it is known here; 0: it isn't.
  uint32_t EpochOf(std::string_view domain) const;
};

// Reads the configuration's file and the files that it names, whose paths are relative to its own.
// Errors name file, line and what to change.
absl::StatusOr<Setup> LoadSetup(const std::string& config_file, const LoadOptions& options = {});
// The same with the definition loaded; adds the keys.
absl::StatusOr<Setup> LoadKeys(Definition definition);

// An engine with the keys that it can't be without. Single-threaded, like the engine.
struct KeyedEngine {
  // `random` must outlive it.
  static absl::StatusOr<KeyedEngine> Create(const Setup& setup, base::RandomSource& random) {
    return Create(setup, setup.pipeline, random);
  }
  // `pipeline`: the setup's, over other versions of its reference sets.
  static absl::StatusOr<KeyedEngine> Create(const Setup& setup,
                                            std::shared_ptr<const engine::Pipeline> pipeline,
                                            base::RandomSource& random);

  std::unique_ptr<privacy::Pseudonymiser> pseudonymiser;
  std::unique_ptr<privacy::Sealer> sealer;
  std::unique_ptr<engine::Engine> engine;
};

}  // namespace sluice::processor
