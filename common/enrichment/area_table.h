// Which area a point is in: a grid over the map whose cells know the parts of areas that they
// touch.
#pragma once

#include <cstdint>
#include <vector>

#include "common/enrichment/memory_table.h"

namespace sluice::enrichment {

// Areas are closed: a point on a border is in every area that the border belongs to, and of those
// the one with the smallest key is joined. All of it is decided in whole units, so exactly.
//
// An area has a point if one of its polygons has it, however its polygons overlap or touch. A
// polygon has it if its outer ring has it, and no hole has it inside. What a ring that crosses
// itself has inside counts by even and odd.
//
// Memory, beside the rows: at most 50 bytes for each point of the map, and 64 KiB. A table is built
// in time that grows with points and cells that edges cross, not with points times cells.
class AreaTable final : public MemoryTable {
 public:
  // Points of all areas of a set; MakeTable refuses more.
  static constexpr size_t kPointsMax = size_t{1} << 29;
  static size_t PointsOf(const RowSet& rows);

  AreaTable(std::string_view set, std::shared_ptr<const RowSet> rows);

  RowId Find(const Question& question) const override;
  double smallest_metres() const override { return smallest_metres_; }

  // Bytes that the table holds beside its rows.
  size_t memory_bytes() const;

 private:
  // From its lower end to its upper one.
  struct Edge {
    GridPoint a, b;
  };
  // The edges of one ring, by bands of latitude from min.y upwards: a band has every edge that
  // touches it.
  struct Shape {
    GridPoint min, max;
    uint32_t first_band = 0;  // in band_begins_
    uint32_t bands = 1;
    int32_t shift = 0;   // a band is 1 << shift units high
    uint32_t holes = 0;  // of an outer ring: the shapes behind it
  };
  enum class Place { kOutside, kBorder, kInside };

  void MeasureAreas();
  // Shapes without their edges; returns how many edges there are, and in `touches` how often one
  // touches a band.
  size_t MeasureShapes(size_t& touches);
  // Appends the ring's, and adds to both.
  void MeasureShape(RingView ring, size_t& edges, size_t& touches);
  void FillBands(Shape& shape, RingView ring);
  void ChooseCells(size_t edges);
  void FillCells();
  // What is known of a cell of a polygon's box. The last two are of one ring, while it is marked.
  enum CellState : uint8_t { kTouched = 1, kWhole = 2, kTouchedNow = 4, kCrossed = 8 };
  // `outer` is the polygon's, whose box it is; `shape` the ring's: the outer ring or a hole.
  void MarkCells(const Shape& outer, const Shape& shape, RingView ring,
                 std::span<uint8_t> box) const;
  Place Locate(const Shape& shape, GridPoint point) const;
  // Of an outer ring.
  bool Contains(uint32_t shape, GridPoint point) const;
  size_t CellX(int64_t x) const { return static_cast<size_t>((x - min_.x) >> cell_shift_); }
  size_t CellY(int64_t y) const { return static_cast<size_t>((y - min_.y) >> cell_shift_); }
  size_t BoxWidth(const Shape& shape) const { return CellX(shape.max.x) - CellX(shape.min.x) + 1; }
  size_t BoxHeight(const Shape& shape) const { return CellY(shape.max.y) - CellY(shape.min.y) + 1; }

  double smallest_metres_ = 0;
  GridPoint min_, max_;
  int cell_shift_ = 0;
  size_t width_ = 0, height_ = 0;
  std::vector<uint32_t> cell_begins_;  // in entries_; one more than there are cells
  // An outer ring's number twice, and one more where the whole cell is in its polygon, borders and
  // all. Of one cell: by ascending keys.
  std::vector<uint32_t> entries_;
  std::vector<Shape> shapes_;          // row by row, polygon by polygon, ring by ring
  std::vector<uint32_t> rows_of_;      // by shape
  std::vector<uint32_t> band_begins_;  // in edges_; one more than there are bands
  std::vector<Edge> edges_;
};

}  // namespace sluice::enrichment
