// Points and areas in whole units of 1e-7 degrees (1.1 cm), so that every question about them has
// one exact answer.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
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
size_t AreaBytes(const Area& area);
// `out` has room for AreaBytes().
void WriteArea(const Area& area, char* out);
void AppendArea(const Area& area, std::string& out);
// Whether bytes from elsewhere are what AppendArea may have written of an area with an inside: at
// least one polygon, each with rings of at least three points.
bool IsArea(std::string_view bytes);
// Of what AppendArea wrote.
Area ParseArea(std::string_view bytes);

// A ring of what AppendArea wrote, read where it lies.
class RingView {
 public:
  RingView(const char* points, uint32_t size) : points_(points), size_(size) {}

  uint32_t size() const { return size_; }
  // `visit(GridPoint a, GridPoint b)` for each edge.
  template <typename Visit>
  void ForEachEdge(Visit visit) const {
    if (size_ == 0) return;
    GridPoint from = At(size_ - 1);
    for (uint32_t i = 0; i < size_; ++i) {
      GridPoint to = At(i);
      visit(from, to);
      from = to;
    }
  }

 private:
  GridPoint At(uint32_t i) const {
    GridPoint point;
    std::memcpy(&point, points_ + size_t{i} * sizeof(point), sizeof(point));
    return point;
  }

  const char* points_;
  uint32_t size_;
};

// `visit(RingView ring, uint32_t holes)` for each ring of each polygon of what AppendArea wrote: an
// outer ring, with the number of its holes, which come next, each with 0.
template <typename Visit>
void ForEachRing(std::string_view bytes, Visit visit) {
  const char* at = bytes.data();
  auto take = [&at] {
    uint32_t number;
    std::memcpy(&number, at, sizeof(number));
    at += sizeof(number);
    return number;
  };
  for (uint32_t polygons = take(); polygons > 0; --polygons) {
    const uint32_t rings = take();
    for (uint32_t i = 0; i < rings; ++i) {
      const uint32_t size = take();
      visit(RingView(at, size), i == 0 ? rings - 1 : 0);
      at += size_t{size} * sizeof(GridPoint);
    }
  }
}

// Which side of the line from a to b a point is on: above 0 left, below 0 right, 0 on it. Exact.
inline int Side(GridPoint a, GridPoint b, GridPoint point) {
  __extension__ using Wide = __int128;
  Wide cross = static_cast<Wide>(int64_t{b.x} - a.x) * (int64_t{point.y} - a.y) -
               static_cast<Wide>(int64_t{b.y} - a.y) * (int64_t{point.x} - a.x);
  return cross > 0 ? 1 : cross < 0 ? -1 : 0;
}

}  // namespace sluice::enrichment
