#include "services/ctl/test_command.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/contract/loader.h"
#include "common/engine/engine.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/seal.h"
#include "services/ctl/json.h"
#include "services/processor/definition.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> contracts;
  bool strict = false;
  bool update = false;
};

// What an event breaks: `path rule`, the path `.` where it is of the whole event.
using Broken = std::set<std::string>;

struct Example {
  std::string file;
  Broken expected, found;
  bool holds() const { return expected == found; }
};

struct ContractReport {
  std::string name;
  std::vector<Example> examples;
  std::vector<std::string> rules;     // `path rule`
  std::vector<std::string> unbroken;  // by no example
};

// `people[]` of `people[3]`: as rules are named.
std::string WithoutIndexes(const std::string& broken) {
  static const std::regex kIndex("\\[[0-9]+\\]"), kLast("\\[\\] ");
  std::string path = std::regex_replace(broken, kIndex, "[]");
  return std::regex_replace(path, kLast, " ");
}

// The engine with a pipeline that publishes nothing classified: what it quarantines, any pipeline
// of the contract does.
class Judge final : private engine::OutcomeSink {
 public:
  static absl::StatusOr<std::unique_ptr<Judge>> Create(
      std::shared_ptr<const contract::Plan> contract, base::RandomSource& random) {
    auto judge = std::unique_ptr<Judge>(new Judge());
    engine::Pipeline::Options options;
    options.config.set_contract(contract->name());
    options.config.mutable_input()->set_topic("raw");
    options.config.mutable_quarantine()->set_topic("quarantine");
    config::v1::Stream& stream = *options.config.add_streams();
    stream.set_name("none");
    stream.set_topic("none");
    stream.set_internal(true);
    for (const contract::Node& node : contract->nodes()) {
      if (node.cardinality == contract::Cardinality::kMap)
        (*stream.mutable_fields())[node.path].mutable_drop();
      if (node.classification.classified())
        (*stream.mutable_treat())[std::string(node.classification.name())].mutable_drop();
    }
    options.contract = std::move(contract);
    SLUICE_ASSIGN_OR_RETURN(judge->pipeline_, engine::Pipeline::Compile(std::move(options)));
    SLUICE_ASSIGN_OR_RETURN(auto keyring, privacy::Keyring::Create({{"none", "none"}}, random));
    SLUICE_ASSIGN_OR_RETURN(judge->pseudonymiser_, privacy::LocalPseudonymiser::Create(keyring));
    SLUICE_ASSIGN_OR_RETURN(auto keys, privacy::NewSealingKeys(random));
    SLUICE_ASSIGN_OR_RETURN(judge->sealer_, privacy::Sealer::Create(keys.public_pem, random));
    SLUICE_ASSIGN_OR_RETURN(
        judge->engine_,
        engine::Engine::Create(judge->pipeline_, *judge->pseudonymiser_, *judge->sealer_));
    return judge;
  }

  absl::StatusOr<Broken> Check(const std::string& text) {
    broken_.clear();
    base::InputRecord record;
    record.topic = "raw";
    record.value = text;
    SLUICE_RETURN_IF_ERROR(engine_->Process({&record, 1}, *this));
    return broken_;
  }

  std::vector<std::string> Rules() const {
    std::vector<std::string> rules;
    const contract::Plan& plan = pipeline_->contract();
    auto add = [&](const contract::Node& node, std::string_view rule) {
      std::string text = base::StrCat(node.path.empty() ? "." : node.path, " ", rule);
      if (std::find(rules.begin(), rules.end(), text) == rules.end()) rules.push_back(text);
    };
    for (const auto& rule : pipeline_->validator().Rules()) add(plan.node(rule.node), rule.rule);
    for (const contract::Node& node : plan.nodes()) {
      if (node.check_identifier) add(node, "sluice.identifier");
    }
    return rules;
  }

 private:
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord&) override {
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& quarantined) override {
    for (const event::Violation& violation : quarantined.violations)
      broken_.insert(
          base::StrCat(violation.path.empty() ? "." : violation.path, " ", violation.rule));
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}

  std::shared_ptr<const engine::Pipeline> pipeline_;
  std::unique_ptr<privacy::Pseudonymiser> pseudonymiser_;
  std::unique_ptr<privacy::Sealer> sealer_;
  std::unique_ptr<engine::Engine> engine_;
  Broken broken_;
};

absl::StatusOr<Broken> ReadExpectation(const fs::path& path) {
  auto text = processor::ReadFile(path);
  if (!text.ok()) {
    return absl::NotFoundError(
        base::StrCat(path.string(),
                     ": is missing: write what the example breaks, `path rule` a line, or let "
                     "--update write it and read it"));
  }
  Broken expected;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    std::string words(base::View(line.substr(0, line.find('#'))));
    words.erase(words.find_last_not_of(" \t\r") + 1);
    if (!words.empty()) expected.insert(std::move(words));
  }
  if (expected.empty())
    return absl::InvalidArgumentError(path.string() + ": expects nothing; is the example valid?");
  return expected;
}

