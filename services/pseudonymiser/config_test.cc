#include "services/pseudonymiser/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace sluice::pseudonymiser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kGood = R"(keyring: keys/keyring
key_encryption_key: /mnt/kek
policy: policy.yaml
listen: {tls: {certificate: a.crt, private_key: a.key, client_ca: ca.crt}}
audit: {file: audit.jsonl}
)";

class ConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<config::v1::PseudonymiserService> Load(const std::string& yaml,
                                                        const std::string& instance = "p-0") {
    std::ofstream(folder_->path() + "/p.yaml") << yaml;
    return LoadConfig(folder_->path() + "/p.yaml", instance);
  }
  std::string Refusal(const std::string& yaml, const std::string& instance = "p-0") {
    return std::string(Load(yaml, instance).status().message());
  }
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("config");
};

TEST_F(ConfigTest, PathsAreRelativeToTheFileAndDefaultsAreFilledIn) {
  auto config = Load(kGood);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->keyring(), folder_->path() + "/keys/keyring");
  EXPECT_EQ(config->key_encryption_key(), "/mnt/kek");
  EXPECT_EQ(config->listen().tls().client_ca(), folder_->path() + "/ca.crt");
  EXPECT_EQ(config->audit().writer(), "p-0");
  EXPECT_EQ(config->limits().values_per_call(), 100'000);
  EXPECT_EQ(config->reidentification().grant_valid_s(), 3'600);
}

TEST_F(ConfigTest, WithoutTlsThereIsNoService) {
  std::string yaml = kGood;
  yaml.replace(yaml.find("{tls:"), yaml.find('\n', yaml.find("{tls:")) - yaml.find("{tls:"), "{}");
  EXPECT_THAT(Refusal(yaml), HasSubstr("tls"));
}

TEST_F(ConfigTest, EveryMistakeIsNamedWithItsLine) {
  EXPECT_THAT(Refusal(std::string(kGood) + "limits: {calls: -1, message_kib: 1}\n"),
              AllOf(HasSubstr("p.yaml:6"), HasSubstr("limits.calls: must be 4 to 1000"),
                    HasSubstr("limits.message_kib")));
  EXPECT_THAT(Refusal(std::string(kGood) + "keyrings: x\n"), HasSubstr("keyrings"));
  EXPECT_THAT(Refusal(kGood, ""), HasSubstr("name this replica"));
  std::string named = kGood;
  named.replace(named.find("{file:"), 6, "{writer: b, file:");
  EXPECT_THAT(Refusal(named), HasSubstr("drop one of them"));
  EXPECT_TRUE(Load(named, "").ok());
  std::string topic = kGood;
  topic.replace(topic.find("{file:"), 6, "{topic: {topic: audit}, file:");
  EXPECT_THAT(Refusal(topic), HasSubstr("audit.topic.brokers"));
}

}  // namespace
}  // namespace sluice::pseudonymiser
