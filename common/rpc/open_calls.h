// The calls that a server has open: none is open without an end.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace sluice::rpc {

// Each call holds a thread from its beginning until its answer has been taken: a caller that sends
// or reads nothing would hold it for ever. A unary call is ended after `call_max`, a stream when it
// moved no message for `idle_max`; both with DEADLINE_EXCEEDED. Thread-safe; outlives the server.
class OpenCalls {
 public:
  struct Options {
    std::chrono::milliseconds call_max{60'000};
    std::chrono::milliseconds idle_max{60'000};
  };
  explicit OpenCalls(Options options);
  ~OpenCalls();
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;

  // For a handler: `what` goes when the call has ended, its answer taken or given up; at once,
  // where the call isn't one of these.
  void Keep(const grpc::ServerContext& call, std::shared_ptr<void> what);

  // For Server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeFactory();

 private:
  struct Call {
    grpc_call* call = nullptr;  // a reference of ours
    bool stream = false;
    std::chrono::steady_clock::time_point moved;  // of a unary call: when it began
    std::vector<std::shared_ptr<void>> kept;
  };
  class Factory;
  class Watched;
  void Moved(grpc::ServerContextBase* context, bool stream);
  void Ended(grpc::ServerContextBase* context);
  void Run();

  const Options options_;
  base::Mutex mutex_;
  std::condition_variable changed_;
  std::map<const grpc::ServerContextBase*, Call> calls_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::rpc
