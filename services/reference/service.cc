#include "services/reference/service.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/reference/difference.h"
#include "common/reference/guards.h"
#include "common/reference/question.h"
#include "common/rpc/status.h"
#include "common/rpc/tls.h"

namespace sluice::reference {
namespace {

// Of one question: sluice.reference.v1.Question's file is also the configuration's, which has no
// rules.
constexpr int kKeyPartsMax = 32;
constexpr size_t kQuestionBytesMax = 16 * 1024;

}  // namespace

absl::StatusOr<std::unique_ptr<const validation::RequestRules>> Service::Rules() {
  return validation::RequestRules::Compile(
      *v1::WatchRequest::descriptor()->file()->FindServiceByName("Reference"),
      {"sluice.reference.v1.Question"});
}

absl::Status Service::AuthoriseCall(const rpc::Peer& peer, std::string_view method) const {
  const std::string caller = peer.Name();
  for (Right right :
       {config::v1::Access::read, config::v1::Access::look, config::v1::Access::manage})
    if (access_.May(caller, right)) return absl::OkStatus();
  // Only the names of our own calls become labels.
  const auto* known = v1::WatchRequest::descriptor()
                          ->file()
                          ->FindServiceByName("Reference")
                          ->FindMethodByName(std::string(method.substr(method.rfind('/') + 1)));
  const std::string_view name = known == nullptr ? std::string_view("unknown") : known->name();
  absl::Status denied = absl::PermissionDeniedError("access doesn't name the caller");
  probe_.Call(name, rpc::CodeName(grpc::PERMISSION_DENIED));
  refusals_.Refused({.who = caller,
                     .operation = trail::Operation::kConsultation,
                     .action = std::string(name),
                     .outcome = trail::Outcome::kRefused,
                     .reason = std::string(denied.message())},
                    /*wait=*/false);
  return denied;
}

absl::Status Service::EnterStream(const grpc::ServerContext& context, const std::string& caller) {
  base::MutexLock lock(streams_->mutex);
  const auto found = streams_->open.find(caller);
  const int own = found == streams_->open.end() ? 0 : found->second;
  if (own >= options_.streams_per_caller_max || streams_->in_all >= options_.streams_max) {
    return absl::ResourceExhaustedError(own >= options_.streams_per_caller_max
                                            ? "the caller has too many streams open"
                                            : "the service has too many streams open");
  }
  ++streams_->open[caller];
  ++streams_->in_all;
  open_calls_.Keep(context, std::shared_ptr<void>(nullptr, [streams = streams_, caller](void*) {
                     base::MutexLock lock(streams->mutex);
                     --streams->in_all;
                     if (--streams->open[caller] == 0) streams->open.erase(caller);
                   }));
  return absl::OkStatus();
}

std::string Service::CallerOf(const grpc::ServerContext& context) {
  return rpc::PeerOf(*context.auth_context()).Name();
}

grpc::Status Service::Count(std::string_view method, const absl::Status& status) const {
  grpc::Status told = rpc::ToGrpc(status);
  probe_.Call(method, rpc::CodeName(told.error_code()));
  return told;
}

absl::Status Service::Allowed(const std::string& caller, Right right, std::string_view method,
                              const std::string& set,
                              const google::protobuf::Message& request) const {
  // First: a set's name that is too long isn't written anywhere.
  absl::Status within = rules_->Check(request);
  if (within.ok()) return Authorise(caller, right, method, set);
  RecordRefusal(caller, method, "", base::View(within.message()));
  return within;
}

absl::Status Service::Authorise(const std::string& caller, Right right, std::string_view method,
                                const std::string& set) const {
  if (set.empty() ? access_.May(caller, right) : access_.May(caller, right, set))
    return absl::OkStatus();
  absl::Status denied = absl::PermissionDeniedError(
      base::StrCat("access doesn't let '", caller, "' ", config::v1::Access::Right_Name(right),
                   set.empty() ? "" : base::StrCat(" the set '", set, "'")));
  // As often as it is on the trail.
  if (RecordRefusal(caller, method, set, base::View(denied.message())))
    probe_.Denied(method, caller);
  return denied;
}

bool Service::RecordRefusal(const std::string& caller, std::string_view action,
                            const std::string& set, std::string_view reason) const {
  return refusals_.Refused({.who = caller,
                            .operation = trail::Operation::kAlteration,
                            .action = std::string(action),
                            .outcome = trail::Outcome::kRefused,
                            .reason = std::string(reason),
                            .subject = set});
}

Catalog::Record Service::Recorder(const std::string& caller, std::string_view action,
                                  const std::string& set, const std::string& justification) const {
  return [this,
          entry = trail::Entry{.who = caller,
                               .operation = trail::Operation::kAlteration,
                               .action = std::string(action),
                               .justification = justification},
          set](const std::string& id) {
    trail::Entry done = entry;
    done.subject = base::StrCat(set, "=", id);
    return trail_.Append(done);
  };
}

template <typename Act>
grpc::Status Service::Do(const grpc::ServerContext& context, std::string_view method,
                         const google::protobuf::Message& request, const std::string& set,
                         const std::string& justification, bool needs_reason, Act act) {
  std::string caller = CallerOf(context);
  absl::Status status = Allowed(caller, config::v1::Access::manage, method, set, request);
  if (!status.ok()) return Count(method, status);
  if (set.empty()) {
    status = absl::InvalidArgumentError("set: name one");
  } else if (needs_reason && justification.empty()) {
    status = absl::InvalidArgumentError("justification: is required for this");
  } else {
    status = act(Recorder(caller, method, set, justification));
  }
  if (!status.ok()) RecordRefusal(caller, method, set, base::View(status.message()));
  return Count(method, status);
}

grpc::Status Service::ListSets(grpc::ServerContext* context, const v1::ListSetsRequest*,
                               v1::ListSetsResponse* response) {
  std::string caller = CallerOf(*context);
  absl::Status status = Authorise(caller, config::v1::Access::read, "ListSets", "");
  if (!status.ok()) return Count("ListSets", status);
  auto view = catalog_.view();
  response->set_activation(view->activation);
  for (const std::string& name : catalog_.names()) {
    if (!access_.May(caller, config::v1::Access::read, name)) continue;
    v1::ListSetsResponse::Set& set = *response->add_sets();
    set.set_name(name);
    set.set_group(catalog_.Find(name)->group());
    if (auto active = view->rows.find(name); active != view->rows.end())
      *set.mutable_schema() = active->second->schema().definition();
    for (v1::Version& version : catalog_.Versions(name)) *set.add_versions() = std::move(version);
  }
  return Count("ListSets", absl::OkStatus());
}

absl::StatusOr<std::shared_ptr<const Service::Snapshot>> Service::SnapshotFor(
    const v1::GetSnapshotRequest& request) {
  std::string id = request.id();
  if (id.empty()) {
    auto view = catalog_.view();
    auto active = view->rows.find(request.set());
    if (active == view->rows.end())
      return absl::NotFoundError(base::StrCat("the set '", request.set(), "' has no version yet"));
    id = active->second->id();
  }
  // One at a time: versions that aren't in use take memory meanwhile.
  base::MutexLock lock(mutex_);
  auto key = std::tuple(request.set(), id, request.base_id());
  std::erase_if(snapshots_, [](const auto& entry) { return entry.second.expired(); });
  if (auto found = snapshots_.find(key); found != snapshots_.end()) {
    auto snapshot = found->second.lock();
    auto view = catalog_.view();
    auto active = view->rows.find(request.set());
    // Of equal rows whose columns are classified otherwise now, nobody gets what was before.
    const bool replaced = snapshot != nullptr && active != view->rows.end() &&
                          active->second->id() == id && active->second != snapshot->rows;
    if (snapshot != nullptr && !replaced) return snapshot;
  }
  SLUICE_ASSIGN_OR_RETURN(RowsPtr rows, catalog_.Find(request.set(), id));
  RowsPtr base;
  if (!request.base_id().empty() && request.base_id() != id) {
    auto found = catalog_.Find(request.set(), request.base_id());
    // Where less than half stays, the whole is no larger.
    if (found.ok() && (*found)->schema().identity() == rows->schema().identity() &&
        RowsInBoth(**found, *rows) * 2 >= rows->size())
      base = *std::move(found);
  }
  auto snapshot = std::make_shared<const Snapshot>(
      Snapshot{SnapshotHeadOf(request.set(), *rows, base.get()), rows, base});
  snapshots_[key] = snapshot;
  return snapshot;
}

absl::Status Service::SendSnapshot(const v1::GetSnapshotRequest& request,
                                   grpc::ServerWriter<v1::GetSnapshotResponse>& writer) {
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<const Snapshot> snapshot, SnapshotFor(request));
  const v1::SnapshotHead& head = snapshot->head;
  if (request.offset() > head.bytes())
    return absl::OutOfRangeError("offset: is behind the snapshot's end");
  v1::GetSnapshotResponse response;
  *response.mutable_head() = head;
  auto send = [&] {
    return writer.Write(response) ? absl::OkStatus() : absl::CancelledError("the caller has gone");
  };
  SLUICE_RETURN_IF_ERROR(send());
  return WriteBody(*snapshot->rows, snapshot->base.get(), {request.offset(), options_.chunk_bytes},
                   [&](std::string_view part) {
                     response.set_chunk(std::string(part));
                     probe_.Sent(request.set(), !head.base_id().empty(), part.size());
                     return send();
                   });
}

