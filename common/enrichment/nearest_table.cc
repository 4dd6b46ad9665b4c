#include "common/enrichment/nearest_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace sluice::enrichment {
namespace {

constexpr double kEarthRadiusMetres = 6'371'008.8;
constexpr double kMetresPerUnit =
    kEarthRadiusMetres * std::numbers::pi / 180 / kUnitsPerDegree;
constexpr int64_t kCellsMax = 1 << 22;

// How much shorter a degree of longitude is than one of latitude, in kFraction.
int64_t CosineAt(int32_t latitude) {
  return std::lround(std::cos(latitude / kUnitsPerDegree * std::numbers::pi / 180) *
                     NearestTable::kFraction);
}

NearestTable::Square SquareOf(int64_t length) {
  return static_cast<NearestTable::Square>(length) * static_cast<uint64_t>(length);
}

NearestTable::Square DistanceOf(GridPoint from, GridPoint to, int64_t cosine) {
  int64_t x = std::abs(int64_t{to.x} - from.x) * cosine;
  int64_t y = std::abs(int64_t{to.y} - from.y) * NearestTable::kFraction;
  return SquareOf(x) + SquareOf(y);
}

}  // namespace

NearestTable::Square NearestTable::Distance(GridPoint from, GridPoint to) {
  return DistanceOf(from, to, CosineAt(from.y));
}

NearestTable::NearestTable(std::string_view set, std::shared_ptr<const RowSet> rows,
                           std::shared_ptr<const Table> within)
    : MemoryTable(set, std::move(rows)), within_(std::move(within)) {
  limit_ = SquareOf(
      static_cast<int64_t>(schema().point().max_metres() / kMetresPerUnit * kFraction));
  auto point_of = [&](size_t row) {
    std::span<const event::Value> cells = rows_->row(row);
    return *GridPoint::Of(cells[schema().latitude()].number, cells[schema().longitude()].number);
  };
  min_ = max_ = point_of(0);
  for (size_t i = 1; i < rows_->size(); ++i) {
    GridPoint point = point_of(i);
    min_ = {std::min(min_.x, point.x), std::min(min_.y, point.y)};
    max_ = {std::max(max_.x, point.x), std::max(max_.y, point.y)};
  }
  // Squares of a power of two, as small as makes about one for each point.
  const int64_t cells = std::clamp<int64_t>(static_cast<int64_t>(rows_->size()), 16, kCellsMax);
  while (true) {
    width_ = ((int64_t{max_.x} - min_.x) >> cell_shift_) + 1;
    height_ = ((int64_t{max_.y} - min_.y) >> cell_shift_) + 1;
    if (width_ <= cells && height_ <= cells && width_ * height_ <= cells) break;
    ++cell_shift_;
  }
  auto cell_of = [&](GridPoint point) {
    return static_cast<size_t>(((int64_t{point.y} - min_.y) >> cell_shift_) * width_ +
                               ((int64_t{point.x} - min_.x) >> cell_shift_));
  };
  std::vector<uint32_t> by_key(rows_->size());
  std::iota(by_key.begin(), by_key.end(), 0);
  std::sort(by_key.begin(), by_key.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(rows_->key(a), a) < std::pair(rows_->key(b), b);
  });
  cell_begins_.resize(static_cast<size_t>(width_ * height_) + 1);
  for (uint32_t rank = 0; rank < by_key.size(); ++rank) {
    Place place{point_of(by_key[rank]), by_key[rank], rank, kNoRow};
    if (within_ != nullptr) {
      Question question;
      question.point = place.point;
      place.area = within_->Find(question);
    }
    places_.push_back(place);
    ++cell_begins_[cell_of(place.point) + 1];
  }
  std::partial_sum(cell_begins_.begin(), cell_begins_.end(), cell_begins_.begin());
  std::stable_sort(places_.begin(), places_.end(), [&](const Place& a, const Place& b) {
    return cell_of(a.point) < cell_of(b.point);
  });
}

void NearestTable::Look(int64_t y, int64_t left, int64_t right, const Question& question,
                        RowId area, int64_t cosine, Best& best) const {
  left = std::max<int64_t>(left, 0);
  right = std::min(right, width_ - 1);
  if (left > right || y < 0 || y >= height_) return;
  const auto row = static_cast<size_t>(y * width_);
  const Place* end = places_.data() + cell_begins_[row + static_cast<size_t>(right) + 1];
  for (const Place* place = places_.data() + cell_begins_[row + static_cast<size_t>(left)];
       place < end; ++place) {
    Square distance = DistanceOf(question.point, place->point, cosine);
    if (distance > best.distance || (distance == best.distance && place->rank >= best.rank))
      continue;
    if (place->area != area) continue;
    if (!rows_->intervals().empty()) {
      const Interval& valid = rows_->intervals()[place->row];
      if (question.at < valid.low || question.at >= valid.high) continue;
    }
    best = {distance, place->rank, place->row};
  }
}

RowId NearestTable::Find(const Question& question) const {
  const GridPoint point = question.point;
  const int64_t cosine = CosineAt(point.y);
  RowId area = kNoRow;
  if (within_ != nullptr) {
    area = within_->Find(question);
    if (area == kNoRow) return kNoRow;
  }
  // Outside the grid the search starts at its nearest cell.
  const GridPoint start{std::clamp(point.x, min_.x, max_.x), std::clamp(point.y, min_.y, max_.y)};
  Best best{limit_, ~uint32_t{0}};
  if (start != point && DistanceOf(point, start, cosine) > limit_) return kNoRow;
  const int64_t x = (int64_t{start.x} - min_.x) >> cell_shift_;
  const int64_t y = (int64_t{start.y} - min_.y) >> cell_shift_;
  // Of the point in its cell, and how far the sides of what has been looked at are from it.
  const int64_t in_x = int64_t{point.x} - min_.x - (x << cell_shift_);
  const int64_t in_y = int64_t{point.y} - min_.y - (y << cell_shift_);
  for (int64_t at = y - 1; at <= y + 1; ++at)
    Look(at, x - 1, x + 1, question, area, cosine, best);
  for (int64_t ring = 1;; ++ring) {
    if (ring > 1) {
      Look(y - ring, x - ring, x + ring, question, area, cosine, best);
      Look(y + ring, x - ring, x + ring, question, area, cosine, best);
      for (int64_t at = y - ring + 1; at < y + ring; ++at) {
        Look(at, x - ring, x - ring, question, area, cosine, best);
        Look(at, x + ring, x + ring, question, area, cosine, best);
      }
    }
    int64_t beyond = std::numeric_limits<int64_t>::max();
    const int64_t low_side = ring << cell_shift_, high_side = (ring + 1) << cell_shift_;
    if (x - ring > 0) beyond = std::min(beyond, (low_side + in_x) * cosine);
    if (x + ring < width_ - 1) beyond = std::min(beyond, (high_side - in_x) * cosine);
    if (y - ring > 0) beyond = std::min(beyond, (low_side + in_y) * kFraction);
    if (y + ring < height_ - 1) beyond = std::min(beyond, (high_side - in_y) * kFraction);
    // Further out there is nothing, or nothing that is as near.
    if (beyond == std::numeric_limits<int64_t>::max()) break;
    if (beyond > 0 && SquareOf(beyond) > best.distance) break;
  }
  return best.row;
}

}  // namespace sluice::enrichment
