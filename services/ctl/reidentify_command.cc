#include "services/ctl/reidentify_command.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/json.h"
#include "services/ctl/pseudonymiser_options.h"

namespace sluice::ctl {
namespace {

using base::StrCat;
using Stub = PseudonymiserOptions::Stub;
namespace v1 = pseudonymiser::v1;

struct Options {
  PseudonymiserOptions service;
  std::string domain;
  std::vector<std::string> kinds, recipients, values;
  uint32_t values_max = 1, valid_s = 0, epoch = 0;
  std::string id, kind;
  bool format_preserved = false;
};

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string StateText(v1::Reidentification::State state) {
  std::string text = v1::Reidentification::State_Name(state);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::string Join(const std::vector<std::string>& parts) {
  std::string joined;
  for (const std::string& part : parts) base::StrAppend(joined, joined.empty() ? "" : ", ", part);
  return joined;
}

std::vector<std::string> KindsOf(const v1::Scope& scope) {
  std::vector<std::string> kinds;
  for (int kind : scope.kinds())
    kinds.push_back(
        contract::v1::IdentifierKind_Name(static_cast<contract::v1::IdentifierKind>(kind)));
  return kinds;
}

absl::StatusOr<ExitCode> Request(const Options& options, Output& output) {
  v1::RequestReidentificationRequest request;
  request.mutable_scope()->set_domain(options.domain);
  request.mutable_scope()->set_values_max(options.values_max);
  for (const std::string& name : options.kinds) {
    SLUICE_ASSIGN_OR_RETURN(auto kind, ParseKind(name));
    request.mutable_scope()->add_kinds(kind);
  }
  options.service.Justify(*request.mutable_justification());
  for (const std::string& recipient : options.recipients) request.add_recipients(recipient);
  request.set_valid_s(options.valid_s);
  v1::RequestReidentificationResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::RequestReidentification, request, response));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("id", response.id());
    json.Member("expires", TimeText(response.expires()));
    output.out() << std::move(json.EndObject()).Finish();
  } else {
    output.out() << response.id() << "\n";
    output.err() << "Two others approve it with `reidentify approve " << response.id()
                 << "`, until " << TimeText(response.expires()) << ".\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<std::vector<v1::Reidentification>> Requests(const Options& options) {
  std::vector<v1::Reidentification> all;
  v1::ListReidentificationsRequest request;
  while (true) {
    v1::ListReidentificationsResponse response;
    SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::ListReidentifications, request, response));
    all.insert(all.end(), response.reidentifications().begin(), response.reidentifications().end());
    if (response.next().empty() || response.next() <= request.after()) return all;
    request.set_after(response.next());
  }
}

absl::StatusOr<ExitCode> List(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(auto requests, Requests(options));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Key("reidentifications").BeginArray();
    for (const v1::Reidentification& one : requests) {
      json.BeginObject().Member("id", one.id()).Member("state", StateText(one.state()));
      json.Member("requester", one.requester()).Member("domain", one.scope().domain());
      json.Member("kinds", Join(KindsOf(one.scope()))).Member("values", one.scope().values_max());
      json.Member("purpose", one.justification().purpose());
      json.Member("legal_basis", one.justification().legal_basis());
      json.Member("case", one.justification().case_reference());
      json.Key("recipients").BeginArray();
      for (const std::string& recipient : one.recipients()) json.Value(recipient);
      json.EndArray().Key("approvers").BeginArray();
      for (const std::string& approver : one.approvers()) json.Value(approver);
      json.EndArray().Member("expires", TimeText(one.expires())).EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  Table table({"ID", "STATE", "REQUESTER", "DOMAIN", "KINDS", "VALUES", "PURPOSE", "LEGAL BASIS",
               "CASE", "APPROVERS", "EXPIRES"});
  for (const v1::Reidentification& one : requests) {
    table.Add({one.id(), StateText(one.state()), one.requester(), one.scope().domain(),
               Join(KindsOf(one.scope())), StrCat(one.scope().values_max()),
               one.justification().purpose(), one.justification().legal_basis(),
               one.justification().case_reference(),
               Join({one.approvers().begin(), one.approvers().end()}), TimeText(one.expires())});
  }
  table.Print(output);
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Approve(const Options& options, Output& output) {
  // What is approved is what is shown, and what the service then compares.
  SLUICE_ASSIGN_OR_RETURN(auto requests, Requests(options));
  auto found = std::find_if(requests.begin(), requests.end(),
                            [&](const auto& one) { return one.id() == options.id; });
  if (found == requests.end()) {
    return absl::NotFoundError(
        "there is no such request that this caller may approve: see `reidentify list`");
  }
  v1::ApproveReidentificationRequest request;
  request.set_id(options.id);
  *request.mutable_scope() = found->scope();
  v1::ApproveReidentificationResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::ApproveReidentification, request, response));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("approvals", response.approvals());
    json.Member("approvals_needed", response.approvals_needed());
    json.Member("expires", TimeText(response.expires()));
    output.out() << std::move(json.EndObject()).Finish();
    return ExitCode::kOk;
  }
  output.out() << "Approved for " << found->requester() << ": " << found->scope().values_max()
               << " of " << Join(KindsOf(found->scope())) << " in '" << found->scope().domain()
               << "', because of " << found->justification().purpose() << " ("
               << found->justification().legal_basis() << ", "
               << found->justification().case_reference() << ").\n"
               << response.approvals() << " of " << response.approvals_needed()
               << " approvals; valid until " << TimeText(response.expires()) << ".\n";
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Redeem(const Options& options, Output& output) {
  v1::RedeemReidentificationRequest request;
  request.set_id(options.id);
  SLUICE_ASSIGN_OR_RETURN(auto kind, ParseKind(options.kind));
  auto add = [&](const std::string& value) {
    auto& item = *request.add_items();
    item.set_kind(kind);
    if (options.format_preserved) {
      item.mutable_format_preserved()->set_value(value);
      item.mutable_format_preserved()->set_epoch(options.epoch);
    } else {
      item.set_encrypted(value);
    }
  };
  for (const std::string& value : options.values) {
    if (value != "-") {
      add(value);
      continue;
    }
    for (std::string line; std::getline(output.in(), line);) {
      if (!line.empty()) add(line);
    }
  }
  v1::RedeemReidentificationResponse response;
  SLUICE_RETURN_IF_ERROR(options.service.Call(&Stub::RedeemReidentification, request, response));
  bool all = true;
  JsonText json;
  json.BeginObject().Key("values").BeginArray();
  for (const v1::Recovered& recovered : response.values()) {
    all &= !recovered.value().empty();
    json.Value(recovered.value());
    if (!output.json()) output.out() << recovered.value() << "\n";
  }
  json.EndArray().EndObject();
  if (output.json()) output.out() << std::move(json).Finish();
  if (!all) output.err() << "An empty line: what was given isn't what the domain made.\n";
  return all ? ExitCode::kOk : ExitCode::kFound;
}

}  // namespace

