// Point in area, compared with GEOS on generated maps. SLUICE_ORACLE_QUESTIONS asks more of them.
#include <geos_c.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "common/base/strings.h"
#include "common/enrichment/maps_test.h"
#include "common/enrichment/testing.h"

namespace sluice::enrichment {
namespace {

constexpr std::string_view kAreas =
    R"(kind: area columns { name: "code" } columns { name: "shape" type: area } key { column: "code" })";

// Each ring asked by itself: an area has a point if one of its polygons has it, and a polygon if
// its outer ring has it and no hole has it inside.
class GeosParts {
 public:
  GeosParts() : context_(GEOS_init_r()) {}
  ~GeosParts() {
    for (const auto& rings : parts_) {
      for (const Ring& ring : rings) {
        GEOSPreparedGeom_destroy_r(context_, ring.prepared);
        GEOSGeom_destroy_r(context_, ring.polygon);
      }
    }
    GEOS_finish_r(context_);
  }
  GeosParts(const GeosParts&) = delete;
  GeosParts& operator=(const GeosParts&) = delete;

  void Add(const Part& part) {
    auto& rings = parts_.emplace_back();
    for (Positions positions : part) {
      // GEOS 3.11 takes a ring of five positions that goes there and back along two sides of a box
      // for that box; a point twice keeps it from doing so.
      if (positions.size() == 5) positions.push_back(positions.back());
      auto size = static_cast<unsigned>(positions.size());
      GEOSCoordSequence* sequence = GEOSCoordSeq_create_r(context_, size, 2);
      for (unsigned i = 0; i < size; ++i)
        GEOSCoordSeq_setXY_r(context_, sequence, i, positions[i].x, positions[i].y);
      GEOSGeometry* polygon = GEOSGeom_createPolygon_r(
          context_, GEOSGeom_createLinearRing_r(context_, sequence), nullptr, 0);
      rings.push_back({GEOSPrepare_r(context_, polygon), polygon});
    }
  }
  bool Covers(GridPoint at) const {
    GEOSGeometry* point = GEOSGeom_createPointFromXY_r(context_, at.x, at.y);
    auto has = [&](const std::vector<Ring>& rings) {
      // With its border.
      if (GEOSPreparedIntersects_r(context_, rings[0].prepared, point) != 1) return false;
      // Without it.
      for (size_t i = 1; i < rings.size(); ++i)
        if (GEOSPreparedContains_r(context_, rings[i].prepared, point) == 1) return false;
      return true;
    };
    const bool covers = std::any_of(parts_.begin(), parts_.end(), has);
    GEOSGeom_destroy_r(context_, point);
    return covers;
  }

 private:
  struct Ring {
    const GEOSPreparedGeometry* prepared;
    GEOSGeometry* polygon;
  };
  const GEOSContextHandle_t context_;
  std::vector<std::vector<Ring>> parts_;
};

TEST(AreaOracle, AgreesWithGeosOnGeneratedMaps) {
  const char* wanted = std::getenv("SLUICE_ORACLE_QUESTIONS");
  const int64_t questions = wanted == nullptr ? 500'000 : std::atoll(wanted);
  const char* first = std::getenv("SLUICE_ORACLE_SEED");
  constexpr int kPerMap = 500;
  int64_t asked = 0, found = 0;
  for (uint32_t seed = first == nullptr ? 1 : static_cast<uint32_t>(std::atoll(first));
       asked < questions; ++seed) {
    MapGenerator map(seed);
    std::vector<std::vector<Part>> areas;
    for (size_t count = 1 + map.Below(6); areas.size() < count;) {
      auto area = map.Area();
      if (HasInside(area)) areas.push_back(std::move(area));
    }
    std::vector<std::unique_ptr<GeosParts>> geos;
    for (const auto& area : areas) {
      geos.push_back(std::make_unique<GeosParts>());
      for (const Part& part : area) geos.back()->Add(part);
    }
    auto rows = RowsFromText(kAreas, GeoJson(areas, seed % 2 == 0), ReadGeoJson);
    ASSERT_TRUE(rows.ok()) << rows.status() << " seed " << seed;
    auto table = *MakeTable("areas", *rows);
    for (int i = 0; i < kPerMap; ++i, ++asked) {
      Question question;
      question.point = map.Question(areas);
      RowId row = table->Find(question);
      size_t right = 0;
      while (right < areas.size() && !geos[right]->Covers(question.point)) ++right;
      ASSERT_EQ(row == kNoRow ? "" : std::string(table->Cell(row, 0).text()),
                right == areas.size() ? "" : base::StrCat("A", 100 + right))
          << "seed " << seed << " at " << question.point.x << "," << question.point.y;
      found += row != kNoRow;
    }
  }
  std::cout << asked << " questions, " << found << " in an area\n";
  EXPECT_GT(found * 4, asked);
  EXPECT_LT(found * 20, asked * 19);
}

}  // namespace
}  // namespace sluice::enrichment
