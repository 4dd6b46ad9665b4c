#include "services/ctl/schema_command.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/nearest.h"
#include "common/engine/output_schema.h"
#include "services/ctl/config_options.h"
#include "services/ctl/stream_schema.h"

namespace sluice::ctl {
namespace {

struct Options {
  std::string config;
  std::string stream;
  SurroundingOptions surroundings;
  std::string as = "proto";
};

absl::StatusOr<ExitCode> Schema(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto surroundings, options.surroundings.Parse());
  SLUICE_ASSIGN_OR_RETURN(auto definition,
                          processor::LoadDefinition(options.config, &surroundings));
  const engine::Pipeline& pipeline = *definition.pipeline;
  std::vector<std::string> names;
  for (const engine::StreamPlan& stream : pipeline.streams()) {
    names.push_back(stream.name);
    if (stream.name != options.stream) continue;
    if (options.as == "json-schema") {
      output.out() << JsonSchemaOf(pipeline, stream);
    } else if (options.as == "sample") {
      output.out() << SampleOf(pipeline, stream);
    } else {
      SLUICE_ASSIGN_OR_RETURN(std::string text, engine::OutputSchemaText(pipeline, stream));
      output.out() << text;
    }
    return ExitCode::kOk;
  }
  return absl::NotFoundError(base::StrCat("the pipeline has no stream '", options.stream, "'",
                                          config::DidYouMean(options.stream, names)));
}

}  // namespace

void AddSchemaCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command = program.Add(
      {.name = "schema",
       .summary =
           "Print what a stream's subscribers get: .proto, JSON Schema, or a synthetic record",
       .examples = {{"schema processor.yaml public > public.proto", "For a protobuf reader"},
                    {"schema processor.yaml public --as json-schema", "For a JSON reader"},
                    {"schema processor.yaml public --as sample",
                     "A record to build against before there is data"}}},
      [options](Output& output) { return Schema(*options, output); });
  command
      .add_option("config", options->config,
                  "Configuration of a processor, or a pipeline alone; no keys are needed")
      ->required();
  command.add_option("stream", options->stream, "The stream's name")->required();
  options->surroundings.AddTo(command);
  command.add_option("--as", options->as, "proto, json-schema or sample")
      ->check(CLI::IsMember({"proto", "json-schema", "sample"}))
      ->capture_default_str();
}

}  // namespace sluice::ctl