void AddReidentifyCommands(Program& program) {
  auto options = std::make_shared<Options>();
  CLI::App& group =
      program.Group("reidentify", "Ask for, approve and redeem re-identification; all is recorded");
  using Run = absl::StatusOr<ExitCode> (*)(const Options&, Output&);
  auto add = [&](const Program::About& about, Run run) -> CLI::App& {
    CLI::App& command =
        program.Add(group, about, [options, run](Output& output) { return run(*options, output); });
    options->service.AddTo(command);
    return command;
  };
  const std::string at =
      " --pseudonymiser pseudonymiser:7071 --tls-certificate me.crt"
      " --tls-private-key me.key --tls-authority ca.crt";

  CLI::App& request =
      add({.name = "request",
           .summary = "Ask to recover values that were made recoverable; prints the request's id",
           .examples = {{"reidentify request --domain intelligence --kind PHONE --values 2"
                         " --purpose \"threat to life\" --legal-basis \"DPA 2018 s.35(2)(b)\""
                         " --case OP-7" +
                             at,
                         "Two others then approve it"}}},
          Request);
  request.add_option("--domain", options->domain, "The domain that made the values")->required();
  request.add_option("--kind", options->kinds, "A kind of identifier, such as PHONE; repeatable")
      ->required()
      ->allow_extra_args(false);
  request.add_option("--values", options->values_max, "How many values")->capture_default_str();
  request
      .add_option("--recipient", options->recipients,
                  "Who will see what is recovered, if not this caller alone; repeatable")
      ->allow_extra_args(false);
  request.add_option("--valid-s", options->valid_s,
                     "Seconds from the second approval on; 0: what the service allows");
  options->service.AddJustificationTo(request);

  add({.name = "list",
       .summary = "Show the requests that this caller made or may approve",
       .examples = {{"reidentify list" + at, "Read one before you approve it"}}},
      List);
  CLI::App& approve =
      add({.name = "approve",
           .summary = "Approve somebody else's request",
           .examples = {{"reidentify approve 5f0c3a..." + at, "Two approve; not the requester"}}},
          Approve);
  CLI::App& redeem =
      add({.name = "redeem",
           .summary = "Recover the values, once; prints them in the order given",
           .examples = {{"reidentify redeem 5f0c3a... --kind PHONE int1e-aaaq..." + at,
                         "Encrypted values; - reads them from standard input, a line each"}}},
          Redeem);
  for (CLI::App* command : {&approve, &redeem})
    command->add_option("id", options->id, "The request's id")->required();
  redeem.add_option("values", options->values, "Encrypted values; - for standard input")
      ->required();
  redeem.add_option("--kind", options->kind, "The kind of all of them, such as PHONE")->required();
  redeem.add_flag("--format-preserved", options->format_preserved,
                  "They are format-preserved values");
  redeem.add_option("--epoch", options->epoch,
                    "The epoch that made format-preserved values; 0: the newest");
}

}  // namespace sluice::ctl
