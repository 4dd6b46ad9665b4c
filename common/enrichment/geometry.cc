#include "common/enrichment/geometry.h"

#include <cstring>

namespace sluice::enrichment {
namespace {

void AppendCount(size_t count, std::string& out) {
  auto number = static_cast<uint32_t>(count);
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

uint32_t TakeCount(std::string_view& bytes) {
  uint32_t number;
  std::memcpy(&number, bytes.data(), sizeof(number));
  bytes.remove_prefix(sizeof(number));
  return number;
}

}  // namespace

void AppendArea(const Area& area, std::string& out) {
  AppendCount(area.size(), out);
  for (const Polygon& polygon : area) {
    AppendCount(polygon.size(), out);
    for (const Ring& ring : polygon) {
      AppendCount(ring.size(), out);
      out.append(reinterpret_cast<const char*>(ring.data()), ring.size() * sizeof(GridPoint));
    }
  }
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
