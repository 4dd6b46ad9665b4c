#include "services/processor/remote_sets.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/base/stop_scope.h"
#include "common/base/strings.h"
#include "common/rpc/status.h"
#include "common/telemetry/log.h"
#include "services/processor/local_sets.h"
#include "sluice/reference/v1/state.pb.h"

namespace sluice::processor {
namespace {

using reference::RowsPtr;
using std::chrono::milliseconds;

constexpr milliseconds kRetryMin{100};
constexpr milliseconds kRetryMax{2000};
// A call that follows is made anew after it: one that hangs shows itself.
constexpr std::chrono::seconds kFollowMax{30};
constexpr std::chrono::seconds kFetchMax{600};
constexpr std::chrono::seconds kListMax{10};
constexpr int kFetchAttempts = 5;
// A larger one is refused, as it would be in memory.
constexpr uint64_t kSnapshotBytesMax = uint64_t{4} << 30;
// How often it is written down that the state was confirmed.
constexpr int64_t kKeepConfirmedMs = 5000;

void Failed(std::string_view reason) {
  Log(telemetry::Severity::kWarning, "reference_service_away",
      {{"reason", telemetry::SafeText(reason)}});
}

}  // namespace

absl::StatusOr<std::shared_ptr<RemoteSets>> RemoteSets::Create(Options options,
                                                               const base::Clock& clock) {
  SLUICE_ASSIGN_OR_RETURN(auto channel, rpc::Connect(options.channel, "reference.remote"));
  std::shared_ptr<RemoteSets> sets(new RemoteSets(std::move(options), std::move(channel), clock));
  if (sets->options_.shelf != nullptr) sets->Recover();
  sets->thread_ = std::thread([raw = sets.get()] { raw->Run(); });
  return sets;
}

RemoteSets::RemoteSets(Options options, std::shared_ptr<grpc::Channel> channel,
                       const base::Clock& clock)
    : options_(std::move(options)),
      stub_(reference::v1::Reference::NewStub(std::move(channel))),
      clock_(clock),
      started_at_(clock.Now()) {}

RemoteSets::~RemoteSets() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void RemoteSets::Stop() {
  stopping_.request_stop();
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  changed_.notify_all();
}

// What was in use when the process ended, where all of it is still there.
void RemoteSets::Recover() {
  reference::v1::FollowerState kept;
  auto there = options_.shelf->GetState(kept);
  if (!there.ok() || !*there) return;
  std::map<std::string, std::string> ids;
  for (const std::string& set : options_.sets) {
    auto id = kept.ids().find(set);
    if (id == kept.ids().end()) return;
    ids[set] = id->second;
  }
  auto state = StateOf(ids, [this](const std::string& set, const std::string& id) {
    return options_.shelf->Get(set, id);
  });
  if (!state.ok()) return;
  auto recovered = std::make_shared<SetsState>(**state);
  recovered->activation = kept.activation();
  base::MutexLock lock(mutex_);
  state_ = std::move(recovered);
  int64_t age_ms = std::max<int64_t>(clock_.UnixMillis() - kept.confirmed_unix_ms(), 0);
  confirmed_at_ = clock_.Now() - milliseconds(age_ms);
  kept_confirmed_ms_ = kept.confirmed_unix_ms();
}

bool RemoteSets::Wait(milliseconds time) {
  base::MutexLock lock(mutex_);
  return lock.WaitFor(changed_, time, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_; });
}

void RemoteSets::WaitForFirst(milliseconds timeout) {
  base::MutexLock lock(mutex_);
  lock.WaitFor(changed_, timeout,
               [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return state_ != nullptr; });
}

void RemoteSets::Run() {
  base::StopScope scope(stopping_.get_token());
  milliseconds wait = kRetryMin;
  while (true) {
    auto began = clock_.Now();
    absl::Status ended = Follow();
    // A call that was made anew for its age is no failure.
    bool well = absl::IsDeadlineExceeded(ended) && clock_.Now() - began >= kFollowMax / 2;
    if (!well) {
      std::string reason(base::View(ended.message()));
      {
        base::MutexLock lock(mutex_);
        if (stop_) return;
        away_ = reason;
      }
      Failed(reason);
    }
    if (well || clock_.Now() - began > kRetryMax) wait = kRetryMin;
    if (Wait(well ? milliseconds(0) : wait)) return;
    wait = std::min(wait * 2, kRetryMax);
  }
}

