#include "common/kafka/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <cstdio>
#include <fstream>

namespace sluice::kafka {
namespace {

using testing::HasSubstr;

ConnectionOptions With(std::map<std::string, std::string> properties) {
  return {.brokers = {"127.0.0.1:1"}, .properties = std::move(properties)};
}

std::string ValueOf(const ConfPtr& conf, const char* name) {
  char value[512];
  size_t size = sizeof(value);
  EXPECT_EQ(rd_kafka_conf_get(conf.get(), name, value, &size), RD_KAFKA_CONF_OK);
  return value;
}

TEST(ConnectionTest, WantsABroker) {
  EXPECT_THAT(std::string(MakeConf({}, {}, nullptr).status().message()),
              HasSubstr("kafka.brokers"));
}

TEST(ConnectionTest, PassesPropertiesOfTheConnection) {
  EXPECT_TRUE(CheckProperties({{"security.protocol", "ssl"},
                               {"ssl.ca.location", "ca.pem"},
                               {"sasl.mechanisms", "SCRAM-SHA-512"},
                               {"socket.timeout.ms", "6000"}})
                  .ok());
}

TEST(ConnectionTest, ReconnectsWithinASecondUnlessItIsToldOtherwise) {
  EXPECT_EQ(ValueOf(*MakeConf(With({}), {}, nullptr), "reconnect.backoff.max.ms"), "1000");
  auto told = MakeConf(With({{"reconnect.backoff.max.ms", "5000"}}), {}, nullptr);
  EXPECT_EQ(ValueOf(*told, "reconnect.backoff.max.ms"), "5000");
}

TEST(ConnectionTest, RefusesByNameWhatWouldBreakTheGuarantees) {
  for (const char* name :
       {"enable.auto.commit", "isolation.level", "enable.idempotence", "transactional.id", "acks",
        "auto.offset.reset", "group.instance.id", "debug", "plugin.library.paths",
        "message.timeout.ms", "partition.assignment.strategy", "max.in.flight",
        "ssl.engine.location", "sasl.kerberos.kinit.cmd", "enable.ssl.certificate.verification"}) {
    absl::Status status = CheckProperties({{name, "x"}});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
}

TEST(ConnectionTest, RefusesInlineSecretsAndNeverRepeatsThem) {
  for (const char* name : {"sasl.password", "ssl.key.password", "ssl.key.pem"}) {
    absl::Status status = CheckProperties({{name, "hunter2"}});
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(name) + ".file"));
    EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("hunter2")));
  }
}

TEST(ConnectionTest, ReadsASecretFromItsFileWithoutTheLineEnd) {
  std::string path = testing::TempDir() + "/connection_test_secret";
  std::ofstream(path) << "hunter2\n";
  auto conf = MakeConf(With({{"sasl.password.file", path}}), {}, nullptr);
  std::remove(path.c_str());
  ASSERT_TRUE(conf.ok()) << conf.status();
  EXPECT_EQ(ValueOf(*conf, "sasl.password"), "hunter2");
}

TEST(ConnectionTest, AMissingSecretFileIsAnError) {
  EXPECT_THAT(
      std::string(
          MakeConf(With({{"sasl.password.file", "/none"}}), {}, nullptr).status().message()),
      HasSubstr("sasl.password.file"));
}

TEST(ConnectionTest, OnlySecretsComeFromFiles) {
  EXPECT_FALSE(CheckProperties({{"security.protocol.file", "x"}}).ok());
}

TEST(ConnectionTest, ARefusedValueIsNotRepeated) {
  absl::Status status = MakeConf(With({{"security.protocol", "hunter2"}}), {}, nullptr).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("security.protocol"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("hunter2")));
}

TEST(ConnectionTest, TheLibraryCanCompressAndAuthenticate) {
  std::string features = ValueOf(ConfPtr(rd_kafka_conf_new()), "builtin.features");
  for (const char* feature : {"zstd", "lz4", "ssl", "sasl_scram", "sasl_oauthbearer"}) {
    EXPECT_THAT(features, HasSubstr(feature));
  }
}

TEST(ConnectionTest, SumsAStatisticAndNotItsNamesakes) {
  EXPECT_EQ(SumStatistic(R"({"msg_size":7,"msg_size_max":100})", "msg_size"), 7);
  EXPECT_EQ(SumStatistic(R"({"a":{"fetchq_size": 3},"b":{"fetchq_size":4}})", "fetchq_size"), 7);
  EXPECT_EQ(SumStatistic(R"({"fetchq_size":)", "fetchq_size"), 0);
  EXPECT_EQ(SumStatistic("", "fetchq_size"), 0);
}

TEST(ConnectionTest, FailuresAreSortedByWhatMendsThem) {
  struct Case {
    int error;
    const char* reason;
    const char* certificate;
    FailureKind kind;
    const char* says;
  };
  for (const Case& c : {
           Case{RD_KAFKA_RESP_ERR__AUTHENTICATION,
                "SASL authentication error: Authentication failed during authentication due to "
                "invalid credentials with SASL mechanism SCRAM-SHA-512",
                "", FailureKind::kCredentials, "kafka.security.sasl"},
           Case{RD_KAFKA_RESP_ERR__AUTHENTICATION,
                "SASL SCRAM-SHA-512 mechanism handshake failed: Local: Timed out", "",
                FailureKind::kOutage, "quota"},
           Case{RD_KAFKA_RESP_ERR__AUTHENTICATION,
                "SaslAuthenticateRequest failed: Local: Broker transport failure", "",
                FailureKind::kOutage, "not refused"},
           Case{RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: certificate verify failed",
                "kafka-0:9093: has been expired since 2026-01-02T03:04:05Z",
                FailureKind::kCertificate, "expired since 2026-01-02T03:04:05Z"},
           Case{RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: certificate verify failed", "",
                FailureKind::kCertificate, "kafka.security.tls.ca"},
           Case{RD_KAFKA_RESP_ERR__TRANSPORT, "SSL alert number 116", "", FailureKind::kCertificate,
                "kafka.security.tls.certificate"},
           Case{RD_KAFKA_RESP_ERR__TRANSPORT, "Connect failed: Connection refused", "",
                FailureKind::kOutage, "Connection refused"},
       }) {
    BrokerFailure failure = SortFailure(c.error, c.reason, c.certificate);
    EXPECT_EQ(FailureKindName(failure.kind), FailureKindName(c.kind)) << c.reason;
    EXPECT_THAT(failure.text, HasSubstr(c.says));
  }
}

TEST(ConnectionTest, AFailureIsToldSinceItBeganUntilABrokerIsReached) {
  ClientContext context;
  EXPECT_FALSE(context.failure());
  context.Failed({FailureKind::kCredentials, "first", {}});
  auto since = context.failure()->since;
  context.Failed({FailureKind::kOutage, "no broker is left", {}});
  EXPECT_EQ(context.failure()->text, "first") << "an outage that follows says less";
  context.Failed({FailureKind::kCredentials, "second", {}});
  EXPECT_EQ(context.failure()->since, since);
  EXPECT_EQ(context.failure()->text, "second");
  EXPECT_EQ(context.Refusal(), "second");
  context.Reached(R"({"brokers":{"a":{"state":"AUTH_REQ"}}})");
  EXPECT_TRUE(context.failure());
  context.Reached(R"({"brokers":{"a":{"state":"UP"}}})");
  EXPECT_FALSE(context.failure());
  context.Failed({FailureKind::kOutage, "away", {}});
  EXPECT_EQ(context.Refusal(), "") << "an outage is no refusal";
}

}  // namespace
}  // namespace sluice::kafka
