// sluice.reference.v1 over gRPC.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/reference/snapshot.h"
#include "common/rpc/open_calls.h"
#include "common/rpc/tls.h"
#include "common/trail/chain.h"
#include "common/trail/tally.h"
#include "common/validation/request_rules.h"
#include "services/reference/access.h"
#include "services/reference/catalog.h"
#include "services/reference/probe.h"
#include "sluice/reference/v1/reference.grpc.pb.h"

namespace sluice::reference {

// Thread-safe.
class Service final : public v1::Reference::Service {
 public:
  struct Options {
    std::string version;
    // Watch tells what is active at least this often.
    std::chrono::milliseconds beat{2000};
    size_t chunk_bytes = 1024 * 1024;
    // Snapshots and watches that one caller, and all of them, have open at a time; a further one is
    // refused. Each holds a thread.
    int streams_per_caller_max = 64;
    int streams_max = 400;
  };
  // All outlive the service.
  Service(Options options, std::unique_ptr<const validation::RequestRules> rules, Catalog& catalog,
          const Access& access, trail::Chain& trail, trail::RefusalLog& refusals,
          rpc::OpenCalls& open_calls, Probe& probe, const base::Clock& clock)
      : options_(std::move(options)),
        rules_(std::move(rules)),
        catalog_(catalog),
        access_(access),
        trail_(trail),
        refusals_(refusals),
        open_calls_(open_calls),
        probe_(probe),
        clock_(clock) {}

  static absl::StatusOr<std::unique_ptr<const validation::RequestRules>> Rules();
  // Whether this peer may begin a call at all, before its message is read. Doesn't block.
  absl::Status AuthoriseCall(const rpc::Peer& peer, std::string_view method) const;

  grpc::Status ListSets(grpc::ServerContext* context, const v1::ListSetsRequest*,
                        v1::ListSetsResponse* response) override;
  grpc::Status GetSnapshot(grpc::ServerContext* context, const v1::GetSnapshotRequest* request,
                           grpc::ServerWriter<v1::GetSnapshotResponse>* writer) override;
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override;
  grpc::Status Lookup(grpc::ServerContext* context, const v1::LookupRequest* request,
                      v1::LookupResponse* response) override;
  grpc::Status Diff(grpc::ServerContext* context, const v1::DiffRequest* request,
                    v1::DiffResponse* response) override;
  grpc::Status Load(grpc::ServerContext* context, const v1::LoadRequest* request,
                    v1::LoadResponse* response) override;
  grpc::Status Activate(grpc::ServerContext* context, const v1::ActivateRequest* request,
                        v1::ActivateResponse* response) override;
  grpc::Status Rollback(grpc::ServerContext* context, const v1::RollbackRequest* request,
                        v1::RollbackResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                         v1::GetStatusResponse* response) override;

 private:
  static std::string CallerOf(const grpc::ServerContext& context);
  // OK, or the refusal, which is on the trail. An empty set: at least one.
  absl::Status Authorise(const std::string& caller, Right right, std::string_view method,
                         const std::string& set) const;
  // The same, once the request keeps its rules.
  absl::Status Allowed(const std::string& caller, Right right, std::string_view method,
                       const std::string& set, const google::protobuf::Message& request) const;
  // Writes acts down before they are done.
  Catalog::Record Recorder(const std::string& caller, std::string_view action,
                           const std::string& set, const std::string& justification) const;
  // Whether it is the first of its kind for a while.
  bool RecordRefusal(const std::string& caller, std::string_view action, const std::string& set,
                     std::string_view reason) const;
  // An act of a person's: authorised, done, and a refusal written down.
  template <typename Act>
  grpc::Status Do(const grpc::ServerContext& context, std::string_view method,
                  const google::protobuf::Message& request, const std::string& set,
                  const std::string& justification, bool needs_reason, Act act);
  struct Snapshot {
    v1::SnapshotHead head;
    RowsPtr rows;
    RowsPtr base;  // null: none
  };
  // What calls at the same time share.
  absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotFor(
      const v1::GetSnapshotRequest& request);
  absl::Status SendSnapshot(const v1::GetSnapshotRequest& request,
                            grpc::ServerWriter<v1::GetSnapshotResponse>& writer);
  absl::Status Answer(const v1::LookupRequest& request, v1::LookupResponse& response) const;
  grpc::Status Count(std::string_view method, const absl::Status& status) const;

  // kResourceExhausted: the caller has as many streams open as one may have. Else it has one more,
  // until the call has ended.
  absl::Status EnterStream(const grpc::ServerContext& context, const std::string& caller);

  const Options options_;
  const std::unique_ptr<const validation::RequestRules> rules_;
  Catalog& catalog_;
  const Access& access_;
  trail::Chain& trail_;
  trail::RefusalLog& refusals_;
  rpc::OpenCalls& open_calls_;
  Probe& probe_;
  const base::Clock& clock_;
  std::atomic<int> watchers_ = 0;
  struct Streams {
    base::Mutex mutex;
    std::map<std::string, int> open ABSL_GUARDED_BY(mutex);  // by caller
    int in_all ABSL_GUARDED_BY(mutex) = 0;
  };
  const std::shared_ptr<Streams> streams_ = std::make_shared<Streams>();
  base::Mutex mutex_;
  // By set, id and base.
  std::map<std::tuple<std::string, std::string, std::string>, std::weak_ptr<const Snapshot>>
      snapshots_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::reference
