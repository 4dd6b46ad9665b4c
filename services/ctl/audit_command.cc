#include "services/ctl/audit_command.h"

#include <memory>
#include <string>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/audit/audit.h"
#include "services/ctl/json.h"
#include "services/ctl/site.h"
#include "services/processor/setup.h"

namespace sluice::ctl {
namespace {

struct Options {
  std::string config;
  int64_t events_max = audit::Options().events_max;
};

struct Line {
  const char* name;
  uint64_t count;
  const char* meaning;
  bool wrong = false;
};

absl::StatusOr<ExitCode> Audit(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(processor::Setup setup, processor::LoadSetup(options.config));
  base::SystemRandom random;
  SLUICE_ASSIGN_OR_RETURN(auto keyed, processor::KeyedEngine::Create(setup, random));
  SLUICE_ASSIGN_OR_RETURN(audit::Findings found,
                          audit::Audit({ConnectionOf(setup.config.kafka()),
                                        setup.config.kafka().group(), options.events_max},
                                       *setup.pipeline, *keyed.pseudonymiser));
  const Line lines[] = {
      {"in", found.in, "raw events that the group has committed"},
      {"clean", found.clean, "in every stream once"},
      {"quarantined", found.quarantined, "in quarantine once, and in no stream"},
      {"suppressed", found.suppressed, "null values that the pipeline suppresses"},
      {"lost", found.lost, "nowhere, or aged out before the group came to them", true},
      {"doubled", found.doubled, "somewhere more than once", true},
      {"torn", found.torn, "in some streams, not in all", true},
      {"unordered", found.unordered, "behind a later event of their partition", true},
      {"strays", found.strays, "results of no raw event", true},
      {"misplaced", found.misplaced, "partitions whose group offset contradicts log or results",
       true},
      {"unknown", found.unknown, "events that the topics can't tell of any more"},
      {"waiting", found.waiting, "not judged: not committed yet"},
      {"older", found.older, "not judged: results whose raw event is gone by retention"},
  };
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("conserved", found.conserved());
    for (const Line& line : lines) json.Member(line.name, line.count);
    json.Key("examples").BeginArray();
    for (const std::string& example : found.examples) json.Value(example);
    json.EndArray().Key("reasons").BeginArray();
    for (const std::string& reason : found.reasons) json.Value(reason);
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
  } else {
    Table table({});
    for (const Line& line : lines) {
      std::string count = base::StrCat(line.count);
      table.Add({line.name,
                 line.wrong && line.count > 0 ? output.Paint(Colour::kRed, count) : count,
                 output.Paint(Colour::kDim, line.meaning)});
    }
    table.Print(output);
    for (const std::string& example : found.examples) output.out() << "  " << example << "\n";
    for (const std::string& reason : found.reasons) output.out() << "  unknown: " << reason << "\n";
    output.out() << (found.conserved()
                         ? output.Paint(Colour::kGreen, "Every event has exactly one result.")
                     : found.faulty()
                         ? output.Paint(Colour::kRed, "Not conserved.")
                         : output.Paint(Colour::kYellow,
                                        "No fault was found, but the topics can't tell of every "
                                        "event any more."))
                 << "\n";
  }
  return found.conserved() ? ExitCode::kOk : found.faulty() ? ExitCode::kFound : ExitCode::kUnknown;
}

}  // namespace

void AddAuditCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command = program.Add(
      {.name = "audit",
       .summary =
           "Check that every raw event has exactly one result, also while the processor runs",
       .examples =
           {{"audit --config processor.yaml",
             "Reads raw, clean and quarantine topics; needs the keys, to find the events of "
             "streams that aren't internal"}}},
      [options](Output& output) { return Audit(*options, output); });
  command.add_option("--config", options->config, "The processor's configuration")->required();
  command
      .add_option("--events-max", options->events_max,
                  "Raw events to hold in memory at most, some 100 bytes each")
      ->capture_default_str();
}

}  // namespace sluice::ctl