std::vector<fs::path> JsonFiles(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The folder with a contract's examples: beside its file.
fs::path ExamplesOf(const contract::Plan& plan, const std::vector<std::string>& contracts) {
  const std::string& file = plan.descriptor().file()->name();
  for (const std::string& path : contracts) {
    fs::path folder = fs::is_directory(path) ? fs::path(path) : fs::path(path).parent_path();
    fs::path examples = (folder / file).parent_path() / "examples" / plan.descriptor().name();
    if (fs::is_directory(examples)) return examples;
  }
  return {};
}

absl::StatusOr<ContractReport> Check(const std::shared_ptr<const contract::Plan>& plan,
                                     const Options& options, base::RandomSource& random) {
  ContractReport report;
  report.name = plan->name();
  fs::path folder = ExamplesOf(*plan, options.contracts);
  SLUICE_ASSIGN_OR_RETURN(auto judge, Judge::Create(plan, random));
  report.rules = judge->Rules();
  std::set<std::string> broken;
  for (const char* kind : {"valid", "invalid"}) {
    bool valid = std::string_view(kind) == "valid";
    for (const fs::path& file : JsonFiles(folder / kind)) {
      Example example{.file = file.string(), .expected = {}, .found = {}};
      SLUICE_ASSIGN_OR_RETURN(std::string text, processor::ReadFile(file));
      while (text.ends_with('\n')) text.pop_back();
      SLUICE_ASSIGN_OR_RETURN(example.found, judge->Check(text));
      fs::path expectation = fs::path(file).replace_extension(".expect");
      if (!valid && options.update) {
        std::ofstream out(expectation);
        for (const std::string& what : example.found) out << what << "\n";
        if (!out.flush()) return absl::InternalError(expectation.string() + ": can't be written");
      }
      if (!valid) {
        SLUICE_ASSIGN_OR_RETURN(example.expected, ReadExpectation(expectation));
      }
      for (const std::string& what : example.found) broken.insert(WithoutIndexes(what));
      report.examples.push_back(std::move(example));
    }
  }
  for (const std::string& rule : report.rules) {
    if (!broken.contains(rule)) report.unbroken.push_back(rule);
  }
  return report;
}

void Print(const ContractReport& report, Output& output) {
  size_t failed = static_cast<size_t>(std::count_if(report.examples.begin(), report.examples.end(),
                                                    [](const Example& e) { return !e.holds(); }));
  output.out() << output.Paint(Colour::kBold, report.name) << ": " << report.examples.size()
               << " examples, " << failed << " not as expected; "
               << report.rules.size() - report.unbroken.size() << " of " << report.rules.size()
               << " rules broken by an example\n";
  for (const Example& example : report.examples) {
    if (example.holds()) continue;
    output.out() << "  " << output.Paint(Colour::kRed, "wrong ") << example.file << "\n";
    for (const std::string& what : example.found) {
      if (!example.expected.contains(what)) output.out() << "    breaks " << what << "\n";
    }
    for (const std::string& what : example.expected) {
      if (!example.found.contains(what)) output.out() << "    doesn't break " << what << "\n";
    }
  }
  for (const std::string& rule : report.unbroken)
    output.out() << "  " << output.Paint(Colour::kYellow, "no example breaks ") << rule << "\n";
}

void Add(const ContractReport& report, JsonText& json) {
  auto list = [&](std::string_view name, const auto& texts) {
    json.Key(name).BeginArray();
    for (const std::string& text : texts) json.Value(text);
    json.EndArray();
  };
  json.BeginObject().Member("contract", report.name).Key("examples").BeginArray();
  for (const Example& example : report.examples) {
    json.BeginObject().Member("file", example.file).Member("holds", example.holds());
    list("expected", example.expected);
    list("found", example.found);
    json.EndObject();
  }
  json.EndArray();
  list("rules", report.rules);
  list("unbroken", report.unbroken);
  json.EndObject();
}

absl::StatusOr<ExitCode> Test(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto contracts, contract::Contracts::Load(options.contracts));
  base::SystemRandom random;
  std::vector<ContractReport> reports;
  bool wrong = false;
  for (const std::string& name : contracts->EventNames()) {
    SLUICE_ASSIGN_OR_RETURN(auto plan, contracts->Compile(name));
    SLUICE_ASSIGN_OR_RETURN(ContractReport report, Check(plan, options, random));
    wrong |= std::any_of(report.examples.begin(), report.examples.end(),
                         [](const Example& example) { return !example.holds(); });
    wrong |= options.strict && !report.unbroken.empty();
    reports.push_back(std::move(report));
  }
  if (reports.empty())
    return absl::NotFoundError(
        "there is no event in these contracts: mark its message with "
        "option (sluice.contract.v1.event)");
  if (output.json()) {
    JsonText json;
    json.BeginArray();
    for (const ContractReport& report : reports) Add(report, json);
    json.EndArray();
    output.out() << std::move(json).Finish();
  } else {
    for (const ContractReport& report : reports) Print(report, output);
  }
  return wrong ? ExitCode::kFound : ExitCode::kOk;
}

}  // namespace

void AddTestCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command =
      program.Add({.name = "test",
                   .summary = "Check contracts against the example events beside them",
                   .examples = {{"test proto",
                                 "Every contract under proto, with examples/MESSAGE/valid/*.json "
                                 "and invalid/*.json beside it"},
                                {"test --strict proto", "Each rule must be broken by an example"},
                                {"test --update proto",
                                 "Write what each invalid example breaks; read it then"}}},
                  [options](Output& output) { return Test(*options, output); });
  command
      .add_option("contracts", options->contracts, "Folders with .proto files, or descriptor sets")
      ->required();
  command.add_flag("--strict", options->strict, "Rules that no example breaks end with 1 too");
  command.add_flag("--update", options->update, "Write the .expect files of invalid examples anew");
}

}  // namespace sluice::ctl
