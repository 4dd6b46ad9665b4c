#include "services/ctl/command.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>

#include "common/base/strings.h"
#include "common/config/nearest.h"
#include "common/privacy/visible.h"

namespace sluice::ctl {
namespace {

constexpr const char* kExitCodes =
    "Exit codes:\n"
    "  0  done, nothing wrong\n"
    "  1  done, and something wrong was found\n"
    "  2  the call, or a file that it names, is wrong\n"
    "  3  a service or Kafka can't be reached; try again\n"
    "  4  not allowed\n"
    "  5  a defect of sluicectl's, or a disk that doesn't write\n"
    "  6  nothing wrong was found, but not everything can be known";

std::string Footer(const std::vector<Program::Example>& examples) {
  if (examples.empty()) return "";
  std::string text = "Examples:";
  for (const Program::Example& example : examples)
    base::StrAppend(text, "\n  # ", example.text, "\n  sluicectl ", example.command);
  return text + "\n\n--output json and --colour never go with every command.";
}

// The command that the call got as far as.
const CLI::App& Deepest(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

// What is given but says nothing: no option takes an empty text, nor a reason of blanks. Its error;
// empty: there is none.
std::string GivenEmpty(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_type_size_max() == 0) continue;  // a flag
    const std::string name = option->get_name();
    const bool reason = name == "--reason" || name == "--purpose" || name == "--because";
    for (const std::string& text : option->results()) {
      if (text.empty()) return base::StrCat(name, ": is given an empty text");
      if (reason && privacy::IsBlank(text))
        return base::StrCat(name, ": say why; a text of blanks says nothing");
    }
  }
  for (const CLI::App* command : app.get_subcommands()) {
    if (std::string error = GivenEmpty(*command); !error.empty()) return error;
  }
  return "";
}

// `keys init`.
std::string PathOf(const CLI::App& app) {
  if (app.get_parent() == nullptr) return "";
  std::string parent = PathOf(*app.get_parent());
  return parent.empty() ? app.get_name() : base::StrCat(parent, " ", app.get_name());
}

std::vector<std::string> NamesIn(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return ExitCode::kUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kUnavailable;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return ExitCode::kDenied;
    case absl::StatusCode::kDataLoss:  // a file that is damaged, or isn't what it should be
      return ExitCode::kFound;
    default:
      return ExitCode::kInternal;
  }
}

Program::Program(std::istream& in, std::ostream& out, std::ostream& err, Terminal terminal)
    : app_("Sluice's command line.", "sluicectl"),
      in_(in),
      out_(out),
      err_(err),
      terminal_(terminal) {
  app_.require_subcommand(1);
  app_.add_option("--output", format_, "How results are written: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app_.add_option("--colour", colour_, "Colour: auto is on a terminal where NO_COLOR isn't set")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  app_.footer(kExitCodes);
}

CLI::App& Program::Add(CLI::App& parent, const About& about, Work work) {
  CLI::App& command = *parent.add_subcommand(about.name, about.summary);
  command.fallthrough();
  command.footer(Footer(about.examples));
  command.final_callback([this, work = std::move(work), &command] {
    chosen_ = work;
    chosen_name_ = PathOf(command);
  });
  return command;
}

CLI::App& Program::Group(const std::string& name, const std::string& summary) {
  for (CLI::App* group : app_.get_subcommands(nullptr)) {
    if (group->get_name() == name) return *group;
  }
  CLI::App& group = *app_.add_subcommand(name, summary);
  group.fallthrough();
  group.require_subcommand(1);
  return group;
}

// What CLI11 says, with what was probably meant and where the help is.
std::string Program::Explain(const CLI::Error& error) const {
  const CLI::App& command = Deepest(app_);
  std::string path = PathOf(command);
  std::string text = base::StrCat("sluicectl", path.empty() ? "" : " ", path, ": ", error.what());
  std::vector<std::string> names = NamesIn(command);
  for (const std::string& name : NamesIn(app_)) {
    if (name.starts_with("--")) names.push_back(name);
  }
  for (const std::string& argument : app_.remaining(true)) {
    std::string guess = config::DidYouMean(argument.substr(0, argument.find('=')), names);
    if (!guess.empty()) {
      text += guess;
      break;
    }
  }
  return base::StrCat(text, "\n`sluicectl ", path, path.empty() ? "" : " ",
                      "--help` says what there is.\n");
}

int Program::Run(std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app_.parse(std::move(arguments));
  } catch (const CLI::Success& wanted) {
    app_.exit(wanted, out_, err_);
    return static_cast<int>(ExitCode::kOk);
  } catch (const CLI::Error& error) {
    err_ << Explain(error);
    return static_cast<int>(ExitCode::kUsage);
  }
  if (std::string error = GivenEmpty(app_); !error.empty()) {
    err_ << "sluicectl " << chosen_name_ << ": " << error << "\n";
    return static_cast<int>(ExitCode::kUsage);
  }
  const char* no_colour = std::getenv("NO_COLOR");
  bool wanted = terminal_.out && (no_colour == nullptr || *no_colour == '\0');
  Output output(in_, out_, err_,
                {.json = format_ == "json",
                 .colour = colour_ == "always" || (colour_ == "auto" && wanted),
                 .live = terminal_.err,
                 .screen = terminal_.out});
  absl::StatusOr<ExitCode> ended = ExitCode::kInternal;
  try {
    ended = chosen_(output);
  } catch (const std::bad_alloc&) {
    ended = absl::InternalError("there is not enough memory for this input");
  } catch (const std::exception&) {
    // Its text may hold a value of an event.
    ended = absl::InternalError(
        "a defect of sluicectl: it could not handle this input; please report the call");
  }
  out_.flush();
  if (ended.ok() && !out_) {
    ended = absl::InternalError("what was to be written couldn't be: is the disk full?");
  }
  if (ended.ok()) return static_cast<int>(*ended);
  err_ << "sluicectl " << chosen_name_ << ": " << base::View(ended.status().message()) << "\n";
  return static_cast<int>(ExitCodeOf(ended.status()));
}

}  // namespace sluice::ctl
