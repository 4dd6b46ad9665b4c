#include "services/ctl/keyring_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"
#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;

class KeyringCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(Keys("init", {"--domain", "intelligence=int", "--domain", "public=pub"}).code, 0);
  }
  Ended Keys(const std::string& command, std::vector<std::string> more,
             const std::string& in = "") {
    std::vector<std::string> call = {"keys", command, "--keyring", keyring_, "--key-encryption-key",
                                     kek_};
    call.insert(call.end(), more.begin(), more.end());
    return RunCtl(std::move(call), in);
  }
  std::string Pseudonym() {
    auto pseudonymiser =
        privacy::LocalPseudonymiser::Create(*privacy::Keyring::Load(keyring_, kek_));
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    batch.Add(contract::v1::PHONE, "+447700900123", std::array<uint16_t, 1>{0});
    EXPECT_TRUE((*pseudonymiser)->Pseudonymise(batch, answer).ok());
    char block[privacy::kBlockTextBytes];
    privacy::WriteBlock(answer.blocks[0], block);
    return privacy::PseudonymPrefix(answer.domains[0]) + std::string(block, sizeof(block));
  }
  std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-keyring");
  std::string keyring_ = folder_->path() + "/keyring";
  std::string kek_ = folder_->path() + "/kek";
  std::string trail_ = folder_->path() + "/audit.jsonl";
};

TEST_F(KeyringCommand, ARotationFromItsBeginningToItsEnd) {
  std::string old = Pseudonym();
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  std::string now = Pseudonym();
  EXPECT_TRUE(now.starts_with("int2-"));
  Ended converted =
      Keys("convert", {"--domain", "intelligence"}, "{\"phone\":\"" + old + "\"}\nend");
  EXPECT_EQ(converted.code, 0) << converted.err;
  EXPECT_EQ(converted.out, "{\"phone\":\"" + now + "\"}\nend");
  EXPECT_THAT(converted.err, HasSubstr("1 pseudonyms converted"));
  EXPECT_THAT(Keys("destroy", {"--domain", "intelligence", "--epoch", "1", "--yes"}).err,
              HasSubstr("convert what it made, and retire it"));
  ASSERT_EQ(Keys("retire", {"--domain", "intelligence", "--epoch", "1"}).code, 0);
  EXPECT_EQ(Keys("convert", {"--domain", "intelligence"}, old).code, 1);
  Ended asked = Keys("destroy", {"--domain", "intelligence", "--epoch", "1"});
  EXPECT_EQ(asked.code, 2);
  EXPECT_THAT(asked.err, HasSubstr("say --yes"));
  ASSERT_EQ(Keys("destroy", {"--domain", "intelligence", "--epoch", "1", "--yes"}).code, 0);
  Ended list = Keys("list", {});
  EXPECT_THAT(list.out, HasSubstr("destroyed"));
  EXPECT_THAT(list.out, HasSubstr("newest"));
  EXPECT_EQ(Pseudonym(), now);
}

TEST_F(KeyringCommand, ABackupComesBackAndOverwritesNothing) {
  std::string backup = folder_->path() + "/backup", backup_key = folder_->path() + "/backup-kek";
  base::SystemRandom random;
  ASSERT_TRUE(privacy::Keyring::CreateKeyFile(backup_key, random).ok());
  std::string before = Pseudonym();
  ASSERT_EQ(Keys("backup", {"--to", backup, "--to-key", backup_key}).code, 0);
  EXPECT_EQ(Keys("backup", {"--to", backup, "--to-key", backup_key}).code, 2);
  std::vector<std::string> from = {"--from", backup, "--from-key", backup_key};
  std::ofstream(keyring_, std::ios::trunc) << "damaged";
  Ended refused = Keys("restore", from);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("nothing was overwritten"));
  EXPECT_EQ(Read(keyring_), "damaged");
  ASSERT_EQ(std::remove(keyring_.c_str()), 0);
  EXPECT_EQ(Keys("restore", from).code, 0);
  EXPECT_EQ(Pseudonym(), before);
}

