#include "common/contract/suggestion.h"

#include <gtest/gtest.h>

namespace sluice::contract {
namespace {

TEST(SuggestedOption, KnowsWordsHoweverANameJoinsThem) {
  EXPECT_EQ(SuggestedOption("next_of_kin"), "identifier = PERSON_NAME");
  EXPECT_EQ(SuggestedOption("nextOfKin"), "identifier = PERSON_NAME");
  EXPECT_EQ(SuggestedOption("ip_address"), "identifier = IP_ADDRESS");
  EXPECT_EQ(SuggestedOption("home_address"), "identifier = ADDRESS");
  EXPECT_EQ(SuggestedOption("contact_email"), "identifier = EMAIL");
  EXPECT_EQ(SuggestedOption("date_of_birth"), "quasi = DATE_OF_BIRTH");
  EXPECT_EQ(SuggestedOption("DOB"), "quasi = DATE_OF_BIRTH");
  EXPECT_EQ(SuggestedOption("notes"), "free_text = true");
}

TEST(SuggestedOption, OnlyWholeWordsCount) {
  EXPECT_EQ(SuggestedOption("filename"), "");
  EXPECT_EQ(SuggestedOption("message"), "");
  EXPECT_EQ(SuggestedOption("beat"), "");
  EXPECT_EQ(SuggestedOption(""), "");
}

}  // namespace
}  // namespace sluice::contract
