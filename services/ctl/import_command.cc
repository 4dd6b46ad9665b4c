#include "services/ctl/import_command.h"

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/import.h"
#include "services/ctl/json.h"
#include "services/ctl/row_options.h"

namespace sluice::ctl {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> files;
  RowFileOptions rows;
  bool check = false;
  ImportOptions import;
};

absl::StatusOr<ExitCode> Import(Options options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  if (!options.import.manifest.empty() && options.files.size() > 1)
    return absl::InvalidArgumentError(
        "--manifest is one file's: import one at a time, or leave it");
  std::vector<ImportReport> reports;
  for (const std::string& file : options.files) {
    SLUICE_RETURN_IF_ERROR(options.rows.Apply(file, options.import.rows));
    Progress progress(output, file, 0);
    options.import.progress = [&progress](uint64_t bytes) { progress.Set(bytes); };
    auto report = options.check ? CheckFile(site, file, options.import)
                                : ImportFile(site, file, options.import);
    if (!report.ok()) return report.status();
    reports.push_back(*std::move(report));
  }
  bool refused = false;
  for (const ImportReport& report : reports) refused |= report.refused > 0;
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("executed", !options.check).Key("files").BeginArray();
    for (const ImportReport& report : reports) {
      json.BeginObject()
          .Member("file", report.file)
          .Member("import", report.id)
          .Member("read", report.read)
          .Member("sent", report.sent)
          .Member("refused", report.refused)
          .Member("read_before", report.read_before)
          .Key("reasons")
          .BeginObject();
      for (const auto& [why, count] : report.reasons) json.Member(why, count);
      json.EndObject().EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
  } else {
    Table table(
        {"FILE", "READ", options.check ? "WOULD BE SENT" : "SENT", "REFUSED", "READ BEFORE"});
    for (const ImportReport& report : reports) {
      std::string count = base::StrCat(report.refused);
      table.Add({report.file, base::StrCat(report.read), base::StrCat(report.sent),
                 report.refused > 0 ? output.Paint(Colour::kYellow, count) : count,
                 base::StrCat(report.read_before)});
    }
    table.Print(output);
    for (const ImportReport& report : reports) {
      for (const auto& [why, count] : report.reasons)
        output.out() << report.file << ": " << count << " refused: " << why << "\n";
    }
  }
  return refused ? ExitCode::kFound : ExitCode::kOk;
}

}  // namespace

void AddImportCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& command = program.Add(
      {.name = "import",
       .summary = "Write the rows of CSV or JSON-lines files into the raw topic, each once",
       .examples = {{"import stops.csv --config processor.yaml --id-field event_id"
                     " --name 'Date=occurred_at'",
                     "Killed in the middle and run again, it goes on; the manifest is "
                     "stops.csv.manifest.json"},
                    {"import stops.csv --config processor.yaml --check",
                     "Only what would be refused, and why"}}},
      [options](Output& output) { return Import(*options, output); });
  command.add_option("files", options->files, "CSV with a header line, or JSON lines")->required();
  command.add_option("--config", options->config, "The processor's configuration")->required();
  options->rows.AddTo(command);
  command.add_option("--key", options->import.rows.key_column,
                     "The column whose cell is the record's key");
  command.add_option("--id-field", options->import.id_field,
                     "A member that gets an id made from file and row, always the same");
  command.add_option("--manifest", options->import.manifest, "Default: FILE.manifest.json");
  command
      .add_option("--transaction-rows", options->import.transaction_rows,
                  "Rows in one transaction at most")
      ->capture_default_str();
  command.add_flag("--check", options->check, "Read only, without Kafka");
  command.add_flag("--again", options->import.again,
                   "Send every row as a new import, also if the file was imported with other "
                   "content or options before");
}

}  // namespace sluice::ctl
