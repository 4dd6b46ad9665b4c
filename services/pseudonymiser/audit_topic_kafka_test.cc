// The audit topic on a real Kafka.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/trail/chain.h"
#include "services/pseudonymiser/audit_topic.h"
#include "services/pseudonymiser/testing.h"
#include "tests/support/shared_broker.h"

namespace sluice::pseudonymiser {
namespace {

TEST(AuditTopicKafkaTest, HasEveryLineOfTheTrailAndTellsWhatTheFileHides) {
  const std::string broker = test_support::SharedBroker().bootstrap();
  const std::string topic = test_support::UniqueName("audit");
  kafka::ConnectionOptions connection{.brokers = {broker}};
  auto admin = kafka::Admin::Create(connection);
  ASSERT_TRUE(admin.ok()) << admin.status();
  const kafka::NewTopic wanted{.name = topic, .partitions = 3};
  ASSERT_TRUE((*admin)->CreateTopics({&wanted, 1}).ok());

  TestService service;
  service.SetPolicy(
      "callers: [{caller: \"spiffe://force/admin\", may: [{calls: [list_domains, rotate_domain], "
      "domains: [\"*\"]}]}]");
  service.SetAudit(base::StrCat(", topic: {brokers: [\"", broker, "\"], topic: ", topic, "}"));
  absl::Status started = service.Start();
  ASSERT_TRUE(started.ok()) << started;
  auto stub = service.ConnectAs("spiffe://force/admin");
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    v1::RotateDomainRequest request;
    request.set_domain("intelligence");
    v1::RotateDomainResponse response;
    ASSERT_TRUE(stub->RotateDomain(&context, request, &response).ok());
  }
  service.Stop();

  std::string published;
  kafka::TopicReader reader({.connection = connection});
  absl::Status read = reader.Read(std::vector<std::string>{topic}, [&](const auto& record) {
    EXPECT_EQ(record.key, "test") << "one writer's lines stay in one partition, in their order";
    base::StrAppend(published, *record.value, "\n");
    return absl::OkStatus();
  });
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(published, TestService::Read(service.trail()));
  std::string writer;
  trail::Head head;
  EXPECT_TRUE(trail::Verify(published, writer, head).ok());
  EXPECT_EQ(head.sequence, 22u) << "the start, the new state, and each rotation";
}

}  // namespace
}  // namespace sluice::pseudonymiser