grpc::Status Service::GetSnapshot(grpc::ServerContext* context,
                                  const v1::GetSnapshotRequest* request,
                                  grpc::ServerWriter<v1::GetSnapshotResponse>* writer) {
  absl::Status status = Allowed(CallerOf(*context), config::v1::Access::read, "GetSnapshot",
                                request->set(), *request);
  if (status.ok() && catalog_.Find(request->set()) == nullptr)
    status = absl::NotFoundError(base::StrCat("there is no set '", request->set(), "'"));
  if (status.ok()) status = EnterStream(*context, CallerOf(*context));
  if (status.ok()) status = SendSnapshot(*request, *writer);
  return Count("GetSnapshot", status);
}

grpc::Status Service::Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                            grpc::ServerWriter<v1::WatchResponse>* writer) {
  std::string caller = CallerOf(*context);
  std::vector<std::string> sets(request->sets().begin(), request->sets().end());
  absl::Status status = rules_->Check(*request);
  if (!status.ok()) RecordRefusal(caller, "Watch", "", base::View(status.message()));
  if (status.ok() && sets.empty()) status = absl::InvalidArgumentError("sets: name at least one");
  for (const std::string& set : sets) {
    if (status.ok()) status = Authorise(caller, config::v1::Access::read, "Watch", set);
    if (status.ok() && catalog_.Find(set) == nullptr)
      status = absl::NotFoundError(base::StrCat("there is no set '", set, "'"));
  }
  if (status.ok()) status = EnterStream(*context, caller);
  if (!status.ok()) return Count("Watch", status);
  probe_.Watchers(1);
  ++watchers_;
  while (!context->IsCancelled() && !catalog_.stopped()) {
    v1::WatchResponse response;
    *response.mutable_active() = catalog_.view()->Active(sets);
    if (!writer->Write(response)) break;
    catalog_.WaitBeyond(response.active().activation(), options_.beat);
  }
  --watchers_;
  probe_.Watchers(-1);
  return Count("Watch", absl::CancelledError("the call was ended"));
}

