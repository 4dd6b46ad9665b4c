#include "services/ctl/status_command.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/json.h"
#include "services/ctl/quarantine.h"
#include "services/ctl/services.h"
#include "services/ctl/time_option.h"
#include "services/ctl/tls_options.h"

namespace sluice::ctl {
namespace {

struct Options {
  ServiceOptions services;
  TlsOptions tls;
  std::string config;
  bool partitions = false;
  double interval_s = 2;
  uint64_t count = 0;

  // `looks`: at the other services, too.
  void AddTo(CLI::App& command, bool looks) {
    CLI::Option* processors =
        command.add_option("addresses", services.addresses, "Processors' gRPC ports, host:port");
    if (looks) {
      command
          .add_option("--pseudonymiser", services.pseudonymisers,
                      "A pseudonymiser's gRPC port; repeatable. Each look is a line on its audit "
                      "trail")
          ->allow_extra_args(false);
      command
          .add_option("--reference", services.references,
                      "A reference service's gRPC port; repeatable")
          ->allow_extra_args(false);
    } else {
      processors->required();
    }
    tls.AddTo(command);
    command.add_option("--timeout-ms", services.timeout_ms, "For each service's answer")
        ->capture_default_str();
  }

  absl::StatusOr<Services> Connect() const {
    if (services.addresses.empty() && services.pseudonymisers.empty() &&
        services.references.empty()) {
      return absl::InvalidArgumentError(
          "name a service: processors' addresses, --pseudonymiser or --reference");
    }
    ServiceOptions options = services;
    SLUICE_ASSIGN_OR_RETURN(options.tls, tls.Files());
    return Services::Connect(options);
  }
};

// What is known at one time.
struct Picture {
  int64_t at_ms = 0;
  std::vector<ServiceStatus> services;
  std::vector<PseudonymiserStatus> pseudonymisers;
  std::vector<ReferenceStatus> references;
  std::optional<uint64_t> quarantined;  // waiting; where a configuration says how to ask
  std::string quarantine_problem;       // why that isn't known this time
};

// Takes pictures, one after the other.
class Camera {
 public:
  static absl::StatusOr<std::unique_ptr<Camera>> Create(const Options& options) {
    auto camera = std::make_unique<Camera>();
    SLUICE_ASSIGN_OR_RETURN(camera->services_, options.Connect());
    if (!options.config.empty()) {
      SLUICE_ASSIGN_OR_RETURN(camera->site_, LoadSite(options.config));
      camera->depth_.emplace(camera->site_);
    }
    return camera;
  }

  absl::StatusOr<Picture> Take() {
    Picture picture;
    picture.at_ms = base::SystemClock().UnixMillis();
    picture.services = services_.Statuses();
    picture.pseudonymisers = services_.Pseudonymisers();
    picture.references = services_.References();
    if (depth_) {
      auto depth = depth_->Refresh();
      if (depth.ok()) {
        picture.quarantined = *depth;
      } else if (absl::IsUnavailable(depth.status()) || absl::IsDeadlineExceeded(depth.status())) {
        picture.quarantine_problem = std::string(base::View(depth.status().message()));
      } else {
        return depth.status();
      }
    }
    return picture;
  }