absl::Status RemoteSets::Follow() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kFollowMax);
  {
    base::MutexLock lock(mutex_);
    if (stop_) return absl::CancelledError("the process ends");
    call_ = &context;
  }
  reference::v1::WatchRequest request;
  for (const std::string& set : options_.sets) request.add_sets(set);
  auto reader = stub_->Watch(&context, request);
  reference::v1::WatchResponse response;
  absl::Status taken;
  while (taken.ok() && reader->Read(&response)) taken = Take(response.active());
  if (!taken.ok()) context.TryCancel();
  grpc::Status ended = reader->Finish();
  base::MutexLock lock(mutex_);
  call_ = nullptr;
  return taken.ok() ? rpc::FromGrpc(ended) : taken;
}

absl::Status RemoteSets::Take(const reference::v1::Active& active) {
  std::shared_ptr<const SetsState> now = state();
  uint64_t had = now == nullptr ? 0 : now->activation;
  if (active.activation() < had) {
    return absl::FailedPreconditionError(
        base::StrCat("the reference service has gone back, from activation ", had, " to ",
                     active.activation(), ": is it another one, or has it lost its folder?"));
  }
  std::string missing;
  bool same = now != nullptr;
  for (const std::string& set : options_.sets) {
    auto id = active.ids().find(set);
    if (id == active.ids().end()) {
      base::StrAppend(missing, missing.empty() ? "" : ", ", set);
      continue;
    }
    same = same && now->rows.contains(set) && now->rows.at(set)->id() == id->second;
  }
  if (!missing.empty()) {
    base::MutexLock lock(mutex_);
    away_ = base::StrCat("the reference service has no version yet of: ", missing);
    return absl::OkStatus();
  }
  if (same && active.activation() == had) {
    Confirm(false);
    return absl::OkStatus();
  }
  auto next = std::make_shared<SetsState>();
  next->activation = active.activation();
  std::set<std::string> reclassified;
  if (now != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(reclassified, Reclassified(active, *now));
  }
  for (const std::string& set : options_.sets) {
    const std::string& id = active.ids().at(set);
    const enrichment::Rows* base =
        now != nullptr && now->rows.contains(set) ? now->rows.at(set).get() : nullptr;
    SLUICE_ASSIGN_OR_RETURN(
        next->rows[set], reclassified.contains(set) ? Fetch(set, id, nullptr) : Get(set, id, base));
  }
  SLUICE_ASSIGN_OR_RETURN(
      next->tables,
      reference::MakeTables(
          next->rows, now == nullptr ? std::map<std::string, reference::TablePtr>() : now->tables));
  if (options_.shelf != nullptr) {
    for (const auto& [set, rows] : next->rows) {
      SLUICE_RETURN_IF_ERROR(options_.shelf->Put(set, *rows));
      options_.shelf->Prune(set, options_.versions_kept, {rows->id()});
    }
  }
  {
    base::MutexLock lock(mutex_);
    state_ = std::move(next);
  }
  Confirm(true);
  changed_.notify_all();
  return absl::OkStatus();
}

absl::StatusOr<std::set<std::string>> RemoteSets::Reclassified(const reference::v1::Active& active,
                                                               const SetsState& now) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kListMax);
  reference::v1::ListSetsResponse response;
  grpc::Status listed = stub_->ListSets(&context, {}, &response);
  std::set<std::string> reclassified;
  // An older service: a classification comes with the next version there.
  if (listed.error_code() == grpc::StatusCode::UNIMPLEMENTED) return reclassified;
  if (!listed.ok()) return rpc::FromGrpc(listed);
  // Of a later activation the service tells next.
  if (response.activation() != active.activation()) return reclassified;
  for (const auto& set : response.sets()) {
    auto id = active.ids().find(set.name());
    auto rows = now.rows.find(set.name());
    if (id == active.ids().end() || rows == now.rows.end() || rows->second->id() != id->second)
      continue;
    if (!google::protobuf::util::MessageDifferencer::Equals(set.schema(),
                                                            rows->second->schema().definition()))
      reclassified.insert(set.name());
  }
  return reclassified;
}

