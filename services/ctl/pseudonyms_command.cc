#include "services/ctl/pseudonyms_command.h"

#include <optional>
#include <string>

#include "common/base/status.h"
#include "services/ctl/conversion.h"
#include "services/ctl/json.h"
#include "services/ctl/pseudonymiser_options.h"
#include "services/ctl/site.h"
#include "services/ctl/topic_conversion.h"

namespace sluice::ctl {
namespace {

using Stub = PseudonymiserOptions::Stub;
namespace v1 = pseudonymiser::v1;

constexpr size_t kPendingBytesMax = 8 * 1024 * 1024;

struct Options {
  PseudonymiserOptions service;
  std::string domain, to;
  std::string input = "-";
  size_t batch = 10'000;
  std::string config;
  TopicConversionOptions topic;
};

// Of the domain's pseudonyms, to its newest epoch. Options and stub outlive it.
absl::StatusOr<PseudonymConverter> RotationOf(const Options& options, Stub& stub) {
  auto ask = [&options, &stub](
                 uint32_t epoch,
                 const std::string& blocks) -> absl::StatusOr<PseudonymConverter::Made> {
    v1::RotateRequest request;
    request.set_domain(options.domain);
    request.set_from_epoch(epoch);
    request.set_blocks(blocks);
    options.service.Justify(*request.mutable_justification());
    v1::RotateResponse response;
    SLUICE_RETURN_IF_ERROR(options.service.Call(stub, &Stub::Rotate, request, response));
    return PseudonymConverter::Made{std::move(*response.mutable_blocks()),
                                    {response.label(), response.epoch()},
                                    {response.unknown().begin(), response.unknown().end()}};
  };
  // What the domain's pseudonyms look like.
  SLUICE_ASSIGN_OR_RETURN(PseudonymConverter::Made now, ask(0, ""));
  return PseudonymConverter(now.as.label, now.as.epoch, ask);
}

absl::StatusOr<ExitCode> Run(const Options& options, PseudonymConverter& converter,
                             Output& output) {
  auto flush = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(auto texts, converter.Take());
    for (const std::string& text : texts) output.out() << text;
    return output.out() ? absl::OkStatus() : absl::InternalError("the result can't be written");
  };
  SLUICE_RETURN_IF_ERROR(ForEachLine(options.input, output, [&](const std::string& line) {
    converter.Add(line);
    const bool full =
        converter.pseudonyms() >= options.batch || converter.bytes() >= kPendingBytesMax;
    return full ? flush() : absl::OkStatus();
  }));
  SLUICE_RETURN_IF_ERROR(flush());
  return ReportConversion(converter.counts(), output);
}

absl::StatusOr<ExitCode> Rotate(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto stub, options.service.Connect());
  SLUICE_ASSIGN_OR_RETURN(PseudonymConverter converter, RotationOf(options, *stub));
  return Run(options, converter, output);
}

absl::StatusOr<ExitCode> RotateTopic(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  SLUICE_ASSIGN_OR_RETURN(auto stub, options.service.Connect());
  SLUICE_ASSIGN_OR_RETURN(PseudonymConverter converter, RotationOf(options, *stub));
  TopicConversionOptions topic = options.topic;
  topic.pseudonyms_max = options.batch;
  std::optional<Progress> progress;
  topic.progress = [&](uint64_t done, uint64_t total) {
    if (!progress) progress.emplace(output, topic.from, total);
    progress->Set(done);
  };
  SLUICE_ASSIGN_OR_RETURN(TopicConversionReport report,
                          ConvertTopic(site.connection, topic, converter));
  progress.reset();
  if (output.json()) {
    JsonText json;
    json.BeginObject()
        .Member("from", topic.from)
        .Member("to", topic.to)
        .Member("records", report.records())
        .Member("written", report.written)
        .Member("written_before", report.before)
        .Member("converted", report.pseudonyms.converted)
        .Member("already", report.pseudonyms.already)
        .Member("untouched", report.pseudonyms.untouched)
        .Member("foreign", report.pseudonyms.foreign)
        .EndObject();
    output.out() << std::move(json).Finish();
  } else {
    output.out() << topic.from << ": " << report.records() << " records = " << report.written
                 << " written to " << topic.to << " + " << report.before << " by former runs\n";
  }
  return ReportConversion(report.pseudonyms, output);
}

