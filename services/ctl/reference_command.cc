#include "services/ctl/reference_command.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "services/ctl/acts.h"
#include "services/ctl/fence.h"
#include "services/ctl/json.h"
#include "services/ctl/site.h"
#include "services/ctl/time_option.h"
#include "services/ctl/tls_options.h"
#include "sluice/reference/v1/reference.grpc.pb.h"

namespace sluice::ctl {
namespace {

using reference::v1::Reference;

struct Options {
  std::string address;
  TlsOptions tls;
  int timeout_ms = 60'000;
  std::string set, old_id, id, reason, config, trail;
  int64_t ahead = 0;
  bool accept_change = false, release = false;
  std::vector<std::string> keys;
  std::string at, value;
  double latitude = 0, longitude = 0;

  void AddTo(CLI::App& command) {
    command.add_option("address", address, "The reference service's gRPC port, host:port")
        ->required();
    tls.AddTo(command);
    command.add_option("--timeout-ms", timeout_ms, "For the answer")->capture_default_str();
  }
  void AddSetTo(CLI::App& command) {
    AddTo(command);
    command.add_option("set", set, "The set's name")->required();
  }
};

template <typename Request, typename Response>
absl::Status Call(const Options& options,
                  grpc::Status (Reference::Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Response*),
                  const Request& request, Response& response) {
  if (options.timeout_ms < 1 || options.timeout_ms > 3'600'000)
    return absl::InvalidArgumentError("--timeout-ms must be between 1 and 3600000");
  SLUICE_ASSIGN_OR_RETURN(auto tls, options.tls.Files());
  SLUICE_ASSIGN_OR_RETURN(auto channel,
                          rpc::Connect({.address = options.address, .tls = tls}, options.address));
  auto stub = Reference::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(options.timeout_ms));
  return rpc::FromGrpc(((*stub).*method)(&context, request, &response));
}

std::string Age(bool known, double seconds) {
  return known ? base::StrCat(static_cast<int64_t>(seconds)) : "";
}

absl::StatusOr<ExitCode> List(const Options& options, Output& output) {
  reference::v1::ListSetsResponse response;
  SLUICE_RETURN_IF_ERROR(
      Call(options, &Reference::Stub::ListSets, reference::v1::ListSetsRequest(), response));
  JsonText json;
  json.BeginObject().Member("activation", response.activation()).Key("sets").BeginArray();
  Table table({"SET", "GROUP", "KIND", "VERSION", "ROWS", "LOADED", "ACTIVE"});
  for (const auto& set : response.sets()) {
    const std::string& kind = reference::v1::Schema::Kind_Name(set.schema().kind());
    json.BeginObject().Member("name", set.name()).Member("group", set.group());
    json.Member("kind", kind).Key("versions").BeginArray();
    for (const auto& version : set.versions()) {
      table.Add({set.name(), set.group(), kind, version.id(),
                 version.active() ? base::StrCat(version.rows()) : "",
                 TimeText(version.loaded_unix_ms()), version.active() ? "active" : ""});
      json.BeginObject().Member("id", version.id()).Member("active", version.active());
      json.Member("loaded", TimeText(version.loaded_unix_ms())).EndObject();
    }
    if (set.versions().empty()) table.Add({set.name(), set.group()});
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
  if (output.json()) {
    output.out() << std::move(json).Finish();
  } else {
    table.Print(output);
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Status(const Options& options, Output& output) {
  reference::v1::GetStatusResponse response;
  SLUICE_RETURN_IF_ERROR(
      Call(options, &Reference::Stub::GetStatus, reference::v1::GetStatusRequest(), response));
  bool well = true;
  JsonText json;
  json.BeginObject().Member("activation", response.activation());
  json.Member("watchers", response.watchers()).Key("sets").BeginArray();
  Table table(
      {"SET", "SOURCE", "VERSION", "ROWS", "AGE S", "CONFIRMED S", "LOOKED S", "REFUSED", "HELD"});
  for (const auto& set : response.sets()) {
    well = well && set.refusal().empty() && !set.active_id().empty();
    table.Add({set.name(), set.source(), set.active_id(), base::StrCat(set.rows()),
               Age(set.has_age_seconds(), set.age_seconds()),
               Age(set.has_confirmed_seconds(), set.confirmed_seconds()),
               Age(set.has_looked_seconds(), set.looked_seconds()),
               set.last_refused_unix_ms() == 0 ? "" : TimeText(set.last_refused_unix_ms()),
               set.held() ? "held" : ""});
    json.BeginObject().Member("name", set.name()).Member("source", set.source());
    json.Member("id", set.active_id()).Member("rows", set.rows());
    json.Member("age_seconds", set.age_seconds()).Member("looked_seconds", set.looked_seconds());
    json.Member("confirmed_seconds", set.confirmed_seconds());
    json.Member("full_read_interval_seconds", set.full_read_interval_seconds());
    json.Member("rows_never_hold", set.rows_never_hold());
    json.Member("held", set.held()).Member("refusal", set.refusal());
    json.Member("last_refusal", set.last_refusal());
    json.Member("last_refused",
                set.last_refused_unix_ms() == 0 ? "" : TimeText(set.last_refused_unix_ms()));
    json.EndObject();
  }
  json.EndArray().EndObject();
  if (output.json()) {
    output.out() << std::move(json).Finish();
  } else {
    table.Print(output);
    for (const auto& set : response.sets()) {
      if (!set.refusal().empty()) {
        output.out() << set.name() << ": " << output.Paint(Colour::kRed, set.refusal()) << "\n";
      } else if (!set.last_refusal().empty()) {
        output.out() << set.name() << ": refused at " << TimeText(set.last_refused_unix_ms())
                     << ", and taken since: " << set.last_refusal() << "\n";
      }
      if (set.rows_never_hold() > 0)
        output.out() << set.name() << ": " << set.rows_never_hold()
                     << " rows of the source begin and end at once, and are left out\n";
    }
  }
  return well ? ExitCode::kOk : ExitCode::kFound;
}

absl::StatusOr<ExitCode> Told(const std::string& set, const std::string& id, Output& output) {
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("set", set).Member("id", id).EndObject();
    output.out() << std::move(json).Finish();
  } else {
    output.out() << set << " is at " << id << "\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Load(const Options& options, Output& output) {
  reference::v1::LoadRequest request;
  request.set_set(options.set);
  request.set_accept_change(options.accept_change);
  request.set_justification(options.reason);
  reference::v1::LoadResponse response;
  SLUICE_RETURN_IF_ERROR(Call(options, &Reference::Stub::Load, request, response));
  return Told(options.set, response.id(), output);
}

absl::StatusOr<ExitCode> Activate(const Options& options, Output& output) {
  if (options.release == !options.id.empty())
    return absl::InvalidArgumentError("name either a version or --release");
  reference::v1::ActivateRequest request;
  request.set_set(options.set);
  request.set_id(options.id);
  request.set_release(options.release);
  request.set_justification(options.reason);
  reference::v1::ActivateResponse response;
  SLUICE_RETURN_IF_ERROR(Call(options, &Reference::Stub::Activate, request, response));
  auto id = response.active().ids().find(options.set);
  return Told(options.set, id == response.active().ids().end() ? "" : id->second, output);
}

absl::StatusOr<ExitCode> Rollback(const Options& options, Output& output) {
  reference::v1::RollbackRequest request;
  request.set_set(options.set);
  request.set_justification(options.reason);
  reference::v1::RollbackResponse response;
  SLUICE_RETURN_IF_ERROR(Call(options, &Reference::Stub::Rollback, request, response));
  return Told(options.set, response.id(), output);
}

absl::StatusOr<ExitCode> Fence(const Options& options, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  SLUICE_ASSIGN_OR_RETURN(std::string trail, TrailOf(site, options.trail));
  reference::v1::GetStatusResponse service;
  SLUICE_RETURN_IF_ERROR(
      Call(options, &Reference::Stub::GetStatus, reference::v1::GetStatusRequest(), service));
  SLUICE_ASSIGN_OR_RETURN(processor::Fence fence,
                          WriteFence(site, service, {options.ahead, options.reason, trail}));
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("fence", fence.number).Member("activation", fence.activation);
    json.Key("ids").BeginObject();
    for (const auto& [set, id] : *fence.ids) json.Member(set, id);
    json.EndObject().Key("offsets").BeginObject();
    for (const auto& [partition, offset] : fence.offsets)
      json.Member(base::StrCat(partition), offset);
    json.EndObject().EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  for (const auto& [set, id] : *fence.ids) output.out() << set << " goes on to " << id << "\n";
  Table table({"PARTITION", "FROM"});
  for (const auto& [partition, offset] : fence.offsets)
    table.Add({base::StrCat(site.raw(), "/", partition), base::StrCat(offset)});
  table.Print(output);
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Diff(const Options& options, Output& output) {
  reference::v1::DiffRequest request;
  request.set_set(options.set);
  request.set_old_id(options.old_id);
  request.set_new_id(options.id);
  reference::v1::DiffResponse response;
  SLUICE_RETURN_IF_ERROR(Call(options, &Reference::Stub::Diff, request, response));
  std::map<std::string, uint64_t> columns(response.changed_by_column().begin(),
                                          response.changed_by_column().end());
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("set", options.set);
    json.Member("old", response.old_id()).Member("new", response.new_id());
    json.Member("old_rows", response.old_rows()).Member("new_rows", response.new_rows());
    json.Member("added", response.added()).Member("gone", response.gone());
    json.Member("changed", response.changed()).Key("changed_by_column").BeginObject();
    for (const auto& [column, rows] : columns) json.Member(column, rows);
    json.EndObject();
    for (const auto& [name, keys] : {std::pair("added_keys", &response.added_keys()),
                                     {"gone_keys", &response.gone_keys()},
                                     {"changed_keys", &response.changed_keys()}}) {
      json.Key(name).BeginArray();
      for (const std::string& key : *keys) json.Value(key);
      json.EndArray();
    }
    json.EndObject();
    output.out() << std::move(json).Finish();
    return ExitCode::kOk;
  }
  output.out() << options.set << ": from " << response.old_id() << " (" << response.old_rows()
               << " rows) to " << response.new_id() << " (" << response.new_rows() << " rows)\n";
  auto print = [&](std::string_view what, uint64_t rows,
                   const google::protobuf::RepeatedPtrField<std::string>& keys) {
    output.out() << what << ": " << rows;
    for (int i = 0; i < keys.size(); ++i) output.out() << (i == 0 ? " (" : ", ") << keys[i];
    if (!keys.empty()) output.out() << (static_cast<uint64_t>(keys.size()) < rows ? ", ...)" : ")");
    output.out() << "\n";
  };
  print("added", response.added(), response.added_keys());
  print("gone", response.gone(), response.gone_keys());
  print("changed", response.changed(), response.changed_keys());
  for (const auto& [column, rows] : columns) output.out() << "  " << column << ": " << rows << "\n";
  if (response.added() + response.gone() + response.changed() > 0 &&
      response.added_keys().empty() && response.gone_keys().empty() &&
      response.changed_keys().empty()) {
    output.out() << "(no keys are shown: a column of the key may be personal, or the set has no "
                    "key)\n";
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Lookup(const Options& options, Output& output) {
  reference::v1::LookupRequest request;
  request.set_set(options.set);
  request.set_id(options.id);
  request.set_explain(true);
  reference::v1::Question& question = *request.add_questions();
  for (const std::string& key : options.keys) question.add_key(key);
  question.set_at(options.at);
  question.set_value(options.value);
  question.set_latitude(options.latitude);
  question.set_longitude(options.longitude);
  reference::v1::LookupResponse response;
  SLUICE_RETURN_IF_ERROR(Call(options, &Reference::Stub::Lookup, request, response));
  const auto& row = response.rows(0);
  std::map<std::string, std::string> values(row.values().begin(), row.values().end());
  if (output.json()) {
    JsonText json;
    json.BeginObject().Member("version", response.id()).Member("found", row.found());
    json.Member("why", row.why()).Key("row").BeginObject();
    for (const auto& [column, value] : values) json.Member(column, value);
    json.EndObject().EndObject();
    output.out() << std::move(json).Finish();
  } else if (row.found()) {
    for (const auto& [column, value] : values) output.out() << column << ": " << value << "\n";
    output.out() << "(version " << response.id() << ": " << row.why() << ")\n";
  } else {
    output.out() << "no row (version " << response.id() << ": " << row.why() << ")\n";
  }
  return row.found() ? ExitCode::kOk : ExitCode::kFound;
}

}  // namespace

void AddReferenceCommand(Program& program) {
  CLI::App& group = program.Group("reference", "The reference service: sets, versions, look-ups");
  auto add = [&](const Program::About& about,
                 absl::StatusOr<ExitCode> (*work)(const Options&, Output&)) -> auto {
    auto options = std::make_shared<Options>();
    CLI::App& command = program.Add(
        group, about, [options, work](Output& output) { return work(*options, output); });
    return std::pair<CLI::App*, std::shared_ptr<Options>>(&command, options);
  };
  auto [list, list_options] =
      add({"list",
           "Sets, and their versions that are kept",
           {{"reference list 127.0.0.1:7090", "The active ones are marked"}}},
          List);
  list_options->AddTo(*list);
  auto [status, status_options] =
      add({"status",
           "Ages of versions and sources, and why one is refused",
           {{"reference status 127.0.0.1:7090", "Ends with 1 where a set is refused or missing"}}},
          Status);
  status_options->AddTo(*status);
  auto [load, load_options] =
      add({"load",
           "Read a set's source now, and take what it has",
           {{"reference load 127.0.0.1:7090 units --accept-change --reason 'two units were merged'",
             "Although its guards would keep it out"}}},
          Load);
  load_options->AddSetTo(*load);
  load->add_flag("--accept-change", load_options->accept_change,
                 "Although it lost, changed or set back more than the set's guards allow");
  load->add_option("--reason", load_options->reason, "For the audit trail");
  auto [activate, activate_options] =
      add({"activate",
           "Make a version that is kept the active one, and hold the set there",
           {{"reference activate 127.0.0.1:7090 units --release --reason 'the source is mended'",
             "End a hold: the newest version is taken again"}}},
          Activate);
  activate_options->AddSetTo(*activate);
  activate->add_option("id", activate_options->id, "The version, as list shows it");
  activate->add_flag("--release", activate_options->release, "End the hold instead");
  activate->add_option("--reason", activate_options->reason, "For the audit trail")->required();
  auto [rollback, rollback_options] =
      add({"rollback",
           "Activate the version that was active before, and hold the set there",
           {{"reference rollback 127.0.0.1:7090 units --reason 'wrong boundaries'", ""}}},
          Rollback);
  rollback_options->AddSetTo(*rollback);
  rollback->add_option("--reason", rollback_options->reason, "For the audit trail")->required();
  auto [diff, diff_options] =
      add({"diff",
           "Compare two versions of a set: rows added, gone and changed, by column",
           {{"reference diff 127.0.0.1:7090 wards", "The active version with the one before it"},
            {"reference diff 127.0.0.1:7090 wards OLD NEW", "Two versions, as list shows them"}}},
          Diff);
  diff_options->AddSetTo(*diff);
  diff->add_option("old", diff_options->old_id,
                   "The old version. Default: the version that was active before");
  diff->add_option("new", diff_options->id, "The new version. Default: the active version");
  auto [fence, fence_options] =
      add({"fence",
           "Let every processor of a group go on to the active versions at one place",
           {{"reference fence 127.0.0.1:7090 --config processor.yaml --reason 'wards of May 2026'",
             "At each partition's end now; with reference.control.swap: fenced"}}},
          Fence);
  fence_options->AddTo(*fence);
  fence->add_option("--config", fence_options->config, "The processors' configuration")->required();
  fence
      ->add_option("--ahead", fence_options->ahead,
                   "So many offsets ahead of each partition's end, for processors to hear of it "
                   "before they are there")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))
      ->capture_default_str();
  fence->add_option("--reason", fence_options->reason, "For the audit trail")->required();
  fence->add_option("--trail", fence_options->trail, kTrailHelp);
  auto [lookup, lookup_options] = add(
      {"lookup",
       "The row of a set that a key, a time, a value or a place is joined to, and why",
       {{"reference lookup 127.0.0.1:7090 boroughs E09000007", "By its key"},
        {"reference lookup 127.0.0.1:7090 wards --latitude 51.5 --longitude -0.1", "By a place"}}},
      Lookup);
  lookup_options->AddSetTo(*lookup);
  lookup->add_option("key", lookup_options->keys, "The key, a value for each of its parts");
  lookup->add_option("--at", lookup_options->at, "The time, RFC 3339; now where it is left out");
  lookup->add_option("--value", lookup_options->value, "The value, of a set of ranges");
  lookup->add_option("--latitude", lookup_options->latitude, "In degrees");
  lookup->add_option("--longitude", lookup_options->longitude, "In degrees");
  lookup->add_option("--version", lookup_options->id,
                     "A version that is kept, instead of the active one");
}

}  // namespace sluice::ctl
