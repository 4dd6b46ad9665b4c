#include "common/reference/difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"

namespace sluice::reference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr std::string_view kPlaces =
    "kind: nearest columns {name: 'id'} columns {name: 'label'} columns {name: 'lat' type: number} "
    "columns {name: 'long' type: number} key {column: 'id'} point {latitude: 'lat' longitude: "
    "'long' max_metres: 500}";

std::shared_ptr<const enrichment::RowSet> Places(std::string_view rows) {
  auto read = enrichment::RowsFromText(kPlaces, base::StrCat("id,label,lat,long\n", rows));
  EXPECT_TRUE(read.ok()) << read.status();
  return *read;
}

TEST(Difference, CountsRowsAndColumnsAndNamesKeysButNoValue) {
  auto before = Places("a,Canary,1,1\nb,Two,1,2\nc,Three,1,3\nd,Four,1,4\n");
  auto after = Places("a,Sparrow,1,1\nb,Two,1,2\nc,3rd,1,3.5\ne,Five,1,5\n");
  auto difference = Difference(*before, *after);
  ASSERT_TRUE(difference.ok()) << difference.status();
  EXPECT_EQ(difference->old_rows(), 4u);
  EXPECT_EQ(difference->new_rows(), 4u);
  EXPECT_EQ(difference->added(), 1u);
  EXPECT_EQ(difference->gone(), 1u);
  EXPECT_EQ(difference->changed(), 2u);
  EXPECT_THAT(difference->changed_by_column(),
              UnorderedElementsAre(Pair("label", 2u), Pair("long", 1u)));
  EXPECT_THAT(difference->added_keys(), ElementsAre("e"));
  EXPECT_THAT(difference->gone_keys(), ElementsAre("d"));
  EXPECT_THAT(difference->changed_keys(), UnorderedElementsAre("a", "c"));
  EXPECT_THAT(difference->ShortDebugString(), Not(HasSubstr("Canary")));
}

TEST(Difference, NamesNoMoreThanTwentyKeys) {
  std::string many;
  for (int i = 0; i < 100; ++i) base::StrAppend(many, "k", i, ",x,1,1\n");
  auto difference = Difference(*Places("a,x,1,1\n"), *Places(many));
  EXPECT_EQ(difference->added(), 100u);
  EXPECT_THAT(difference->added_keys(), SizeIs(20));
}

TEST(Difference, OfASetThatMayBeOfPeopleShowsNoKey) {
  constexpr std::string_view kPeople =
      "columns {name: 'warrant'} columns {name: 'name'} key {column: 'warrant'}";
  auto difference =
      Difference(**enrichment::RowsFromText(kPeople, "warrant,name\n1,Ada\n2,Bea\n"),
                 **enrichment::RowsFromText(kPeople, "warrant,name\n1,Ada\n3,Cleo\n"));
  EXPECT_EQ(difference->added(), 1u);
  EXPECT_EQ(difference->gone(), 1u);
  EXPECT_THAT(difference->added_keys(), IsEmpty());
}

TEST(Difference, AKeyThatIsNotPersonalIsShownAndAClassifiedOneIsNot) {
  auto keys = [](std::string_view schema, std::string_view header) {
    auto read = [&](std::string_view rows) {
      auto made = enrichment::RowsFromText(schema, base::StrCat(header, "\n", rows));
      EXPECT_TRUE(made.ok()) << made.status();
      return *made;
    };
    auto difference = Difference(*read("a,1,1\n"), *read("a,1,1\nb,1,1\n"));
    EXPECT_TRUE(difference.ok()) << difference.status();
    return std::vector<std::string>(difference->added_keys().begin(),
                                    difference->added_keys().end());
  };
  EXPECT_THAT(keys("columns {name: 'code' not_personal: true} key {column: 'code'}", "code,x,y"),
              ElementsAre("b"));
  EXPECT_THAT(
      keys("columns {name: 'name' identifier: PERSON_NAME} key {column: 'name'}", "name,x,y"),
      IsEmpty());
  // Also on the map.
  EXPECT_THAT(keys("kind: nearest columns {name: 'name' identifier: PERSON_NAME} columns {name: "
                   "'lat' type: number} columns {name: 'long' type: number} key {column: 'name'} "
                   "point {latitude: 'lat' longitude: 'long' max_metres: 500}",
                   "name,lat,long"),
              IsEmpty());
}

TEST(Difference, VersionsOfTwoSchemasAreNotCompared) {
  auto other = enrichment::RowsFromText("columns {name: 'id'} key {column: 'id'}", "id\na\n");
  EXPECT_THAT(Difference(*Places("a,x,1,1\n"), **other).status().ToString(),
              HasSubstr("have two schemas"));
}

}  // namespace
}  // namespace sluice::reference
