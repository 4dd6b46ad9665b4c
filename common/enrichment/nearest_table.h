// Which point is nearest: the map halved, and halved again, until a few points are left.
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
  // The same for people.
  static int64_t Metres(GridPoint from, GridPoint to);
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

  // Where a part of the map is halved.
  struct Halving {
    int32_t at = 0;
    bool by_y = false;
  };
  // A part of the map that is yet to be looked at, and how far away it is at least.
  struct Part {
    size_t number;
    int64_t x, y;
  };

  void Halve(size_t part, size_t begin, size_t count);
  void Look(size_t leaf, const Question& question, RowId area, int64_t cosine, Best& best) const;
  // The halves of part n are 2n and 2n + 1; the whole map is 1. Those from leaves_ on aren't halved
  // again.
  size_t LeafBegin(size_t leaf) const { return places_.size() * leaf / leaves_; }

  const std::shared_ptr<const Table> within_;
  Square limit_;
  size_t leaves_ = 1;              // a power of two
  std::vector<Halving> halvings_;  // by part
  std::vector<Place> places_;      // leaf by leaf
};

}  // namespace sluice::enrichment
