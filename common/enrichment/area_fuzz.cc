// Any bytes as the corners of areas: the table's answers are those of every edge asked in turn, and
// its memory is in proportion to the points. Run it with -rss_limit_mb=512.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "common/enrichment/area_table.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice::enrichment;

// Takes small numbers from the bytes; zeros behind their end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  GridPoint Point(int scale) {
    auto x = static_cast<int8_t>(Byte()), y = static_cast<int8_t>(Byte());
    return {std::clamp(x * scale, -1'800'000'000, 1'800'000'000),
            std::clamp(y * scale, -900'000'000, 900'000'000)};
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

enum class Place { kOutside, kBorder, kInside };

Place Locate(const Ring& ring, GridPoint point) {
  bool inside = false;
  for (size_t i = 0; i < ring.size(); ++i) {
    GridPoint a = ring[i], b = ring[(i + 1) % ring.size()];
    const int side = Side(a, b, point);
    if (side == 0 && point.x >= std::min(a.x, b.x) && point.x <= std::max(a.x, b.x) &&
        point.y >= std::min(a.y, b.y) && point.y <= std::max(a.y, b.y))
      return Place::kBorder;
    if ((a.y > point.y) != (b.y > point.y)) inside ^= a.y < b.y ? side > 0 : side < 0;
  }
  return inside ? Place::kInside : Place::kOutside;
}

bool Covers(const Polygon& polygon, GridPoint point) {
  return Locate(polygon[0], point) != Place::kOutside &&
         std::none_of(polygon.begin() + 1, polygon.end(),
                      [&](const Ring& hole) { return Locate(hole, point) == Place::kInside; });
}

std::shared_ptr<const Schema> AreaSchema() {
  sluice::reference::v1::Schema schema;
  schema.set_kind(sluice::reference::v1::Schema::area);
  schema.add_columns()->set_name("code");
  auto& shape = *schema.add_columns();
  shape.set_name("shape");
  shape.set_type(sluice::reference::v1::Column::area);
  schema.add_key()->set_column("code");
  return *Schema::Create(schema);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& schema = *new std::shared_ptr<const Schema>(AreaSchema());
  Bytes bytes(data, size);
  constexpr int kScales[] = {1, 3, 1000, 100'000, 15'000'000};
  const int scale = kScales[bytes.Byte() % 5];
  std::vector<Area> areas;
  std::vector<GridPoint> corners;
  size_t points = 0;
  while (!bytes.empty() && areas.size() < 20) {
    Area& area = areas.emplace_back();
    for (int parts = 1 + bytes.Byte() % 3; parts > 0; --parts) {
      Polygon& polygon = area.emplace_back();
      for (int rings = 1 + bytes.Byte() % 3; rings > 0; --rings) {
        Ring& ring = polygon.emplace_back();
        for (int count = 3 + bytes.Byte() % 60; count > 0; --count) {
          ring.push_back(bytes.Point(scale));
          corners.push_back(ring.back());
        }
        points += ring.size();
      }
    }
  }
  if (areas.empty()) return 0;
  RowSet::Builder builder(schema);
  for (size_t i = 0; i < areas.size(); ++i) {
    const std::string code(1, static_cast<char>('A' + i));
    std::string shape;
    AppendArea(areas[i], shape);
    const std::vector<sluice::event::Value> row = {sluice::event::Value::Text(code),
                                                   sluice::event::Value::Text(shape)};
    if (!builder.Add(row, {"fuzz", static_cast<int>(i)}).ok()) std::abort();
  }
  auto rows = *builder.Finish();
  AreaTable table("fuzz", rows);
  sluice::fuzz::Require(table.memory_bytes() <= 50 * points + (1 << 16), "too much memory");
  sluice::fuzz::Planted(areas.size() == 7 && points > 300);
  corners.resize(std::min<size_t>(corners.size(), 200));
  for (size_t i = 0; i < corners.size(); ++i) {
    const GridPoint a = corners[i], b = corners[(i + 1) % corners.size()];
    for (int step = 0; step < 6; ++step) {
      Question question;
      // A corner, its neighbours, and the middle of an edge.
      question.point =
          step == 5 ? GridPoint{static_cast<int32_t>((int64_t{a.x} + b.x) / 2),
                                static_cast<int32_t>((int64_t{a.y} + b.y) / 2)}
                    : GridPoint{a.x + (step == 1) - (step == 2), a.y + (step == 3) - (step == 4)};
      size_t right = 0;
      while (right < areas.size() &&
             std::none_of(areas[right].begin(), areas[right].end(),
                          [&](const Polygon& polygon) { return Covers(polygon, question.point); }))
        ++right;
      const RowId found = table.Find(question);
      const size_t row =
          found == kNoRow ? areas.size() : static_cast<size_t>(rows->key(found)[0] - 'A');
      sluice::fuzz::Require(row == right, "another answer than every edge gives");
    }
  }
  return 0;
}
