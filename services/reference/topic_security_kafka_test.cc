// A set that is a topic of a Kafka that wants TLS and a password.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "common/reference/testing.h"
#include "common/rpc/channel.h"
#include "services/reference/server.h"
#include "tests/support/secure_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using namespace std::chrono_literals;
using test_support::KafkaAccess;
using test_support::WaitUntil;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TopicSecurityKafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto secure = test_support::SecureBroker::Start();
    ASSERT_TRUE(secure.ok()) << secure.status();
    secure_ = *std::move(secure);
    connection_ = {.brokers = {secure_->broker().direct()},
                   .log = [](int, std::string_view, std::string_view) {}};
    const kafka::NewTopic wanted{.name = "units", .config = {{"cleanup.policy", "compact"}}};
    ASSERT_TRUE((*kafka::Admin::Create(connection_))->CreateTopics({&wanted, 1}).ok());
    std::filesystem::copy_file(secure_->authority(), path("ca.crt"));
    WriteText(path("password"), "wonderland\n");
  }
  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }

  void Grant() {
    using enum KafkaAccess::Operation;
    ASSERT_TRUE(secure_->access()
                    .Grant("User:alice", KafkaAccess::Resource::kTopic, "units", {kDescribe, kRead})
                    .ok());
  }
  void Write(std::string_view key, std::string_view value) {
    auto writer = kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE((*writer)->Write({"units", std::nullopt, key, value, {}, {}}).ok());
    ASSERT_TRUE((*writer)->Flush().ok());
  }
  absl::StatusOr<Settings> Configure(const std::string& security) {
    WriteText(path("reference.yaml"),
              base::StrCat("folder: kept\ntrail: trail.jsonl\nkafka:\n  brokers: [\"",
                           secure_->broker().bootstrap(), "\"]\n  security: ", security,
                           "\nsets:\n  - {name: units, topic: {name: units}, schema: {columns: "
                           "[{name: unit}, {name: name}], key: [{column: unit}]}}\n"));
    return LoadSettings(path("reference.yaml"));
  }
  void Start() {
    auto settings = Configure("{tls: {ca: ca.crt}, sasl: {username: alice, password: password}}");
    ASSERT_TRUE(settings.ok()) << settings.status();
    auto server = Server::Create(*std::move(settings));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_EQ(server_->Start(), absl::OkStatus());
    auto channel =
        rpc::Connect({.address = base::StrCat("localhost:", server_->grpc_port())}, "test");
    ASSERT_TRUE(channel.ok()) << channel.status();
    stub_ = v1::Reference::NewStub(*channel);
  }
  v1::GetStatusResponse::Set Units() {
    grpc::ClientContext context;
    v1::GetStatusResponse status;
    EXPECT_TRUE(stub_->GetStatus(&context, {}, &status).ok());
    return status.sets_size() == 1 ? status.sets(0) : v1::GetStatusResponse::Set();
  }

  const std::unique_ptr<test_support::TempDir> folder_ =
      *test_support::TempDir::Create("reference-security");
  std::unique_ptr<test_support::SecureBroker> secure_;
  kafka::ConnectionOptions connection_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::Reference::Stub> stub_;
};

TEST_F(TopicSecurityKafkaTest, RowsAreReadARefusalNamesTheKeyAndARenewedPasswordIsTaken) {
  Write("a", R"({"unit":"A","name":"One"})");
  Start();
  EXPECT_TRUE(WaitUntil(20s, [&] { return !Units().refusal().empty(); }));
  EXPECT_THAT(Units().refusal(), HasSubstr("grant this principal Describe and Read"));
  Grant();
  EXPECT_TRUE(WaitUntil(30s, [&] { return Units().rows() == 1; })) << Units().refusal();

  // The broker's restart is what makes everyone show who they are anew.
  ASSERT_TRUE(secure_->access().SetPassword("alice", "looking-glass").ok());
  ASSERT_TRUE(secure_->broker().Restart().ok());
  Write("b", R"({"unit":"B","name":"Two"})");
  EXPECT_TRUE(WaitUntil(30s, [&] {
    return Units().refusal().find("kafka.security.sasl") != std::string::npos;
  })) << Units().refusal();
  EXPECT_EQ(Units().rows(), 1u) << "what was there goes on";
  EXPECT_THAT(Units().refusal(), Not(AnyOf(HasSubstr("wonderland"), HasSubstr("glass"))));
  WriteText(path("password"), "looking-glass\n");
  EXPECT_TRUE(WaitUntil(30s, [&] { return Units().rows() == 2; })) << Units().refusal();
  server_->Stop();
}

TEST_F(TopicSecurityKafkaTest, WhatContradictsItselfIsRefusedWithItsLine) {
  auto settings = Configure("{sasl: {username: alice, password: password}}");
  EXPECT_THAT(std::string(settings.status().message()), HasSubstr("reference.yaml:5"));
  EXPECT_THAT(std::string(settings.status().message()), HasSubstr("needs TLS"));
}

}  // namespace
}  // namespace sluice::reference
