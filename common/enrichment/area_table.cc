#include "common/enrichment/area_table.h"

#include <algorithm>
#include <numeric>

namespace sluice::enrichment {
namespace {

constexpr size_t kCellsMax = 1 << 20;
constexpr uint32_t kEdgesPerBand = 8;

template <typename Visit>
void ForEachEdge(const Area& area, Visit visit) {
  for (const Polygon& polygon : area) {
    for (const Ring& ring : polygon) {
      for (size_t i = 0; i < ring.size(); ++i) visit(ring[i], ring[(i + 1) % ring.size()]);
    }
  }
}

}  // namespace

AreaTable::AreaTable(std::string_view set, std::shared_ptr<const RowSet> rows)
    : MemoryTable(set, std::move(rows)) {
  std::vector<Area> areas;
  for (size_t i = 0; i < rows_->size(); ++i)
    areas.push_back(ParseArea(rows_->row(i)[schema().area()].text()));
  min_ = max_ = areas[0][0][0][0];
  size_t edges = 0;
  for (const Area& area : areas) {
    AddShape(area);
    const Shape& shape = shapes_.back();
    min_ = {std::min(min_.x, shape.min.x), std::min(min_.y, shape.min.y)};
    max_ = {std::max(max_.x, shape.max.x), std::max(max_.y, shape.max.y)};
    ForEachEdge(area, [&](GridPoint, GridPoint) { ++edges; });
  }
  band_begins_.push_back(static_cast<uint32_t>(edges_.size()));

  // Cells are squares of a power of two, so that a point's is found by a shift; as small as makes
  // two for each edge.
  size_t cells_wanted = std::clamp<size_t>(2 * edges, 1024, kCellsMax);
  while (true) {
    width_ = CellX(max_.x) + 1;
    height_ = CellY(max_.y) + 1;
    if (width_ <= cells_wanted && height_ <= cells_wanted && width_ * height_ <= cells_wanted)
      break;
    ++cell_shift_;
  }
  std::vector<uint32_t> by_key(rows_->size());
  std::iota(by_key.begin(), by_key.end(), 0);
  std::sort(by_key.begin(), by_key.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(rows_->key(a), a) < std::pair(rows_->key(b), b);
  });
  std::vector<std::vector<Entry>> cells(width_ * height_);
  for (uint32_t row : by_key) FillCells(row, areas[row], cells);
  for (const std::vector<Entry>& cell : cells) {
    cell_begins_.push_back(static_cast<uint32_t>(entries_.size()));
    entries_.insert(entries_.end(), cell.begin(), cell.end());
  }
  cell_begins_.push_back(static_cast<uint32_t>(entries_.size()));
}

void AreaTable::AddShape(const Area& area) {
  Shape shape;
  shape.min = shape.max = area[0][0][0];
  uint32_t count = 0;
  ForEachEdge(area, [&](GridPoint a, GridPoint) {
    shape.min = {std::min(shape.min.x, a.x), std::min(shape.min.y, a.y)};
    shape.max = {std::max(shape.max.x, a.x), std::max(shape.max.y, a.y)};
    ++count;
  });
  shape.low = shape.min.y;
  auto band = [&](int32_t y) {
    return static_cast<uint32_t>((int64_t{y} - shape.low) >> shape.shift);
  };
  while (band(shape.max.y) >= std::max(count / kEdgesPerBand, uint32_t{1})) ++shape.shift;
  shape.bands = band(shape.max.y) + 1;
  shape.first_band = static_cast<uint32_t>(band_begins_.size());
  std::vector<std::vector<Edge>> bands(shape.bands);
  ForEachEdge(area, [&](GridPoint a, GridPoint b) {
    for (uint32_t i = band(std::min(a.y, b.y)); i <= band(std::max(a.y, b.y)); ++i)
      bands[i].push_back({a, b});
  });
  for (const std::vector<Edge>& edges : bands) {
    band_begins_.push_back(static_cast<uint32_t>(edges_.size()));
    edges_.insert(edges_.end(), edges.begin(), edges.end());
  }
  shapes_.push_back(shape);
}

