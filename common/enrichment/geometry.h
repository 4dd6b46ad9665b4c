// Points and areas in whole units of 1e-7 degrees (1.1 cm), so that every question about them has
// one exact answer.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::enrichment {

inline constexpr double kUnitsPerDegree = 1e7;

struct GridPoint {
  int32_t x = 0;  // longitude
  int32_t y = 0;  // latitude
  bool operator==(const GridPoint&) const = default;

  // nullopt: not degrees.
  static std::optional<GridPoint> Of(double latitude, double longitude) {
    if (!(std::fabs(latitude) <= 90 && std::fabs(longitude) <= 180)) return std::nullopt;
    return GridPoint{static_cast<int32_t>(std::lround(longitude * kUnitsPerDegree)),
                     static_cast<int32_t>(std::lround(latitude * kUnitsPerDegree))};
  }
};

// Closed: an edge leads from its last point to its first, which isn't repeated.
using Ring = std::vector<GridPoint>;
// An outer ring and its holes.
using Polygon = std::vector<Ring>;
using Area = std::vector<Polygon>;

// As cells and hashes hold it.
void AppendArea(const Area& area, std::string& out);
// Of what AppendArea wrote.
Area ParseArea(std::string_view bytes);

// Which side of the line from a to b a point is on: above 0 left, below 0 right, 0 on it. Exact.
inline int Side(GridPoint a, GridPoint b, GridPoint point) {
  __extension__ using Wide = __int128;
  Wide cross = static_cast<Wide>(int64_t{b.x} - a.x) * (int64_t{point.y} - a.y) -
               static_cast<Wide>(int64_t{b.y} - a.y) * (int64_t{point.x} - a.x);
  return cross > 0 ? 1 : cross < 0 ? -1 : 0;
}

}  // namespace sluice::enrichment
