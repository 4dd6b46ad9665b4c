// Point in area, compared with PostGIS on generated maps, where PostgreSQL has it.
// SLUICE_ORACLE_QUESTIONS asks more of them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "common/base/strings.h"
#include "common/enrichment/maps_test.h"
#include "common/enrichment/testing.h"
#include "common/reference/postgres_test.h"

namespace sluice::reference {
namespace {

using enrichment::GridPoint;
using enrichment::Part;

// In whole units: PostGIS decides in doubles, which hold their products for maps that aren't wide.
std::string Polygon(const Part& part) {
  std::string text = "POLYGON(";
  for (const auto& ring : part) {
    text += &ring == &part[0] ? "(" : ",(";
    for (const GridPoint& point : ring)
      base::StrAppend(text, &point == &ring[0] ? "" : ",", point.x, " ", point.y);
    text += ")";
  }
  return text + ")";
}

class PostgisOracle : public PostgresTest {};

TEST_F(PostgisOracle, AgreesOnGeneratedMaps) {
  if (!server_->Execute("CREATE EXTENSION postgis").ok())
    GTEST_SKIP() << "PostgreSQL has no PostGIS here";
  auto connected = Session();
  PostgresSession& session = *connected;
  auto run = [&](const std::string& sql) {
    ASSERT_EQ(session.Execute(sql), absl::OkStatus()) << sql.substr(0, 200);
  };
  const char* wanted = std::getenv("SLUICE_ORACLE_QUESTIONS");
  const int64_t questions = wanted == nullptr ? 1'000 : std::atoll(wanted) / 10;
  constexpr int kPerMap = 500;
  int64_t asked = 0, found = 0;
  for (uint32_t seed = 1; asked < questions; ++seed) {
    enrichment::MapGenerator map(seed, /*scales=*/3);
    std::vector<std::vector<Part>> areas;
    run("DROP TABLE IF EXISTS part, question");
    run("CREATE TABLE part (code int, shape geometry)");
    run("CREATE TABLE question (i int, place geometry)");
    // Rings that cross are a matter of taste; only what PostGIS finds valid is compared.
    for (int tries = 0; tries < 40 && areas.size() < 4; ++tries) {
      auto area = map.Area();
      if (!HasInside(area)) continue;
      bool valid = true;
      for (const Part& part : area) {
        auto rows = session.Query(
            base::StrCat("SELECT WHERE ST_IsValid(ST_GeomFromText('", Polygon(part), "'))"),
            [](PostgresSession::Row) { return absl::OkStatus(); });
        ASSERT_TRUE(rows.ok()) << rows.status();
        valid = valid && *rows == 1;
      }
      if (!valid) continue;
      for (const Part& part : area)
        run(base::StrCat("INSERT INTO part VALUES (", areas.size(), ", ST_GeomFromText('",
                         Polygon(part), "'))"));
      areas.push_back(std::move(area));
    }
    if (areas.empty()) continue;
    auto rows = enrichment::RowsFromText(
        "kind: area columns {name: 'code'} columns {name: 'shape' type: area} key {column: 'code'}",
        GeoJson(areas, false), enrichment::ReadGeoJson);
    ASSERT_TRUE(rows.ok()) << rows.status();
    auto table = *enrichment::MakeTable("areas", *rows);
    std::vector<enrichment::Question> places(kPerMap);
    std::string sql = "INSERT INTO question VALUES ";
    for (int i = 0; i < kPerMap; ++i) {
      places[static_cast<size_t>(i)].point = map.Question(areas);
      const GridPoint& point = places[static_cast<size_t>(i)].point;
      base::StrAppend(sql, i == 0 ? "(" : ",(", i, ",ST_Point(", point.x, ",", point.y, "))");
    }
    run(sql);
    std::vector<std::string> answers(kPerMap);
    auto answered = session.Query(
        "SELECT i::text, min(code)::text FROM question JOIN part ON ST_Covers(shape, place) GROUP "
        "BY "
        "i",
        [&](PostgresSession::Row row) {
          answers[static_cast<size_t>(std::stoi(std::string(*row[0])))] =
              base::StrCat("A", 100 + std::stoi(std::string(*row[1])));
          return absl::OkStatus();
        });
    ASSERT_TRUE(answered.ok()) << answered.status();
    for (size_t i = 0; i < places.size(); ++i, ++asked) {
      enrichment::RowId row = table->Find(places[i]);
      ASSERT_EQ(row == enrichment::kNoRow ? "" : std::string(table->Cell(row, 0).text()),
                answers[i])
          << "seed " << seed << " at " << places[i].point.x << "," << places[i].point.y;
      found += row != enrichment::kNoRow;
    }
  }
  std::cout << asked << " questions, " << found << " in an area\n";
  EXPECT_GT(found * 20, asked);
}

}  // namespace
}  // namespace sluice::reference