void AreaTable::FillCells(uint32_t row, const Area& area,
                          std::vector<std::vector<Entry>>& cells) const {
  const Shape& shape = shapes_[row];
  size_t left = CellX(shape.min.x), right = CellX(shape.max.x);
  size_t bottom = CellY(shape.min.y), top = CellY(shape.max.y);
  size_t columns = right - left + 1;
  std::vector<char> touched(columns * (top - bottom + 1));
  // Every cell that an edge may pass, and those beside it: more than need be costs time only.
  ForEachEdge(area, [&](GridPoint a, GridPoint b) {
    if (a.y > b.y) std::swap(a, b);
    for (size_t y = CellY(a.y); y <= CellY(b.y); ++y) {
      double x_low = std::min(a.x, b.x), x_high = std::max(a.x, b.x);
      if (a.y != b.y) {
        double cell_low =
            static_cast<double>(min_.y) + std::ldexp(static_cast<double>(y), cell_shift_);
        double cell_high = cell_low + std::ldexp(1.0, cell_shift_);
        double slope = (double{1} * b.x - a.x) / (double{1} * b.y - a.y);
        double first = a.x + slope * (std::max<double>(cell_low, a.y) - a.y);
        double last = a.x + slope * (std::min<double>(cell_high, b.y) - a.y);
        x_low = std::max(x_low, std::min(first, last) - 2);
        x_high = std::min(x_high, std::max(first, last) + 2);
      }
      size_t from = CellX(static_cast<int64_t>(x_low)), to = CellX(static_cast<int64_t>(x_high));
      from = std::max(from, left + 1) - 1;
      to = std::min(to + 1, right);
      for (size_t x = from; x <= to; ++x) touched[(y - bottom) * columns + x - left] = 1;
    }
  });
  for (size_t y = bottom; y <= top; ++y) {
    for (size_t x = left; x <= right; ++x) {
      bool whole = !touched[(y - bottom) * columns + x - left];
      if (whole) {
        // No edge passes: one corner tells for all of it.
        GridPoint corner{static_cast<int32_t>(min_.x + (static_cast<int64_t>(x) << cell_shift_)),
                         static_cast<int32_t>(min_.y + (static_cast<int64_t>(y) << cell_shift_))};
        if (!Contains(shape, corner)) continue;
      }
      cells[y * width_ + x].push_back({row, whole});
    }
  }
}

bool AreaTable::Contains(const Shape& shape, GridPoint point) const {
  if (point.x < shape.min.x || point.x > shape.max.x || point.y < shape.min.y ||
      point.y > shape.max.y)
    return false;
  auto band = static_cast<uint32_t>((int64_t{point.y} - shape.low) >> shape.shift);
  bool inside = false;
  for (uint32_t i = band_begins_[shape.first_band + band];
       i < band_begins_[shape.first_band + band + 1]; ++i) {
    GridPoint a = edges_[i].a, b = edges_[i].b;
    if (a.y > b.y) std::swap(a, b);
    if (point.y < a.y || point.y > b.y) continue;
    if (a.y == b.y) {
      if (point.x >= std::min(a.x, b.x) && point.x <= std::max(a.x, b.x)) return true;
      continue;
    }
    int side = Side(a, b, point);
    if (side == 0) return true;
    // A ray to the right crosses the edge; an edge has its lower end and not its upper one.
    if (side > 0 && point.y < b.y) inside = !inside;
  }
  return inside;
}

RowId AreaTable::Find(const Question& question) const {
  GridPoint point = question.point;
  if (point.x < min_.x || point.x > max_.x || point.y < min_.y || point.y > max_.y) return kNoRow;
  size_t cell = CellY(point.y) * width_ + CellX(point.x);
  for (uint32_t i = cell_begins_[cell]; i < cell_begins_[cell + 1]; ++i) {
    const Entry& entry = entries_[i];
    if (!rows_->intervals().empty()) {
      const Interval& valid = rows_->intervals()[entry.row];
      if (question.at < valid.low || question.at >= valid.high) continue;
    }
    if (entry.whole || Contains(shapes_[entry.row], point)) return entry.row;
  }
  return kNoRow;
}

}  // namespace sluice::enrichment
