// What a configuration defines without its keys: what `sluicectl lint` looks at, and the first half
// of what a processor is made from.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/source_map.h"
#include "common/engine/pipeline.h"
#include "common/reference/shelf.h"
#include "services/processor/reference_sets.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

// What a process joins, and goes on with when its configuration is read again.
struct JoinedSets {
  // Where versions are kept; null: nowhere.
  std::shared_ptr<reference::Shelf> shelf;
  std::shared_ptr<ReferenceSets> sets;
  // What the pipeline is compiled over; null where sets aren't there yet, and `waiting` says why.
  std::shared_ptr<const SetsState> state;
  std::string waiting;
};

struct Definition {
  config::v1::Processor config;
  std::shared_ptr<const contract::Plan> contract;
  // Null where sets aren't there yet.
  std::shared_ptr<const engine::Pipeline> pipeline;
  JoinedSets joined;
  std::string config_file;
  config::SourceMap map;
  bool pipeline_only = false;  // the file is a pipeline without its processor

  // A path that the configuration names, which is relative to the configuration's own file.
  std::string Resolve(const std::string& path) const;
  // Where the configuration says something: `file:line`. `path` is a processor's, such as
  // `pipeline.streams[0].domain`.
  std::string Where(std::string_view path) const;
  // The error with the place in the configuration that named the file which it is about.
  absl::Status At(std::string_view path, const absl::Status& status) const;
};

// What a file that holds a pipeline alone doesn't say. Paths are relative to the working folder.
struct PipelineSurroundings {
  std::vector<std::string> contracts;
  std::vector<config::v1::ReferenceSet> sets;
};

// How a process that goes on reads its configuration.
struct LoadOptions {
  // Sets that aren't there yet are waited for by the caller.
  bool may_wait = false;
  // Keeps versions in reference.folder.
  bool keep = false;
  // What runs, if anything does: its sets are gone on with.
  const config::v1::Reference* running_config = nullptr;
  JoinedSets running;
};

// Reads the configuration's file and what it names, keys left out. The file is a processor's, or
// (with `surroundings`) a pipeline's. Every mistake is reported at once, one line each: `file:line:
// what is wrong and what to change`; what only follows from another isn't.
absl::StatusOr<Definition> LoadDefinition(const std::string& config_file,
                                          const PipelineSurroundings* surroundings = nullptr,
                                          const LoadOptions& options = {});

// The pipeline over these versions of its sets.
absl::StatusOr<std::shared_ptr<const engine::Pipeline>> CompilePipeline(
    const config::v1::Pipeline& config, std::shared_ptr<const contract::Plan> contract,
    const SetsState& state);

// A file's content. The error names the file.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace sluice::processor
