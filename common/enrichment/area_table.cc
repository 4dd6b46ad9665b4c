#include "common/enrichment/area_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "common/base/stop_scope.h"

namespace sluice::enrichment {
namespace {

constexpr size_t kCellsMax = 1 << 20;
constexpr uint32_t kEdgesPerBand = 8;
// Cells in the boxes of all shapes together, for each edge: what bounds entries_.
constexpr size_t kBoxCellsPerEdge = 4;
constexpr size_t kBoxCellsMin = 1 << 14;

}  // namespace

size_t AreaTable::PointsOf(const RowSet& rows) {
  size_t bytes = 0;
  for (size_t row = 0; row < rows.size(); ++row) bytes += rows.row(row)[rows.schema().area()].size;
  return bytes / sizeof(GridPoint);
}

AreaTable::AreaTable(std::string_view set, std::shared_ptr<const RowSet> rows)
    : MemoryTable(set, std::move(rows)) {
  MeasureAreas();
  size_t touches = 0;
  const size_t edges = MeasureShapes(touches);
  if (base::StopScope::stop_requested()) return;
  edges_.reserve(touches);
  size_t shape = 0;
  for (size_t row = 0; row < rows_->size(); ++row) {
    ForEachRing(rows_->row(row)[schema().area()].text(), [&](RingView ring, uint32_t) {
      if (!base::StopScope::stop_requested()) FillBands(shapes_[shape++], ring);
    });
  }
  if (base::StopScope::stop_requested()) return;
  band_begins_.push_back(static_cast<uint32_t>(edges_.size()));
  ChooseCells(edges);
  FillCells();
}

// As if each ring lay in the plane at its first point: good enough to tell a house from a ward.
void AreaTable::MeasureAreas() {
  constexpr double kMetresPerUnit = 6'371'008.8 * M_PI / 180 / kUnitsPerDegree;
  double smallest = std::numeric_limits<double>::infinity();
  for (size_t row = 0; row < rows_->size(); ++row) {
    double area = 0;
    uint32_t holes_left = 0;
    ForEachRing(rows_->row(row)[schema().area()].text(), [&](RingView ring, uint32_t holes) {
      double twice = 0;
      int32_t x = 0, y = 0;
      bool first = true;
      ring.ForEachEdge([&](GridPoint a, GridPoint b) {
        if (std::exchange(first, false)) x = a.x, y = a.y;
        twice += (double{1} * a.x - x) * (double{1} * b.y - y) -
                 (double{1} * b.x - x) * (double{1} * a.y - y);
      });
      const double size = std::fabs(twice) / 2 * std::cos(y / kUnitsPerDegree * M_PI / 180);
      const bool hole = holes_left > 0;
      area += hole ? -size : size;
      holes_left = hole ? holes_left - 1 : holes;
    });
    smallest = std::min(smallest, area);
  }
  smallest_metres_ =
      std::isfinite(smallest) ? std::sqrt(std::max(smallest, 0.0)) * kMetresPerUnit : 0;
}

size_t AreaTable::MeasureShapes(size_t& touches) {
  size_t edges = 0, rings = 0, bands = 0;
  for (size_t row = 0; row < rows_->size(); ++row)
    ForEachRing(rows_->row(row)[schema().area()].text(), [&](RingView, uint32_t) { ++rings; });
  shapes_.reserve(rings);
  rows_of_.reserve(rings);
  for (uint32_t row = 0; row < rows_->size(); ++row) {
    ForEachRing(rows_->row(row)[schema().area()].text(), [&](RingView ring, uint32_t holes) {
      if (base::StopScope::stop_requested()) return;
      MeasureShape(ring, edges, touches);
      shapes_.back().holes = holes;
      rows_of_.push_back(row);
      bands += shapes_.back().bands;
    });
  }
  if (base::StopScope::stop_requested()) return edges;
  min_ = shapes_[0].min;
  max_ = shapes_[0].max;
  for (const Shape& shape : shapes_) {
    min_ = {std::min(min_.x, shape.min.x), std::min(min_.y, shape.min.y)};
    max_ = {std::max(max_.x, shape.max.x), std::max(max_.y, shape.max.y)};
  }
  band_begins_.reserve(bands + 1);
  return edges;
}

void AreaTable::MeasureShape(RingView ring, size_t& edges, size_t& touches) {
  Shape shape;
  const size_t count = ring.size();
  bool first = true;
  ring.ForEachEdge([&](GridPoint a, GridPoint) {
    if (std::exchange(first, false)) shape.min = shape.max = a;
    shape.min = {std::min(shape.min.x, a.x), std::min(shape.min.y, a.y)};
    shape.max = {std::max(shape.max.x, a.x), std::max(shape.max.y, a.y)};
  });
  const int64_t height = int64_t{shape.max.y} - shape.min.y;
  const size_t bands_max = std::max(count / kEdgesPerBand, size_t{1});
  while (static_cast<size_t>(height >> shape.shift) >= bands_max) ++shape.shift;
  // Edges that are taller than a band are in several. Where that is most of them, bands are made
  // higher, so that memory stays in proportion to the points whatever their shape.
  while (true) {
    shape.bands = static_cast<uint32_t>(height >> shape.shift) + 1;
    size_t touched = 0;
    ring.ForEachEdge([&](GridPoint a, GridPoint b) {
      const int64_t low = (int64_t{std::min(a.y, b.y)} - shape.min.y) >> shape.shift;
      const int64_t high = (int64_t{std::max(a.y, b.y)} - shape.min.y) >> shape.shift;
      touched += static_cast<size_t>(high - low + 1);
    });
    if (shape.bands == 1 || touched <= count + count / 4 * 3 || base::StopScope::stop_requested()) {
      touches += touched;
      break;
    }
    ++shape.shift;
  }
  edges += count;
  shapes_.push_back(shape);
}

void AreaTable::FillBands(Shape& shape, RingView ring) {
  auto for_each_band = [&](GridPoint a, GridPoint b, auto visit) {
    auto band = [&](int32_t y) {
      return static_cast<size_t>((int64_t{y} - shape.min.y) >> shape.shift);
    };
    for (size_t i = band(std::min(a.y, b.y)); i <= band(std::max(a.y, b.y)); ++i) visit(i);
  };
  shape.first_band = static_cast<uint32_t>(band_begins_.size());
  // How many are in each band, then where the next one of each goes.
  std::vector<uint32_t> next(shape.bands);
  ring.ForEachEdge(
      [&](GridPoint a, GridPoint b) { for_each_band(a, b, [&](size_t i) { ++next[i]; }); });
  auto begin = static_cast<uint32_t>(edges_.size());
  for (uint32_t& count : next) {
    band_begins_.push_back(begin);
    begin += std::exchange(count, begin);
  }
  edges_.resize(begin);
  ring.ForEachEdge([&](GridPoint a, GridPoint b) {
    if (a.y > b.y) std::swap(a, b);
    for_each_band(a, b, [&](size_t i) { edges_[next[i]++] = {a, b}; });
  });
}

// Cells are squares of a power of two, so that a point's is found by a shift; as small as makes two
// for each edge, unless areas lie over each other so often that too many would be of many.
void AreaTable::ChooseCells(size_t edges) {
  const size_t cells_max = std::clamp<size_t>(2 * edges, 1024, kCellsMax);
  const size_t box_cells_max = std::max(kBoxCellsPerEdge * edges, kBoxCellsMin);
  for (;; ++cell_shift_) {
    width_ = CellX(max_.x) + 1;
    height_ = CellY(max_.y) + 1;
    if (width_ > cells_max || height_ > cells_max || width_ * height_ > cells_max) continue;
    size_t box_cells = 0;
    for (size_t i = 0; i < shapes_.size(); i += 1 + shapes_[i].holes)
      box_cells += BoxWidth(shapes_[i]) * BoxHeight(shapes_[i]);
    if (box_cells <= std::max(box_cells_max, shapes_.size()) || width_ * height_ == 1) return;
  }
}

void AreaTable::FillCells() {
  size_t box_cells = 0;
  std::vector<uint32_t> outer;     // rings
  std::vector<size_t> box_begins;  // of each of them
  for (uint32_t i = 0; i < shapes_.size(); i += 1 + shapes_[i].holes) {
    outer.push_back(i);
    box_begins.push_back(box_cells);
    box_cells += BoxWidth(shapes_[i]) * BoxHeight(shapes_[i]);
  }
  std::vector<uint8_t> states(box_cells);
  cell_begins_.resize(width_ * height_ + 1);
  // `visit(cell, whole)` for each cell that a polygon has something of.
  auto for_each_cell = [&](size_t polygon, auto visit) {
    if (base::StopScope::stop_requested()) return;
    const Shape& shape = shapes_[outer[polygon]];
    const uint8_t* state = states.data() + box_begins[polygon];
    const size_t left = CellX(shape.min.x), bottom = CellY(shape.min.y);
    const size_t width = BoxWidth(shape), height = BoxHeight(shape);
    for (size_t y = 0; y < height; ++y) {
      for (size_t x = 0; x < width; ++x, ++state) {
        if (*state != 0) visit((bottom + y) * width_ + left + x, *state == kWhole);
      }
    }
  };
  size_t ring_number = 0, polygon = 0;
  for (size_t row = 0; row < rows_->size(); ++row) {
    ForEachRing(rows_->row(row)[schema().area()].text(), [&](RingView ring, uint32_t) {
      if (base::StopScope::stop_requested()) return;
      const Shape& of = shapes_[outer[polygon]];
      MarkCells(of, shapes_[ring_number], ring,
                std::span(states).subspan(box_begins[polygon], BoxWidth(of) * BoxHeight(of)));
      if (ring_number++ == outer[polygon] + of.holes)
        for_each_cell(polygon++, [&](size_t cell, bool) { ++cell_begins_[cell + 1]; });
    });
  }
  if (base::StopScope::stop_requested()) return;
  std::partial_sum(cell_begins_.begin(), cell_begins_.end(), cell_begins_.begin());
  entries_.resize(cell_begins_.back());
  std::vector<uint32_t> by_key(outer.size());
  std::iota(by_key.begin(), by_key.end(), 0);
  std::sort(by_key.begin(), by_key.end(), [&](uint32_t a, uint32_t b) {
    int order = rows_->key(rows_of_[outer[a]]).compare(rows_->key(rows_of_[outer[b]]));
    return order != 0 ? order < 0 : a < b;
  });
  // A cell's begin moves to its end, which is the next one's begin: by one place, all are right.
  for (uint32_t number : by_key) {
    for_each_cell(number, [&](size_t cell, bool whole) {
      entries_[cell_begins_[cell]++] = outer[number] << 1 | static_cast<uint32_t>(whole);
    });
  }
  std::shift_right(cell_begins_.begin(), cell_begins_.end(), 1);
  cell_begins_.front() = 0;
}

// Every cell that an edge may pass, and those beside it: more than need be costs time only. What an
// edge crosses of a cell row's lower line says which untouched cells of the row lie inside: the
// crossing itself is in a touched cell, so that it needn't be exact.
void AreaTable::MarkCells(const Shape& outer, const Shape& shape, RingView ring,
                          std::span<uint8_t> box) const {
  const size_t left = CellX(outer.min.x), right = CellX(outer.max.x);
  const size_t bottom = CellY(outer.min.y), top = CellY(outer.max.y);
  const size_t width = right - left + 1;
  if (shape.min.x < outer.min.x || shape.max.x > outer.max.x || shape.min.y < outer.min.y ||
      shape.max.y > outer.max.y) {
    // A hole that reaches out of its polygon: what it may take from it is decided by question.
    for (size_t y = std::max(CellY(shape.min.y), bottom); y <= std::min(CellY(shape.max.y), top);
         ++y) {
      for (size_t x = std::max(CellX(shape.min.x), left); x <= std::min(CellX(shape.max.x), right);
           ++x)
        box[(y - bottom) * width + x - left] = kTouched;
    }
    return;
  }
  ring.ForEachEdge([&](GridPoint a, GridPoint b) {
    if (a.y > b.y) std::swap(a, b);
    for (size_t y = CellY(a.y); y <= CellY(b.y); ++y) {
      uint8_t* row = box.data() + (y - bottom) * width;
      double x_low = std::min(a.x, b.x), x_high = std::max(a.x, b.x);
      if (a.y != b.y) {
        double cell_low =
            static_cast<double>(min_.y) + std::ldexp(static_cast<double>(y), cell_shift_);
        double cell_high = cell_low + std::ldexp(1.0, cell_shift_);
        double slope = (double{1} * b.x - a.x) / (double{1} * b.y - a.y);
        double first = a.x + slope * (std::max<double>(cell_low, a.y) - a.y);
        double last = a.x + slope * (std::min<double>(cell_high, b.y) - a.y);
        if (cell_low >= a.y && cell_low < b.y) {
          double crossing = std::clamp(first, x_low, x_high);
          row[CellX(static_cast<int64_t>(crossing)) - left] ^= kCrossed;
        }
        x_low = std::max(x_low, std::min(first, last) - 2);
        x_high = std::min(x_high, std::max(first, last) + 2);
      }
      size_t from = CellX(static_cast<int64_t>(x_low)), to = CellX(static_cast<int64_t>(x_high));
      from = std::max(from, left + 1) - 1;
      to = std::min(to + 1, right);
      for (size_t x = from; x <= to; ++x) row[x - left] |= kTouchedNow;
    }
  });
  const bool hole = &shape != &outer;
  for (size_t y = CellY(shape.min.y); y <= CellY(shape.max.y); ++y) {
    bool inside = false;
    // The cells beside the ring's box may be touched too.
    const size_t first = std::max(CellX(shape.min.x), left + 1) - 1;
    for (size_t x = std::min(CellX(shape.max.x) + 1, right) + 1; x-- > first;) {
      uint8_t& state = box[(y - bottom) * width + x - left];
      if ((state & kCrossed) != 0) inside = !inside;
      if ((state & kTouchedNow) != 0) {
        state = kTouched;
      } else if (inside) {
        state = hole ? state & kTouched : state | kWhole;
      }
    }
  }
}

size_t AreaTable::memory_bytes() const {
  return cell_begins_.capacity() * sizeof(uint32_t) + entries_.capacity() * sizeof(uint32_t) +
         shapes_.capacity() * sizeof(Shape) + rows_of_.capacity() * sizeof(uint32_t) +
         band_begins_.capacity() * sizeof(uint32_t) + edges_.capacity() * sizeof(Edge);
}

AreaTable::Place AreaTable::Locate(const Shape& shape, GridPoint point) const {
  if (point.x < shape.min.x || point.x > shape.max.x || point.y < shape.min.y ||
      point.y > shape.max.y)
    return Place::kOutside;
  auto band = static_cast<uint32_t>((int64_t{point.y} - shape.min.y) >> shape.shift);
  bool inside = false;
  for (uint32_t i = band_begins_[shape.first_band + band];
       i < band_begins_[shape.first_band + band + 1]; ++i) {
    const GridPoint a = edges_[i].a, b = edges_[i].b;
    if (point.y < a.y || point.y > b.y) continue;
    if (a.y == b.y) {
      if (point.x >= std::min(a.x, b.x) && point.x <= std::max(a.x, b.x)) return Place::kBorder;
      continue;
    }
    int side = Side(a, b, point);
    if (side == 0) return Place::kBorder;
    // A ray to the right crosses the edge; an edge has its lower end and not its upper one.
    if (side > 0 && point.y < b.y) inside = !inside;
  }
  return inside ? Place::kInside : Place::kOutside;
}

bool AreaTable::Contains(uint32_t number, GridPoint point) const {
  const Shape* shape = &shapes_[number];
  if (Locate(*shape, point) == Place::kOutside) return false;
  for (uint32_t holes = shape->holes; holes > 0; --holes)
    if (Locate(*++shape, point) == Place::kInside) return false;
  return true;
}

RowId AreaTable::Find(const Question& question) const {
  GridPoint point = question.point;
  if (point.x < min_.x || point.x > max_.x || point.y < min_.y || point.y > max_.y) return kNoRow;
  size_t cell = CellY(point.y) * width_ + CellX(point.x);
  for (uint32_t i = cell_begins_[cell]; i < cell_begins_[cell + 1]; ++i) {
    const uint32_t shape = entries_[i] >> 1;
    const uint32_t row = rows_of_[shape];
    if (!rows_->intervals().empty()) {
      const Interval& valid = rows_->intervals()[row];
      if (question.at < valid.low || question.at >= valid.high) continue;
    }
    if ((entries_[i] & 1) != 0 || Contains(shape, point)) return row;
  }
  return kNoRow;
}

}  // namespace sluice::enrichment
