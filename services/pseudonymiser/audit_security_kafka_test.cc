// The audit topic on a Kafka that wants TLS and a password.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "services/pseudonymiser/testing.h"
#include "tests/support/http_get.h"
#include "tests/support/secure_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::pseudonymiser {
namespace {

using namespace std::chrono_literals;
using test_support::KafkaAccess;
using test_support::WaitUntil;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class AuditSecurityKafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto secure = test_support::SecureBroker::Start();
    ASSERT_TRUE(secure.ok()) << secure.status();
    secure_ = *std::move(secure);
    const kafka::NewTopic wanted{.name = "audit"};
    ASSERT_TRUE((*kafka::Admin::Create(Direct()))->CreateTopics({&wanted, 1}).ok());
    using enum KafkaAccess::Operation;
    ASSERT_TRUE(
        secure_->access()
            .Grant("User:alice", KafkaAccess::Resource::kTopic, "audit", {kDescribe, kWrite})
            .ok());
    std::filesystem::copy_file(secure_->authority(), service_.path("ca.crt"));
    TestService::Write(service_.path("password"), "wonderland\n");
    service_.SetPolicy(
        "callers: [{caller: \"spiffe://force/admin\", may: [{calls: [rotate_domain], domains: "
        "[\"*\"]}]}]");
    service_.SetAudit(base::StrCat(
        ", topic: {brokers: [\"", secure_->broker().bootstrap(),
        "\"], topic: audit, security: {tls: {ca: ca.crt}, sasl: {username: alice, password: "
        "password}}}"));
  }

  kafka::ConnectionOptions Direct() {
    return {.brokers = {secure_->broker().direct()},
            .log = [](int, std::string_view, std::string_view) {}};
  }
  void RotateOnce() {
    auto stub = service_.ConnectAs("spiffe://force/admin");
    grpc::ClientContext context;
    v1::RotateDomainRequest request;
    request.set_domain("intelligence");
    v1::RotateDomainResponse response;
    ASSERT_TRUE(stub->RotateDomain(&context, request, &response).ok());
  }
  std::string Published() {
    std::string published;
    absl::Status read =
        kafka::TopicReader({.connection = Direct()})
            .Read(std::vector<std::string>{"audit"}, [&](const kafka::ReadRecord& record) {
              base::StrAppend(published, *record.value, "\n");
              return absl::OkStatus();
            });
    EXPECT_TRUE(read.ok()) << read;
    return published;
  }
  // Lines may be published again after a fault; each is there.
  bool AllPublished() {
    std::string published = Published(), trail = TestService::Read(service_.trail());
    for (size_t at = 0; at < trail.size();) {
      size_t end = trail.find('\n', at) + 1;
      if (published.find(trail.substr(at, end - at)) == std::string::npos) return false;
      at = end;
    }
    return !trail.empty();
  }
  std::string Metrics() {
    return test_support::HttpGet(service_.process().http_port(), "/metrics").value_or("");
  }

  TestService service_;
  std::unique_ptr<test_support::SecureBroker> secure_;
};

// The broker's restart is what makes everyone show who they are anew.
TEST_F(AuditSecurityKafkaTest, LinesArePublishedAndARenewedPasswordIsTaken) {
  ASSERT_TRUE(service_.Start().ok());
  RotateOnce();
  EXPECT_TRUE(WaitUntil(20s, [&] { return AllPublished(); })) << Published();
  ASSERT_TRUE(secure_->access().SetPassword("alice", "looking-glass").ok());
  ASSERT_TRUE(secure_->broker().Restart().ok());
  RotateOnce();
  EXPECT_TRUE(WaitUntil(30s, [&] {
    return Metrics().find("sluice_audit_publish_failures_total 0") == std::string::npos;
  })) << "the old password must be refused";
  EXPECT_FALSE(AllPublished());
  TestService::Write(service_.path("password"), "looking-glass\n");
  EXPECT_TRUE(WaitUntil(40s, [&] { return AllPublished(); })) << Published();
  service_.Stop();
}

TEST_F(AuditSecurityKafkaTest, WhatContradictsItselfIsRefusedWithItsLine) {
  service_.SetAudit(
      ", topic: {brokers: [\"127.0.0.1:1\"], topic: audit, security: {sasl: {username: alice, "
      "password: password}}}");
  absl::Status refused = service_.Start();
  EXPECT_THAT(std::string(refused.message()),
              ContainsRegex("pseudonymiser.yaml:[0-9]+: audit.topic.security"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("needs TLS"));
  service_.SetAudit(
      ", topic: {brokers: [\"127.0.0.1:1\"], topic: audit, security: {tls: {ca: none.crt}}}");
  EXPECT_THAT(std::string(service_.Start().message()), HasSubstr("none.crt"));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("wonderland")));
}

}  // namespace
}  // namespace sluice::pseudonymiser
