#include "common/kafka/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "common/kafka/connection.h"
#include "tests/support/wait_until.h"

namespace sluice::kafka {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

class SecurityTest : public testing::Test {
 protected:
  ~SecurityTest() override {
    for (const std::string& file : files_) std::remove(file.c_str());
  }
  std::string File(const std::string& name, const std::string& text) {
    std::string path = testing::TempDir() + "/security_test_" + name;
    std::ofstream(path) << text;
    files_.push_back(path);
    return path;
  }
  std::vector<std::string> files_;
};

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST_F(SecurityTest, SaslGoesOverTlsOnly) {
  Security security{.mechanism = "PLAIN", .username = "a", .password = "p"};
  EXPECT_THAT(Message(security.Check()), HasSubstr("kafka.security.tls"));
}

TEST_F(SecurityTest, ACertificateAndItsKeyGoTogether) {
  EXPECT_THAT(Message(Security{.tls = true, .certificate = "c"}.Check()),
              HasSubstr("tls.private_key"));
  EXPECT_THAT(Message(Security{.tls = true, .private_key = "k"}.Check()),
              HasSubstr("tls.certificate"));
}

TEST_F(SecurityTest, ReadsThePasswordFromItsFileAndChecksTheBrokersName) {
  auto settings = SecuritySettings({.tls = true,
                                    .mechanism = "SCRAM-SHA-512",
                                    .username = "alice",
                                    .password = File("password", "hunter2\n")});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_THAT(*settings, Contains(Pair("security.protocol", "sasl_ssl")));
  EXPECT_THAT(*settings, Contains(Pair("sasl.password", "hunter2")));
  EXPECT_THAT(*settings, Contains(Pair("ssl.endpoint.identification.algorithm", "https")));
}

TEST_F(SecurityTest, WhatIsNoPemIsNamedByKeyAndFileNotByContent) {
  std::string path = File("ca", "hunter2");
  absl::Status status = SecuritySettings({.tls = true, .ca = path}).status();
  EXPECT_THAT(Message(status), HasSubstr("kafka.security.tls.ca: " + path));
  EXPECT_THAT(Message(status), Not(HasSubstr("hunter2")));
  EXPECT_THAT(Message(SecuritySettings({.tls = true, .ca = "/none"}).status()),
              HasSubstr("kafka.security.tls.ca: /none"));
}

TEST_F(SecurityTest, PropertiesMustntSayTheSame) {
  ConnectionOptions options{.brokers = {"127.0.0.1:1"},
                            .properties = {{"ssl.ca.location", "ca.pem"}},
                            .security = {.tls = true}};
  EXPECT_THAT(Message(MakeConf(options, {}, nullptr).status()), HasSubstr("ssl.ca.location"));
}

TEST_F(SecurityTest, AChangeCountsOnceItStandsStillAlsoOfEqualSize) {
  std::string path = File("watched", "one");
  FileWatch watch({path});
  EXPECT_FALSE(watch.Changed());
  File("watched", "two");
  EXPECT_TRUE(test_support::WaitUntil(10s, [&] { return watch.Changed(); }));
  watch.Take();
  EXPECT_FALSE(watch.Changed());
}

TEST_F(SecurityTest, WhatCantBeUsedIsToldOnceUntilItChangesAgain) {
  std::string path = File("renewed", "-----BEGIN CERTIFICATE-----\n");
  std::vector<std::string> said;
  ConnectionOptions options{
      .brokers = {"127.0.0.1:1"},
      .security = {.tls = true, .mechanism = "PLAIN", .username = "a", .password = path},
      .log = [&](int, std::string_view, std::string_view text) { said.emplace_back(text); }};
  Renewal renewal(options);
  File("renewed", "");
  EXPECT_TRUE(test_support::WaitUntil(10s, [&] { return renewal.Due() || !said.empty(); }));
  EXPECT_FALSE(renewal.Due());
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("kafka.security.sasl.password"));
  File("renewed", "new password");
  EXPECT_TRUE(test_support::WaitUntil(10s, [&] { return renewal.Due(); }));
  renewal.Done();
  EXPECT_FALSE(renewal.Due());
}

}  // namespace
}  // namespace sluice::kafka
