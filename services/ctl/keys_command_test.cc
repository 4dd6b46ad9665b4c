#include "services/ctl/keys_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/privacy/keyring.h"
#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;

class KeysCommand : public ::testing::Test {
 protected:
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-keys");
  std::string keyring_ = folder_->path() + "/keyring";
  std::string kek_ = folder_->path() + "/kek";
};

TEST_F(KeysCommand, InitMakesAKeyringThatLoads) {
  Ended ended = RunCtl({"keys", "init", "--keyring", keyring_, "--key-encryption-key", kek_,
                        "--domain", "intelligence=int", "--domain", "public=pub"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  auto keyring = privacy::Keyring::Load(keyring_, kek_);
  ASSERT_TRUE(keyring.ok()) << keyring.status();
  EXPECT_NE(keyring->Find("public"), nullptr);
}

TEST_F(KeysCommand, InitNeverOverwrites) {
  std::vector<std::string> call = {
      "keys", "init", "--keyring", keyring_, "--key-encryption-key", kek_, "--domain", "a=a"};
  ASSERT_EQ(RunCtl(call).code, 0);
  Ended ended = RunCtl(call);
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("nothing was overwritten"));
}

TEST_F(KeysCommand, ADomainIsNameAndLabel) {
  Ended ended = RunCtl({"keys", "init", "--keyring", keyring_, "--key-encryption-key", kek_,
                        "--domain", "intelligence"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("write name=label"));
}

TEST_F(KeysCommand, QuarantinesPrivateKeyIsItsOwnersOnly) {
  std::string path = folder_->path();
  Ended ended =
      RunCtl({"keys", "quarantine", "--private", path + "/q.key", "--public", path + "/q.pub"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  struct stat file;
  ASSERT_EQ(stat((path + "/q.key").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_EQ(
      RunCtl({"keys", "quarantine", "--private", path + "/q.key", "--public", path + "/q2"}).code,
      2);
}

}  // namespace
}  // namespace sluice::ctl
