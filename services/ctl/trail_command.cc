#include "services/ctl/trail_command.h"

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/trail/chain.h"
#include "services/ctl/acts.h"
#include "services/ctl/json.h"

namespace sluice::ctl {
namespace {

using base::StrCat;

// It is read whole: the chain goes through every line.
constexpr size_t kTrailBytesMax = size_t{4} * 1024 * 1024 * 1024;

struct Options {
  std::string file;
  std::string head;
};

absl::StatusOr<ExitCode> Verify(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(std::string text, base::ReadFile(options.file, kTrailBytesMax));
  trail::Head head;
  std::string writer, wrong;
  absl::Status verified = trail::Verify(text, writer, head);
  if (!verified.ok()) {
    wrong = base::View(verified.message());
  } else if (!options.head.empty() && options.head != HeadText(head)) {
    wrong = StrCat("ends with ", HeadText(head),
                   ", not with the head that was expected: its end was cut off, or lines followed");
  }
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("whole", wrong.empty()).Member("writer", writer);
    json.Member("lines", head.sequence).Member("head", HeadText(head));
    json.Member("wrong", wrong).EndObject();
    output.out() << std::move(json).Finish();
  } else if (wrong.empty()) {
    output.out() << options.file << ": " << head.sequence << " lines of '" << writer
                 << "' follow on each other\nhead " << HeadText(head) << "\n";
  } else {
    output.out() << options.file << ": " << output.Paint(Colour::kRed, wrong) << "\n";
  }
  return wrong.empty() ? ExitCode::kOk : ExitCode::kFound;
}

}  // namespace

void AddTrailCommand(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& trail = program.Group("trail", "Check audit trails");
  CLI::App& verify = program.Add(
      trail,
      {.name = "verify",
       .summary = "Check that every line of an audit trail follows on the one before",
       .examples = {{"trail verify audit.jsonl", "Names the first broken link; prints the head"},
                    {"trail verify audit.jsonl --head 17:4be1...",
                     "Also finds an end that was cut off, by the head of an earlier check"}}},
      [options](Output& output) { return Verify(*options, output); });
  verify.add_option("file", options->file, "The trail, JSON lines")->required();
  verify.add_option("--head", options->head, "sequence:hash that it must end with");
}

}  // namespace sluice::ctl
