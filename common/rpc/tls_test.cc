#include "common/rpc/tls.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/method_handler.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

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
#include "gmock/gmock.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"

namespace sluice::rpc {
namespace {

using google::protobuf::Empty;
using google::protobuf::MessageLite;
using google::protobuf::StringValue;
using testing::ElementsAre;
using testing::HasSubstr;

// Authorities and what they signed, as PEM files in a folder of its own.
class TlsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/sluice_tls_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    for (auto& [name, authority] : authorities_) {
      X509_free(authority.certificate);
      EVP_PKEY_free(authority.key);
    }
  }

  // `names` is OpenSSL's form of a subjectAltName. The other side must come from the same
  // authority.
  TlsFiles Issue(const std::string& authority, const std::string& name, const std::string& names) {
    Pair& issuer = authorities_[authority];
    if (issuer.certificate == nullptr) issuer = Make(authority, "", nullptr);
    Pair pair = Make(name, names, &issuer);
    std::string stem = folder_ + "/" + name;
    TlsFiles files{.certificate = stem + ".crt",
                   .private_key = stem + ".key",
                   .authority = folder_ + "/" + authority + ".crt",
                   .refresh_s = 1};
    WriteCertificate(files.certificate, pair.certificate);
    WriteCertificate(files.authority, issuer.certificate);
    BIO* bio = BIO_new_file(files.private_key.c_str(), "w");
    PEM_write_bio_PrivateKey(bio, pair.key, nullptr, nullptr, 0, nullptr, nullptr);
    BIO_free(bio);
    X509_free(pair.certificate);
    EVP_PKEY_free(pair.key);
    return files;
  }

  TlsFiles Server() { return Issue("site", "server", "IP:127.0.0.1,DNS:localhost"); }

  std::string folder_;

 private:
  struct Pair {
    X509* certificate = nullptr;
    EVP_PKEY* key = nullptr;
  };

  static Pair Make(const std::string& name, const std::string& names, Pair* issuer) {
    static int serial = 0;
    Pair pair{X509_new(), EVP_EC_gen("P-256")};
    X509_set_version(pair.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(pair.certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(pair.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(pair.certificate), 3600);
    X509_set_pubkey(pair.certificate, pair.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(pair.certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    const Pair& by = issuer == nullptr ? pair : *issuer;
    X509_set_issuer_name(pair.certificate, X509_get_subject_name(by.certificate));
    if (issuer == nullptr) Extend(pair.certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (!names.empty()) Extend(pair.certificate, NID_subject_alt_name, names);
    X509_sign(pair.certificate, by.key, EVP_sha256());
    return pair;
  }

  static void Extend(X509* certificate, int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  // By renaming, as a site's tool does: nobody reads half a file.
  static void WriteCertificate(const std::string& path, X509* certificate) {
    std::string temporary = path + ".new";
    BIO* bio = BIO_new_file(temporary.c_str(), "w");
    PEM_write_bio_X509(bio, certificate);
    BIO_free(bio);
    std::filesystem::rename(temporary, path);
  }

  std::map<std::string, Pair> authorities_;
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
