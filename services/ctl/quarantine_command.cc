#include "services/ctl/quarantine_command.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/acts.h"
#include "services/ctl/json.h"
#include "services/ctl/quarantine.h"
#include "services/ctl/redrive.h"
#include "services/ctl/time_option.h"

namespace sluice::ctl {
namespace {

using quarantine::v1::Action;

// As the options give it.
struct Chosen {
  std::string config;
  std::vector<std::string> reasons, paths, places;
  std::string since, until;

  void AddTo(CLI::App& command) {
    command.add_option("--config", config, "The processor's configuration")->required();
    command.add_option("--reason", reasons,
                       "Only records that broke this rule; string.* for all of "
                       "its kind; repeatable");
    command.add_option("--path", paths,
                       "Only records with a violation at this field, of such a rule where --reason "
                       "is given; repeatable");
    command.add_option("--at", places, "Only the record at partition/offset; repeatable");
    command.add_option("--since", since, "Only those quarantined at or after: a time, or 2h ago");
    command.add_option("--until", until, "Only those quarantined before");
  }

  absl::StatusOr<Selection> ToSelection() const {
    Selection selection{.reasons = reasons, .paths = paths};
    int64_t now = base::SystemClock().UnixMillis();
    for (const std::string& text : places) {
      SLUICE_ASSIGN_OR_RETURN(Place place, ParsePlace(text));
      selection.places.push_back(place);
    }
    if (!since.empty()) {
      SLUICE_ASSIGN_OR_RETURN(selection.since_ms, ParseTime(since, now));
    }
    if (!until.empty()) {
      SLUICE_ASSIGN_OR_RETURN(selection.until_ms, ParseTime(until, now));
    }
    return selection;
  }
};

std::string_view FateName(Action action) {
  switch (action) {
    case quarantine::v1::REDRIVEN:
      return "redriven";
    case quarantine::v1::DISCARDED:
      return "discarded";
    case quarantine::v1::SHOWN:
      return "shown";
    default:
      return "waiting";
  }
}

struct Entry {
  Place place;
  int64_t timestamp_ms = -1;
  std::string source, reasons, paths;
  uint32_t generation = 0;
  std::string_view fate;
};

absl::StatusOr<ExitCode> List(const Chosen& chosen, uint64_t limit, bool all, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(chosen.config));
  SLUICE_ASSIGN_OR_RETURN(Selection selection, chosen.ToSelection());
  SLUICE_ASSIGN_OR_RETURN(Ledger ledger, Ledger::Read(site));
  SLUICE_ASSIGN_OR_RETURN(auto ranges, QuarantineRanges(site));
  std::vector<Entry> entries;
  bool more = false;
  SLUICE_RETURN_IF_ERROR(
      ReadQuarantine(site, ranges, [&](const Quarantined& record) -> absl::StatusOr<bool> {
        Action fate = ledger.FateOf(record.place);
        if (!selection.Takes(record) || (!all && fate != quarantine::v1::ACTION_UNSPECIFIED))
          return true;
        if (entries.size() >= limit) {
          more = true;
          return false;
        }
        entries.push_back({record.place, record.timestamp_ms, std::string(record.source),
                           std::string(record.reasons), std::string(record.paths),
                           record.generation, FateName(fate)});
        return true;
      }));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Key("records").BeginArray();
    for (const Entry& entry : entries) {
      json.BeginObject()
          .Member("at", PlaceName(entry.place))
          .Member("time", TimeText(entry.timestamp_ms))
          .Member("source", entry.source)
          .Member("reasons", entry.reasons)
          .Member("paths", entry.paths)
          .Member("generation", entry.generation)
          .Member("fate", entry.fate)
          .EndObject();
    }
    json.EndArray().Member("more", more).EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  Table table({"AT", "TIME", "SOURCE", "REASONS", "PATHS", "GENERATION", "FATE"});
  for (const Entry& entry : entries) {
    table.Add({PlaceName(entry.place), TimeText(entry.timestamp_ms), entry.source, entry.reasons,
               entry.paths, base::StrCat(entry.generation), std::string(entry.fate)});
  }
  table.Print(output);
  if (more) output.err() << "There are more; raise --limit, or choose fewer.\n";
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Stats(const Chosen& chosen, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(chosen.config));
  SLUICE_ASSIGN_OR_RETURN(Selection selection, chosen.ToSelection());
  SLUICE_ASSIGN_OR_RETURN(Ledger ledger, Ledger::Read(site));
  SLUICE_ASSIGN_OR_RETURN(auto ranges, QuarantineRanges(site));
  struct Count {
    uint64_t waiting = 0, redriven = 0, discarded = 0;
    int64_t oldest_ms = INT64_MAX, newest_ms = -1;
    uint32_t generation = 0;

