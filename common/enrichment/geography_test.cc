// London's real map and real events, where the folder `../shared/data` is beside the repository.
#include <geos_c.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "common/base/strings.h"
#include "common/enrichment/csv.h"
#include "common/enrichment/json_text.h"
#include "common/enrichment/testing.h"

namespace sluice::enrichment {
namespace {

namespace fs = std::filesystem;

std::string TextOf(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_TRUE(in) << path;
  return text.str();
}

// A map of one GeoJSON file a borough.
std::shared_ptr<const RowSet> MapOf(const fs::path& folder, std::string_view code,
                                    std::string_view name) {
  RowSet::Builder builder(
      *SchemaFromText(base::StrCat(R"(kind: area columns { name: "code" source: ")", code,
                                   R"(" } columns { name: "name" source: ")", name,
                                   R"(" } columns { name: "borough" source: "LADCD_ACTIVE" }
      columns { name: "shape" type: area } key { column: "code" })")));
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(folder)) files.push_back(file.path());
  for (const fs::path& file : files) {
    absl::Status read = ReadGeoJson(TextOf(file), file.filename().string(), builder);
    EXPECT_TRUE(read.ok()) << read;
  }
  auto rows = builder.Finish();
  EXPECT_TRUE(rows.ok()) << rows.status();
  return *rows;
}

Question At(double latitude, double longitude) {
  Question question;
  question.point = *GridPoint::Of(latitude, longitude);
  return question;
}

std::string CodeAt(const Table& table, double latitude, double longitude) {
  RowId row = table.Find(At(latitude, longitude));
  return row == kNoRow ? "" : std::string(table.Cell(row, 0).text());
}

// Every polygon of a map as GEOS has it, asked one after the other, in the order of their keys.
class Geos {
 public:
  explicit Geos(const RowSet& rows) : context_(GEOS_init_r()) {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::vector<GEOSGeometry*> polygons;
      for (const Polygon& polygon : ParseArea(rows.row(i)[rows.schema().area()].text())) {
        std::vector<GEOSGeometry*> rings;
        for (const Ring& ring : polygon) rings.push_back(RingOf(ring));
        polygons.push_back(GEOSGeom_createPolygon_r(context_, rings[0], rings.data() + 1,
                                                    static_cast<unsigned>(rings.size() - 1)));
      }
      GEOSGeometry* area = GEOSGeom_createCollection_r(context_, GEOS_MULTIPOLYGON, polygons.data(),
                                                       static_cast<unsigned>(polygons.size()));
      Shape& shape = areas_[std::string(rows.key(i))];
      shape.area = area;
      shape.prepared = GEOSPrepare_r(context_, area);
    }
  }
  ~Geos() {
    for (auto& [code, shape] : areas_) {
      GEOSPreparedGeom_destroy_r(context_, shape.prepared);
      GEOSGeom_destroy_r(context_, shape.area);
    }
    GEOS_finish_r(context_);
  }
  Geos(const Geos&) = delete;
  Geos& operator=(const Geos&) = delete;

  // The smallest code of the areas that the point is in or on the border of.
  std::string CodeAt(double latitude, double longitude) const {
    GridPoint at = *GridPoint::Of(latitude, longitude);
    GEOSGeometry* point = GEOSGeom_createPointFromXY_r(context_, at.x, at.y);
    std::string found;
    for (const auto& [code, shape] : areas_) {
      if (GEOSPreparedIntersects_r(context_, shape.prepared, point) != 1) continue;
      found = code;
      break;
    }
    GEOSGeom_destroy_r(context_, point);
    return found;
  }

 private:
  struct Shape {
    GEOSGeometry* area = nullptr;
    const GEOSPreparedGeometry* prepared = nullptr;
  };

  GEOSGeometry* RingOf(const Ring& ring) const {
    auto size = static_cast<unsigned>(ring.size() + 1);
    GEOSCoordSequence* points = GEOSCoordSeq_create_r(context_, size, 2);
    for (unsigned i = 0; i < size; ++i)
      GEOSCoordSeq_setXY_r(context_, points, i, ring[i % ring.size()].x, ring[i % ring.size()].y);
    return GEOSGeom_createLinearRing_r(context_, points);
  }

  GEOSContextHandle_t context_;
  std::map<std::string, Shape> areas_;  // by key
};

class GeographyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* source = std::getenv("SLUICE_SOURCE_DIR");
    data_ = fs::path(source == nullptr ? "." : source) / "../shared/data";
    if (!fs::exists(data_ / "geo-london"))
      GTEST_SKIP() << "no real data: there is no folder ../shared/data beside the repository";
  }

  fs::path data_;
};

