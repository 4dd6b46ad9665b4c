#include "common/rpc/tls.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/method_handler.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "common/base/strings.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/tls_pair.h"
#include "gmock/gmock.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"

namespace sluice::rpc {
namespace {

using google::protobuf::Empty;
using google::protobuf::MessageLite;
using google::protobuf::StringValue;
using testing::ElementsAre;
using testing::HasSubstr;

class TlsTest : public testing::Test {
 protected:
  // The other side must come from the same authority.
  TlsFiles Issue(const std::string& authority, const std::string& name, const std::string& names) {
    test_support::CertificateFiles files = certificates_.Issue(authority, name, names);
    return {.certificate = files.certificate,
            .private_key = files.private_key,
            .authority = files.authority,
            .refresh_s = 1};
  }

  TlsFiles Server() { return Issue("site", "server", "IP:127.0.0.1,DNS:localhost"); }

  test_support::Certificates certificates_;
  const std::string folder_ = certificates_.folder();
};

// Remembers who called.
class PeerService : public grpc::Service {
 public:
  PeerService() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/sluice.test.Peer/Get", grpc::internal::RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<PeerService, Empty, StringValue, MessageLite,
                                             MessageLite>(
            [](PeerService* service, grpc::ServerContext* context, const Empty*, StringValue* out) {
              std::lock_guard lock(service->mutex_);
              service->last_ = PeerOf(*context->auth_context());
              out->set_value(service->last_.Name());
              return grpc::Status::OK;
            },
            this)));
  }
  Peer last() {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  std::mutex mutex_;
  Peer last_;
};

grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, std::string* name = nullptr) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  StringValue out;
  grpc::internal::RpcMethod method("/sluice.test.Peer/Get", grpc::internal::RpcMethod::NORMAL_RPC);
  grpc::Status status =
      grpc::internal::BlockingUnaryCall<Empty, StringValue, MessageLite, MessageLite>(
          channel.get(), method, &context, Empty(), &out);
  if (name != nullptr) *name = out.value();
  return status;
}

std::unique_ptr<class Server> Serve(const TlsFiles& files, PeerService& service) {
  auto server = Server::Create({.tls = files}, {&service});
  EXPECT_TRUE(server.ok()) << server.status();
  absl::Status started = (*server)->Start();
  EXPECT_TRUE(started.ok()) << started;
  return *std::move(server);
}

std::shared_ptr<grpc::Channel> ConnectTo(const class Server& server,
                                         std::optional<TlsFiles> files) {
  auto channel = Connect(
      {.address = base::StrCat("127.0.0.1:", server.port()), .tls = std::move(files)}, "test");
  EXPECT_TRUE(channel.ok()) << channel.status();
  return *channel;
}

TEST_F(TlsTest, PeerIsWhoTheCertificateSays) {
  PeerService service;
  auto server = Serve(Server(), service);
  TlsFiles client =
      Issue("site", "client", "URI:spiffe://test/processor,DNS:processor.test,DNS:b.test");
  std::string name;
  grpc::Status status = Call(ConnectTo(*server, client), &name);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(name, "spiffe://test/processor");
  Peer peer = service.last();
  EXPECT_TRUE(peer.authenticated);
  EXPECT_EQ(peer.spiffe_id, "spiffe://test/processor");
  EXPECT_THAT(peer.uris, ElementsAre("spiffe://test/processor"));
  EXPECT_THAT(peer.dns_names, ElementsAre("processor.test", "b.test"));
  EXPECT_EQ(peer.common_name, "client");
}

TEST_F(TlsTest, PeersNameFallsBackFromSpiffeIdToDnsToCommonName) {
  PeerService service;
  auto server = Serve(Server(), service);
  std::string name;
  EXPECT_TRUE(Call(ConnectTo(*server, Issue("site", "a", "DNS:a.test")), &name).ok());
  EXPECT_EQ(name, "a.test");
  EXPECT_TRUE(Call(ConnectTo(*server, Issue("site", "b", "")), &name).ok());
  EXPECT_EQ(name, "b");
}

