// Reference sets of the reference service.
#pragma once

#include <condition_variable>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/reference/shelf.h"
#include "common/reference/snapshot.h"
#include "common/rpc/channel.h"
#include "services/processor/reference_sets.h"
#include "sluice/reference/v1/reference.grpc.pb.h"

namespace sluice::processor {

// Follows the service on a thread of its own: fetches what it activates, only what is different
// where that can be, and keeps it on disk. What is on disk is there after a restart, the service
// being away or not. A service that goes back (an activation lower than one that was seen) isn't
// believed.
class RemoteSets final : public ReferenceSets {
 public:
  struct Options {
    rpc::ChannelOptions channel;
    std::vector<std::string> sets;
    std::chrono::seconds age_max{3600};
    // How long the next part of a snapshot is waited for before the call is made again.
    std::chrono::milliseconds part_max{20'000};
    // Null: in memory only, for a command that ends soon.
    std::shared_ptr<reference::Shelf> shelf;
    size_t versions_kept = 10;
  };
  // `clock` outlives it. kInvalidArgument names the option of `reference.remote`.
  static absl::StatusOr<std::shared_ptr<RemoteSets>> Create(Options options,
                                                            const base::Clock& clock);
  ~RemoteSets() override;

  // Until there is a first state, or the time has passed.
  void WaitForFirst(std::chrono::milliseconds timeout);

  uint64_t Look() override;
  absl::StatusOr<std::shared_ptr<const SetsState>> Load(const Problem& problem) override;
  absl::Status Use(std::shared_ptr<const SetsState>) override { return absl::OkStatus(); }
  absl::StatusOr<std::shared_ptr<const SetsState>> Find(
      const std::map<std::string, std::string>& ids) override;
  absl::Status Usable() const override;
  std::optional<std::chrono::nanoseconds> unconfirmed() const override;
  void Stop() override;

 private:
  RemoteSets(Options options, std::shared_ptr<grpc::Channel> channel, const base::Clock& clock);
  void Recover();
  void Run();
  // Until the call ends; why.
  absl::Status Follow();
  absl::Status Take(const reference::v1::Active& active);
  absl::StatusOr<reference::RowsPtr> Get(const std::string& set, const std::string& id,
                                         const enrichment::Rows* base);
  // Those of the sets whose version stays and whose columns are classified otherwise now.
  absl::StatusOr<std::set<std::string>> Reclassified(const reference::v1::Active& active,
                                                     const SetsState& now) const;
  absl::StatusOr<reference::RowsPtr> Fetch(const std::string& set, const std::string& id,
                                           const enrichment::Rows* base);
  // One call; what it brings goes on where the reader is, which is made by the first. kUnavailable:
  // it may go on with the next call.
  absl::Status FetchOn(const reference::v1::GetSnapshotRequest& request,
                       const enrichment::Rows* base,
                       std::unique_ptr<reference::SnapshotReader>& reader);
  // The next event of the call, which is the queue's only one. `there`: as gRPC's `ok`. An error
  // cancels the call. kUnavailable: it takes too long; kCancelled: Stop().
  absl::Status WaitForPart(grpc::ClientContext& context, grpc::CompletionQueue& queue,
                           bool& there) const;
  absl::Status Begin(const reference::v1::GetSnapshotRequest& request,
                     const reference::v1::SnapshotHead& head, const enrichment::Rows* base,
                     std::unique_ptr<reference::SnapshotReader>& reader) const;
  void Confirm(bool changed);
  std::shared_ptr<const SetsState> state() const;
  bool Wait(std::chrono::milliseconds time);

  const Options options_;
  const std::unique_ptr<reference::v1::Reference::Stub> stub_;
  std::stop_source stopping_;
  const base::Clock& clock_;
  const std::chrono::steady_clock::time_point started_at_;
  int64_t kept_confirmed_ms_ = 0;  // as it stands on disk; the thread's

  mutable base::Mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const SetsState> state_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::chrono::steady_clock::time_point> confirmed_at_ ABSL_GUARDED_BY(mutex_);
  std::string away_ ABSL_GUARDED_BY(mutex_) = "the reference service hasn't answered yet";
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::processor
