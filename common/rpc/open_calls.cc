#include "common/rpc/open_calls.h"

#include <grpc/grpc.h>

#include <utility>
#include <vector>

namespace sluice::rpc {
namespace {

using std::chrono::steady_clock;

// How late a call may be ended.
constexpr std::chrono::milliseconds kLook{100};

}  // namespace

class OpenCalls::Watched final : public grpc::experimental::Interceptor {
 public:
  Watched(OpenCalls& calls, grpc::experimental::ServerRpcInfo* info)
      : calls_(calls),
        context_(info->server_context()),
        stream_(info->type() != grpc::experimental::ServerRpcInfo::Type::UNARY) {}
  ~Watched() override { calls_.Ended(context_); }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using grpc::experimental::InterceptionHookPoints;
    // The one that Run() itself causes.
    if (!methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_CANCEL))
      calls_.Moved(context_, stream_);
    methods->Proceed();
  }

 private:
  OpenCalls& calls_;
  grpc::ServerContextBase* const context_;
  const bool stream_;
};

class OpenCalls::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(OpenCalls& calls) : calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new Watched(calls_, info);
  }

 private:
  OpenCalls& calls_;
};

OpenCalls::OpenCalls(Options options) : options_(options), thread_([this] { Run(); }) {}

OpenCalls::~OpenCalls() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> OpenCalls::MakeFactory() {
  return std::make_unique<Factory>(*this);
}

void OpenCalls::Moved(grpc::ServerContextBase* context, bool stream) {
  bool first = false;
  {
    base::MutexLock lock(mutex_);
    auto [at, added] = calls_.try_emplace(context);
    Call& call = at->second;
    if (added) {
      call.call = context->c_call();
      if (call.call != nullptr) grpc_call_ref(call.call);
      call.stream = stream;
    }
    if (added || stream) call.moved = steady_clock::now();
    first = added && calls_.size() == 1;
  }
  if (first) changed_.notify_one();
}

void OpenCalls::Ended(grpc::ServerContextBase* context) {
  Call ended;
  {
    base::MutexLock lock(mutex_);
    auto found = calls_.find(context);
    if (found == calls_.end()) return;
    ended = std::move(found->second);
    calls_.erase(found);
  }
  if (ended.call != nullptr) grpc_call_unref(ended.call);
}

void OpenCalls::Keep(const grpc::ServerContext& call, std::shared_ptr<void> what) {
  base::MutexLock lock(mutex_);
  auto found = calls_.find(&call);
  if (found != calls_.end()) found->second.kept.push_back(std::move(what));
}

void OpenCalls::Run() {
  while (true) {
    std::vector<grpc_call*> over;
    {
      base::MutexLock lock(mutex_);
      auto stop = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_; };
      auto work = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_ || !calls_.empty(); };
      if (calls_.empty()) lock.WaitFor(changed_, std::chrono::hours(1), work);
      if (lock.WaitFor(changed_, kLook, stop)) return;
      const auto now = steady_clock::now();
      for (auto& [context, call] : calls_) {
        if (call.call == nullptr) continue;
        if (now - call.moved <= (call.stream ? options_.idle_max : options_.call_max)) continue;
        grpc_call_ref(call.call);
        over.push_back(call.call);
        call.moved = now;  // told once for each time that it lasts
      }
    }
    for (grpc_call* call : over) {
      grpc_call_cancel_with_status(call, GRPC_STATUS_DEADLINE_EXCEEDED,
                                   "the call was open for too long without a message", nullptr);
      grpc_call_unref(call);
    }
  }
}

}  // namespace sluice::rpc
