#include "common/privacy/rotation.h"

#include <gtest/gtest.h>

#include <array>

#include "common/base/strings.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/pseudonym.h"

namespace sluice::privacy {
namespace {

class RotationTest : public ::testing::Test {
 protected:
  std::string Pseudonym(std::string_view domain, int person) {
    auto pseudonymiser = LocalPseudonymiser::Create(keyring_);
    auto index = (*pseudonymiser)->Domain(domain);
    EXPECT_TRUE(index.ok()) << index.status();
    PseudonymBatch batch;
    PseudonymAnswer answer;
    batch.Add(contract::v1::PERSON_NAME, base::StrCat("name ", person),
              std::array<uint16_t, 1>{*index});
    EXPECT_TRUE((*pseudonymiser)->Pseudonymise(batch, answer).ok());
    char block[kBlockTextBytes];
    WriteBlock(answer.blocks[0], block);
    return PseudonymPrefix(answer.domains[*index]) + std::string(block, sizeof(block));
  }
  std::string Convert(std::string_view text) {
    auto rotation = Rotation::Create(keyring_, "intelligence");
    EXPECT_TRUE(rotation.ok()) << rotation.status();
    std::string out;
    counts_ = {};
    EXPECT_TRUE(rotation->Convert(text, out, counts_).ok());
    return out;
  }

  base::SystemRandom random_;
  Keyring keyring_ = *Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
  Rotation::Counts counts_;
};

TEST_F(RotationTest, AnOldPseudonymBecomesWhatTheNewEpochMakesOfTheIdentifier) {
  std::vector<std::string> old;
  for (int i = 0; i < 50; ++i) old.push_back(Pseudonym("intelligence", i));
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  std::vector<std::string> middle;
  for (int i = 0; i < 50; ++i) middle.push_back(Pseudonym("intelligence", i));
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  for (int i = 0; i < 50; ++i) {
    std::string now = Pseudonym("intelligence", i);
    EXPECT_EQ(Convert(old[i]), now);
    EXPECT_EQ(Convert(middle[i]), now);
    EXPECT_EQ(Convert(now), now);
  }
}

TEST_F(RotationTest, ConvertsWhereverAPseudonymStandsAndNothingElse) {
  std::string one = Pseudonym("intelligence", 1), two = Pseudonym("intelligence", 2),
              other = Pseudonym("public", 1);
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  std::string new_one = Pseudonym("intelligence", 1), new_two = Pseudonym("intelligence", 2);
  EXPECT_EQ(Convert("{\"name\":\"" + one + "\",\"note\":\"met " + two + ", a-b\",\"x\":\"" + other +
                    "\"}\n"),
            "{\"name\":\"" + new_one + "\",\"note\":\"met " + new_two + ", a-b\",\"x\":\"" + other +
                "\"}\n");
  EXPECT_EQ(counts_.converted, 2u);
  // Part of something longer, or cut short.
  for (const std::string& text : {one + "a", "x" + one, one.substr(0, one.size() - 1),
                                  "int1e-" + one.substr(5), std::string("-"), std::string()}) {
    EXPECT_EQ(Convert(text), text);
    EXPECT_EQ(counts_.converted, 0u) << text;
  }
}

TEST_F(RotationTest, PseudonymsThatHyphensJoinAreAllConverted) {
  std::string one = Pseudonym("intelligence", 1), two = Pseudonym("intelligence", 2);
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  std::string new_one = Pseudonym("intelligence", 1), new_two = Pseudonym("intelligence", 2);
  EXPECT_EQ(Convert(one + "-" + two), new_one + "-" + new_two);
  EXPECT_EQ(counts_.converted, 2u);
  EXPECT_EQ(Convert(one + "-E05"), new_one + "-E05");
  EXPECT_EQ(Convert("a-" + one + "-1-" + two + "-"), "a-" + new_one + "-1-" + new_two + "-");
  EXPECT_EQ(Convert(one + two), one + two) << "one word, which nothing of ours makes";
}

// The same domain, label and numbers, and other secrets: another keyring, and an epoch whose
// keyring was lost.
TEST_F(RotationTest, WhatNoEpochOfTheKeyringMadeIsNeverConverted) {
  Keyring mine = std::move(keyring_);
  keyring_ = *Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  std::string foreign;
  for (int i = 0; i < 100; ++i) foreign += Pseudonym("intelligence@1", i) + ",";
  for (int i = 0; i < 100; ++i) foreign += Pseudonym("intelligence", i) + ",";
  keyring_ = std::move(mine);
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  const std::string own = Pseudonym("intelligence@1", 7);
  EXPECT_EQ(Convert(foreign + own), foreign + Pseudonym("intelligence", 7));
  EXPECT_EQ(counts_.converted, 1u);
  EXPECT_EQ(counts_.foreign, 200u);
  EXPECT_EQ(counts_.untouched, 200u);
  EXPECT_EQ(counts_.already, 0u);
}

TEST_F(RotationTest, WhatARetiredOrDestroyedEpochMadeStaysAndIsCounted) {
  std::string old = Pseudonym("intelligence", 1);
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  ASSERT_TRUE(keyring_.Retire("intelligence", 1).ok());
  EXPECT_EQ(Convert(old), old);
  EXPECT_EQ(counts_.untouched, 1u);
  ASSERT_TRUE(keyring_.Destroy("intelligence", 1).ok());
  EXPECT_EQ(Convert(old), old);
  EXPECT_EQ(counts_.untouched, 1u);
}

}  // namespace
}  // namespace sluice::privacy
