#include "services/ctl/offsets_command.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/visible.h"
#include "services/ctl/acts.h"
#include "services/ctl/json.h"
#include "services/ctl/offsets.h"
#include "services/ctl/tls_options.h"

namespace sluice::ctl {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> offsets;
  bool yes = false, from_the_beginning = false;
  SetOffsetsOptions set;
  TlsOptions tls;
};

constexpr int kSetTimeoutMs = 60'000;

std::string Known(int64_t offset) { return offset < 0 ? "-" : base::StrCat(offset); }

absl::StatusOr<ExitCode> List(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  SLUICE_ASSIGN_OR_RETURN(GroupView view, LookAtGroup(site));
  bool agree = view.former_id.empty();
  for (const PartitionOffsets& at : view.partitions) agree &= at.problem.empty();
  auto recorded = [](const PartitionOffsets& at) {
    return at.recorded ? at.recorded->next_offset() : -1;
  };
  if (output.json()) {
    JsonText json;
    json.BeginObject()
        .Member("pipeline", view.site.pipeline)
        .Member("group", view.site.group)
        .Member("topic", view.site.topic)
        .Member("topic_id", view.site.topic_id)
        .Member("former_topic_id", view.former_id)
        .Member("members", view.members.size())
        .Member("agree", agree)
        .Key("partitions")
        .BeginArray();
    auto offset = [&json](const char* name, int64_t value) {
      json.Key(name);
      if (value < 0) {
        json.Null();
      } else {
        json.Value(value);
      }
    };
    for (const PartitionOffsets& at : view.partitions) {
      json.BeginObject().Member("partition", at.partition).Member("log_begin", at.log_begin);
      json.Member("log_end", at.log_end);
      offset("committed", at.committed);
      offset("recorded", recorded(at));
      json.Member("version", at.recorded ? at.recorded->version() : "")
          .Member("set_by", at.recorded ? at.recorded->set_by() : "")
          .Member("problem", at.problem)
          .EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return agree ? ExitCode::kOk : ExitCode::kFound;
  }
  Table table({"PARTITION", "LOG BEGIN", "COMMITTED", "RECORDED", "LOG END", "VERSION", "SET BY"});
  for (const PartitionOffsets& at : view.partitions) {
    std::string committed = Known(at.committed);
    table.Add({base::StrCat(at.partition), base::StrCat(at.log_begin),
               at.problem.empty() ? committed : output.Paint(Colour::kRed, committed),
               Known(recorded(at)), base::StrCat(at.log_end),
               at.recorded ? at.recorded->version() : "",
               at.recorded ? at.recorded->set_by() : ""});
  }
  table.Print(output);
  output.out() << "pipeline " << view.site.pipeline << ", group " << view.site.group << " with "
               << view.members.size() << " live members\n";
  if (!view.former_id.empty()) {
    output.out() << view.site.topic << " was deleted and created again: id " << view.former_id
                 << " then, " << view.site.topic_id << " now\n";
  }
  for (const PartitionOffsets& at : view.partitions) {
    if (!at.problem.empty()) output.out() << at.problem << "\n";
  }
  return agree ? ExitCode::kOk : ExitCode::kFound;
}

absl::StatusOr<ExitCode> Change(const Options& options, bool recover, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  if (options.yes && privacy::IsBlank(options.set.reason)) {
    return absl::InvalidArgumentError(
        "--reason: say why, for the audit log; it names no person and holds nothing of an event");
  }
  SetOffsetsOptions set = options.set;
  if (options.yes) {
    SLUICE_ASSIGN_OR_RETURN(set.trail, TrailOf(site, set.trail));
  }
  SLUICE_ASSIGN_OR_RETURN(set.processors.tls, options.tls.Files());
  // Each worker comes to the border of its transaction first.
  set.processors.timeout_ms = kSetTimeoutMs;
  SLUICE_ASSIGN_OR_RETURN(GroupView view, LookAtGroup(site));
  SLUICE_ASSIGN_OR_RETURN(std::vector<OffsetChange> changes,
                          recover ? PlanRecovery(site, view) : PlanSet(view, options.offsets));
  const bool exact = std::all_of(changes.begin(), changes.end(),
                                 [](const OffsetChange& change) { return change.exact; });
  const bool blind = std::any_of(changes.begin(), changes.end(),
                                 [](const OffsetChange& change) { return change.blind; });
  if (options.yes && blind && !options.from_the_beginning) {
    return absl::InvalidArgumentError(
        "no stream is internal, so that the results don't name their events: everything that was "
        "published would be published again. Set what you know with `offsets set`, or add "
        "--from-the-beginning if that is what you want; nothing was changed");
  }
  const bool execute = options.yes && !changes.empty();
  if (execute) SLUICE_RETURN_IF_ERROR(SetOffsets(site, view, changes, set));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("executed", execute).Member("exact", exact).Key("changes");
    json.BeginArray();
    for (const OffsetChange& change : changes) {
      json.BeginObject()
          .Member("partition", change.partition)
          .Member("from", change.from)
          .Member("to", change.to)
          .Member("exact", change.exact)
          .Member("note", change.note)
          .EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  if (changes.empty()) {
    output.out() << "Nothing to change: the group is where the results are.\n";
    return ExitCode::kOk;
  }
  Table table({"PARTITION", "COMMITTED", "NEW", "NOTE"});
  for (const OffsetChange& change : changes) {
    table.Add(
        {base::StrCat(change.partition), Known(change.from), base::StrCat(change.to), change.note});
  }
  table.Print(output);
  if (!exact) {
    output.err() << output.Paint(
        Colour::kYellow,
        "These positions are not exact. Events behind them may have results already, which would "
        "be published again: suppressed ones leave none, and retention and compaction remove "
        "them.\n");
  }
  if (!execute) {
    output.err() << "Nothing was changed. Add --yes " << (blind ? "--from-the-beginning " : "")
                 << "--reason TEXT to do it.\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Forget(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  if (options.yes && privacy::IsBlank(options.set.reason)) {
    return absl::InvalidArgumentError(
        "--reason: say why, for the audit log; it names no person and holds nothing of an event");
  }
  std::string trail;
  if (options.yes) {
    SLUICE_ASSIGN_OR_RETURN(trail, TrailOf(site, options.set.trail));
  }
  SLUICE_ASSIGN_OR_RETURN(processor::KeyIdentities keys, RecordedKeys(site));
  const bool execute = options.yes && !keys.empty();
  if (execute) SLUICE_RETURN_IF_ERROR(ForgetKeys(site, keys, options.set.reason, trail));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("executed", execute).Key("epochs").BeginArray();
    for (const auto& [id, epoch] : keys) {
      json.BeginObject()
          .Member("domain", id.first)
          .Member("label", epoch.label)
          .Member("epoch", id.second)
          .Member("check", epoch.check)
          .EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  if (keys.empty()) {
    output.out() << "Nothing is recorded of keys.\n";
    return ExitCode::kOk;
  }
  Table table({"DOMAIN", "LABEL", "EPOCH", "CHECK"});
  for (const auto& [id, epoch] : keys)
    table.Add({id.first, epoch.label, base::StrCat(id.second), epoch.check});
  table.Print(output);
  if (!execute) {
    output.err() << output.Paint(
        Colour::kYellow,
        "If the keys differ, a person has other pseudonyms from now on, and nothing ties them to "
        "those that are published.\n");
    output.err() << "Nothing was changed. Add --yes --reason TEXT to forget these.\n";
  }
  return ExitCode::kOk;
}

}  // namespace

void AddOffsetsCommand(Program& program) {
  CLI::App& group = program.Group("offsets", "Show and set where a pipeline reads on");
  auto list = std::make_shared<Options>();
  CLI::App& list_command = program.Add(
      group,
      {.name = "list",
       .summary = "Show what the group has committed beside what is recorded with the results",
       .examples = {{"offsets list --config processor.yaml",
                     "Ends with 1 if a processor would not read on from there"}}},
      [list](Output& output) { return List(*list, output); });

  auto set = std::make_shared<Options>();
  CLI::App& set_command = program.Add(
      group,
      {.name = "set",
       .summary = "Set where processors read on, in the group and beside the results",
       .examples =
           {{"offsets set 0=1500 1=begin --config processor.yaml",
             "Show what would change; changes nothing"},
            {"offsets set 0=begin --config processor.yaml --yes --reason 'records aged out'",
             "Go on at the first record that partition 0 still holds"}}},
      [set](Output& output) { return Change(*set, false, output); });
  set_command
      .add_option("offsets", set->offsets, "PARTITION=OFFSET; an offset is a number, begin or end")
      ->required();

  auto recover = std::make_shared<Options>();
  CLI::App& recover_command = program.Add(
      group,
      {.name = "recover",
       .summary = "Set the group to where the results are, after its offsets were lost or set",
       .examples = {{"offsets recover --config processor.yaml",
                     "Show what would change; changes nothing"},
                    {"offsets recover --config processor.yaml --yes --reason 'offsets expired'",
                     "Set it"}}},
      [recover](Output& output) { return Change(*recover, true, output); });

  auto forget = std::make_shared<Options>();
  CLI::App& forget_command = program.Add(
      group,
      {.name = "forget-keys",
       .summary = "Forget which keys made the published pseudonyms, to accept others",
       .examples = {{"offsets forget-keys --config processor.yaml",
                     "Show the recorded epochs; compare them with `keys list`"},
                    {"offsets forget-keys --config processor.yaml --yes --reason 'keys were lost'",
                     "The keys of the next start are taken for the right ones"}}},
      [forget](Output& output) { return Forget(*forget, output); });

  for (auto [command, options] : {std::pair{&list_command, list},
                                  {&set_command, set},
                                  {&recover_command, recover},
                                  {&forget_command, forget}}) {
    command->add_option("--config", options->config, "The processor's configuration")->required();
    if (options == list) continue;
    command->add_flag("--yes", options->yes, "Do it; without it, only show");
    command->add_option("--reason", options->set.reason,
                        "Why, for the audit log; names no person and holds nothing of an event");
    command->add_option("--trail", options->set.trail, kTrailHelp);
    if (options == forget) continue;
    if (options == recover) {
      command->add_flag("--from-the-beginning", options->from_the_beginning,
                        "Also where no result names its event, so that everything that was "
                        "published is published again");
    }
    command->add_option("--take-over", options->set.take_over,
                        "The former name of this pipeline, if the group's offsets carry it");
    command
        ->add_option("--processor", options->set.processors.addresses,
                     "A running processor's gRPC port, host:port; repeatable. Needed while the "
                     "group has live members: those that own the partitions set them")
        ->allow_extra_args(false);
    options->tls.AddTo(*command);
  }
}

}  // namespace sluice::ctl