 private:
  Services services_;
  Site site_;
  std::optional<QuarantineDepth> depth_;
};

std::string Seconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", seconds);
  return text;
}

std::string Known(int64_t number) { return number < 0 ? "?" : base::StrCat(number); }

template <typename Map>
std::string Join(const Map& map) {
  std::map<std::string, std::string> sorted;
  for (const auto& [name, value] : map) sorted[name] = base::StrCat(value);
  std::string text;
  for (const auto& [name, value] : sorted)
    base::StrAppend(text, text.empty() ? "" : ",", name, "=", value);
  return text;
}

// Events a second since `before`; empty for the first picture, and after a restart.
std::string Rate(const Picture& before, const Picture& now, size_t i) {
  if (before.services.size() != now.services.size() || now.at_ms <= before.at_ms) return "";
  uint64_t then = before.services[i].processor.events_in();
  uint64_t in = now.services[i].processor.events_in();
  if (!before.services[i].reached.ok() || !now.services[i].reached.ok() || in < then) return "";
  double seconds = static_cast<double>(now.at_ms - before.at_ms) / 1000;
  return base::StrCat(std::llround(static_cast<double>(in - then) / seconds));
}

// In the unit that says enough: 40s, 12m, 5h, 9d.
std::string Age(double seconds) {
  for (auto [unit, name] : {std::pair{86'400.0, 'd'}, {3'600.0, 'h'}, {60.0, 'm'}}) {
    if (seconds >= 2 * unit) return base::StrCat(std::llround(std::floor(seconds / unit)), name);
  }
  return base::StrCat(std::llround(std::floor(seconds)), 's');
}

std::string Epochs(const PseudonymiserStatus& service) {
  std::map<std::string, uint32_t> epochs;
  for (const auto& domain : service.domains.domains()) {
    if (!domain.epochs().empty()) epochs[domain.name()] = domain.epochs().rbegin()->number();
  }
  return Join(epochs);
}

std::string LockedCount(const PseudonymiserStatus& service) {
  return service.locked.ok() ? base::StrCat(service.locked->callers_size()) : "?";
}

std::string Painted(const ServiceStatus& service, Output& output) {
  Colour colour = !service.Well()                ? Colour::kRed
                  : service.State() == "running" ? Colour::kGreen
                                                 : Colour::kYellow;
  return output.Paint(colour, service.State());
}

template <typename Status>
std::string PaintedState(const Status& service, Output& output) {
  return output.Paint(service.Well() ? Colour::kGreen : Colour::kRed, service.State());
}

// Why a service or worker isn't well, one line each.
void PrintReasons(const Picture& picture, Output& output) {
  for (const ServiceStatus& service : picture.services) {
    if (!service.reached.ok()) {
      output.out() << service.address << ": " << base::View(service.reached.message()) << "\n";
      continue;
    }
    for (const auto& worker : service.processor.workers()) {
      for (const auto& at : worker.partitions()) {
        if (!at.has_blocked_offset()) continue;
        output.out() << service.address << ": worker " << worker.worker() << ": "
                     << output.Paint(Colour::kRed,
                                     base::StrCat(at.topic(), "/", at.partition(),
                                                  " is blocked at offset ", at.blocked_offset()))
                     << " since " << TimeText(at.blocked_since_unix_ms())
                     << " by a transaction that another producer left open: "
                        "`kafka-transactions.sh find-hanging` names it\n";
      }
      if (worker.reason().empty()) continue;
      output.out() << service.address << ": worker " << worker.worker() << " is " << worker.state()
                   << ": " << worker.reason() << "\n";
    }
    if (!service.processor.reload_refusal().empty()) {
      output.out() << service.address
                   << ": the configuration on disk was refused, the one before it goes on: "
                   << service.processor.reload_refusal() << "\n";
    }
  }
  for (const PseudonymiserStatus& service : picture.pseudonymisers) {
    if (!service.reached.ok()) {
      output.out() << service.address << ": " << base::View(service.reached.message()) << "\n";
    } else if (!service.locked.ok()) {
      output.out() << service.address << ": who is locked isn't known: "
                   << base::View(service.locked.status().message()) << "\n";
    } else {
      for (const auto& caller : service.locked->callers()) {
        output.out() << service.address << ": caller " << caller.caller() << " is locked since "
                     << TimeText(caller.since().seconds() * 1000) << " (" << caller.reason()
                     << "): `sluicectl callers unlock` once it is known what it did\n";
      }
    }
  }
  for (const ReferenceStatus& service : picture.references) {
    if (!service.reached.ok())
      output.out() << service.address << ": " << base::View(service.reached.message()) << "\n";
    for (const ReferenceStatus::Set& set : service.reference.sets()) {
      if (set.refusal().empty()) continue;
      output.out() << service.address << ": set " << set.name() << " is refused for "
                   << Age(set.refused_seconds()) << ": " << set.refusal() << "\n";
    }
  }
}

void PrintPseudonymisers(const Picture& picture, Output& output) {
  if (picture.pseudonymisers.empty()) return;
  Table table({"PSEUDONYMISER", "STATE", "DOMAINS", "EPOCHS", "OLDEST EPOCH", "KEYRING", "LOCKED"});
  for (const PseudonymiserStatus& service : picture.pseudonymisers) {
    std::vector<std::string> row = {service.address, PaintedState(service, output)};
    if (service.reached.ok()) {
      auto oldest = service.OldestEpochSeconds(picture.at_ms);
      for (std::string& cell : std::vector<std::string>{
               base::StrCat(service.domains.domains_size()), Epochs(service),
               oldest ? Age(*oldest) : "?", base::StrCat(service.domains.generation()),
               LockedCount(service)}) {
        row.push_back(std::move(cell));
      }
    }
    table.Add(std::move(row));
  }
  table.Print(output);
}

void PrintReferences(const Picture& picture, Output& output) {
  if (picture.references.empty()) return;
  Table table({"REFERENCE", "SET", "STATE", "VERSION", "ROWS", "AGE", "LOOKED", "REFUSED"});
  for (const ReferenceStatus& service : picture.references) {
    if (!service.reached.ok()) table.Add({service.address, "", PaintedState(service, output)});
    for (const ReferenceStatus::Set& set : service.reference.sets()) {
      std::string_view state = ReferenceStatus::StateOf(set);
      Colour colour = state == "active" ? Colour::kGreen
                      : state == "held" ? Colour::kYellow
                                        : Colour::kRed;
      table.Add({service.address, set.name(), output.Paint(colour, state),
                 set.active_id().substr(0, 12), base::StrCat(set.rows()),
                 set.has_age_seconds() ? Age(set.age_seconds()) : "",
                 set.has_looked_seconds() ? Age(set.looked_seconds()) : "never",
                 base::StrCat(set.loads_refused())});
    }
  }
  table.Print(output);
}

void PrintTable(const Picture& before, const Picture& now, bool partitions, Output& output) {
  bool rates = !before.services.empty();
  Table table(
      rates ? std::vector<std::string>{"SERVICE", "STATE", "IN/S", "LAG", "LAG S", "IN", "CLEAN",
                                       "QUARANTINED", "SUPPRESSED", "EPOCHS", "SNAPSHOTS", "PLAN"}
            : std::vector<std::string>{"SERVICE", "STATE", "LAG", "LAG S", "IN", "CLEAN",
                                       "QUARANTINED", "SUPPRESSED", "EPOCHS", "SNAPSHOTS", "PLAN"});
  for (size_t i = 0; i < now.services.size(); ++i) {
    const ServiceStatus& service = now.services[i];
    std::vector<std::string> row = {service.address, Painted(service, output)};
    if (service.reached.ok()) {
      const auto& p = service.processor;
      if (rates) row.push_back(Rate(before, now, i));
      for (std::string& cell : std::vector<std::string>{
               Known(service.lag_records()), Seconds(service.lag_seconds()),
               base::StrCat(p.events_in()), base::StrCat(p.events_clean()),
               base::StrCat(p.events_quarantined()), base::StrCat(p.events_suppressed()),
               Join(p.epochs()), Join(p.snapshots()), p.plan().substr(0, 12)}) {
        row.push_back(std::move(cell));
      }
    }
    table.Add(std::move(row));
  }
  if (!now.services.empty()) table.Print(output);
  PrintPseudonymisers(now, output);
  PrintReferences(now, output);
  if (now.quarantined) output.out() << "in quarantine, waiting: " << *now.quarantined << "\n";
  if (!now.quarantine_problem.empty())
    output.out() << "in quarantine, waiting: ? (" << now.quarantine_problem << ")\n";
  PrintReasons(now, output);
  if (!partitions) return;
  output.out() << "\n";
  Table parts(
      {"SERVICE", "WORKER", "TOPIC", "PARTITION", "NEXT OFFSET", "LAG", "LAG S", "BLOCKED AT"});
  for (const ServiceStatus& service : now.services) {
    for (const auto& worker : service.processor.workers()) {
      for (const auto& at : worker.partitions()) {
        parts.Add({service.address, base::StrCat(worker.worker()), at.topic(),
                   base::StrCat(at.partition()), Known(at.next_offset()), Known(at.lag_records()),
                   Seconds(at.lag_seconds()),
                   at.has_blocked_offset() ? base::StrCat(at.blocked_offset()) : ""});
      }
    }
  }
  parts.Print(output);
}

void AddPseudonymisers(const Picture& picture, JsonText& json) {
  json.Key("pseudonymisers").BeginArray();
  for (const PseudonymiserStatus& service : picture.pseudonymisers) {
    json.BeginObject()
        .Member("address", service.address)
        .Member("state", service.State())
        .Member("error", base::View(service.reached.message()));
    if (service.reached.ok()) {
      json.Member("generation", service.domains.generation()).Key("domains").BeginArray();
      for (const auto& domain : service.domains.domains()) {
        json.BeginObject().Member("name", domain.name()).Member("label", domain.label());
        if (!domain.epochs().empty()) {
          const auto& newest = *domain.epochs().rbegin();
          json.Member("epoch", newest.number())
              .Member("begun", newest.has_begun() ? TimeText(newest.begun().seconds() * 1000) : "");
        }
        json.EndObject();
      }
      json.EndArray().Key("locked_callers");
      if (service.locked.ok()) {
        json.BeginArray();
        for (const auto& caller : service.locked->callers()) {
          json.BeginObject()
              .Member("caller", caller.caller())
              .Member("reason", caller.reason())
              .Member("since", TimeText(caller.since().seconds() * 1000))
              .EndObject();
        }
        json.EndArray();
      } else {
        json.Null();
      }
    }
    json.EndObject();
  }
  json.EndArray();
}

void AddReferences(const Picture& picture, JsonText& json) {
  json.Key("references").BeginArray();
  for (const ReferenceStatus& service : picture.references) {
    json.BeginObject()
        .Member("address", service.address)
        .Member("state", service.State())
        .Member("error", base::View(service.reached.message()));
    if (service.reached.ok()) {
      json.Member("version", service.reference.version())
          .Member("activation", service.reference.activation())
          .Member("watchers", service.reference.watchers())
          .Key("sets")
          .BeginArray();
      for (const ReferenceStatus::Set& set : service.reference.sets()) {
        json.BeginObject()
            .Member("name", set.name())
            .Member("state", ReferenceStatus::StateOf(set))
            .Member("source", set.source())
            .Member("version", set.active_id())
            .Member("rows", set.rows());
        if (set.has_age_seconds()) json.Member("age_seconds", set.age_seconds());
        if (set.has_looked_seconds()) json.Member("looked_seconds", set.looked_seconds());
        json.Member("refusal", set.refusal())
            .Member("refused_seconds", set.refused_seconds())
            .Member("loads_accepted", set.loads_accepted())
            .Member("loads_refused", set.loads_refused())
            .EndObject();
      }
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray();
}

void PrintJson(const Picture& picture, Output& output) {
  JsonText json;
  json.BeginObject().Member("time", TimeText(picture.at_ms)).Key("quarantine_waiting");
  if (picture.quarantined) {
    json.Value(*picture.quarantined);
  } else {
    json.Null();
  }
  json.Member("quarantine_problem", picture.quarantine_problem).Key("services").BeginArray();
  for (const ServiceStatus& service : picture.services) {
    const auto& p = service.processor;
    json.BeginObject()
        .Member("address", service.address)
        .Member("state", service.State())
        .Member("error", base::View(service.reached.message()));
    if (service.reached.ok()) {
      json.Member("version", p.version())
          .Member("contract", p.contract())
          .Member("plan", p.plan())
          .Member("paused", p.paused())
          .Member("lag_records", service.lag_records())
          .Member("lag_seconds", service.lag_seconds())
          .Member("events_in", p.events_in())
          .Member("events_clean", p.events_clean())
          .Member("events_quarantined", p.events_quarantined())
          .Member("events_suppressed", p.events_suppressed())
          .Member("reload_refusal", p.reload_refusal())
          .Key("epochs")
          .BeginObject();
      for (const auto& [domain, epoch] :
           std::map<std::string, uint32_t>(p.epochs().begin(), p.epochs().end()))
        json.Member(domain, epoch);
      json.EndObject().Key("snapshots").BeginObject();
      for (const auto& [set, id] :
           std::map<std::string, std::string>(p.snapshots().begin(), p.snapshots().end()))
        json.Member(set, id);
      json.EndObject().Key("workers").BeginArray();
      for (const auto& worker : p.workers()) {
        json.BeginObject()
            .Member("worker", worker.worker())
            .Member("state", worker.state())
            .Member("reason", worker.reason())
            .Member("transactions", worker.transactions())
            .Member("aborts", worker.aborts())
            .Key("broker_failure");
        if (worker.has_broker_failure()) {
          const auto& failure = worker.broker_failure();
          json.BeginObject()
              .Member("kind", failure.kind())
              .Member("operation", failure.operation())
              .Member("resource", failure.resource())
              .Member("seconds", failure.seconds())
              .Member("reason", failure.reason())
              .EndObject();
        } else {
          json.Null();
        }
        json.Key("partitions").BeginArray();
        for (const auto& at : worker.partitions()) {
          json.BeginObject()
              .Member("topic", at.topic())
              .Member("partition", at.partition())
              .Member("next_offset", at.next_offset())
              .Member("lag_records", at.lag_records())
              .Member("lag_seconds", at.lag_seconds());
          if (at.has_blocked_offset()) {
            json.Member("blocked_offset", at.blocked_offset())
                .Member("blocked_since", TimeText(at.blocked_since_unix_ms()));
          }
          json.EndObject();
        }
        json.EndArray().EndObject();
      }
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray();
  AddPseudonymisers(picture, json);
  AddReferences(picture, json);
  json.EndObject();
  output.out() << std::move(json).Finish();
}

ExitCode Judge(const Picture& picture) {
  if (!picture.quarantine_problem.empty()) return ExitCode::kUnavailable;
  ExitCode code = ExitCode::kOk;
  absl::Status reached;
  auto judge = [&](const auto& services) {
    for (const auto& service : services) {
      reached.Update(service.reached);
      if (!service.Well()) code = ExitCode::kFound;
    }
  };
  judge(picture.services);
  judge(picture.pseudonymisers);
  judge(picture.references);
  return reached.ok() ? code : ExitCodeOf(reached);
}

absl::StatusOr<ExitCode> Status(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto camera, Camera::Create(options));
  SLUICE_ASSIGN_OR_RETURN(Picture now, camera->Take());
  if (output.json()) {
    PrintJson(now, output);
  } else {
    PrintTable({}, now, options.partitions, output);
  }
  return Judge(now);
}

// One line for each service, for logs and pipes.
void PrintLines(const Picture& before, const Picture& now, Output& output) {
  for (size_t i = 0; i < now.services.size(); ++i) {
    const ServiceStatus& service = now.services[i];
    output.out() << TimeText(now.at_ms) << " " << service.address << " state=" << service.State();
    if (service.reached.ok()) {
      std::string rate = Rate(before, now, i);
      output.out() << " in_per_s=" << (rate.empty() ? "?" : rate)
                   << " lag=" << Known(service.lag_records())
                   << " lag_s=" << Seconds(service.lag_seconds())
                   << " in=" << service.processor.events_in()
                   << " quarantined=" << service.processor.events_quarantined();
    }
    if (now.quarantined) output.out() << " quarantine_waiting=" << *now.quarantined;
    output.out() << "\n";
  }
  for (const PseudonymiserStatus& service : now.pseudonymisers) {
    output.out() << TimeText(now.at_ms) << " " << service.address << " state=" << service.State();
    if (service.reached.ok()) {
      output.out() << " epochs=" << Epochs(service) << " keyring=" << service.domains.generation()
                   << " locked=" << LockedCount(service);
    }
    output.out() << "\n";
  }
  for (const ReferenceStatus& service : now.references) {
    output.out() << TimeText(now.at_ms) << " " << service.address << " state=" << service.State();
    for (const ReferenceStatus::Set& set : service.reference.sets()) {
      output.out() << " " << set.name() << "=" << set.active_id().substr(0, 12) << "/"
                   << ReferenceStatus::StateOf(set);
    }
    output.out() << "\n";
  }
  output.out().flush();
}

absl::StatusOr<ExitCode> Watch(const Options& options, Output& output) {
  if (!(options.interval_s >= 0.1 && options.interval_s <= 3600))
    return absl::InvalidArgumentError("--interval must be between 0.1 and 3600 seconds");
  SLUICE_ASSIGN_OR_RETURN(auto camera, Camera::Create(options));
  Picture before;
  for (uint64_t i = 0; options.count == 0 || i < options.count; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
    SLUICE_ASSIGN_OR_RETURN(Picture now, camera->Take());
    if (output.json()) {
      PrintJson(now, output);
    } else if (output.screen()) {
      output.out() << "\033[H\033[2J" << output.Paint(Colour::kDim, TimeText(now.at_ms)) << "\n";
      PrintTable(before, now, options.partitions, output);
      output.out().flush();
    } else {
      PrintLines(before, now, output);
    }
    // A reader that has gone is no reason to go on.
    if (!output.out()) break;
    before = std::move(now);
  }
  return Judge(before);
}

absl::StatusOr<ExitCode> Steer(const Options& options, bool pause, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Services services, options.Connect());
  std::vector<absl::Status> answers = pause ? services.Pause() : services.Resume();
  ExitCode code = ExitCode::kOk;
  JsonText json;
  json.BeginObject();
  for (size_t i = 0; i < answers.size(); ++i) {
    std::string answer = answers[i].ok() ? (pause ? "pauses at its next batch border" : "goes on")
                                         : std::string(base::View(answers[i].message()));
    json.Member(services.addresses()[i], answer);
    if (!output.json()) {
      output.out() << services.addresses()[i] << ": "
                   << (answers[i].ok() ? answer : output.Paint(Colour::kRed, answer)) << "\n";
    }
    if (!answers[i].ok()) code = std::max(code, ExitCodeOf(answers[i]));
  }
  json.EndObject();
  if (output.json()) output.out() << std::move(json).Finish();
  return code;
}

}  // namespace

void AddStatusCommands(Program& program) {
  auto status = std::make_shared<Options>();
  CLI::App& status_command = program.Add(
      {.name = "status",
       .summary = "What services are doing: state, lag, epochs, snapshots, quarantine",
       .examples = {{"status 127.0.0.1:7070 --config processor.yaml",
                     "Ends with 1 where one isn't well, with 3 where one can't be reached"},
                    {"status processor-0:7070 processor-1:7070 --tls-certificate me.crt"
                     " --tls-private-key me.key --tls-authority ca.crt",
                     "Over TLS"},
                    {"status --pseudonymiser pseudonymiser:9443 --reference reference:9443"
                     " --tls-certificate me.crt --tls-private-key me.key --tls-authority ca.crt",
                     "Domains, epochs, who is locked; sets, versions, ages, refusals"}}},
      [status](Output& output) { return Status(*status, output); });

  auto watch = std::make_shared<Options>();
  CLI::App& watch_command = program.Add(
      {.name = "watch",
       .summary = "status, again and again: drawn on a terminal, a line each elsewhere",
       .examples = {{"watch 127.0.0.1:7070 --config processor.yaml --interval 5", "Until Ctrl-C"}}},
      [watch](Output& output) { return Watch(*watch, output); });
  watch_command.add_option("--interval", watch->interval_s, "Seconds between two looks")
      ->capture_default_str();
  watch_command.add_option("--count", watch->count, "End after so many looks; 0: never")
      ->capture_default_str();

  for (auto& [command, options] : {std::pair{&status_command, status}, {&watch_command, watch}}) {
    options->AddTo(*command, true);
    command->add_option("--config", options->config,
                        "A processor's configuration: for the depth of its quarantine");
    command->add_flag("--partitions", options->partitions, "Also every partition");
  }

  auto pause = std::make_shared<Options>();
  pause->AddTo(
      program.Add({.name = "pause",
                   .summary = "Have processors take nothing more in, until resume or their restart",
                   .examples = {{"pause 127.0.0.1:7070",
                                 "Memberships stay; over TLS, listen.callers must name "
                                 "this caller"}}},
                  [pause](Output& output) { return Steer(*pause, true, output); }),
      false);
  auto resume = std::make_shared<Options>();
  resume->AddTo(
      program.Add(
          {.name = "resume",
           .summary = "End a pause; have halted workers try again",
           .examples = {{"resume 127.0.0.1:7070", "After the cause of a halt is mended too"}}},
          [resume](Output& output) { return Steer(*resume, false, output); }),
      false);
}

}  // namespace sluice::ctl
