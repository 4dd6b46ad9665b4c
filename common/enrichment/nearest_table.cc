#include "common/enrichment/nearest_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>

#include "common/base/stop_scope.h"
#include "common/base/stoppable_sort.h"

namespace sluice::enrichment {
namespace {

constexpr double kEarthRadiusMetres = 6'371'008.8;
constexpr double kMetresPerUnit = kEarthRadiusMetres * std::numbers::pi / 180 / kUnitsPerDegree;
constexpr size_t kPlacesPerLeaf = 6;
constexpr size_t kDepthMax = 32;  // of rows that 32 bits number

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

int64_t NearestTable::Metres(GridPoint from, GridPoint to) {
  return std::lround(std::sqrt(static_cast<double>(Distance(from, to))) / kFraction *
                     kMetresPerUnit);
}

NearestTable::NearestTable(std::string_view set, std::shared_ptr<const RowSet> rows,
                           std::shared_ptr<const Table> within)
    : MemoryTable(set, std::move(rows)), within_(std::move(within)) {
  limit_ =
      SquareOf(static_cast<int64_t>(schema().point().max_metres() / kMetresPerUnit * kFraction));
  std::vector<uint32_t> by_key(rows_->size());
  std::iota(by_key.begin(), by_key.end(), 0);
  auto less = [&](uint32_t a, uint32_t b) {
    return std::pair(rows_->key(a), a) < std::pair(rows_->key(b), b);
  };
  if (!base::SortUnlessStopped(by_key.begin(), by_key.end(), less)) return;
  for (uint32_t rank = 0; rank < by_key.size(); ++rank) {
    if (base::StopScope::stop_requested()) return;
    std::span<const event::Value> cells = rows_->row(by_key[rank]);
    Place place{
        *GridPoint::Of(cells[schema().latitude()].number, cells[schema().longitude()].number),
        by_key[rank], rank, kNoRow};
    if (within_ != nullptr) {
      Question question;
      question.point = place.point;
      place.area = within_->Find(question);
    }
    places_.push_back(place);
  }
  leaves_ = std::bit_ceil((places_.size() + kPlacesPerLeaf - 1) / kPlacesPerLeaf);
  halvings_.resize(leaves_);
  Halve(1, 0, leaves_);
}

// `begin` and `count` are the part's leaves.
void NearestTable::Halve(size_t part, size_t begin, size_t count) {
  if (count == 1 || base::StopScope::stop_requested()) return;
  auto at = [&](size_t leaf) { return places_.begin() + static_cast<ptrdiff_t>(LeafBegin(leaf)); };
  const auto first = at(begin), middle = at(begin + count / 2), last = at(begin + count);
  auto by_x = [](const Place& a, const Place& b) { return a.point.x < b.point.x; };
  auto by_y = [](const Place& a, const Place& b) { return a.point.y < b.point.y; };
  const auto [left, right] = std::minmax_element(first, last, by_x);
  const auto [bottom, top] = std::minmax_element(first, last, by_y);
  Halving& halving = halvings_[part];
  halving.by_y = (int64_t{top->point.y} - bottom->point.y) * kFraction >
                 (int64_t{right->point.x} - left->point.x) * CosineAt(top->point.y);
  if (halving.by_y) {
    std::nth_element(first, middle, last, by_y);
    halving.at = middle->point.y;
  } else {
    std::nth_element(first, middle, last, by_x);
    halving.at = middle->point.x;
  }
  Halve(2 * part, begin, count / 2);
  Halve(2 * part + 1, begin + count / 2, count / 2);
}

void NearestTable::Look(size_t leaf, const Question& question, RowId area, int64_t cosine,
                        Best& best) const {
  const Place* end = places_.data() + LeafBegin(leaf + 1);
  for (const Place* place = places_.data() + LeafBegin(leaf); place < end; ++place) {
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
  Best best{limit_, ~uint32_t{0}};
  std::array<Part, kDepthMax> waiting;
  size_t count = 0;
  waiting[count++] = {1, 0, 0};
  while (count > 0) {
    Part part = waiting[--count];
    // A point that is just as far may have the smaller key.
    if (SquareOf(part.x) + SquareOf(part.y) > best.distance) continue;
    while (part.number < leaves_) {
      const Halving& halving = halvings_[part.number];
      const int64_t off = (halving.by_y ? int64_t{point.y} : int64_t{point.x}) - halving.at;
      const size_t high = off >= 0;
      Part far = part;
      (halving.by_y ? far.y : far.x) = std::abs(off) * (halving.by_y ? kFraction : cosine);
      far.number = 2 * part.number + 1 - high;
      waiting[count++] = far;
      part.number = 2 * part.number + high;
    }
    Look(part.number - leaves_, question, area, cosine, best);
  }
  return best.row;
}

}  // namespace sluice::enrichment