void RemoteSets::Confirm(bool changed) {
  std::shared_ptr<const SetsState> now;
  {
    base::MutexLock lock(mutex_);
    confirmed_at_ = clock_.Now();
    away_ = "it doesn't answer";
    now = state_;
  }
  int64_t unix_ms = clock_.UnixMillis();
  if (options_.shelf == nullptr || (!changed && unix_ms - kept_confirmed_ms_ < kKeepConfirmedMs))
    return;
  reference::v1::FollowerState kept;
  kept.set_activation(now->activation);
  for (const auto& [set, rows] : now->rows) (*kept.mutable_ids())[set] = rows->id();
  kept.set_confirmed_unix_ms(unix_ms);
  // A disk that can't be written only means that a restart begins with what was there before.
  if (absl::Status put = options_.shelf->PutState(kept); put.ok()) {
    kept_confirmed_ms_ = unix_ms;
  } else {
    Failed(base::View(put.message()));
  }
}

absl::StatusOr<RowsPtr> RemoteSets::Get(const std::string& set, const std::string& id,
                                        const enrichment::Rows* base) {
  std::shared_ptr<const SetsState> now = state();
  if (now != nullptr && now->rows.contains(set) && now->rows.at(set)->id() == id)
    return now->rows.at(set);
  if (options_.shelf != nullptr) {
    auto kept = options_.shelf->Get(set, id);
    if (kept.ok()) return kept;
  }
  return Fetch(set, id, base);
}

absl::StatusOr<RowsPtr> RemoteSets::Fetch(const std::string& set, const std::string& id,
                                          const enrichment::Rows* base) {
  reference::v1::GetSnapshotRequest request;
  request.set_set(set);
  request.set_id(id);
  if (base != nullptr) request.set_base_id(base->id());
  std::unique_ptr<reference::SnapshotReader> reader;
  absl::Status fetched;
  for (int attempt = 0; attempt < kFetchAttempts; ++attempt) {
    // Where the last call broke off.
    request.set_offset(reader == nullptr ? 0 : reader->bytes());
    fetched = FetchOn(request, base, reader);
    if (!absl::IsUnavailable(fetched) || Wait(kRetryMin)) break;
  }
  SLUICE_RETURN_IF_ERROR(fetched);
  if (reader == nullptr) return absl::DataLossError("the snapshot has no head");
  return reader->Finish();
}

absl::Status RemoteSets::FetchOn(const reference::v1::GetSnapshotRequest& request,
                                 const enrichment::Rows* base,
                                 std::unique_ptr<reference::SnapshotReader>& reader) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kFetchMax);
  grpc::CompletionQueue queue;
  auto call = stub_->AsyncGetSnapshot(&context, request, &queue, &context);
  // Each part in turn: a call as a whole may take long, silence may not.
  bool there = false;
  absl::Status wrong = WaitForPart(context, queue, there);
  reference::v1::GetSnapshotResponse part;
  while (wrong.ok() && there) {
    call->Read(&part, &context);
    wrong = WaitForPart(context, queue, there);
    if (!wrong.ok() || !there) break;
    if (!part.has_head()) {
      wrong = reader == nullptr ? absl::DataLossError("the snapshot has no head")
                                : reader->Add(part.chunk());
    } else if (reader == nullptr) {
      wrong = Begin(request, part.head(), base, reader);
    } else if (part.head().body_sha256() != reader->head().body_sha256()) {
      // What there is of it so far is another snapshot's.
      reader = nullptr;
      wrong = absl::UnavailableError("the snapshot has changed while it was fetched");
    }
  }
  if (!wrong.ok()) context.TryCancel();
  grpc::Status ended;
  call->Finish(&ended, &context);
  queue.Shutdown();
  void* tag = nullptr;
  while (queue.Next(&tag, &there)) {
  }
  return wrong.ok() ? rpc::FromGrpc(ended) : wrong;
}

