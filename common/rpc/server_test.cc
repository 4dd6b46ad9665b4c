#include "common/rpc/server.h"

#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/method_handler.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "common/base/strings.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/wait_until.h"

namespace sluice::rpc {
namespace {

using google::protobuf::MessageLite;
using google::protobuf::StringValue;
using testing::HasSubstr;
using namespace std::chrono_literals;

// Waits until it is let go or its call is cancelled; answers with its request.
class WaitingService : public grpc::Service {
 public:
  WaitingService() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/sluice.test.Waiting/Echo", grpc::internal::RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<WaitingService, StringValue, StringValue, MessageLite,
                                             MessageLite>(
            [](WaitingService* service, grpc::ServerContext* context, const StringValue* in,
               StringValue* out) {
              service->entered = true;
              while (service->hold && !context->IsCancelled()) std::this_thread::yield();
              *out = *in;
              return grpc::Status::OK;
            },
            this)));
  }
  std::atomic<bool> hold = false;
  std::atomic<bool> entered = false;
};

class ServerTest : public testing::Test {
 protected:
  void Serve(ServerOptions options = {}) {
    auto server = Server::Create(std::move(options), {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    absl::Status started = (*server)->Start();
    ASSERT_TRUE(started.ok()) << started;
    server_ = *std::move(server);
    auto channel = Connect({.address = base::StrCat("127.0.0.1:", server_->port())}, "test");
    ASSERT_TRUE(channel.ok()) << channel.status();
    channel_ = *channel;
  }

  int Health(const std::string& service) { return HealthOf(*channel_, service); }

  grpc::Status Echo(const std::string& text) {
    StringValue request, response;
    request.set_value(text);
    return CallUnary(*channel_, "/sluice.test.Waiting/Echo", request, &response);
  }

  WaitingService service_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ServerTest, HealthSaysWhatItWasTold) {
  Serve();
  EXPECT_EQ(Health(""), 2);
  EXPECT_EQ(Health("sluice.test.Waiting"), -static_cast<int>(grpc::StatusCode::NOT_FOUND));
  server_->SetServing("", true);
  server_->SetServing("sluice.test.Waiting", true);
  EXPECT_EQ(Health(""), 1);
  EXPECT_EQ(Health("sluice.test.Waiting"), 1);
  server_->SetServing("", false);
  EXPECT_EQ(Health(""), 2);
}

TEST_F(ServerTest, ReflectionListsTheServices) {
  Serve();
  const std::string names = ReflectedNames(channel_);
  EXPECT_THAT(names, HasSubstr("sluice.test.Waiting"));
  EXPECT_THAT(names, HasSubstr("grpc.reflection.v1alpha.ServerReflection"));
}

TEST_F(ServerTest, RefusesAnAddressThatOthersCanReachUnlessThereIsTls) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "192.0.2.1:0"}) {
    auto server = Server::Create({.address = address}, {});
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(server.status().message()), HasSubstr("set listen.tls")) << address;
  }
  EXPECT_THAT(std::string(Server::Create({.address = "example.org:1"}, {}).status().message()),
              HasSubstr("listen.grpc: "));
  EXPECT_FALSE(Server::Create({.tls = TlsFiles{.certificate = "no/such.crt"}}, {}).ok());
  EXPECT_FALSE(Server::Create({.threads_max = 0}, {}).ok());
}

TEST_F(ServerTest, RefusesAPortInUse) {
  Serve();
  auto second = Server::Create({.address = base::StrCat("127.0.0.1:", server_->port())}, {});
  ASSERT_TRUE(second.ok());
  absl::Status status = (*second)->Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is the port in use"));
  EXPECT_EQ((*second)->port(), 0);
}

// A client of TCP alone; `connect` doesn't wait.
telemetry::Fd RawSocket() {
  return telemetry::Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}
void ConnectRaw(const telemetry::Fd& fd, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to));
}
// Whether the other end has closed it.
bool IsClosed(const telemetry::Fd& fd) {
  char byte;
  ssize_t read = recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return read == 0 || (read < 0 && errno != EAGAIN);
}

