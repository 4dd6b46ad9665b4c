#include "services/ctl/completion_command.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"

namespace sluice::ctl {
namespace {

struct Word {
  std::string text;
  std::string about;
};

// An option that takes a value, or an argument without a name.
struct Taker {
  std::vector<std::string> names;    // empty: an argument
  std::vector<std::string> choices;  // empty: a file's name may stand here
};

// What may stand after a command's name.
struct Place {
  std::string path;  // `keys init`; empty: the program
  std::vector<Word> commands;
  std::vector<Word> options;
  std::vector<Taker> takers;
};

// The values that CLI::IsMember allows, from the name that it gives its type: TEXT:{table,json}.
std::vector<std::string> ChoicesOf(const CLI::Option& option) {
  std::string type = option.get_type_name();
  size_t open = type.find('{'), close = type.rfind('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  return absl::StrSplit(type.substr(open + 1, close - open - 1), ',');
}

void AddOptions(const CLI::App& app, Place& place) {
  for (const CLI::Option* option : app.get_options()) {
    std::vector<std::string> names;
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : names)
      place.options.push_back({name, option->get_description()});
    if (option->get_items_expected_max() > 0)
      place.takers.push_back({std::move(names), ChoicesOf(*option)});
  }
}

void Collect(const CLI::App& program, const CLI::App& app, const std::string& path,
             std::vector<Place>& places) {
  Place place{.path = path, .commands = {}, .options = {}, .takers = {}};
  AddOptions(app, place);
  if (!path.empty()) AddOptions(program, place);
  std::stable_sort(place.options.begin(), place.options.end(),
                   [](const Word& a, const Word& b) { return a.text < b.text; });
  place.options.erase(std::unique(place.options.begin(), place.options.end(),
                                  [](const Word& a, const Word& b) { return a.text == b.text; }),
                      place.options.end());
  std::vector<const CLI::App*> commands = app.get_subcommands(nullptr);
  for (const CLI::App* command : commands)
    place.commands.push_back({command->get_name(), command->get_description()});
  places.push_back(std::move(place));
  for (const CLI::App* command : commands) {
    const std::string& name = command->get_name();
    Collect(program, *command, path.empty() ? name : base::StrCat(path, " ", name), places);
  }
}

std::vector<Place> PlacesOf(const CLI::App& program) {
  std::vector<Place> places;
  Collect(program, program, "", places);
  return places;
}

std::string Texts(const std::vector<Word>& words) {
  return absl::StrJoin(words, " ", [](std::string* out, const Word& word) { *out += word.text; });
}

// In single quotes, for all three shells.
std::string Quoted(const std::string& text) {
  std::string escaped = absl::StrReplaceAll(text, {{"'", "'\\''"}});
  return base::StrCat("'", escaped, "'");
}

// Patterns of `case` that lead from one command to those below it.
std::string Steps(const std::vector<Place>& places) {
  std::vector<std::string> steps;
  for (const Place& place : places) {
    for (const Word& command : place.commands)
      steps.push_back(base::StrCat("'", place.path, "|", command.text, "'"));
  }
  return absl::StrJoin(steps, "|");
}

// How bash and zsh differ in what is otherwise the same function.
struct Dialect {
  std::string (*words)(const std::vector<Word>& words);  // the value of an array or list
  std::string (*choices)(const std::vector<std::string>& choices);
  std::string file;  // what is done where a file's name may stand
};

// The branch of `case` for each command: what may stand there, and behind the word before.
std::string Branches(const std::vector<Place>& places, const Dialect& dialect) {
  std::string text;
  for (const Place& place : places) {
    base::StrAppend(text, "    '", place.path, "')\n      commands=", dialect.words(place.commands),
                    "\n      options=", dialect.words(place.options), "\n");
    std::string cases;
    for (const Taker& taker : place.takers) {
      if (!taker.names.empty()) {
        std::string then = taker.choices.empty()
                               ? dialect.file
                               : base::StrCat("choices=", dialect.choices(taker.choices));
        base::StrAppend(cases, "        ", absl::StrJoin(taker.names, "|"), ") ", then, " ;;\n");
      } else if (!taker.choices.empty()) {
        base::StrAppend(text, "      commands=", dialect.choices(taker.choices), "\n");
      }
    }
    if (!cases.empty())
      base::StrAppend(text, "      case \"$previous\" in\n", cases, "      esac\n");
    text += "      ;;\n";
  }
  return text;
}

std::string Bash(const std::vector<Place>& places) {
  const Dialect dialect = {
      [](const std::vector<Word>& words) { return base::StrCat("'", Texts(words), "'"); },
      [](const std::vector<std::string>& choices) {
        return base::StrCat("'", absl::StrJoin(choices, " "), "'");
      },
      "choices='<file>'"};
  return base::StrCat(
      "# bash completion of sluicectl: source <(sluicectl completion bash)\n"
      "_sluicectl() {\n"
      "  local word path= current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local commands= options= choices=\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"$path|$word\" in\n"
      "      ",
      Steps(places),
      ") path=${path:+$path }$word ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$path\" in\n",
      Branches(places, dialect),
      "  esac\n"
      "  if [[ $choices == '<file>' ]]; then\n"
      "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
      "  elif [[ -n $choices ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
      "  elif [[ $current == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
      "  elif [[ -n $commands ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$commands\" -- \"$current\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
      "  fi\n"
      "}\n"
      "complete -o filenames -F _sluicectl sluicectl\n");
}

// With what each word is about.
std::string ZshWords(const std::vector<Word>& words) {
  return base::StrCat(
      "(",
      absl::StrJoin(words, " ",
                    [](std::string* out, const Word& word) {
                      *out += Quoted(base::StrCat(absl::StrReplaceAll(word.text, {{":", "\\:"}}),
                                                  ":", word.about));
                    }),
      ")");
}

std::string Zsh(const std::vector<Place>& places) {
  const Dialect dialect = {ZshWords,
                           [](const std::vector<std::string>& choices) {
                             return base::StrCat("(", absl::StrJoin(choices, " "), ")");
                           },
                           "_files; return"};
  return base::StrCat(
      "#compdef sluicectl\n"
      "# zsh completion of sluicectl: save it as _sluicectl in a folder of $fpath\n"
      "_sluicectl() {\n"
      "  local word where= current=${words[CURRENT]} previous=${words[CURRENT-1]}\n"
      "  local -a commands options choices\n"
      "  for word in \"${words[@]:1:$((CURRENT-2))}\"; do\n"
      "    case \"$where|$word\" in\n"
      "      ",
      Steps(places),
      ") where=${where:+$where }$word ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$where\" in\n",
      Branches(places, dialect),
      "  esac\n"
      "  if (( $#choices )); then\n"
      "    _describe value choices\n"
      "  elif [[ $current == -* ]]; then\n"
      "    _describe option options\n"
      "  elif (( $#commands )); then\n"
      "    _describe command commands\n"
      "  else\n"
      "    _files\n"
      "  fi\n"
      "}\n"
      "if [[ $funcstack[1] == _sluicectl ]]; then _sluicectl; else compdef _sluicectl sluicectl; "
      "fi\n");
}

std::string Fish(const std::vector<Place>& places) {
  std::string text =
      "# fish completion of sluicectl: sluicectl completion fish | source\n"
      "function __sluicectl_at\n"
      "  set -l path\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    switch \"$path|$word\"\n"
      "      case ";
  std::vector<std::string> steps = absl::StrSplit(Steps(places), "'|'");
  text += absl::StrJoin(steps, "' '");
  text +=
      "\n"
      "        set path (string trim -- \"$path $word\")\n"
      "    end\n"
      "  end\n"
      "  test \"$path\" = \"$argv[1]\"\n"
      "end\n"
      "complete -c sluicectl -e\n";
  for (const Place& place : places) {
    std::string at = base::StrCat("complete -c sluicectl -n \"__sluicectl_at '", place.path, "'\"");
    for (const Word& command : place.commands)
      base::StrAppend(text, at, " -f -a ", command.text, " -d ", Quoted(command.about), "\n");
    for (const Word& option : place.options) {
      base::StrAppend(text, at, " -l ", option.text.substr(2), " -d ", Quoted(option.about));
      for (const Taker& taker : place.takers) {
        if (std::find(taker.names.begin(), taker.names.end(), option.text) == taker.names.end())
          continue;
        text += " -r";
        if (!taker.choices.empty())
          base::StrAppend(text, " -f -a ", Quoted(absl::StrJoin(taker.choices, " ")));
      }
      text += "\n";
    }
    for (const Taker& taker : place.takers) {
      if (taker.names.empty() && !taker.choices.empty())
        base::StrAppend(text, at, " -f -a ", Quoted(absl::StrJoin(taker.choices, " ")), "\n");
    }
  }
  return text;
}

}  // namespace

void AddCompletionCommand(Program& program) {
  auto shell = std::make_shared<std::string>();
  CLI::App& command = program.Add(
      {.name = "completion",
       .summary = "Print what a shell needs to complete sluicectl's commands",
       .examples = {{"completion bash > ~/.local/share/bash-completion/completions/sluicectl",
                     "For bash, from the next login on"},
                    {"completion zsh > ~/.zfunc/_sluicectl", "For zsh, with ~/.zfunc in $fpath"},
                    {"completion fish > ~/.config/fish/completions/sluicectl.fish", "For fish"}}},
      [shell, &program](Output& output) -> absl::StatusOr<ExitCode> {
        std::vector<Place> places = PlacesOf(program.app());
        output.out() << (*shell == "bash"  ? Bash(places)
                         : *shell == "zsh" ? Zsh(places)
                                           : Fish(places));
        return ExitCode::kOk;
      });
  command.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace sluice::ctl