TEST_F(TlsTest, AClientWithoutACertificateIsRefused) {
  PeerService service;
  TlsFiles files = Server();
  auto server = Serve(files, service);
  std::ifstream authority(files.authority);
  grpc::SslCredentialsOptions only_roots;
  only_roots.pem_root_certs.assign(std::istreambuf_iterator<char>(authority), {});
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  auto channel = grpc::CreateCustomChannel(base::StrCat("127.0.0.1:", server->port()),
                                           grpc::SslCredentials(only_roots), arguments);
  EXPECT_EQ(Call(channel).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(service.last().authenticated);
}

TEST_F(TlsTest, AClientWithoutTlsIsRefused) {
  PeerService service;
  auto server = Serve(Server(), service);
  EXPECT_EQ(Call(ConnectTo(*server, std::nullopt)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, AClientOfAnotherAuthorityIsRefused) {
  PeerService service;
  TlsFiles files = Server();
  auto server = Serve(files, service);
  TlsFiles stranger = Issue("elsewhere", "stranger", "DNS:s.test");
  stranger.authority = files.authority;
  EXPECT_EQ(Call(ConnectTo(*server, stranger)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, AServerWithAnotherNameIsRefused) {
  PeerService service;
  auto server = Serve(Issue("site", "server", "DNS:other.test"), service);
  TlsFiles client = Issue("site", "client", "DNS:c.test");
  EXPECT_EQ(Call(ConnectTo(*server, client)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, FilesAreReadAgainWithoutARestart) {
  PeerService service;
  TlsFiles files = Server();
  auto server = Serve(files, service);
  TlsFiles client = Issue("next", "client", "DNS:c.test");
  std::string next_authority = client.authority;
  client.authority = folder_ + "/site_copy.crt";
  std::filesystem::copy_file(files.authority, client.authority);
  ASSERT_FALSE(Call(ConnectTo(*server, client)).ok());

  std::filesystem::copy_file(next_authority, files.authority + ".new");
  std::filesystem::rename(files.authority + ".new", files.authority);
  bool accepted = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!accepted && std::chrono::steady_clock::now() < deadline) {
    // A channel of its own each time: nothing is carried over from a refused handshake.
    accepted = Call(ConnectTo(*server, client)).ok();
  }
  EXPECT_TRUE(accepted);
}

// The certificate that the server at the other end shows.
std::string CertificateAt(const std::shared_ptr<grpc::Channel>& channel, bool& failed) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  StringValue out;
  grpc::internal::RpcMethod method("/sluice.test.Peer/Get", grpc::internal::RpcMethod::NORMAL_RPC);
  grpc::Status status =
      grpc::internal::BlockingUnaryCall<Empty, StringValue, MessageLite, MessageLite>(
          channel.get(), method, &context, Empty(), &out);
  failed = !status.ok();
  if (failed) return "";
  auto pem = context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return pem.empty() ? "" : std::string(pem[0].data(), pem[0].size());
}

TEST_F(TlsTest, ARenewedCertificateIsTakenAndDisturbsNoCall) {
  PeerService service;
  auto server = Serve(Server(), service);
  TlsFiles client = Issue("site", "client", "DNS:c.test");
  auto channel = ConnectTo(*server, client);
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0, failures = 0;
  std::thread traffic([&] {
    for (; !stop; ++calls) failures += Call(channel).ok() ? 0 : 1;
  });
  bool failed = false;
  const std::string before = CertificateAt(ConnectTo(*server, client), failed);
  EXPECT_FALSE(failed);
  EXPECT_FALSE(before.empty());

  Server();
  std::string now = before;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (now == before && std::chrono::steady_clock::now() < deadline) {
    now = CertificateAt(ConnectTo(*server, client), failed);
    failures += failed ? 1 : 0;
  }
  EXPECT_NE(now, before);
  const int seen = calls;
  while (calls < seen + 10) std::this_thread::yield();
  stop = true;
  traffic.join();
  EXPECT_EQ(failures, 0);
}

// A key and its certificate that are renewed one after the other, and half a file that stays.
TEST_F(TlsTest, WhileTheFilesAreNotWholeThePairOfBeforeServesOn) {
  const TlsFiles files = Issue("site", "torn", "IP:127.0.0.1");
  const TlsFiles next = Issue("site", "next", "IP:127.0.0.1");
  const TlsPair& pair = TlsPair::Of(files);
  auto read = [](const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  auto write = [](const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  };
  const std::string before = read(pair.watched().certificate);
  EXPECT_THAT(before, HasSubstr("PRIVATE KEY"));
  EXPECT_THAT(before, HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_TRUE(pair.refused().ok());
  auto look = [&] { const_cast<TlsPair&>(pair).Look(); };

  write(files.private_key, read(next.private_key));
  look();
  EXPECT_EQ(read(pair.watched().certificate), before);
  EXPECT_THAT(std::string(pair.refused().message()), HasSubstr("isn't the key of the certificate"));
  const std::string certificate = read(next.certificate);
  for (size_t size : {size_t{0}, certificate.size() / 2, certificate.size() - 10}) {
    write(files.certificate, certificate.substr(0, size));
    look();
    EXPECT_EQ(read(pair.watched().certificate), before) << size;
    EXPECT_FALSE(pair.refused().ok());
  }
  write(files.certificate, certificate);
  look();
  EXPECT_TRUE(pair.refused().ok()) << pair.refused();
  EXPECT_EQ(read(pair.watched().certificate), read(next.private_key) + "\n" + certificate);
  const std::string authority = read(files.authority);
  write(files.authority, "-----BEGIN CERTIFICATE-----\n");
  look();
  EXPECT_EQ(read(pair.watched().authority), authority);
  EXPECT_FALSE(pair.refused().ok());
  write(files.authority, authority);
  telemetry::Registry registry;
  AddTlsMetrics(registry);
  EXPECT_THAT(registry.Serialize(),
              HasSubstr("sluice_tls_files_refused{certificate=\"" + files.certificate + "\"}"));
}

TEST_F(TlsTest, WrongFilesAreNamedAtTheStart) {
  TlsFiles good = Server();
  EXPECT_TRUE(CheckTlsFiles(good, "listen.tls").ok());
  auto error = [](const TlsFiles& files) {
    absl::Status status = CheckTlsFiles(files, "listen.tls");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  TlsFiles files = good;
  files.certificate = folder_ + "/missing.crt";
  EXPECT_THAT(error(files),
              HasSubstr("listen.tls.certificate: " + files.certificate + ": can't be read"));
  files = good;
  files.certificate = "";
  EXPECT_THAT(error(files), HasSubstr("listen.tls.certificate: (empty): name a PEM file"));
  files = good;
  files.certificate = good.private_key;
  EXPECT_THAT(error(files), HasSubstr("holds no PEM certificate"));
  files = good;
  files.private_key = good.certificate;
  EXPECT_THAT(error(files),
              HasSubstr("listen.tls.private_key: " + good.certificate + ": holds no unencrypted"));
  files = good;
  files.private_key = Issue("site", "other", "").private_key;
  EXPECT_THAT(error(files), HasSubstr("isn't the key of the certificate in " + good.certificate));
  files = good;
  files.authority = good.private_key;
  EXPECT_THAT(error(files), HasSubstr("listen.tls.client_ca: "));
}

TEST(Peer, WithoutTlsIsNobody) {
  EXPECT_EQ(Peer().Name(), "");
  Peer peer{.authenticated = true, .uris = {"urn:x"}, .common_name = "c"};
  EXPECT_EQ(peer.Name(), "urn:x");
}

}  // namespace
}  // namespace sluice::rpc