absl::Status Service::Answer(const v1::LookupRequest& request, v1::LookupResponse& response) const {
  for (int i = 0; i < request.questions_size(); ++i) {
    const v1::Question& question = request.questions(i);
    if (question.key_size() > kKeyPartsMax || question.ByteSizeLong() > kQuestionBytesMax) {
      return absl::InvalidArgumentError(base::StrCat("questions[", i, "]: has more than ",
                                                     kKeyPartsMax, " parts or ", kQuestionBytesMax,
                                                     " bytes"));
    }
  }
  auto view = catalog_.view();
  TablePtr table;
  RowsPtr rows;
  if (auto active = view->rows.find(request.set()); active != view->rows.end())
    rows = active->second;
  if (auto active = view->tables.find(request.set()); active != view->tables.end())
    table = active->second;
  if (!request.id().empty() && (table == nullptr || table->id() != request.id())) {
    SLUICE_ASSIGN_OR_RETURN(rows, catalog_.Find(request.set(), request.id()));
    // With the other sets as they are now.
    std::map<std::string, RowsPtr> sets = view->rows;
    sets[request.set()] = rows;
    SLUICE_ASSIGN_OR_RETURN(auto tables, MakeTables(sets, view->tables));
    table = tables.at(request.set());
  }
  if (table == nullptr)
    return absl::NotFoundError(base::StrCat("the set '", request.set(), "' has no version"));
  response.set_id(table->id());
  const int64_t now_s = clock_.UnixMillis() / 1000;
  for (int i = 0; i < request.questions_size(); ++i) {
    auto row = Ask(*table, request.questions(i), now_s);
    if (!row.ok()) {
      return absl::InvalidArgumentError(
          base::StrCat("questions[", i, "]: ", base::View(row.status().message())));
    }
    v1::LookupResponse::Row& answer = *response.add_rows();
    answer.set_found(*row != enrichment::kNoRow);
    if (request.explain()) answer.set_why(Why(*table, *rows, request.questions(i), *row, now_s));
    if (!answer.found()) continue;
    for (auto& [column, value] : RowTexts(*table, *row)) (*answer.mutable_values())[column] = value;
  }
  return absl::OkStatus();
}

