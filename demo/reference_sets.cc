#include "demo/reference_sets.h"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "demo/generator.h"

namespace sluice::demo {
namespace {

// LSOAs in a grid; a ward is 4 by 2 of them, a borough 2 by 10 wards.
constexpr int kWide = 88, kHigh = 60;
constexpr int kWardWide = 4, kWardHigh = 2, kWardsAcross = kWide / kWardWide;
constexpr int kBoroughWide = 8, kBoroughHigh = 20, kBoroughsAcross = kWide / kBoroughWide;
static_assert(kWide * kHigh == kLsoas);
static_assert(kWardsAcross * (kHigh / kWardHigh) == kWards);
static_assert(kBoroughsAcross * (kHigh / kBoroughHigh) == kBoroughs);
// A little wider than the generator's box.
constexpr double kWest = -0.46, kEast = 0.26, kSouth = 51.29, kNorth = 51.71;
constexpr double kCellWide = (kEast - kWest) / kWide, kCellHigh = (kNorth - kSouth) / kHigh;

constexpr const char* kPlaces[] = {"Abbey",  "Bridge", "Castle",    "Dockside", "Elm",
                                   "Ferry",  "Garden", "Heath",     "Island",   "Junction",
                                   "Kiln",   "Lock",   "Market",    "Newgate",  "Orchard",
                                   "Priory", "Quay",   "Riverside", "Spring",   "Tower"};
constexpr const char* kStreets[] = {"Acacia Avenue", "Mill Lane", "Station Road", "Church Street",
                                    "Park Road",     "The Green", "Queensway",    "Canal Walk"};
constexpr const char* kTeams[] = {"Neighbourhoods", "Response", "Roads and Transport",
                                  "Investigation"};

struct Place {
  double latitude, longitude;
};

// Which area a cell of the grid belongs to, and what areas are called.
int BoroughOf(int x, int y) { return y / kBoroughHigh * kBoroughsAcross + x / kBoroughWide; }
int WardOf(int x, int y) { return y / kWardHigh * kWardsAcross + x / kWardWide; }
std::string Code(const char* kind, int number) {
  char text[16];
  std::snprintf(text, sizeof(text), "%s%06d", kind, number);
  return text;
}
std::string BoroughCode(int borough) { return Code("E09", borough + 1); }
std::string WardCode(int ward) { return Code("E05", 900'000 + ward); }
std::string LsoaCode(int lsoa) { return Code("E01", 900'000 + lsoa); }

// A corner of the grid, moved by up to a third of a cell. All areas around it share it.
class Grid {
 public:
  explicit Grid(std::mt19937_64& random) {
    for (int y = 0; y <= kHigh; ++y) {
      for (int x = 0; x <= kWide; ++x) {
        auto moved = [&] { return static_cast<double>(random() % 601) / 1000 - 0.3; };
        double dx = moved(), dy = moved();
        bool edge = x == 0 || y == 0 || x == kWide || y == kHigh;
        corners_.push_back({kSouth + (y + (edge ? 0 : dy)) * kCellHigh,
                            kWest + (x + (edge ? 0 : dx)) * kCellWide});
      }
    }
  }
  Place At(int x, int y) const { return corners_[static_cast<size_t>(y) * (kWide + 1) + x]; }

  // Of the cells from (x, y) on, so many wide and high: counter-clockwise, closed.
  std::string Outline(int x, int y, int wide, int high) const {
    std::string ring;
    auto add = [&](int at_x, int at_y) {
      char text[48];
      Place at = At(at_x, at_y);
      std::snprintf(text, sizeof(text), "%s[%.7f,%.7f]", ring.empty() ? "" : ",", at.longitude,
                    at.latitude);
      ring += text;
    };
    for (int i = 0; i < wide; ++i) add(x + i, y);
    for (int i = 0; i < high; ++i) add(x + wide, y + i);
    for (int i = wide; i > 0; --i) add(x + i, y + high);
    for (int i = high; i > 0; --i) add(x, y + i);
    add(x, y);
    return ring;
  }

 private:
  std::vector<Place> corners_;
};

class File {
 public:
  File(const std::string& folder, std::string_view name) : path_(base::StrCat(folder, "/", name)) {}
  std::string text;
  absl::Status Write() const {
    std::ofstream out(path_, std::ios::binary);
    out << text;
    if (!out.flush()) return absl::UnavailableError(base::StrCat(path_, ": can't be written"));
    return absl::OkStatus();
  }

 private:
  const std::string path_;
};

void AddFeature(std::string_view code, std::string_view name, std::string_view parent_name,
                std::string_view parent, std::string_view ring, std::string& text) {
  base::StrAppend(text, text.empty() ? "{\"type\":\"FeatureCollection\",\"features\":[\n" : ",\n",
                  R"({"type":"Feature","properties":{"code":")", code, R"(","name":")", name,
                  R"(",")", parent_name, R"(":")", parent,
                  R"("},"geometry":{"type":"Polygon","coordinates":[[)", ring, "]]}}");
}

std::string WardName(int ward) {
  return base::StrCat(kPlaces[ward % 20], " ", kPlaces[(ward / 20 + 7) % 20]);
}

absl::Status WriteMap(const std::string& folder, const Grid& grid) {
  File lsoas(folder, "lsoas.geojson"), wards(folder, "wards.geojson");
  for (int y = 0; y < kHigh; ++y) {
    for (int x = 0; x < kWide; ++x) {
      int ward = WardOf(x, y), in_ward = y % kWardHigh * kWardWide + x % kWardWide;
      char letter = static_cast<char>('A' + in_ward);
      AddFeature(LsoaCode(y * kWide + x), base::StrCat(WardName(ward), " ", letter), "ward",
                 WardCode(ward), grid.Outline(x, y, 1, 1), lsoas.text);
      if (in_ward == 0)
        AddFeature(WardCode(ward), WardName(ward), "borough", BoroughCode(BoroughOf(x, y)),
                   grid.Outline(x, y, kWardWide, kWardHigh), wards.text);
    }
  }
  lsoas.text += "\n]}\n";
  wards.text += "\n]}\n";
  SLUICE_RETURN_IF_ERROR(lsoas.Write());
  return wards.Write();
}

absl::Status WriteSnapPoints(const std::string& folder, const Grid& grid) {
  File points(folder, "snap_points.csv");
  points.text = "id,street,latitude,longitude\n";
  int id = 0;
  for (int y = 0; y < kHigh; ++y) {
    for (int x = 0; x < kWide; ++x) {
      // Between the middle of the cell's corners and two that face each other: inside it.
      Place a = grid.At(x, y), b = grid.At(x + 1, y), c = grid.At(x + 1, y + 1),
            d = grid.At(x, y + 1);
      Place middle{(a.latitude + b.latitude + c.latitude + d.latitude) / 4,
                   (a.longitude + b.longitude + c.longitude + d.longitude) / 4};
      for (const Place& corner : {a, c}) {
        char text[96];
        ++id;
        std::snprintf(text, sizeof(text), "%d,On or near %s,%.6f,%.6f\n", id,
                      kStreets[static_cast<size_t>(id) % std::size(kStreets)],
                      middle.latitude + (corner.latitude - middle.latitude) / 4,
                      middle.longitude + (corner.longitude - middle.longitude) / 4);
        points.text += text;
      }
    }
  }
  return points.Write();
}

// Every officer is in one unit at a time, and goes to another at the first of some month of 2026;
// for one in fifty the record of a month is missing. Every borough has a unit of each team, and all
// are renamed at the first of July.
absl::Status WritePeople(const std::string& folder, std::mt19937_64& random) {
  File postings(folder, "postings.csv"), units(folder, "units.csv");
  units.text = "unit,name,team,from,to\n";
  for (int borough = 0; borough < kBoroughs; ++borough) {
    for (size_t team = 0; team < std::size(kTeams); ++team) {
      base::StrAppend(units.text, "U", 100 + borough, "-", team + 1, ",Borough ", borough + 1, " ",
                      kTeams[team], ",", kTeams[team], ",,2026-07-01\n", "U", 100 + borough, "-",
                      team + 1, ",", kPlaces[borough % 20], " ", kTeams[team], ",", kTeams[team],
                      ",2026-07-01,\n");
    }
  }
  postings.text = "warrant_no,unit,from,to\n";
  for (uint32_t officer = 0; officer < Generator::kOfficers; ++officer) {
    auto unit = [&] {
      return base::StrCat("U", 100 + random() % kBoroughs, "-", 1 + random() % std::size(kTeams));
    };
    uint64_t month = 2 + random() % 7;
    bool gap = officer % 50 == 0;
    base::StrAppend(postings.text, Generator::WarrantNo(officer), ",", unit(), ",,2026-0", month,
                    "-01\n", Generator::WarrantNo(officer), ",", unit(), ",2026-0",
                    month + (gap ? 1 : 0), "-01,\n");
  }
  SLUICE_RETURN_IF_ERROR(units.Write());
  return postings.Write();
}

absl::Status WriteOffences(const std::string& folder) {
  File offences(folder, "offences.csv");
  offences.text = "legislation,object,code,offence_group\n";
  int number = 0;
  for (std::string_view law : Generator::Laws()) {
    for (std::string_view object : Generator::Objects())
      base::StrAppend(offences.text, law, ",", object, ",D", 101 + number++, ",", object, "\n");
  }
  return offences.Write();
}

}  // namespace

absl::Status WriteReferenceSets(const std::string& folder, uint64_t seed) {
  std::mt19937_64 random(seed);
  Grid grid(random);
  SLUICE_RETURN_IF_ERROR(WriteMap(folder, grid));
  SLUICE_RETURN_IF_ERROR(WriteSnapPoints(folder, grid));
  SLUICE_RETURN_IF_ERROR(WritePeople(folder, random));
  return WriteOffences(folder);
}

}  // namespace sluice::demo
