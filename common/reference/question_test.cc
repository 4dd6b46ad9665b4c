// Why a row answers, or why none does.
#include "common/reference/question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/testing.h"

namespace sluice::reference {
namespace {

class WhyTest : public ::testing::Test {
 protected:
  void Use(std::string_view schema, std::string_view text,
           enrichment::ReadText read = enrichment::ReadCsv) {
    auto rows = enrichment::RowsFromText(schema, text, read);
    ASSERT_TRUE(rows.ok()) << rows.status();
    rows_ = *rows;
    table_ = *enrichment::MakeTable("s", rows_);
  }
  std::string WhyOf(std::string_view question) {
    v1::Question asked;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(std::string(question), &asked));
    auto row = Ask(*table_, asked, 1'700'000'000);
    EXPECT_TRUE(row.ok()) << row.status();
    return Why(*table_, *rows_, asked, *row, 1'700'000'000);
  }

  std::shared_ptr<const enrichment::RowSet> rows_;
  std::shared_ptr<const enrichment::Table> table_;
};

TEST_F(WhyTest, OfHistoriesSaysWhenTheRowHoldsAndItsNeighbours) {
  Use("kind: as_of columns {name: 'unit'} columns {name: 'name'} columns {name: 'from' type: date} "
      "columns {name: 'to' type: date} key {column: 'unit'} valid {from: 'from' to: 'to'}",
      "unit,name,from,to\nA,one,,2024-01-01\nA,two,2024-06-01,2024-09-01\nA,three,2025-01-01,\n");
  EXPECT_EQ(WhyOf("key: 'A' at: '2023-05-01T00:00:00Z'"),
            "it has this key, and holds until before 2024-01-01");
  EXPECT_EQ(WhyOf("key: 'A' at: '2025-05-01T00:00:00Z'"),
            "it has this key, and holds from 2025-01-01 on");
  EXPECT_EQ(
      WhyOf("key: 'A' at: '2024-02-01T00:00:00Z'"),
      "none of the 3 rows of this key holds then; the one before holds until before "
      "2024-01-01; the next one holds from 2024-06-01 until before 2024-09-01");
  EXPECT_EQ(WhyOf("key: 'B'"), "no row has this key");
}

TEST_F(WhyTest, OfRangesNamesTheBounds) {
  Use("kind: range columns {name: 'band'} columns {name: 'low' type: integer} columns {name: "
      "'high' type: integer} bounds {low: 'low' high: 'high'}",
      "band,low,high\nyoung,0,17\nold,65,\n");
  EXPECT_EQ(WhyOf("value: '17'"), "it holds from 0 to 17");
  EXPECT_EQ(WhyOf("value: '30'"),
            "none of its 2 rows holds for this value; the one before holds from 0 to 17; the next "
            "one holds from 65 on");
}

TEST_F(WhyTest, OfPlacesNamesTheDistance) {
  Use("kind: nearest columns {name: 'id'} columns {name: 'lat' type: number} columns {name: 'long' "
      "type: number} key {column: 'id'} point {latitude: 'lat' longitude: 'long' max_metres: 500}",
      "id,lat,long\na,51.5,-0.1\n");
  EXPECT_EQ(WhyOf("latitude: 51.501 longitude: -0.1"),
            "it is the nearest, 111 m away (max_metres is 500)");
  EXPECT_EQ(WhyOf("latitude: 51.51 longitude: -0.1"),
            "the nearest place is 1112 m away; max_metres is 500");
}

TEST_F(WhyTest, OfAreasSaysWhichOfSeveral) {
  Use("kind: area columns {name: 'code'} columns {name: 'shape' type: area} key {column: 'code'}",
      R"({"type":"FeatureCollection","features":[{"properties":{"code":"W1"},"geometry":
        {"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}}]})",
      enrichment::ReadGeoJson);
  EXPECT_EQ(WhyOf("latitude: 0.5 longitude: 0.5"),
            "the point is in it, and in no area with a smaller key");
  EXPECT_EQ(WhyOf("latitude: 5 longitude: 0.5"), "the point is in no area");
}

}  // namespace
}  // namespace sluice::reference
