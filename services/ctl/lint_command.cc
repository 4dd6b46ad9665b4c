#include "services/ctl/lint_command.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "services/ctl/config_options.h"
#include "services/ctl/json.h"
#include "services/ctl/privacy_review.h"

namespace sluice::ctl {
namespace {

struct Options {
  std::vector<std::string> files;
  SurroundingOptions surroundings;
  std::string against;
  std::vector<std::string> against_contracts;
  bool strict = false;
  bool all_fields = false;
};

struct Finding {
  std::string file;
  int line = 0;
  bool error = true;
  std::string warning;  // its name
  std::string stream;
  std::string text;
};

// `file:line: text` taken apart; line 0 where there is none.
Finding Parse(std::string_view problem) {
  Finding finding;
  for (size_t colon = problem.find(':'); colon != std::string_view::npos;
       colon = problem.find(':', colon + 1)) {
    size_t end = problem.find(':', colon + 1);
    if (end == std::string_view::npos) break;
    std::string digits(problem.substr(colon + 1, end - colon - 1));
    if (!absl::SimpleAtoi(digits, &finding.line)) continue;
    finding.file = problem.substr(0, colon);
    finding.text = problem.substr(std::min(end + 2, problem.size()));
    return finding;
  }
  finding.line = 0;
  finding.text = problem;
  return finding;
}

struct Report {
  std::string file;
  std::vector<Finding> findings;
  std::optional<Review> review;

  size_t errors() const {
    return static_cast<size_t>(
        std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return f.error; }));
  }
  size_t warnings() const { return findings.size() - errors(); }
};

Report Check(const std::string& file, const processor::PipelineSurroundings& surroundings,
             const engine::Pipeline* against) {
  Report report{.file = file, .findings = {}, .review = {}};
  auto definition = processor::LoadDefinition(file, &surroundings);
  if (!definition.ok()) {
    for (absl::string_view line :
         absl::StrSplit(definition.status().message(), '\n', absl::SkipEmpty()))
      report.findings.push_back(Parse(base::View(line)));
  } else {
    report.review = ReviewPipeline(*definition->pipeline);
    std::vector<Warning> warnings = report.review->warnings;
    if (against != nullptr) {
      for (Warning& warning : CompareStrength(*against, *definition->pipeline))
        warnings.push_back(std::move(warning));
    }
    for (const Warning& warning : warnings) {
      Finding finding = Parse(definition->Where(warning.config_path) + ": ");
      finding.error = false;
      finding.warning = warning.name;
      finding.stream = warning.stream;
      finding.text = warning.text;
      report.findings.push_back(std::move(finding));
    }
  }
  std::stable_sort(report.findings.begin(), report.findings.end(),
                   [](const Finding& a, const Finding& b) {
                     return std::tie(a.file, a.line) < std::tie(b.file, b.line);
                   });
  return report;
}

std::string Where(const Finding& finding) {
  if (finding.file.empty()) return "";
  return base::StrCat(finding.file, ":", finding.line, ": ");
}

std::string InColour(const Output& output, const std::string& treatment) {
  if (treatment == "keep") return output.Paint(Colour::kYellow, treatment);
  return treatment == "drop" ? output.Paint(Colour::kDim, treatment) : treatment;
}

void PrintMatrix(const Review& review, bool all_fields, Output& output) {
  std::vector<std::string> header = {"field", "is"};
  header.insert(header.end(), review.streams.begin(), review.streams.end());
  Table table(std::move(header));
  size_t left_out = 0;
  for (const MatrixRow& row : review.matrix) {
    if (row.classification.empty() && !all_fields) {
      ++left_out;
      continue;
    }
    std::vector<std::string> cells = {row.path,
                                      row.classification.empty() ? "-" : row.classification};
    for (const std::string& treatment : row.treatments)
      cells.push_back(row.classification.empty() ? treatment : InColour(output, treatment));
    table.Add(std::move(cells));
  }
  table.Print(output);
  if (left_out > 0)
    output.out() << "(" << left_out << " fields that aren't personal: --all-fields)\n";
}

void PrintProof(const Review& review, Output& output) {
  if (review.proven()) {
    output.out() << output.Paint(Colour::kGreen, "proven")
                 << ": no identifier reaches a stream as it stands (" << review.identifiers
                 << " checked, fields times streams)";
  } else {
    output.out() << output.Paint(Colour::kRed, "not proven") << ": " << review.kept << " of "
                 << review.identifiers
                 << " identifiers reach a stream as they stand, or behind a mask that shows more "
                    "than three characters";
  }
  if (!review.texts.empty()) {
    output.out() << "; " << review.texts.size() << (review.texts.size() == 1 ? " text" : " texts")
                 << " apart, which no proof covers";
  }
  output.out() << "\n";
  for (const Review::Text& text : review.texts) {
    const bool scrubbed = text.treatment.starts_with("scrub");
    output.out() << "note: " << text.stream << ": " << text.path << ": "
                 << (scrubbed ? "scrubbed" : text.treatment) << ", "
                 << output.Paint(Colour::kYellow, "not proven") << "\n";
  }
  for (const std::string& note : review.notes) output.out() << "note: " << note << "\n";
}

