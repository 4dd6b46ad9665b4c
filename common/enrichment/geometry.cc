#include "common/enrichment/geometry.h"

#include <cstring>

namespace sluice::enrichment {
namespace {

void WriteCount(size_t count, char*& out) {
  auto number = static_cast<uint32_t>(count);
  std::memcpy(out, &number, sizeof(number));
  out += sizeof(number);
}

uint32_t TakeCount(std::string_view& bytes) {
  uint32_t number;
  std::memcpy(&number, bytes.data(), sizeof(number));
  bytes.remove_prefix(sizeof(number));
  return number;
}

}  // namespace

size_t AreaBytes(const Area& area) {
  size_t bytes = sizeof(uint32_t);
  for (const Polygon& polygon : area) {
    bytes += sizeof(uint32_t);
    for (const Ring& ring : polygon) bytes += sizeof(uint32_t) + ring.size() * sizeof(GridPoint);
  }
  return bytes;
}

void WriteArea(const Area& area, char* out) {
  WriteCount(area.size(), out);
  for (const Polygon& polygon : area) {
    WriteCount(polygon.size(), out);
    for (const Ring& ring : polygon) {
      WriteCount(ring.size(), out);
      std::memcpy(out, ring.data(), ring.size() * sizeof(GridPoint));
      out += ring.size() * sizeof(GridPoint);
    }
  }
}

void AppendArea(const Area& area, std::string& out) {
  size_t begin = out.size();
  out.resize(begin + AreaBytes(area));
  WriteArea(area, out.data() + begin);
}

bool IsArea(std::string_view bytes) {
  auto take = [&](uint32_t& number) {
    if (bytes.size() < sizeof(number)) return false;
    number = TakeCount(bytes);
    return true;
  };
  uint32_t polygons = 0, rings = 0, points = 0;
  if (!take(polygons) || polygons == 0) return false;
  for (; polygons > 0; --polygons) {
    if (!take(rings) || rings == 0) return false;
    for (; rings > 0; --rings) {
      if (!take(points) || points < 3 || bytes.size() / sizeof(GridPoint) < points) return false;
      bytes.remove_prefix(points * sizeof(GridPoint));
    }
  }
  return bytes.empty();
}

Area ParseArea(std::string_view bytes) {
  Area area(TakeCount(bytes));
  for (Polygon& polygon : area) {
    polygon.resize(TakeCount(bytes));
    for (Ring& ring : polygon) {
      ring.resize(TakeCount(bytes));
      std::memcpy(ring.data(), bytes.data(), ring.size() * sizeof(GridPoint));
      bytes.remove_prefix(ring.size() * sizeof(GridPoint));
    }
  }
  return area;
}

}  // namespace sluice::enrichment
