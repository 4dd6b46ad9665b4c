#include "common/rpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/rpc/library.h"

namespace sluice::rpc {

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options,
                                                       std::vector<grpc::Service*> services) {
  InitialiseLibrary();
  SLUICE_ASSIGN_OR_RETURN(base::ListenAddress address,
                          base::ParseListenAddress("listen.grpc", options.address));
  if (options.tls.has_value()) {
    SLUICE_RETURN_IF_ERROR(CheckTlsFiles(*options.tls, "listen.tls"));
  } else if (!address.loopback) {
    return absl::InvalidArgumentError(
        base::StrCat("listen.grpc: ", options.address,
                     " can be reached from other machines: set listen.tls (certificate, "
                     "private_key, client_ca), or listen on 127.0.0.1"));
  }
  // gRPC needs a few threads for itself.
  if (options.message_bytes_max < 1 || options.calls_per_connection_max < 1 ||
      options.threads_max < 4 || options.buffer_bytes_max < 1024 * 1024) {
    return absl::InvalidArgumentError(
        "gRPC server: message_bytes_max and calls_per_connection_max must be at least 1, "
        "threads_max at least 4, buffer_bytes_max at least 1048576");
  }
  return std::unique_ptr<Server>(
      new Server(std::move(options), std::move(address), std::move(services)));
}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

absl::Status Server::Start() {
  if (server_ != nullptr)
    return absl::FailedPreconditionError("the gRPC server is started already");
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ResourceQuota quota("sluice");
  quota.SetMaxThreads(options_.threads_max).Resize(options_.buffer_bytes_max);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(options_.message_bytes_max);
  builder.SetMaxSendMessageSize(options_.message_bytes_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options_.calls_per_connection_max);
  // Otherwise a second process would share the port in silence, and get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address_.ToString(),
                           options_.tls.has_value() ? MakeServerCredentials(*options_.tls)
                                                    : grpc::InsecureServerCredentials(),
                           &port_);
  for (grpc::Service* service : services_) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ <= 0) {
    server_ = nullptr;
    port_ = 0;
    return absl::UnavailableError(
        base::StrCat("listen.grpc: can't serve on ", options_.address,
                     ": is the port in use, or the address not this machine's?"));
  }
  SetServing("", false);
  return absl::OkStatus();
}

void Server::SetServing(const std::string& service, bool serving) {
  if (server_ != nullptr) server_->GetHealthCheckService()->SetServingStatus(service, serving);
}

void Server::Shutdown(std::chrono::milliseconds timeout) {
  base::MutexLock lock(mutex_);
  if (server_ == nullptr || stopped_) return;
  stopped_ = true;
  server_->GetHealthCheckService()->Shutdown();
  server_->Shutdown(std::chrono::system_clock::now() + timeout);
  server_->Wait();
}

}  // namespace sluice::rpc
