// Which point is nearest: a grid over the map whose cells have the points in them.
#pragma once

#include <cstdint>
#include <vector>

#include "common/enrichment/memory_table.h"

namespace sluice::enrichment {

// Distances are those on the plane that touches the earth at the question's point, in whole units,
// so that two are equal or not, the same on every machine. Of points that are equally near, the one
// with the smallest key is joined. Nothing is looked for across the poles or the 180th meridian.
class NearestTable final : public MemoryTable {
 public:
  // `within` may be null; else its areas have no times.
  NearestTable(std::string_view set, std::shared_ptr<const RowSet> rows,
               std::shared_ptr<const Table> within);

  RowId Find(const Question& question) const override;
  const Table* within() const override { return within_.get(); }

  // The square of the distance, in units of 1e-7 degrees of latitude / kFraction.
  __extension__ using Square = unsigned __int128;
  static constexpr int64_t kFraction = 1 << 16;
  static Square Distance(GridPoint from, GridPoint to);
  // The most that a point may be away.
  Square limit() const { return limit_; }

 private:
  struct Place {
    GridPoint point;
    uint32_t row;
    uint32_t rank;  // of its key
    RowId area;     // in within_, where there is one
  };
  // What is found so far.
  struct Best {
    Square distance;
    uint32_t rank;
    RowId row = kNoRow;
  };

  // Looks at the cells from `left` to `right`, both included, of one row of the grid.
  void Look(int64_t y, int64_t left, int64_t right, const Question& question, RowId area,
            int64_t cosine, Best& best) const;

  const std::shared_ptr<const Table> within_;
  Square limit_;
  GridPoint min_, max_;
  int cell_shift_ = 0;
  int64_t width_ = 0, height_ = 0;
  std::vector<uint32_t> cell_begins_;  // in places_; one more than there are cells
  std::vector<Place> places_;          // cell by cell
};

}  // namespace sluice::enrichment
