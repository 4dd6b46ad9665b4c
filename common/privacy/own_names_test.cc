#include "common/privacy/own_names.h"

#include <gtest/gtest.h>

#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

using Weight = OwnNames::Part::Weight;

class OwnNamesTest : public ::testing::Test {
 protected:
  const OwnNames::Part* Find(std::string_view folded) { return names_.Find(folded, longer_); }
  OwnNames names_;
  bool longer_ = false;
};

TEST_F(OwnNamesTest, HasPartsAndTheirJoins) {
  names_.Add("Una O'Hara-Wills");
  for (const char* part : {"una", "hara", "wills", "ohara", "oharawills", "unaoharawills"}) {
    ASSERT_NE(Find(part), nullptr) << part;
    EXPECT_EQ(names_.Canonical(Find(part)->names), "unaoharawills");
  }
  for (const char* other : {"o", "har", "un", "unaw", "oharaw"}) EXPECT_EQ(Find(other), nullptr);
  EXPECT_EQ(Find("har"), nullptr);
  EXPECT_TRUE(longer_) << "hara begins so";
  EXPECT_EQ(Find("zzz"), nullptr);
  EXPECT_FALSE(longer_);
  EXPECT_TRUE(names_.MayBegin('U') && names_.MayBegin('h') && !names_.MayBegin('b'));
}

TEST_F(OwnNamesTest, WeighsWhatIsAWordToo) {
  names_.Add("May van Okafor Ng");
  names_.Add("He");
  EXPECT_EQ(Find("okafor")->weight, Weight::kAlone);
  EXPECT_EQ(Find("may")->weight, Weight::kCapital);
  EXPECT_EQ(Find("ng")->weight, Weight::kCapital);
  EXPECT_EQ(Find("van")->weight, Weight::kBeside);
  EXPECT_EQ(Find("he")->weight, Weight::kEvidence);
  names_.Add("Dr Unknown Roe");
  EXPECT_EQ(Find("dr")->weight, Weight::kBeside);
  EXPECT_EQ(Find("unknown")->weight, Weight::kCapital);
  EXPECT_EQ(Find("roe")->weight, Weight::kAlone);
}

TEST_F(OwnNamesTest, TellsPeopleApartAsLongAsItCan) {
  names_.Add("Ada Roe");
  names_.Add("Ben Roe");
  names_.Add("ADA  ROE");
  EXPECT_EQ(names_.Canonical(Find("ada")->names), "adaroe");
  EXPECT_EQ(names_.Canonical(Find("roe")->names), "");
  for (int i = 0; i < 100; ++i)
    names_.Add(base::StrCat("Kim ", std::string(3, static_cast<char>('a' + i % 26)), i));
  EXPECT_EQ(names_.Canonical(Find("ada")->names), "adaroe");
  names_.Clear();
  EXPECT_TRUE(names_.empty());
  EXPECT_EQ(Find("ada"), nullptr);
}

TEST_F(OwnNamesTest, FindsSwappedLetters) {
  names_.Add("Ada Cawthorne");
  EXPECT_NE(names_.FindSwapped("cawhtorne"), 0u);
  for (const char* other : {"cawthorne", "cwahtorne", "aad", "cawthorn"})
    EXPECT_EQ(names_.FindSwapped(other), 0u) << other;
}

}  // namespace
}  // namespace sluice::privacy