absl::Status RemoteSets::WaitForPart(grpc::ClientContext& context, grpc::CompletionQueue& queue,
                                     bool& there) const {
  constexpr milliseconds kTick{100};
  const auto began = std::chrono::steady_clock::now();
  void* tag = nullptr;
  absl::Status late;
  while (late.ok()) {
    if (queue.AsyncNext(&tag, &there, std::chrono::system_clock::now() + kTick) ==
        grpc::CompletionQueue::GOT_EVENT)
      return absl::OkStatus();
    if (stopping_.stop_requested()) {
      late = absl::CancelledError("the process ends");
    } else if (std::chrono::steady_clock::now() - began >= options_.part_max) {
      late = absl::UnavailableError(base::StrCat("no part of the snapshot came for ",
                                                 static_cast<int64_t>(options_.part_max.count()),
                                                 " ms"));
    }
  }
  // A call can be finished once nothing of it is outstanding.
  context.TryCancel();
  queue.Next(&tag, &there);
  return late;
}

absl::Status RemoteSets::Begin(const reference::v1::GetSnapshotRequest& request,
                               const reference::v1::SnapshotHead& head,
                               const enrichment::Rows* base,
                               std::unique_ptr<reference::SnapshotReader>& reader) const {
  if (head.set() != request.set() || head.id() != request.id()) {
    return absl::DataLossError(
        base::StrCat("another snapshot than that of '", request.set(), "' came"));
  }
  if (!head.mapped() && head.bytes() > kSnapshotBytesMax) {
    return absl::ResourceExhaustedError(
        base::StrCat("the snapshot has more than ", kSnapshotBytesMax,
                     " bytes: `store: mapped` in the reference service is for sets of that size"));
  }
  reference::Store store;
  if (head.mapped()) {
    store = reference::Store::Mapped(head.set(),
                                     options_.shelf == nullptr ? "" : options_.shelf->folder());
  }
  SLUICE_ASSIGN_OR_RETURN(reader, reference::SnapshotReader::Create(
                                      head, store, head.base_id().empty() ? nullptr : base));
  return absl::OkStatus();
}

std::shared_ptr<const SetsState> RemoteSets::state() const {
  base::MutexLock lock(mutex_);
  return state_;
}

uint64_t RemoteSets::Look() {
  std::shared_ptr<const SetsState> now = state();
  return now == nullptr ? 0 : now->activation;
}

absl::StatusOr<std::shared_ptr<const SetsState>> RemoteSets::Load(const Problem&) {
  base::MutexLock lock(mutex_);
  if (state_ != nullptr) return state_;
  std::string names;
  for (const std::string& set : options_.sets)
    base::StrAppend(names, names.empty() ? "" : ", ", set);
  return absl::UnavailableError(
      base::StrCat("waits for its reference sets: ", names, " (", away_, ")"));
}

absl::StatusOr<std::shared_ptr<const SetsState>> RemoteSets::Find(
    const std::map<std::string, std::string>& ids) {
  base::StopScope scope(stopping_.get_token());
  return StateOf(ids,
                 [&](const std::string& set, const std::string& id) -> absl::StatusOr<RowsPtr> {
                   auto rows = Get(set, id, nullptr);
                   if (rows.ok()) {
                     if (options_.shelf != nullptr)
                       SLUICE_RETURN_IF_ERROR(options_.shelf->Put(set, **rows));
                     return rows;
                   }
                   return absl::UnavailableError(
                       base::StrCat("the pinned version ", id, " of the reference set '", set,
                                    "' can't be had: ", base::View(rows.status().message())));
                 });
}

std::optional<std::chrono::nanoseconds> RemoteSets::unconfirmed() const {
  base::MutexLock lock(mutex_);
  // Without a confirmation, how long one has been waited for.
  return clock_.Now() - confirmed_at_.value_or(started_at_);
}

absl::Status RemoteSets::Usable() const {
  auto age = unconfirmed();
  if (!age || *age <= options_.age_max) return absl::OkStatus();
  base::MutexLock lock(mutex_);
  return absl::UnavailableError(
      base::StrCat("the reference service hasn't confirmed its sets for longer than age_s_max (",
                   static_cast<int64_t>(options_.age_max.count()), " s): ", away_));
}

}  // namespace sluice::processor
