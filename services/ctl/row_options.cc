#include "services/ctl/row_options.h"

#include "common/base/strings.h"

namespace sluice::ctl {

void RowFileOptions::AddTo(CLI::App& command) {
  command.add_option("--format", format, "auto goes by the file's name")
      ->check(CLI::IsMember({"auto", "csv", "jsonl"}))
      ->capture_default_str();
  command
      .add_option("--name", names,
                  "Column=name: what a column is called in the event; a dot nests; empty leaves it "
                  "out; repeatable")
      ->allow_extra_args(false);
}

absl::Status RowFileOptions::Apply(const std::string& file, RowOptions& rows) const {
  rows.csv = format == "csv" || (format == "auto" && file.ends_with(".csv"));
  bool known = rows.csv || file == "-" || file.ends_with(".jsonl") || file.ends_with(".ndjson");
  if (format == "auto" && !known) {
    return absl::InvalidArgumentError(base::StrCat(
        file, ": its name doesn't say what it is; give --format csv or --format jsonl"));
  }
  for (const std::string& text : names) {
    size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          base::StrCat("--name ", text, ": write Column=name; Column= leaves the column out"));
    }
    rows.names[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return absl::OkStatus();
}

}  // namespace sluice::ctl
