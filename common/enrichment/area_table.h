// Which area a point is in: a grid over the map whose cells know the areas that they touch.
#pragma once

#include <cstdint>
#include <vector>

#include "common/enrichment/memory_table.h"

namespace sluice::enrichment {

// Areas are closed: a point on a border is in every area that the border belongs to, and of those
// the one with the smallest key is joined. All of it is decided in whole units, so exactly.
class AreaTable final : public MemoryTable {
 public:
  AreaTable(std::string_view set, std::shared_ptr<const RowSet> rows);

  RowId Find(const Question& question) const override;

 private:
  struct Edge {
    GridPoint a, b;
  };
  // The edges of one area, by bands of latitude: a band has every edge that touches it.
  struct Shape {
    int32_t low = 0;  // the first band's lower end
    uint32_t bands = 0;
    uint32_t first_band = 0;  // in band_begins_
    int32_t shift = 0;        // a band is 1 << shift units high
    GridPoint min, max;
  };
  struct Entry {
    uint32_t row;
    uint32_t whole;  // the cell is inside it, borders and all
  };

  void AddShape(const Area& area);
  void FillCells(uint32_t rank, const Area& area, std::vector<std::vector<Entry>>& cells) const;
  bool Contains(const Shape& shape, GridPoint point) const;
  size_t CellX(int64_t x) const { return static_cast<size_t>((x - min_.x) >> cell_shift_); }
  size_t CellY(int64_t y) const { return static_cast<size_t>((y - min_.y) >> cell_shift_); }

  GridPoint min_, max_;
  int cell_shift_ = 0;
  size_t width_ = 0, height_ = 0;
  std::vector<uint32_t> cell_begins_;  // in entries_; one more than there are cells
  std::vector<Entry> entries_;         // of one cell: ascending keys
  std::vector<Shape> shapes_;          // by row
  std::vector<uint32_t> band_begins_;  // in edges_; one more than there are bands
  std::vector<Edge> edges_;
};

}  // namespace sluice::enrichment