TEST_F(GeographyTest, StreetRowsGetTheLsoaThatTheyCarry) {
  auto rows = MapOf(data_ / "geo-london/lsoa", "LSOA21CD", "LSOA21NM");
  ASSERT_EQ(rows->size(), 4'994u);
  auto table = *MakeTable("lsoas", rows);
  Geos geos(*rows);
  int asked = 0, same = 0, unplaced = 0;
  std::map<std::string, int> causes;
  for (const auto& file : fs::directory_iterator(data_ / "city-of-london-street")) {
    std::string text = TextOf(file.path());
    auto csv = CsvReader::Create(text);
    ASSERT_TRUE(csv.ok()) << csv.status();
    auto column = [&](std::string_view name) {
      auto at = std::find(csv->header().begin(), csv->header().end(), name);
      return static_cast<size_t>(at - csv->header().begin());
    };
    const size_t latitude = column("Latitude"), longitude = column("Longitude"),
                 code = column("LSOA code");
    base::Arena arena;
    std::vector<std::string_view> cells;
    while (*csv->Next(arena, cells)) {
      if (cells[latitude].empty()) {
        ++unplaced;
        continue;
      }
      double y = std::stod(std::string(cells[latitude])),
             x = std::stod(std::string(cells[longitude]));
      std::string found = CodeAt(*table, y, x);
      ASSERT_EQ(found, geos.CodeAt(y, x)) << file.path() << " line " << csv->line();
      ++asked;
      if (found == cells[code]) {
        ++same;
        continue;
      }
      bool known = false;
      for (size_t i = 0; i < rows->size() && !known; ++i) known = rows->key(i) == cells[code];
      ++causes[found.empty()         ? "outside London"
               : cells[code].empty() ? "the row carries none"
               : !known ? "the row's LSOA is of an earlier vintage: it isn't on the map of 2021"
                        : "the row's LSOA is another on the map of 2021"];
    }
  }
  std::string rest;
  for (const auto& [cause, count] : causes) base::StrAppend(rest, "\n  ", count, ": ", cause);
  std::cout << same << " of " << asked << " rows have the LSOA that they carry (" << unplaced
            << " have no place); the rest:" << rest << "\n";
  EXPECT_GT(asked, 1'900);
  EXPECT_GE(same * 100, asked * 97) << rest;
}

TEST_F(GeographyTest, StopsGetWardAndBorough) {
  auto wards = MapOf(data_ / "geo-london/ward", "WD25CD", "WD25NM");
  ASSERT_EQ(wards->size(), 704u);
  auto table = *MakeTable("wards", wards);
  Geos geos(*wards);
  int stops = 0, placed = 0, joined = 0, outside = 0;
  for (const char* month : {"2024-09.json", "2024-10.json"}) {
    std::string text = TextOf(data_ / "mps-stop-search" / month);
    JsonText json(text);
    base::Arena arena;
    absl::Status read = json.ReadArray([&]() -> absl::Status {
      ++stops;
      std::string latitude, longitude;
      SLUICE_RETURN_IF_ERROR(json.ReadObject(arena, [&](std::string_view name) -> absl::Status {
        if (name != "location" || json.Peek() != '{') return json.Skip();
        return json.ReadObject(arena, [&](std::string_view part) -> absl::Status {
          if (part != "latitude" && part != "longitude") return json.Skip();
          SLUICE_ASSIGN_OR_RETURN(JsonText::Scalar scalar, json.ReadScalar(arena));
          (part == "latitude" ? latitude : longitude) = scalar.text;
          return absl::OkStatus();
        });
      }));
      if (latitude.empty()) return absl::OkStatus();
      ++placed;
      double y = std::stod(latitude), x = std::stod(longitude);
      RowId row = table->Find(At(y, x));
      std::string code = row == kNoRow ? "" : std::string(table->Cell(row, 0).text());
      EXPECT_EQ(code, geos.CodeAt(y, x));
      if (row == kNoRow) {
        ++outside;
      } else {
        ++joined;
        EXPECT_THAT(std::string(table->Cell(row, 2).text()), ::testing::StartsWith("E09"));
      }
      return absl::OkStatus();
    });
    ASSERT_TRUE(read.ok()) << read;
  }
  std::cout << joined << " of " << placed << " stops with a place have ward and borough, "
            << outside << " are in no ward of London\n";
  EXPECT_EQ(stops, 6'653);
  // The Metropolitan Police also stop people outside London.
  EXPECT_GE(joined * 1000, placed * 985);
}

TEST_F(GeographyTest, EachPublishedSnapPointSnapsToItself) {
  auto rows = RowsFromText(R"(kind: nearest columns { name: "id" source: "street_id" }
      columns { name: "latitude" type: number } columns { name: "longitude" type: number }
      key { column: "id" } point { latitude: "latitude" longitude: "longitude" max_metres: 20000 })",
                           TextOf(data_ / "geo-london/snap_points_mps_derived.csv"));
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ((*rows)->size(), 13'133u);
  auto table = *MakeTable("snap_points", *rows);
  for (size_t i = 0; i < (*rows)->size(); ++i) {
    auto cells = (*rows)->row(i);
    RowId row = table->Find(At(cells[1].number, cells[2].number));
    ASSERT_NE(row, kNoRow);
    // Two of them may stand on one place; then it's the place that counts.
    EXPECT_EQ(table->Cell(row, 1).number, cells[1].number);
    EXPECT_EQ(table->Cell(row, 2).number, cells[2].number);
  }
}

}  // namespace
}  // namespace sluice::enrichment
