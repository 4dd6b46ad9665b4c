#include "common/enrichment/nearest_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"

namespace sluice::enrichment {
namespace {

using ::testing::HasSubstr;

std::string Points(std::string_view more, int metres = 1000) {
  return base::StrCat(R"(kind: nearest columns { name: "id" type: integer }
      columns { name: "lat" type: number } columns { name: "long" type: number }
      key { column: "id" } )",
                      more, R"( point { latitude: "lat" longitude: "long" max_metres: )", metres,
                      more.find("within") == more.npos ? "" : R"( within: "areas")", " }");
}

int64_t IdAt(const Table& table, double latitude, double longitude, int64_t at = 0) {
  Question question;
  question.point = *GridPoint::Of(latitude, longitude);
  question.at = at;
  RowId row = table.Find(question);
  return row == kNoRow ? -1 : table.Cell(row, 0).integer;
}

TEST(NearestTable, JoinsTheNearestPointAndNoneThatIsTooFarAway) {
  auto table = TableFromText("points", Points(""), "id,lat,long\n1,51.5,-0.1\n2,51.51,-0.1\n");
  EXPECT_EQ(IdAt(*table, 51.5049, -0.1), 1);
  EXPECT_EQ(IdAt(*table, 51.5051, -0.1), 2);
  // 1,000 m are 0.008993 degrees of latitude, and 0.014446 of longitude here.
  EXPECT_EQ(IdAt(*table, 51.5 - 0.00899, -0.1), 1);
  EXPECT_EQ(IdAt(*table, 51.5 - 0.0090, -0.1), -1);
  EXPECT_EQ(IdAt(*table, 51.5, -0.1 - 0.01444), 1);
  EXPECT_EQ(IdAt(*table, 51.5, -0.1 - 0.01446), -1);
  EXPECT_EQ(IdAt(*table, -51.5, 100), -1);
}

TEST(NearestTable, PointsThatAreEquallyNearAreDecidedByTheirKeys) {
  // The keys' order is that of their bytes, which for small integers is the numbers'.
  auto table =
      TableFromText("points", Points(""), "id,lat,long\n7,51.5,-0.1\n3,51.5,-0.1\n9,51.502,-0.1\n");
  EXPECT_EQ(IdAt(*table, 51.5, -0.1), 3);
  EXPECT_EQ(IdAt(*table, 51.501, -0.1), 3);
}

TEST(NearestTable, PointsHaveTheirTimes) {
  auto table = TableFromText("points", Points(R"(columns { name: "from" type: date }
      columns { name: "to" type: date } valid { from: "from" to: "to" })"),
                             "id,lat,long,from,to\n1,51.5,-0.1,,2026-03-01\n2,51.505,-0.1,,\n");
  constexpr int64_t kMarch = 1772323200;
  EXPECT_EQ(IdAt(*table, 51.5, -0.1, kMarch - 1), 1);
  EXPECT_EQ(IdAt(*table, 51.5, -0.1, kMarch), 2);
}

std::shared_ptr<const Table> TwoSquares(std::string_view more = "") {
  return TableFromText("areas",
                       base::StrCat(R"(kind: area columns { name: "code" }
      columns { name: "shape" type: area } key { column: "code" } )",
                                    more),
                       R"({"type":"FeatureCollection","features":[
      {"properties":{"code":"W"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}},
      {"properties":{"code":"E"},"geometry":{"type":"Polygon","coordinates":[[[1,0],[2,0],[2,1],[1,1],[1,0]]]}}]})",
                       ReadGeoJson);
}

