#include "common/enrichment/area_table.h"

#include <gtest/gtest.h>

#include <iostream>
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

std::string Parts(std::string_view code, std::string_view polygons) {
  return base::StrCat(R"({"properties":{"code":")", code,
                      R"("},"geometry":{"type":"MultiPolygon","coordinates":[)", polygons, "]}}");
}

TEST(AreaTable, EachPartOfAnAreaIsAskedByItself) {
  auto table = TableFromText("areas", kAreas,
                             Collection({Parts("overlap",
                                               "[[[10,0],[12,0],[12,2],[10,2],[10,0]]],"
                                               "[[[11,0],[13,0],[13,2],[11,2],[11,0]]]"),
                                         Parts("twice",
                                               "[[[20,0],[22,0],[22,2],[20,2],[20,0]]],"
                                               "[[[20,0],[22,0],[22,2],[20,2],[20,0]]]"),
                                         // An island in a lake of the other part.
                                         Parts("island",
                                               "[[[30,0],[36,0],[36,6],[30,6],[30,0]],"
                                               "[[31,1],[31,5],[35,5],[35,1],[31,1]]],"
                                               "[[[32,2],[34,2],[34,4],[32,4],[32,2]]]")}),
                             ReadGeoJson);
  EXPECT_EQ(CodeAt(*table, 1, 10.5), "overlap");
  EXPECT_EQ(CodeAt(*table, 1, 11.5), "overlap");
  EXPECT_EQ(CodeAt(*table, 1, 12.5), "overlap");
  EXPECT_EQ(CodeAt(*table, 1, 21), "twice");
  EXPECT_EQ(CodeAt(*table, 3, 33), "island");
  EXPECT_EQ(CodeAt(*table, 3, 31.5), "");
  EXPECT_EQ(CodeAt(*table, 3, 30.5), "island");
}

TEST(AreaTable, AHoleTakesAwayAndAddsNothing) {
  auto table = TableFromText(
      "areas", kAreas,
      Collection({// Two holes over each other, and one that reaches out.
                  Feature("A",
                          "[[[0,0],[8,0],[8,8],[0,8],[0,0]],[[1,1],[4,1],[4,4],[1,4],[1,1]],"
                          "[[3,3],[6,3],[6,6],[3,6],[3,3]],[[7,2],[12,2],[12,3],[7,3],[7,2]]]")}),
      ReadGeoJson);
  EXPECT_EQ(CodeAt(*table, 2, 2), "");
  EXPECT_EQ(CodeAt(*table, 3.5, 3.5), "") << "in both holes";
  EXPECT_EQ(CodeAt(*table, 5, 5), "");
  EXPECT_EQ(CodeAt(*table, 2.5, 7.5), "");
  EXPECT_EQ(CodeAt(*table, 2.5, 10), "") << "in the hole, and not in the area";
  EXPECT_EQ(CodeAt(*table, 7, 7), "A");
  EXPECT_EQ(CodeAt(*table, 1, 2), "A") << "on a hole's border";
}

// `count` teeth between two latitudes: every edge is as tall as the area.
Ring Comb(int count) {
  Ring ring{{0, 500'000'000}};
  for (int i = 0; i < count; ++i)
    ring.push_back({static_cast<int32_t>(int64_t{i} * 10'000'000 / count),
                    i % 2 == 0 ? 501'000'000 : 520'000'000});
  ring.push_back({10'000'000, 500'000'000});
  return ring;
}

std::shared_ptr<const AreaTable> TableOf(const std::vector<Area>& areas) {
  RowSet::Builder builder(*SchemaFromText(kAreas));
  for (size_t i = 0; i < areas.size(); ++i) {
    std::string code = base::StrCat("A", 10'000 + i), bytes;
    AppendArea(areas[i], bytes);
    EXPECT_EQ(builder.Add(std::vector{event::Value::Text(code), event::Value::Text(bytes)},
                          {"areas", static_cast<int>(i)}),
              absl::OkStatus());
  }
  return std::make_shared<const AreaTable>("areas", *builder.Finish());
}

TEST(AreaTable, MemoryIsInProportionToThePointsWhateverTheirShape) {
  constexpr size_t kBytesPerPoint = 50, kBytesMin = 1 << 16;
  auto check = [&](std::string_view what, const std::vector<Area>& areas) {
    size_t points = 0;
    for (const Area& area : areas)
      for (const Polygon& polygon : area)
        for (const Ring& ring : polygon) points += ring.size();
    size_t bytes = TableOf(areas)->memory_bytes();
    EXPECT_LE(bytes, kBytesPerPoint * points + kBytesMin) << what;
    std::cout << what << ": " << bytes / points << " bytes a point\n";
  };
  check("comb of 20,000", {{{Comb(20'000)}}});
  check("comb of 60,000", {{{Comb(60'000)}}});
  auto circle = [](int32_t x, int32_t y, int radius, int points) {
    Ring ring;
    for (int i = 0; i < points; ++i) {
      double angle = 2 * M_PI * i / points;
      ring.push_back({x + static_cast<int32_t>(std::lround(radius * std::cos(angle))),
                      y + static_cast<int32_t>(std::lround(radius * std::sin(angle)))});
    }
    return ring;
  };
  Polygon nested;
  for (int i = 0; i < 120; ++i)
    nested.push_back(circle(0, 500'000'000, 10'000'000 - i * 50'000, 500));
  check("120 nested rings", {{nested}});
  std::vector<Area> same, islands, squares;
  for (int i = 0; i < 500; ++i) same.push_back({{circle(0, 500'000'000, 10'000'000 + i, 300)}});
  check("500 areas over each other", same);
  islands.emplace_back();
  for (int i = 0; i < 20'000; ++i)
    islands[0].push_back({circle(i % 200 * 10'000, 500'000'000 + i / 200 * 10'000, 3'000, 8)});
  check("an area of 20,000 islands", islands);
  for (int i = 0; i < 20'000; ++i)
    squares.push_back({{circle(i % 200 * 10'000, 500'000'000 + i / 200 * 10'000, 7'000, 4)}});
  check("20,000 squares", squares);
  Ring tall = Comb(20'000);
  for (GridPoint& point : tall) point = {point.y, point.x};
  check("a comb on its side", {{{tall}}});
}

TEST(AreaTable, ACombIsAskedToothByTooth) {
  constexpr int kTeeth = 2'000;
  auto table = TableOf({{{Comb(kTeeth)}}});
  const Ring ring = Comb(kTeeth);
  Question question;
  for (int i = 1; i < kTeeth; ++i) {
    // Just below a tip or a notch, and just above it.
    question.point = {ring[static_cast<size_t>(i)].x, ring[static_cast<size_t>(i)].y - 1000};
    EXPECT_NE(table->Find(question), kNoRow) << i;
    question.point.y += 2000;
    EXPECT_EQ(table->Find(question), kNoRow) << i;
  }
}

// Every polygon, every edge, without an index: the rule as it is written down.
std::string Oracle(const std::vector<std::pair<std::string, Area>>& areas, GridPoint point) {
  std::string best;
  for (const auto& [code, area] : areas) {
    bool inside_any = false, border = false;
    for (const Polygon& polygon : area) {
      bool inside = false;
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
      inside_any |= inside;
    }
    if ((inside_any || border) && (best.empty() || code < best)) best = code;
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