absl::StatusOr<ExitCode> Convert(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto stub, options.service.Connect());
  std::string label;
  auto ask = [&](uint32_t epoch,
                 const std::string& blocks) -> absl::StatusOr<PseudonymConverter::Made> {
    v1::ConvertRequest request;
    request.set_from_domain(options.domain);
    request.set_from_epoch(epoch);
    request.set_to_domain(options.to);
    request.set_blocks(blocks);
    options.service.Justify(*request.mutable_justification());
    v1::ConvertResponse response;
    SLUICE_RETURN_IF_ERROR(options.service.Call(*stub, &Stub::Convert, request, response));
    label = response.from_label();
    return PseudonymConverter::Made{std::move(*response.mutable_blocks()),
                                    {response.label(), response.epoch()},
                                    {response.unknown().begin(), response.unknown().end()}};
  };
  SLUICE_RETURN_IF_ERROR(ask(0, "").status());
  PseudonymConverter converter(label, 0, ask);
  return Run(options, converter, output);
}

}  // namespace

void AddPseudonymsCommands(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& group = program.Group(
      "pseudonyms", "Have the pseudonymiser convert stored pseudonyms, without the identifiers");
  using Work = absl::StatusOr<ExitCode> (*)(const Options&, Output&);
  auto add = [&](const Program::About& about, Work work) -> CLI::App& {
    CLI::App& command = program.Add(
        group, about, [options, work](Output& output) { return work(*options, output); });
    options->service.AddTo(command);
    options->service.AddJustificationTo(command);
    command
        .add_option("--batch", options->batch,
                    "Pseudonyms a call; no more than the caller's values_per_s in the policy")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    return command;
  };
  auto add_file = [&](CLI::App& command) {
    command.add_option("file", options->input, "JSON lines, CSV or any text; - for standard input");
  };
  const std::string at =
      " --pseudonymiser pseudonymiser:7071 --tls-certificate me.crt"
      " --tls-private-key me.key --tls-authority ca.crt";
  CLI::App& rotate =
      add({.name = "rotate",
           .summary = "Convert a domain's old pseudonyms in a text to its newest epoch",
           .examples = {{"pseudonyms rotate --domain intelligence old.jsonl" + at + " > new.jsonl",
                         "Exit code 1: some were of an epoch that isn't active"}}},
          Rotate);
  add_file(rotate);
  rotate.add_option("--domain", options->domain, "The domain's name")->required();
  CLI::App& topic =
      add({.name = "rotate-topic",
           .summary = "Convert a domain's old pseudonyms in a topic, into another topic",
           .examples = {{"pseudonyms rotate-topic --domain intelligence --config processor.yaml"
                         " --from clean.stops.intelligence --to clean.stops.intelligence.2" +
                             at,
                         "Each record once, however often it is killed and run again"}}},
          RotateTopic);
  topic.add_option("--domain", options->domain, "The domain's name")->required();
  topic.add_option("--config", options->config, "A processor's configuration: where Kafka is")
      ->required();
  topic.add_option("--from", options->topic.from, "The topic that holds old pseudonyms")
      ->required();
  topic
      .add_option("--to", options->topic.to,
                  "Where its records go, converted; it must be there, with as many partitions")
      ->required();
  topic
      .add_option("--transaction-records", options->topic.transaction_records,
                  "Records in one transaction at most")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  CLI::App& convert =
      add({.name = "convert",
           .summary = "Convert a domain's pseudonyms in a text to another domain's",
           .examples = {{"pseudonyms convert --from intelligence --to research in.csv" + at +
                             " > out.csv",
                         "Who has both can join two audiences: the policy must allow it"}}},
          Convert);
  add_file(convert);
  convert.add_option("--from", options->domain, "The domain that made them")->required();
  convert.add_option("--to", options->to, "The domain that they become pseudonyms of")->required();
}

}  // namespace sluice::ctl
