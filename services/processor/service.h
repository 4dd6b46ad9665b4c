// sluice.processor.v1 over gRPC.
#pragma once

#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "common/base/random.h"
#include "common/telemetry/metrics.h"
#include "services/processor/edition.h"
#include "sluice/processor/v1/processor.grpc.pb.h"

namespace sluice::processor {

// What an operator can see and do. Thread-safe.
class Controls {
 public:
  virtual ~Controls() = default;
  // What workers run.
  virtual Edition current() const = 0;
  // The part of the status that changes.
  virtual void FillStatus(v1::GetStatusResponse& status) const = 0;
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  // An error: nothing was done.
  virtual absl::Status SetOffsets(const v1::SetOffsetsRequest& request,
                                  v1::SetOffsetsResponse& response) = 0;
};

// Thread-safe. An event that comes in over a call goes through an engine of that call's own, with
// the keys and the plan of the workers.
class Service final : public v1::Processor::Service {
 public:
  // All outlive the service.
  Service(const config::v1::Listen& listen, Controls& controls, base::RandomSource& random,
          telemetry::Registry& registry);

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                         v1::GetStatusResponse* response) override;
  grpc::Status Pause(grpc::ServerContext* context, const v1::PauseRequest*,
                     v1::PauseResponse*) override;
  grpc::Status Resume(grpc::ServerContext* context, const v1::ResumeRequest*,
                      v1::ResumeResponse*) override;
  grpc::Status SetOffsets(grpc::ServerContext* context, const v1::SetOffsetsRequest* request,
                          v1::SetOffsetsResponse* response) override;
  grpc::Status Explain(grpc::ServerContext* context, const v1::ExplainRequest* request,
                       v1::ExplainResponse* response) override;
  grpc::Status Process(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ProcessResponse, v1::ProcessRequest>* stream) override;

 private:
  // Whether the caller may do more than look.
  grpc::Status Authorise(const grpc::ServerContext& context, std::string_view method) const;
  grpc::Status Explain(const v1::ExplainRequest& request, v1::ExplainResponse& response) const;
  grpc::Status Process(
      grpc::ServerReaderWriter<v1::ProcessResponse, v1::ProcessRequest>& stream) const;
  grpc::Status Count(std::string_view method, grpc::Status status) const;

  const bool tls_;
  Controls& controls_;
  base::RandomSource& random_;
  absl::flat_hash_set<std::string> callers_;
  telemetry::Family<telemetry::Counter> calls_;
};

}  // namespace sluice::processor
