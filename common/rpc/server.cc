#include "common/rpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/rpc/library.h"
#include "common/rpc/status.h"

namespace sluice::rpc {
namespace {

// A connection that is opened and then says nothing.
constexpr int kHandshakeTimeoutMs = 10'000;
// A connection whose other end has gone without a word, and one that nobody uses.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Clients ask every 20 s (channel.cc) whether this end is alive; who asks more often is cut off.
constexpr int kPingIntervalMinMs = 10'000;
constexpr int kConnectionIdleMs = 15 * 60'000;

// Asks before a call begins.
class Doorkeeper final : public grpc::AuthMetadataProcessor {
 public:
  using Authorise = std::function<absl::Status(const Peer& peer, std::string_view method)>;
  explicit Doorkeeper(Authorise authorise) : authorise_(std::move(authorise)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    auto path = metadata.find(":path");
    const std::string_view method =
        path == metadata.end() ? "" : std::string_view(path->second.data(), path->second.size());
    if (method == "/grpc.health.v1.Health/Check") return grpc::Status::OK;
    if (method.starts_with("/grpc.health.") || method.starts_with("/grpc.reflection."))
      return {grpc::StatusCode::UNIMPLEMENTED, "not here"};
    return ToGrpc(authorise_(PeerOf(*context), method));
  }

 private:
  const Authorise authorise_;
};

}  // namespace

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
  if (options.authorise && !options.tls.has_value())
    return absl::InvalidArgumentError("listen.tls: callers are known by their certificates");
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
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kConnectionIdleMs);
  auto credentials = options_.tls.has_value() ? MakeServerCredentials(*options_.tls)
                                              : grpc::InsecureServerCredentials();
  if (options_.authorise)
    credentials->SetAuthMetadataProcessor(std::make_shared<Doorkeeper>(options_.authorise));
  auto acceptor = Acceptor::Listen(address_, options_.connections);
  if (!acceptor.ok()) {
    return absl::UnavailableError(base::StrCat("listen.grpc: can't serve on ", options_.address,
                                               ": ", base::View(acceptor.status().message())));
  }
  taker_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  if (options_.open_calls != nullptr) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
    factories.push_back(options_.open_calls->MakeFactory());
    builder.experimental().SetInterceptorCreators(std::move(factories));
  }
  for (grpc::Service* service : services_) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    return absl::UnavailableError(
        base::StrCat("listen.grpc: gRPC can't serve on ", options_.address));
  }
  acceptor_ = *std::move(acceptor);
  port_ = acceptor_->port();
  acceptor_->Start([this](int listener, int connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters taken;
    taken.listener_fd = listener;
    taken.fd = connection;
    taker_->HandleNewConnection(&taken);
  });
  SetServing("", false);
  return absl::OkStatus();
}

Acceptor::Counts Server::connections() {
  return acceptor_ == nullptr ? Acceptor::Counts() : acceptor_->counts();
}

void Server::SetServing(const std::string& service, bool serving) {
  if (server_ != nullptr) server_->GetHealthCheckService()->SetServingStatus(service, serving);
}

void Server::Shutdown(std::chrono::milliseconds timeout) {
  base::MutexLock lock(mutex_);
  if (server_ == nullptr || stopped_) return;
  stopped_ = true;
  acceptor_->Stop();
  server_->GetHealthCheckService()->Shutdown();
  server_->Shutdown(std::chrono::system_clock::now() + timeout);
  server_->Wait();
}

}  // namespace sluice::rpc