TEST(NearestTable, KeepsToTheAreaOfTheEvent) {
  std::string_view rows = "id,lat,long\n1,0.5,0.999\n2,0.5,1.003\n3,0.5,2.001\n";
  auto table = TableFromText("points", Points("# within\n"), rows, ReadCsv, TwoSquares());
  EXPECT_EQ(IdAt(*table, 0.5, 1.0001), 2) << "1 is nearer, and across the border";
  EXPECT_EQ(IdAt(*table, 0.5, 0.9999), 1);
  EXPECT_EQ(IdAt(*table, 0.5, 1.9999), -1) << "3 is in no area";
  EXPECT_EQ(IdAt(*table, 0.5, 2.0009), -1) << "the event is in no area";
  ASSERT_NE(table->within(), nullptr);
  EXPECT_EQ(table->within()->set(), "areas");
}

TEST(NearestTable, RefusesABoundaryThatIsNone) {
  auto rows = RowsFromText(Points("# within\n"), "id,lat,long\n1,0.5,0.999\n");
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT(MakeTable("points", *rows).status().ToString(),
              HasSubstr("the set 'points' keeps within 'areas', which isn't there"));
  auto other = TableFromText("areas", R"(columns { name: "a" } key { column: "a" })", "a\nx\n");
  EXPECT_THAT(MakeTable("points", *rows, other).status().ToString(),
              HasSubstr("isn't a set of areas"));
  auto moving = TwoSquares(R"(columns { name: "from" type: date may_be_missing: true }
                              columns { name: "to" type: date may_be_missing: true } valid { from: "from" to: "to" })");
  EXPECT_THAT(MakeTable("points", *rows, moving).status().ToString(), HasSubstr("change in time"));
}

// SLUICE_ORACLE_QUESTIONS asks more than 20,000.
TEST(NearestTable, AgreesWithEveryPointOfRandomMaps) {
  std::mt19937 random(11);
  const char* wanted = std::getenv("SLUICE_ORACLE_QUESTIONS");
  const int64_t questions = wanted == nullptr ? 20'000 : std::atoll(wanted);
  int64_t asked = 0, found = 0, ties = 0;
  for (int round = 0; asked < questions; ++round) {
    // Coarse maps have many ties; one of few points has an empty middle.
    const int64_t scale = std::vector<int64_t>{1, 1000, 1'000'000, 20'000'000}[round % 4];
    const int count = std::vector<int>{1, 3, 40, 700, 3000}[round % 5];
    // At a pole itself every longitude is as near.
    const double latitude = std::vector<double>{0, 51.5, 89, -60, 90, -89.9999}[round / 4 % 6];
    std::uniform_int_distribution<int64_t> at(-40, 40);
    auto near = [&](double centre, double bound) {
      return std::clamp(centre + static_cast<double>(at(random) * scale) / kUnitsPerDegree, -bound,
                        bound);
    };
    std::string csv = "id,lat,long\n";
    for (int i = 0; i < count; ++i)
      base::StrAppend(csv, i, ",", near(latitude, 90), ",", near(2, 180), "\n");
    auto rows = RowsFromText(Points("", 100'000), csv);
    ASSERT_TRUE(rows.ok()) << rows.status();
    NearestTable table("points", *rows, nullptr);
    for (int i = 0; i < 500; ++i, ++asked) {
      Question question;
      question.point = *GridPoint::Of(near(latitude, 90), near(2, 180));
      RowId wanted_row = kNoRow;
      auto best = table.limit();
      for (size_t row = 0; row < (*rows)->size(); ++row) {
        auto cells = (*rows)->row(row);
        auto distance = NearestTable::Distance(question.point,
                                               *GridPoint::Of(cells[1].number, cells[2].number));
        if (distance > best) continue;
        ties += distance == best && wanted_row != kNoRow;
        if (distance == best && wanted_row != kNoRow &&
            (*rows)->key(wanted_row) < (*rows)->key(row))
          continue;
        best = distance;
        wanted_row = row;
      }
      ASSERT_EQ(table.Find(question), wanted_row) << round << " " << i;
      found += wanted_row != kNoRow;
    }
  }
  std::cout << asked << " questions, " << found << " with a point, " << ties << " ties\n";
  EXPECT_GT(ties, asked / 100);
}

}  // namespace
}  // namespace sluice::enrichment
