#include "services/ctl/domains_command.h"

#include <string>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/json.h"
#include "services/ctl/pseudonymiser_options.h"
#include "services/ctl/time_option.h"

namespace sluice::ctl {
namespace {

using base::StrCat;
using Stub = PseudonymiserOptions::Stub;
namespace v1 = pseudonymiser::v1;

struct Options {
  PseudonymiserOptions service;
  std::string name, label;
  uint32_t epoch = 0;
  bool confirmed = false;
};

std::string_view StateName(v1::EpochState state) {
  switch (state) {
    case v1::ACTIVE:
      return "active";
    case v1::RETIRED:
      return "retired";
    case v1::DESTROYED:
      return "destroyed";
    default:
      return "unknown";
  }
}

std::string Begun(const v1::Epoch& epoch) {
  if (!epoch.has_begun()) return "";
  return TimeText(epoch.begun().seconds() * 1000 + epoch.begun().nanos() / 1'000'000);
}

absl::StatusOr<ExitCode> List(const Options& options, Output& output) {
  v1::ListDomainsResponse response;
  SLUICE_RETURN_IF_ERROR(
      options.service.Call(&Stub::ListDomains, v1::ListDomainsRequest(), response));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("generation", response.generation());
    json.Member("fingerprint", response.fingerprint()).Key("domains").BeginArray();
    for (const v1::Domain& domain : response.domains()) {
      json.BeginObject().Member("name", domain.name()).Member("label", domain.label());
      json.Key("epochs").BeginArray();
      for (const v1::Epoch& epoch : domain.epochs()) {
        json.BeginObject().Member("number", epoch.number());
        json.Member("state", StateName(epoch.state()));
        json.Member("begun", Begun(epoch)).Member("check", epoch.check()).EndObject();
      }
      json.EndArray().EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  Table table({"DOMAIN", "LABEL", "EPOCH", "STATE", "BEGUN", "CHECK"});
  for (const v1::Domain& domain : response.domains()) {
    for (int i = 0; i < domain.epochs_size(); ++i) {
      const v1::Epoch& epoch = domain.epochs(i);
      bool newest = i + 1 == domain.epochs_size();
      table.Add({domain.name(), domain.label(), StrCat(epoch.number()),
                 newest ? "newest" : std::string(StateName(epoch.state())), Begun(epoch),
                 epoch.check()});
    }
  }
  table.Print(output);
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Create(const Options& options, Output&) {
  v1::CreateDomainRequest request;
  request.set_name(options.name);
  request.set_label(options.label);
  options.service.Justify(*request.mutable_justification());
  v1::CreateDomainResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::CreateDomain, request, response));
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Rotate(const Options& options, Output& output) {
  v1::RotateDomainRequest request;
  request.set_domain(options.name);
  options.service.Justify(*request.mutable_justification());
  v1::RotateDomainResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::RotateDomain, request, response));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("domain", options.name).Member("epoch", response.epoch());
    output.out() << std::move(json.EndObject()).Finish();
  } else {
    output.out() << "Domain '" << options.name << "' makes its pseudonyms in epoch "
                 << response.epoch() << "; processors take it up at their next batch.\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Retire(const Options& options, Output&) {
  v1::RetireEpochRequest request;
  request.set_domain(options.name);
  request.set_epoch(options.epoch);
  options.service.Justify(*request.mutable_justification());
  v1::RetireEpochResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::RetireEpoch, request, response));
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Destroy(const Options& options, Output& output) {
  if (!options.confirmed) {
    return absl::InvalidArgumentError(
        "nobody can undo this: its pseudonyms can't be tied to anything any more; say --yes");
  }
  v1::DestroyEpochRequest request;
  request.set_domain(options.name);
  request.set_epoch(options.epoch);
  options.service.Justify(*request.mutable_justification());
  v1::DestroyEpochResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::DestroyEpoch, request, response));
  output.err() << "The keyring no longer holds the epoch's secret. Its older copies and backups "
                  "do: destroy them too.\n";
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Locked(const Options& options, Output& output) {
  v1::ListLockedCallersResponse response;
  SLUICE_RETURN_IF_ERROR(
      options.service.Call(&Stub::ListLockedCallers, v1::ListLockedCallersRequest(), response));
  auto since = [](const v1::LockedCaller& caller) {
    return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(caller.since().seconds()),
                            absl::UTCTimeZone());
  };
  if (output.json()) {
    JsonText json;
    json.BeginObject().Key("callers").BeginArray();
    for (const v1::LockedCaller& caller : response.callers()) {
      json.BeginObject().Member("caller", caller.caller()).Member("reason", caller.reason());
      json.Member("since", since(caller)).EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
  } else {
    Table table({"CALLER", "REASON", "SINCE"});
    for (const v1::LockedCaller& caller : response.callers())
      table.Add({caller.caller(), caller.reason(), since(caller)});
    table.Print(output);
  }
  return response.callers().empty() ? ExitCode::kOk : ExitCode::kFound;
}

