// A process's gRPC port, with health (grpc.health.v1) and reflection.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/address.h"
#include "common/base/mutex.h"
#include "common/rpc/acceptor.h"
#include "common/rpc/open_calls.h"
#include "common/rpc/tls.h"

namespace sluice::rpc {

struct ServerOptions {
  // IPv4 address, [IPv6 address] or localhost, and port; port 0 takes a free one. Without `tls` it
  // must be a loopback one.
  std::string address = "127.0.0.1:0";
  std::optional<TlsFiles> tls;
  // Larger messages are refused with RESOURCE_EXHAUSTED, in and out.
  int message_bytes_max = 4 * 1024 * 1024;
  Acceptor::Limits connections;
  // Calls at a time on one connection; further ones wait at the client.
  int calls_per_connection_max = 100;
  // Threads that serve calls; without a free one a call is refused with RESOURCE_EXHAUSTED.
  int threads_max = 32;
  // Buffers of all connections; near it, gRPC reads more slowly.
  size_t buffer_bytes_max = 64 * 1024 * 1024;
  // Ends calls that last; nullptr: nobody does. Outlives the server.
  OpenCalls* open_calls = nullptr;
  // Who may begin a call of `/package.Service/Method` at all: asked before a message is read and
  // before a thread is taken, on threads that must not block. Needs `tls`. An error is what the
  // caller is told. With it there is no reflection, whose streams hold threads; health is checked
  // by whoever has a certificate, and watched by nobody.
  std::function<absl::Status(const Peer& peer, std::string_view method)> authorise;
};

// Create(), Start(), SetServing() as it comes, Shutdown(). Thread-safe.
class Server {
 public:
  // The services outlive the server. Error: kInvalidArgument names the option (listen.grpc,
  // listen.tls).
  static absl::StatusOr<std::unique_ptr<Server>> Create(ServerOptions options,
                                                        std::vector<grpc::Service*> services);
  // Shutdown(0).
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and serves, with health NOT_SERVING. Once. Error: kUnavailable when the address can't be
  // had.
  absl::Status Start();
  // The port served; 0 before Start().
  int port() const { return port_; }

  // Zeros before Start().
  Acceptor::Counts connections();

  // What health says of `service`; "" is the process as a whole.
  void SetServing(const std::string& service, bool serving);

  // Takes no more calls, waits for those under way, cancels them after `timeout`, and waits for
  // their handlers. Health says NOT_SERVING from the start of it. Further calls do nothing.
  void Shutdown(std::chrono::milliseconds timeout);

 private:
  Server(ServerOptions options, base::ListenAddress address, std::vector<grpc::Service*> services)
      : options_(std::move(options)),
        address_(std::move(address)),
        services_(std::move(services)) {}

  const ServerOptions options_;
  const base::ListenAddress address_;
  const std::vector<grpc::Service*> services_;
  int port_ = 0;
  // Set by Start().
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> taker_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  base::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::rpc
