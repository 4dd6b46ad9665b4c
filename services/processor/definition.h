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
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

struct Definition {
  config::v1::Processor config;
  std::shared_ptr<const engine::Pipeline> pipeline;
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

// Reads the configuration's file and what it names, keys left out. The file is a processor's, or
// (with `surroundings`) a pipeline's. Every mistake is reported at once, one line each: `file:line:
// what is wrong and what to change`; what only follows from another isn't.
absl::StatusOr<Definition> LoadDefinition(const std::string& config_file,
                                          const PipelineSurroundings* surroundings = nullptr);

// A file's content. The error names the file.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace sluice::processor
