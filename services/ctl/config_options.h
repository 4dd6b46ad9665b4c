// The configuration that a command works on, and how it is named.
#pragma once

#include <string>
#include <vector>

#include "services/ctl/command.h"
#include "services/processor/setup.h"

namespace sluice::ctl {

// What surrounds a file that holds a pipeline alone; a processor's configuration says it itself.
struct SurroundingOptions {
  std::vector<std::string> contracts;
  std::vector<std::string> references;  // name=file.csv:key

  void AddTo(CLI::App& command);
  absl::StatusOr<processor::PipelineSurroundings> Parse() const;
};

// A configuration whose engine is to run here, without Kafka.
struct EngineOptions {
  std::string config;
  SurroundingOptions surroundings;
  bool throwaway_keys = false;

  void AddTo(CLI::App& command);
  // With the keys that the configuration names, or with fresh ones that nobody keeps.
  absl::StatusOr<processor::Setup> Load(base::RandomSource& random) const;
};

}  // namespace sluice::ctl