absl::StatusOr<ExitCode> Unlock(const Options& options, Output&) {
  v1::UnlockCallerRequest request;
  request.set_caller(options.name);
  options.service.Justify(*request.mutable_justification());
  v1::UnlockCallerResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::UnlockCaller, request, response));
  return ExitCode::kOk;
}

}  // namespace

void AddDomainsCommands(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& domains = program.Group("domains", "The pseudonymiser's domains and their epochs");
  CLI::App& callers = program.Group("callers", "Callers that the pseudonymiser has locked");
  using Run = absl::StatusOr<ExitCode> (*)(const Options&, Output&);
  auto add = [&](CLI::App& group, const Program::About& about, Run run) -> CLI::App& {
    CLI::App& command =
        program.Add(group, about, [options, run](Output& output) { return run(*options, output); });
    options->service.AddTo(command);
    return command;
  };
  const std::string at =
      " --pseudonymiser pseudonymiser:7071 --tls-certificate me.crt"
      " --tls-private-key me.key --tls-authority ca.crt";

  add(domains,
      {.name = "list",
       .summary = "Show the domains that this caller may see, with their epochs",
       .examples = {{"domains list" + at, "Which epochs are active, retired, destroyed"}}},
      List);
  CLI::App& create =
      add(domains,
          {.name = "create",
           .summary = "Make a domain",
           .examples = {{"domains create research --label res" + at, "Begins with res1-"}}},
          Create);
  create.add_option("name", options->name, "The domain's name")->required();
  create.add_option("--label", options->label, "How its pseudonyms begin: 1 to 8 letters")
      ->required();
  CLI::App& rotate =
      add(domains,
          {.name = "rotate",
           .summary = "Begin a new epoch of a domain",
           .examples = {{"domains rotate intelligence --purpose yearly" + at,
                         "See docs/guides/rotate-keys.md for the steps before and after it"}}},
          Rotate);
  rotate.add_option("name", options->name, "The domain's name")->required();
  CLI::App& retire =
      add(domains,
          {.name = "retire",
           .summary = "Take an old epoch out of use; its keys are kept for re-identification",
           .examples = {{"domains retire intelligence --epoch 1" + at,
                         "Once nobody holds unconverted pseudonyms of it"}}},
          Retire);
  CLI::App& destroy = add(domains,
                          {.name = "destroy",
                           .summary = "Destroy a retired epoch's keys for good",
                           .examples = {{"domains destroy intelligence --epoch 1 --yes" + at,
                                         "Its pseudonyms can't be tied to anything any more"}}},
                          Destroy);
  destroy.add_flag("--yes", options->confirmed, "I know that nobody can undo this");
  for (CLI::App* command : {&retire, &destroy}) {
    command->add_option("name", options->name, "The domain's name")->required();
    command->add_option("--epoch", options->epoch, "The epoch's number")->required();
  }

  add(callers,
      {.name = "locked",
       .summary = "Show the callers that are locked; ends with 1 where there are any",
       .examples = {{"callers locked" + at, "Why, and since when"}}},
      Locked);
  CLI::App& unlock = add(callers,
                         {.name = "unlock",
                          .summary = "Let a locked caller go on",
                          .examples = {{"callers unlock spiffe://force.example/analyst" + at,
                                        "Once it is known what it did"}}},
                         Unlock);
  unlock.add_option("caller", options->name, "As `callers locked` shows it")->required();
  for (CLI::App* command : {&create, &rotate, &retire, &destroy, &unlock})
    options->service.AddJustificationTo(*command);
}

}  // namespace sluice::ctl