TEST_F(KeyringCommand, ARestoreAtEveryStartLeavesWhatWasRotatedSince) {
  const std::string folder = folder_->path() + "/";
  std::string backup = folder + "backup", backup_key = folder + "backup-kek";
  std::string other = folder + "other", other_key = folder + "other-kek";
  ASSERT_EQ(RunCtl({"keys", "init", "--keyring", other, "--key-encryption-key", other_key,
                    "--domain", "intelligence=int"})
                .code,
            0);
  base::SystemRandom random;
  ASSERT_TRUE(privacy::Keyring::CreateKeyFile(backup_key, random).ok());
  ASSERT_EQ(Keys("backup", {"--to", backup, "--to-key", backup_key}).code, 0);
  std::vector<std::string> from = {"--from", backup, "--from-key", backup_key, "--keep"};
  ASSERT_EQ(std::remove(keyring_.c_str()), 0);
  EXPECT_EQ(Keys("restore", from).code, 0);
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  std::string rotated = Read(keyring_);
  Ended kept = Keys("restore", from);
  EXPECT_EQ(kept.code, 0) << kept.err;
  EXPECT_EQ(Read(keyring_), rotated);
  Ended another = Keys("restore", {"--from", other, "--from-key", other_key, "--keep"});
  EXPECT_EQ(another.code, 2);
  EXPECT_THAT(another.err, HasSubstr("holds other keys"));
  EXPECT_EQ(Read(keyring_), rotated);
}

TEST_F(KeyringCommand, ABackupIsUnderAnotherKeyWhichACommandMakes) {
  std::string backup = folder_->path() + "/backup", backup_key = folder_->path() + "/backup-kek";
  Ended same = Keys("backup", {"--to", backup, "--to-key", kek_, "--trail", trail_});
  EXPECT_EQ(same.code, 2);
  EXPECT_THAT(same.err, HasSubstr("is the keyring's own key"));
  EXPECT_EQ(Read(backup), "");
  EXPECT_THAT(Read(trail_), HasSubstr("\"action\":\"BackupKeyring\",\"outcome\":\"refused\""));
  EXPECT_EQ(RunCtl({"keys", "encryption-key", "--to", backup_key}).code, 0);
  const std::string key = Read(backup_key);
  EXPECT_EQ(RunCtl({"keys", "encryption-key", "--to", backup_key}).code, 2);
  EXPECT_EQ(Read(backup_key), key);
  EXPECT_EQ(Keys("backup", {"--to", backup, "--to-key", backup_key, "--trail", trail_}).code, 0);
  EXPECT_TRUE(privacy::Keyring::Load(backup, backup_key).ok());
}

TEST_F(KeyringCommand, WhatCannotBeRecordedIsNotDone) {
  std::string backup = folder_->path() + "/backup", backup_key = folder_->path() + "/backup-kek";
  ASSERT_EQ(RunCtl({"keys", "encryption-key", "--to", backup_key}).code, 0);
  const std::string nowhere = folder_->path() + "/no/such/folder/audit.jsonl";
  const std::string before = Read(keyring_), old = Pseudonym();
  EXPECT_NE(Keys("backup", {"--to", backup, "--to-key", backup_key, "--trail", nowhere}).code, 0);
  EXPECT_EQ(Read(backup), "");
  ASSERT_EQ(Keys("backup", {"--to", backup, "--to-key", backup_key}).code, 0);
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  Ended converted = Keys("convert", {"--domain", "intelligence", "--trail", nowhere}, old);
  EXPECT_NE(converted.code, 0);
  EXPECT_EQ(converted.out, "");
  ASSERT_EQ(std::remove(keyring_.c_str()), 0);
  EXPECT_NE(Keys("restore", {"--from", backup, "--from-key", backup_key, "--trail", nowhere}).code,
            0);
  EXPECT_EQ(Read(keyring_), "");
}

