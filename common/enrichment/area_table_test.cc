#include "common/enrichment/area_table.h"

#include <gtest/gtest.h>

#include <random>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"

namespace sluice::enrichment {
namespace {

constexpr std::string_view kAreas = R"(
  kind: area columns { name: "code" } columns { name: "shape" type: area } key { column: "code" })";

std::string Feature(std::string_view code, std::string_view rings) {
  return base::StrCat(R"({"type":"Feature","properties":{"code":")", code,
                      R"("},"geometry":{"type":"Polygon","coordinates":)", rings, "}}");
}

std::string Collection(const std::vector<std::string>& features) {
  std::string text = R"({"type":"FeatureCollection","features":[)";
  for (const std::string& feature : features)
    base::StrAppend(text, text.back() == '[' ? "" : ",", feature);
  return text + "]}";
}

std::string CodeAt(const Table& table, double latitude, double longitude, int64_t at = 0) {
  Question question;
  question.point = *GridPoint::Of(latitude, longitude);
  question.at = at;
  RowId row = table.Find(question);
  return row == kNoRow ? "" : std::string(table.Cell(row, 0).text());
}

TEST(AreaTable, DecidesBordersHolesAndCornersTheSameWayEveryTime) {
  // Two squares side by side, the left one with a hole in which a third lies.
  auto table = TableFromText(
      "areas", kAreas,
      Collection({Feature("B", "[[[0,0],[4,0],[4,4],[0,4],[0,0]],[[1,1],[1,2],[2,2],[2,1],[1,1]]]"),
                  Feature("A", "[[[4,0],[8,0],[8,4],[4,4],[4,0]]]"),
                  Feature("C", "[[[1,1],[1,2],[2,2],[2,1],[1,1]]]")}),
      ReadGeoJson);
  EXPECT_EQ(CodeAt(*table, 3, 3), "B");
  EXPECT_EQ(CodeAt(*table, 3, 5), "A");
  EXPECT_EQ(CodeAt(*table, 1.5, 1.5), "C");
  EXPECT_EQ(CodeAt(*table, 1, 1.5), "B") << "on the hole's border: the smaller key";
  EXPECT_EQ(CodeAt(*table, 3, 4), "A") << "on the common border: the smaller key";
  EXPECT_EQ(CodeAt(*table, 0, 0), "B");
  EXPECT_EQ(CodeAt(*table, 4, 8), "A");
  EXPECT_EQ(CodeAt(*table, 3, 8.0000001), "");
  EXPECT_EQ(CodeAt(*table, -0.0000001, 3), "");
}

TEST(AreaTable, JoinsTheBoundaryThatHeldAtTheTime) {
  std::string schema = std::string(kAreas) +
                       R"(columns { name: "from" type: date } columns { name: "to" type: date }
                          valid { from: "from" to: "to" })";
  auto feature = [](std::string_view from, std::string_view to, std::string_view ring) {
    return base::StrCat(R"({"properties":{"code":"W","from":")", from, R"(","to":")", to,
                        R"("},"geometry":{"type":"Polygon","coordinates":[)", ring, "]}}");
  };
  auto table =
      TableFromText("wards", schema,
                    Collection({feature("", "2026-03-01", "[[0,0],[1,0],[1,1],[0,1],[0,0]]"),
                                feature("2026-03-01", "", "[[0,0],[2,0],[2,1],[0,1],[0,0]]")}),
                    ReadGeoJson);
  constexpr int64_t kMarch = 1772323200;
  EXPECT_EQ(CodeAt(*table, 0.5, 1.5, kMarch - 1), "");
  EXPECT_EQ(CodeAt(*table, 0.5, 1.5, kMarch), "W");
  EXPECT_EQ(CodeAt(*table, 0.5, 0.5, kMarch - 1), "W");
}

// Every polygon, every edge, without an index: the rule as it is written down.
std::string Oracle(const std::vector<std::pair<std::string, Area>>& areas, GridPoint point) {
  std::string best;
  for (const auto& [code, area] : areas) {
    bool inside = false, border = false;
    for (const Polygon& polygon : area) {
      for (const Ring& ring : polygon) {
        for (size_t i = 0; i < ring.size(); ++i) {
          GridPoint a = ring[i], b = ring[(i + 1) % ring.size()];
          border |= Side(a, b, point) == 0 && point.x >= std::min(a.x, b.x) &&
                    point.x <= std::max(a.x, b.x) && point.y >= std::min(a.y, b.y) &&
                    point.y <= std::max(a.y, b.y);
          if ((a.y > point.y) != (b.y > point.y)) {
            int side = Side(a, b, point);
            inside ^= a.y < b.y ? side > 0 : side < 0;
          }
        }
      }
    }
    if ((inside || border) && (best.empty() || code < best)) best = code;
  }
  return best;
}

TEST(AreaTable, AgreesWithEveryEdgeOfRandomPolygons) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    // Coarse coordinates, so that many points fall on borders and corners.
    int scale = round % 2 == 0 ? 1 : 100'000;
    std::uniform_int_distribution<int> radius(1, 40), centre(-100, 100);
    std::vector<std::string> features;
    for (int i = 0; i < 30; ++i) {
      int x = centre(random), y = centre(random);
      std::string ring = "[[";
      std::string first;
      for (int corner = 0; corner < 12; ++corner) {
        double angle = corner * 2 * M_PI / 12;
        int r = radius(random);
        std::string position =
            base::StrCat("[", (x + std::lround(r * std::cos(angle))) * scale / kUnitsPerDegree, ",",
                         (y + std::lround(r * std::sin(angle))) * scale / kUnitsPerDegree, "]");
        if (first.empty()) first = position;
        ring += position + ",";
      }
      features.push_back(Feature(base::StrCat("A", i + 10), ring + first + "]]"));
    }
    auto rows = RowsFromText(kAreas, Collection(features), ReadGeoJson);
    ASSERT_TRUE(rows.ok()) << rows.status();
    std::vector<std::pair<std::string, Area>> areas;
    for (size_t i = 0; i < (*rows)->size(); ++i)
      areas.emplace_back((*rows)->row(i)[0].text(), ParseArea((*rows)->row(i)[1].text()));
    auto table = MakeTable("areas", *rows);
    ASSERT_TRUE(table.ok()) << table.status();
    std::uniform_int_distribution<int> at(-150 * scale, 150 * scale);
    for (int i = 0; i < 2000; ++i) {
      Question question;
      question.point = {at(random), at(random)};
      if (i % 2 == 0)
        question.point = {question.point.x / scale * scale, question.point.y / scale * scale};
      RowId row = (*table)->Find(question);
      std::string found = row == kNoRow ? "" : std::string((*table)->Cell(row, 0).text());
      ASSERT_EQ(found, Oracle(areas, question.point))
          << round << " at " << question.point.x << "," << question.point.y;
    }
  }
}

}  // namespace
}  // namespace sluice::enrichment