    void Add(const Quarantined& record, Action fate) {
      ++(fate == quarantine::v1::REDRIVEN    ? redriven
         : fate == quarantine::v1::DISCARDED ? discarded
                                             : waiting);
      oldest_ms = std::min(oldest_ms, record.timestamp_ms);
      newest_ms = std::max(newest_ms, record.timestamp_ms);
      generation = std::max(generation, record.generation);
    }
  };
  std::map<std::string, Count> by_rule;
  Count all;
  SLUICE_RETURN_IF_ERROR(
      ReadQuarantine(site, ranges, [&](const Quarantined& record) -> absl::StatusOr<bool> {
        if (!selection.Takes(record)) return true;
        Action fate = ledger.FateOf(record.place);
        for (std::string_view rule : record.Rules()) by_rule[std::string(rule)].Add(record, fate);
        all.Add(record, fate);
        return true;
      }));
  auto newest = [](const Count& count) { return TimeText(count.newest_ms); };
  auto oldest = [](const Count& count) {
    return count.newest_ms < 0 ? "" : TimeText(count.oldest_ms);
  };
  if (output.json()) {
    JsonText json;
    auto add = [&](const Count& count) {
      json.Member("waiting", count.waiting)
          .Member("redriven", count.redriven)
          .Member("discarded", count.discarded)
          .Member("oldest", oldest(count))
          .Member("newest", newest(count))
          .Member("generation_max", count.generation);
    };
    json.BeginObject();
    add(all);
    json.Key("reasons").BeginArray();
    for (const auto& [rule, count] : by_rule) {
      json.BeginObject().Member("reason", rule);
      add(count);
      json.EndObject();
    }
    json.EndArray().Key("runs").BeginArray();
    for (const auto& [id, run] : ledger.runs()) {
      json.BeginObject()
          .Member("run", id)
          .Member("action", FateName(run.action()))
          .Member("by", run.by())
          .Member("begun", TimeText(run.begun_ms()))
          .Member("records", run.records())
          .Member("selection", run.selection())
          .Member("because", run.because())
          .Member("trail", run.trail())
          .EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  Table table({"REASON", "WAITING", "REDRIVEN", "DISCARDED", "OLDEST", "NEWEST", "GENERATION"});
  auto row = [&](const std::string& name, const Count& count) {
    table.Add({name, base::StrCat(count.waiting), base::StrCat(count.redriven),
               base::StrCat(count.discarded), oldest(count), newest(count),
               base::StrCat(count.generation)});
  };
  for (const auto& [rule, count] : by_rule) row(rule, count);
  row("records in all", all);
  table.Print(output);
  if (ledger.runs().empty()) return ExitCode::kOk;
  output.out() << "\n";
  Table runs({"RUN", "ACTION", "BY", "BEGUN", "RECORDS", "SELECTION", "BECAUSE"});
  for (const auto& [id, run] : ledger.runs()) {
    runs.Add({id, std::string(FateName(run.action())), run.by(), TimeText(run.begun_ms()),
              base::StrCat(run.records()), run.selection(), run.because()});
  }
  runs.Print(output);
  return ExitCode::kOk;
}

struct ShowOptions {
  std::string config, at, private_key, trail;
};

// The record and its event.
absl::Status OpenRecord(const Site& site, const Place& place, const ShowOptions& options,
                        Entry& entry, quarantine::v1::Payload& raw) {
  SLUICE_ASSIGN_OR_RETURN(PayloadOpener opener, PayloadOpener::Create(site, options.private_key));
  SLUICE_ASSIGN_OR_RETURN(Ledger ledger, Ledger::Read(site));
  kafka::ReadRange range{site.quarantine(), place.first, place.second, place.second + 1};
  SLUICE_ASSIGN_OR_RETURN(auto ranges, QuarantineRanges(site));
  bool there = false;
  for (const kafka::ReadRange& held : ranges) {
    there |= held.partition == place.first && held.begin <= place.second && place.second < held.end;
  }
  bool found = false;
  if (there) {
    SLUICE_RETURN_IF_ERROR(
        ReadQuarantine(site, {&range, 1}, [&](const Quarantined& record) -> absl::StatusOr<bool> {
          found = true;
          entry = {place,
                   record.timestamp_ms,
                   std::string(record.source),
                   std::string(record.reasons),
                   std::string(record.paths),
                   record.generation,
                   FateName(ledger.FateOf(place))};
          SLUICE_ASSIGN_OR_RETURN(raw, opener.Open(record));
          return true;
        }));
  }
  if (found) return absl::OkStatus();
  return absl::NotFoundError(base::StrCat(site.quarantine(), '/', PlaceName(place),
                                          ": no record is there (`quarantine list` says where "
                                          "they are)"));
}

absl::StatusOr<ExitCode> Show(const ShowOptions& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  SLUICE_ASSIGN_OR_RETURN(Place place, ParsePlace(options.at));
  SLUICE_ASSIGN_OR_RETURN(std::string trail, TrailOf(site, options.trail));
  Entry entry;
  quarantine::v1::Payload raw;
  absl::Status opened = OpenRecord(site, place, options, entry, raw);
  if (!opened.ok()) {
    SLUICE_RETURN_IF_ERROR(RecordNotShown(site, place, trail, opened));
    if (!absl::IsDataLoss(opened)) return opened;
    // What the record is, not what went wrong here.
    output.err() << site.quarantine() << '/' << PlaceName(place) << ": "
                 << base::View(opened.message()) << "\n";
    return ExitCode::kFound;
  }
  // First the audit, then the payload: who has seen it is known whatever happens next.
  SLUICE_RETURN_IF_ERROR(RecordShown(site, place, trail));
  const std::string at = PlaceName(place);
  if (output.json()) {
    JsonText json;
    json.BeginObject()
        .Member("at", at)
        .Member("time", TimeText(entry.timestamp_ms))
        .Member("source", entry.source)
        .Member("reasons", entry.reasons)
        .Member("paths", entry.paths)
        .Member("generation", entry.generation)
        .Member("fate", entry.fate);
    auto part = [&json](const char* name, bool present, const std::string& bytes) {
      json.Key(name);
      if (present) {
        json.Value(bytes);
      } else {
        json.Null();
      }
    };
    part("key", raw.has_key(), raw.key());
    part("value", raw.has_value(), raw.value());
    json.Key("headers").BeginArray();
    for (const quarantine::v1::Header& header : raw.headers()) {
      json.BeginObject().Member("name", header.name());
      part("value", header.has_value(), header.value());
      json.EndObject();
    }
    json.EndArray();
    json.EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  Table table({});
  table.Add({"at", base::StrCat(site.quarantine(), '/', at)});
  table.Add({"time", TimeText(entry.timestamp_ms)});
  table.Add({"source", entry.source});
  table.Add({"reasons", entry.reasons});
  table.Add({"paths", entry.paths});
  table.Add({"generation", base::StrCat(entry.generation)});
  table.Add({"fate", std::string(entry.fate)});
  auto text = [](bool present, const std::string& bytes) { return present ? bytes : "(null)"; };
  table.Add({"key", text(raw.has_key(), raw.key())});
  for (const quarantine::v1::Header& header : raw.headers())
    table.Add({base::StrCat("header ", header.name()), text(header.has_value(), header.value())});
  table.Print(output);
  output.out() << "\n" << text(raw.has_value(), raw.value()) << "\n";
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Run(const Chosen& chosen, RunOptions options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(chosen.config));
  SLUICE_ASSIGN_OR_RETURN(options.selection, chosen.ToSelection());
  if (options.execute) {
    SLUICE_ASSIGN_OR_RETURN(options.trail, TrailOf(site, options.trail));
  }
  absl::StatusOr<RunReport> report;
  {
    Progress progress(output, "records", 0);
    options.progress = [&progress](uint64_t done) { progress.Set(done); };
    report = RunOverQuarantine(site, options);
  }
  if (!report.ok()) return report.status();
  bool redrive = options.action == quarantine::v1::REDRIVEN;
  if (output.json()) {
    JsonText json;
    json.BeginObject()
        .Member("executed", options.execute)
        .Member("run", report->run)
        .Member("chosen", report->chosen)
        .Member(redrive ? "redriven" : "discarded", report->done)
        .Member("redriven_before", report->redriven_before)
        .Member("discarded_before", report->discarded_before)
        .Member("kept_for_generation", report->kept)
        .Member("not_openable", report->unopenable)
        .Key("reasons")
        .BeginObject();
    for (const auto& [rule, count] : report->by_rule) json.Member(rule, count);
    json.EndObject().Key("problems").BeginArray();
    for (const auto& [place, what] : report->problems)
      json.BeginObject().Member("at", PlaceName(place)).Member("problem", what).EndObject();
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
  } else {
    std::string done = redrive ? "redriven" : "discarded";
    Table table({});
    table.Add({"chosen", base::StrCat(report->chosen)});
    table.Add({options.execute ? done : "would be " + done, base::StrCat(report->done)});
    table.Add({"redriven before", base::StrCat(report->redriven_before)});
    table.Add({"discarded before", base::StrCat(report->discarded_before)});
    if (redrive) {
      table.Add({base::StrCat("kept: redriven ", options.generations_max, " times"),
                 base::StrCat(report->kept)});
      table.Add({"can't be opened", base::StrCat(report->unopenable)});
    }
    for (const auto& [rule, count] : report->by_rule) table.Add({"  " + rule, base::StrCat(count)});
    table.Print(output);
    for (const auto& [place, what] : report->problems) {
      output.out() << output.Paint(Colour::kYellow,
                                   base::StrCat(site.quarantine(), '/', PlaceName(place)))
                   << ": " << what << "\n";
    }
    if (!options.execute) output.err() << "Nothing was changed. --execute does it.\n";
  }
  return report->unopenable > 0 ? ExitCode::kFound : ExitCode::kOk;
}

}  // namespace

void AddQuarantineCommand(Program& program) {
  CLI::App& group =
      program.Group("quarantine", "Look at quarantined records, redrive or discard them");

  struct ListOptions {
    Chosen chosen;
    uint64_t limit = 100;
    bool all = false;
  };
  auto list = std::make_shared<ListOptions>();
  CLI::App& list_command = program.Add(
      group,
      {.name = "list",
       .summary = "Records that wait, oldest first in each partition; reasons only, no content",
       .examples = {{"quarantine list --config processor.yaml --reason string.uuid --since 2h",
                     "What broke this rule in the last two hours"}}},
      [list](Output& output) { return List(list->chosen, list->limit, list->all, output); });
  list->chosen.AddTo(list_command);
  list_command.add_option("--limit", list->limit, "At most so many")->capture_default_str();
  list_command.add_flag("--all", list->all, "Also those that were redriven or discarded");

  auto stats = std::make_shared<Chosen>();
  CLI::App& stats_command = program.Add(
      group,
      {.name = "stats",
       .summary = "Counts by reason, and the runs that redrove or discarded",
       .examples = {{"quarantine stats --config processor.yaml", "How much waits, and why"}}},
      [stats](Output& output) { return Stats(*stats, output); });
  stats->AddTo(stats_command);

  auto show = std::make_shared<ShowOptions>();
  CLI::App& show_command = program.Add(
      group,
      {.name = "show",
       .summary = "One record with its event, which is personal data; that it was shown is audited",
       .examples = {{"quarantine show 0/42 --config processor.yaml --private-key quarantine.key",
                     "The record at partition 0, offset 42"}}},
      [show](Output& output) { return Show(*show, output); });
  show_command.add_option("at", show->at, "partition/offset")->required();
  show_command.add_option("--config", show->config, "The processor's configuration")->required();
  show_command.add_option("--private-key", show->private_key, "The quarantine's private key, PEM")
      ->required();
  show_command.add_option("--trail", show->trail, kTrailHelp);

  struct RunCommand {
    Chosen chosen;
    RunOptions options;
  };
  auto redrive = std::make_shared<RunCommand>();
  CLI::App& redrive_command =
      program.Add(group,
                  {.name = "redrive",
                   .summary = "Publish waiting records into the raw topic again, each once",
                   .examples = {{"quarantine redrive --config processor.yaml --reason string.uuid",
                                 "What would be redriven; changes nothing"},
                                {"quarantine redrive --config processor.yaml --reason string.uuid"
                                 " --private-key quarantine.key --execute",
                                 "Do it; killed in the middle and run again, it goes on"}}},
                  [redrive](Output& output) {
                    redrive->options.action = quarantine::v1::REDRIVEN;
                    return Run(redrive->chosen, redrive->options, output);
                  });
  redrive->chosen.AddTo(redrive_command);
  redrive_command.add_option("--private-key", redrive->options.private_key,
                             "The quarantine's private key, PEM; without --execute it is tried on "
                             "every record");
  redrive_command
      .add_option("--generations-max", redrive->options.generations_max,
                  "Keep records that were redriven so often already")
      ->capture_default_str();

  auto discard = std::make_shared<RunCommand>();
  CLI::App& discard_command = program.Add(
      group,
      {.name = "discard",
       .summary = "Give waiting records up: they stay in the topic until its retention ends",
       .examples = {{"quarantine discard --config processor.yaml --at 0/42 --because 'test event'"
                     " --execute",
                     "The record at partition 0, offset 42 is never redriven"}}},
      [discard](Output& output) {
        discard->options.action = quarantine::v1::DISCARDED;
        return Run(discard->chosen, discard->options, output);
      });
  discard->chosen.AddTo(discard_command);

  for (auto [command, options, why] : {std::tuple{&redrive_command, &redrive->options, false},
                                       {&discard_command, &discard->options, true}}) {
    command->add_flag("--execute", options->execute, "Do it; without it, only count");
    CLI::Option* because =
        command->add_option("--because", options->because,
                            "Why, for the audit; names no person and holds nothing of an event");
    if (why) because->required();
    command->add_option("--trail", options->trail, kTrailHelp);
    command->add_option("--limit", options->records_max, "The first so many only");
    command->add_option("--rate", options->per_second_max, "Records a second at most")
        ->capture_default_str();
    command
        ->add_option("--transaction-records", options->transaction_records,
                     "Records in one transaction")
        ->capture_default_str();
  }
}

}  // namespace sluice::ctl