TEST_F(ServerTest, ConnectionsBeyondTheBoundAreClosedAndTheirPlacesAreFreedAgain) {
  for (bool total : {false, true}) {
    ServerOptions options;
    options.connections = total ? Acceptor::Limits{.connections_max = 4}
                                : Acceptor::Limits{.connections_per_address_max = 4};
    Serve(std::move(options));
    std::vector<telemetry::Fd> sockets;
    for (int i = 0; i < 6; ++i) ConnectRaw(sockets.emplace_back(RawSocket()), server_->port());
    auto closed = [&] { return std::count_if(sockets.begin(), sockets.end(), IsClosed); };
    EXPECT_TRUE(test_support::WaitUntil(10s, [&] { return closed() == 2; })) << closed();
    Acceptor::Counts counts = server_->connections();
    EXPECT_EQ(counts.open, 4);
    EXPECT_EQ(total ? counts.refused_total : counts.refused_address, 2u);
    EXPECT_EQ(total ? counts.refused_address : counts.refused_total, 0u);
    EXPECT_FALSE(Echo("no place").ok());
    sockets.clear();
    EXPECT_TRUE(test_support::WaitUntil(30s, [&] { return Echo("a place").ok(); }));
  }
}

TEST_F(ServerTest, AWantOfDescriptorsPasses) {
  Serve();
  ASSERT_TRUE(Echo("before").ok());
  std::vector<telemetry::Fd> sockets;
  for (int i = 0; i < 40; ++i) sockets.push_back(RawSocket());
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(sockets.back().get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  for (const telemetry::Fd& fd : sockets) ConnectRaw(fd, server_->port());
  EXPECT_TRUE(test_support::WaitUntil(
      30s, [&] { return std::all_of(sockets.begin(), sockets.end(), IsClosed); }));
  EXPECT_GT(server_->connections().refused_descriptors, 0u);
  EXPECT_TRUE(Echo("on the connection of before").ok());
  sockets.clear();
  // The want has passed, though the limit is as low as it was.
  ConnectRaw(sockets.emplace_back(RawSocket()), server_->port());
  EXPECT_TRUE(test_support::WaitUntil(30s, [&] { return server_->connections().open == 2; }));
  EXPECT_FALSE(IsClosed(sockets.back()));
  setrlimit(RLIMIT_NOFILE, &before);
  auto channel = Connect({.address = base::StrCat("127.0.0.1:", server_->port())}, "another");
  ASSERT_TRUE(channel.ok());
  channel_ = *channel;
  EXPECT_TRUE(Echo("on a new one").ok());
}

TEST_F(ServerTest, RefusesMessagesOverTheBound) {
  Serve({.message_bytes_max = 1000});
  EXPECT_TRUE(Echo(std::string(900, 'x')).ok());
  EXPECT_EQ(Echo(std::string(1100, 'x')).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ServerTest, ShutdownLetsCallsUnderWayEnd) {
  Serve();
  service_.hold = true;
  grpc::Status status;
  std::thread caller([&] { status = Echo("a"); });
  while (!service_.entered) std::this_thread::yield();
  std::thread stopper([&] { server_->Shutdown(std::chrono::seconds(30)); });
  service_.hold = false;
  stopper.join();
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ServerTest, ShutdownCancelsWhatOutlastsItsTimeout) {
  Serve();
  service_.hold = true;
  grpc::Status status;
  std::thread caller([&] { status = Echo("a"); });
  while (!service_.entered) std::this_thread::yield();
  server_->Shutdown(std::chrono::milliseconds(10));
  caller.join();
  EXPECT_FALSE(status.ok());
  server_->Shutdown(std::chrono::milliseconds(10));
}

TEST_F(ServerTest, ShutdownBeforeStartDoesNothing) {
  auto server = Server::Create({}, {});
  ASSERT_TRUE(server.ok());
  (*server)->SetServing("", true);
  (*server)->Shutdown(std::chrono::milliseconds(0));
}

TEST_F(ServerTest, ACallThatLastsIsEndedAndLeavesWhatItHeld) {
  OpenCalls calls({.call_max = std::chrono::milliseconds(50)});
  Serve({.open_calls = &calls});
  service_.hold = true;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(Echo("a").error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  service_.hold = false;
  EXPECT_TRUE(Echo("b").ok());
  server_->Shutdown(std::chrono::milliseconds(1000));
  server_.reset();
}

TEST_F(ServerTest, AuthorisationNeedsTls) {
  EXPECT_THAT(
      std::string(
          Server::Create(
              {.authorise = [](const Peer&, std::string_view) { return absl::OkStatus(); }}, {})
              .status()
              .message()),
      HasSubstr("listen.tls"));
}

}  // namespace
}  // namespace sluice::rpc