void Print(const Report& report, const Options& options, Output& output) {
  output.out() << output.Paint(Colour::kBold, report.file) << "\n";
  for (const Finding& finding : report.findings) {
    output.out() << Where(finding)
                 << (finding.error ? output.Paint(Colour::kRed, "error: ")
                                   : output.Paint(Colour::kYellow, "warning: "));
    if (!finding.warning.empty()) {
      output.out() << "[" << finding.warning << "] ";
      if (!finding.stream.empty()) output.out() << finding.stream << ": ";
    }
    output.out() << finding.text << "\n";
  }
  if (report.review) {
    if (!report.findings.empty()) output.out() << "\n";
    PrintMatrix(*report.review, options.all_fields, output);
    output.out() << "\n";
    PrintProof(*report.review, output);
    if (!report.review->accepted.empty())
      output.out() << report.review->accepted.size() << " warnings accepted with a reason\n";
  }
  output.out() << report.errors() << " errors, " << report.warnings() << " warnings\n";
}

void Add(const Report& report, JsonText& json) {
  json.BeginObject().Member("file", report.file);
  json.Member("errors", report.errors()).Member("warnings", report.warnings());
  json.Key("findings").BeginArray();
  for (const Finding& finding : report.findings) {
    json.BeginObject().Member("file", finding.file).Member("line", finding.line);
    json.Member("severity", finding.error ? "error" : "warning");
    if (!finding.warning.empty()) json.Member("warning", finding.warning);
    if (!finding.stream.empty()) json.Member("stream", finding.stream);
    json.Member("text", finding.text).EndObject();
  }
  json.EndArray();
  if (report.review) {
    const Review& review = *report.review;
    json.Key("matrix").BeginArray();
    for (const MatrixRow& row : review.matrix) {
      json.BeginObject().Member("field", row.path).Member("classification", row.classification);
      json.Key("treatments").BeginObject();
      for (size_t i = 0; i < review.streams.size(); ++i)
        json.Member(review.streams[i], row.treatments[i]);
      json.EndObject().EndObject();
    }
    json.EndArray();
    json.Key("proof").BeginObject().Member("holds", review.proven());
    json.Member("identifiers", review.identifiers).Member("kept", review.kept);
    json.Member("texts", review.texts.size()).EndObject();
    json.Key("notes").BeginArray();
    for (const std::string& note : review.notes) json.Value(note);
    json.EndArray();
    json.Key("texts").BeginArray();
    for (const Review::Text& text : review.texts) {
      json.BeginObject().Member("stream", text.stream).Member("field", text.path);
      json.Member("treatment", text.treatment).EndObject();
    }
    json.EndArray();
    json.Key("flows").BeginArray();
    for (const Review::Reach& reach : review.reaches) {
      json.BeginObject().Member("stream", reach.stream).Member("output", reach.output);
      json.Member("from", reach.from).Member("how", reach.how).EndObject();
    }
    json.EndArray();
    json.Key("accepted").BeginArray();
    for (const Accepted& accepted : review.accepted) {
      json.BeginObject().Member("warning", accepted.name).Member("stream", accepted.stream);
      json.Member("reason", accepted.reason).EndObject();
    }
    json.EndArray();
  }
  json.EndObject();
}

absl::StatusOr<ExitCode> Lint(const Options& options, Output& output) {
  auto surroundings = options.surroundings.Parse();
  if (!surroundings.ok()) return surroundings.status();
  std::shared_ptr<const engine::Pipeline> against;
  if (!options.against.empty()) {
    processor::PipelineSurroundings before = *surroundings;
    if (!options.against_contracts.empty()) before.contracts = options.against_contracts;
    auto definition = processor::LoadDefinition(options.against, &before);
    if (!definition.ok()) return definition.status();
    against = definition->pipeline;
  }
  std::vector<Report> reports;
  for (const std::string& file : options.files)
    reports.push_back(Check(file, *surroundings, against.get()));
  bool wrong = false;
  for (const Report& report : reports)
    wrong |= report.errors() > 0 || (options.strict && report.warnings() > 0);
  if (output.json()) {
    JsonText json;
    json.BeginArray();
    for (const Report& report : reports) Add(report, json);
    json.EndArray();
    output.out() << std::move(json).Finish();
  } else {
    for (size_t i = 0; i < reports.size(); ++i) {
      if (i > 0) output.out() << "\n";
      Print(reports[i], options, output);
    }
  }
  return wrong ? ExitCode::kFound : ExitCode::kOk;
}

}  // namespace

void AddLintCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command = program.Add(
      {.name = "lint",
       .summary =
           "Check configurations: every mistake, what each audience gets, what to think about",
       .examples = {{"lint processor.yaml", "A processor's configuration; no keys are needed"},
                    {"lint --strict --contracts proto pipeline.yaml",
                     "A pipeline alone, in CI: warnings fail too"},
                    {"lint --against released.yaml changed.yaml",
                     "What a change would show that isn't shown today"}}},
      [options](Output& output) { return Lint(*options, output); });
  command.add_option("config", options->files, "Configurations of processors, or pipelines alone")
      ->required();
  options->surroundings.AddTo(command);
  command.add_option("--against", options->against,
                     "Also warn of every treatment that hides less than this configuration's");
  command
      .add_option(
          "--against-contracts", options->against_contracts,
          "For an --against that is a pipeline alone, in place of --contracts: the contracts "
          "as they were; repeatable")
      ->allow_extra_args(false);
  command.add_flag("--strict", options->strict, "Warnings that no stream accepts end with 1 too");
  command.add_flag("--all-fields", options->all_fields,
                   "The matrix also has the fields that aren't personal");
}

}  // namespace sluice::ctl