grpc::Status Service::Lookup(grpc::ServerContext* context, const v1::LookupRequest* request,
                             v1::LookupResponse* response) {
  absl::Status status =
      Allowed(CallerOf(*context), config::v1::Access::read, "Lookup", request->set(), *request);
  if (status.ok()) status = Answer(*request, *response);
  return Count("Lookup", status);
}

grpc::Status Service::Diff(grpc::ServerContext* context, const v1::DiffRequest* request,
                           v1::DiffResponse* response) {
  auto compare = [&]() -> absl::Status {
    std::string old_id = request->old_id(), new_id = request->new_id();
    if (new_id.empty()) {
      auto view = catalog_.view();
      auto active = view->rows.find(request->set());
      if (active == view->rows.end())
        return absl::NotFoundError(base::StrCat("the set '", request->set(), "' has no version"));
      new_id = active->second->id();
    }
    if (old_id.empty()) old_id = catalog_.Before(request->set());
    if (old_id.empty()) {
      return absl::NotFoundError(base::StrCat("no version of the set '", request->set(),
                                              "' was active before: name the old one"));
    }
    SLUICE_ASSIGN_OR_RETURN(RowsPtr before, catalog_.Find(request->set(), old_id));
    SLUICE_ASSIGN_OR_RETURN(RowsPtr after, catalog_.Find(request->set(), new_id));
    SLUICE_ASSIGN_OR_RETURN(*response, Difference(*before, *after));
    return absl::OkStatus();
  };
  absl::Status status =
      Allowed(CallerOf(*context), config::v1::Access::read, "Diff", request->set(), *request);
  if (status.ok()) status = compare();
  return Count("Diff", status);
}

grpc::Status Service::Load(grpc::ServerContext* context, const v1::LoadRequest* request,
                           v1::LoadResponse* response) {
  return Do(*context, "Load", *request, request->set(), request->justification(),
            request->accept_change(), [&](const Catalog::Record& record) -> absl::Status {
              SLUICE_ASSIGN_OR_RETURN(
                  std::string id, catalog_.Load(request->set(), request->accept_change(), record));
              response->set_id(id);
              *response->mutable_active() = catalog_.view()->Active({request->set()});
              return absl::OkStatus();
            });
}

grpc::Status Service::Activate(grpc::ServerContext* context, const v1::ActivateRequest* request,
                               v1::ActivateResponse* response) {
  return Do(*context, request->release() ? "Release" : "Activate", *request, request->set(),
            request->justification(), true, [&](const Catalog::Record& record) -> absl::Status {
              SLUICE_RETURN_IF_ERROR(
                  request->release() ? catalog_.Release(request->set(), record)
                                     : catalog_.Activate(request->set(), request->id(), record));
              *response->mutable_active() = catalog_.view()->Active({request->set()});
              return absl::OkStatus();
            });
}

grpc::Status Service::Rollback(grpc::ServerContext* context, const v1::RollbackRequest* request,
                               v1::RollbackResponse* response) {
  return Do(*context, "Rollback", *request, request->set(), request->justification(), true,
            [&](const Catalog::Record& record) -> absl::Status {
              SLUICE_ASSIGN_OR_RETURN(std::string id, catalog_.Rollback(request->set(), record));
              response->set_id(id);
              *response->mutable_active() = catalog_.view()->Active({request->set()});
              return absl::OkStatus();
            });
}

grpc::Status Service::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                                v1::GetStatusResponse* response) {
  absl::Status status = Authorise(CallerOf(*context), config::v1::Access::look, "GetStatus", "");
  if (status.ok()) {
    response->set_version(options_.version);
    response->set_watchers(static_cast<uint32_t>(watchers_));
    catalog_.FillStatus(*response);
  }
  return Count("GetStatus", status);
}

}  // namespace sluice::reference