TEST_F(KeyringCommand, AfterARestoreNoNumberIsUsedAgainAndTheLostEpochIsNotConverted) {
  std::string backup = folder_->path() + "/backup", backup_key = folder_->path() + "/backup-kek";
  ASSERT_EQ(RunCtl({"keys", "encryption-key", "--to", backup_key}).code, 0);
  ASSERT_EQ(Keys("backup", {"--to", backup, "--to-key", backup_key}).code, 0);
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  const std::string lost = Pseudonym();
  EXPECT_TRUE(lost.starts_with("int2-"));
  ASSERT_EQ(std::remove(keyring_.c_str()), 0);
  Ended restored = Keys("restore", {"--from", backup, "--from-key", backup_key});
  ASSERT_EQ(restored.code, 0) << restored.err;
  EXPECT_THAT(restored.err, HasSubstr("goes on with epoch 3"));
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  EXPECT_TRUE(Pseudonym().starts_with("int3-"));
  Ended converted = Keys("convert", {"--domain", "intelligence"}, lost);
  EXPECT_EQ(converted.code, 1);
  EXPECT_EQ(converted.out, lost);

  // On another machine, where nobody knows what was used.
  ASSERT_EQ(std::remove(keyring_.c_str()), 0);
  ASSERT_EQ(std::remove((keyring_ + ".epochs").c_str()), 0);
  restored = Keys("restore", {"--from", backup, "--from-key", backup_key});
  ASSERT_EQ(restored.code, 0) << restored.err;
  EXPECT_THAT(restored.err, HasSubstr("may have been used since the backup"));
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  const std::string now = Pseudonym();
  EXPECT_GT(std::atoi(now.c_str() + 3), 1'000);
  ASSERT_EQ(std::remove(keyring_.c_str()), 0);
  ASSERT_EQ(std::remove((keyring_ + ".epochs").c_str()), 0);
  ASSERT_EQ(Keys("restore", {"--from", backup, "--from-key", backup_key, "--nothing-since"}).code,
            0);
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  EXPECT_TRUE(Pseudonym().starts_with("int2-"));
}

TEST_F(KeyringCommand, PseudonymsOfAnotherKeyringAreCountedAndLeft) {
  const std::string folder = folder_->path() + "/";
  const std::string own = Pseudonym(), mine = keyring_, key = kek_;
  keyring_ = folder + "other";
  kek_ = folder + "other-kek";
  SetUp();
  const std::string foreign = Pseudonym();
  keyring_ = mine;
  kek_ = key;
  EXPECT_NE(own, foreign);
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  Ended converted = Keys("convert", {"--domain", "intelligence"}, own + "-" + foreign + "-" + own);
  EXPECT_EQ(converted.code, 1);
  EXPECT_EQ(converted.out, Pseudonym() + "-" + foreign + "-" + Pseudonym());
  EXPECT_THAT(converted.err, HasSubstr("1 bear an active epoch's number and weren't made by it"));
}

TEST_F(KeyringCommand, SaysWhenAnEpochWasBegun) {
  ASSERT_EQ(Keys("rotate", {"--domain", "intelligence"}).code, 0);
  Ended list = Keys("list", {});
  EXPECT_THAT(list.out, ::testing::ContainsRegex("2 +newest +20[0-9][0-9]-"));
}

TEST_F(KeyringCommand, ActsAndRefusalsAreOnTheTrailAndATamperedTrailStopsThem) {
  std::vector<std::string> recorded = {"--domain", "intelligence", "--trail", trail_};
  ASSERT_EQ(Keys("rotate", recorded).code, 0);
  recorded.insert(recorded.end(), {"--epoch", "2"});
  EXPECT_EQ(Keys("retire", recorded).code, 2);
  std::string lines = Read(trail_);
  EXPECT_THAT(lines, HasSubstr("\"action\":\"RotateDomain\",\"outcome\":\"done\""));
  EXPECT_THAT(lines, HasSubstr("\"action\":\"RetireEpoch\",\"outcome\":\"refused\""));
  Ended whole = RunCtl({"trail", "verify", trail_});
  EXPECT_EQ(whole.code, 0) << whole.out;
  EXPECT_THAT(whole.out, HasSubstr("2 lines of 'sluicectl'"));
  std::string first = lines.substr(0, lines.find('\n') + 1);
  std::string head = whole.out.substr(whole.out.find("head ") + 5);
  head.pop_back();
  EXPECT_EQ(RunCtl({"trail", "verify", trail_, "--head", head}).code, 0);
  std::ofstream(trail_, std::ios::trunc) << first;
  Ended cut = RunCtl({"trail", "verify", trail_, "--head", head});
  EXPECT_EQ(cut.code, 1);
  EXPECT_THAT(cut.out, HasSubstr("its end was cut off"));
  lines.replace(lines.find("intelligence"), 12, "Intelligence");
  std::ofstream(trail_, std::ios::trunc) << lines;
  Ended changed = RunCtl({"trail", "verify", trail_});
  EXPECT_EQ(changed.code, 1);
  EXPECT_THAT(changed.out, HasSubstr("line 1: was changed"));
  // What can't be recorded isn't done.
  std::string keyring = Read(keyring_);
  EXPECT_NE(Keys("rotate", {"--domain", "intelligence", "--trail", trail_}).code, 0);
  EXPECT_EQ(Read(keyring_), keyring);
}

}  // namespace
}  // namespace sluice::ctl
