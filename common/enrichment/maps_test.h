// Maps for oracles: whatever a file of boundaries may have, right and wrong.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/enrichment/geometry.h"

namespace sluice::enrichment {

// A ring as a file has it: closed, with whatever repeats or goes back.
using Positions = std::vector<GridPoint>;
using Part = std::vector<Positions>;

// Maps on a grid that is coarse or fine, anywhere on the earth, so that much coincides or nothing.
class MapGenerator {
 public:
  // `scales`: of the five coarsenesses, the finest so many.
  explicit MapGenerator(uint32_t seed, size_t scales = 5) : random_(seed) {
    constexpr int64_t kScales[] = {1, 7, 1000, 100'000, 20'000'000};
    scale_ = kScales[Below(scales)];
    // The poles and both sides of the antimeridian among them.
    constexpr GridPoint kCentres[] = {{0, 0},
                                      {-1'000'000, 515'000'000},
                                      {1'799'999'990, -170'000'000},
                                      {-1'799'999'990, 0},
                                      {300'000'000, 899'999'990},
                                      {0, -899'999'990}};
    centre_ = kCentres[Below(6)];
  }

  size_t Below(size_t bound) { return random_() % bound; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<size_t>(high - low + 1)));
  }
  GridPoint Place(int64_t x, int64_t y) const {
    auto clamp = [](int64_t value, int64_t bound) {
      return static_cast<int32_t>(std::clamp(value, -bound, bound));
    };
    return {clamp(centre_.x + x * scale_, 1'800'000'000),
            clamp(centre_.y + y * scale_, 900'000'000)};
  }

  Positions Ring(int64_t x, int64_t y, int64_t radius) {
    Positions ring;
    switch (Below(5)) {
      case 0:  // a star, which is simple where its corners are in order
      case 1: {
        const size_t corners = 3 + Below(30);
        for (size_t i = 0; i < corners; ++i) {
          double angle = 2 * M_PI * static_cast<double>(i) / static_cast<double>(corners);
          auto far = static_cast<double>(Between(1, radius));
          ring.push_back(Place(x + std::lround(far * std::cos(angle)),
                               y + std::lround(far * std::sin(angle))));
        }
        break;
      }
      case 2:  // crosses itself
        for (size_t i = 3 + Below(6); i > 0; --i)
          ring.push_back(Place(x + Between(-radius, radius), y + Between(-radius, radius)));
        break;
      case 3: {  // a box with points along its sides
        const Positions corners = {Place(x - radius, y - radius), Place(x + radius, y - radius),
                                   Place(x + radius, y + radius), Place(x - radius, y + radius)};
        for (size_t i = 0; i < 4; ++i) {
          GridPoint a = corners[i], b = corners[(i + 1) % 4];
          const int64_t steps = Between(1, 4);
          for (int64_t step = 0; step < steps; ++step)
            ring.push_back({static_cast<int32_t>(a.x + (int64_t{b.x} - a.x) * step / steps),
                            static_cast<int32_t>(a.y + (int64_t{b.y} - a.y) * step / steps)});
        }
        break;
      }
      default: {  // a comb
        const int64_t teeth = Between(2, 12);
        ring.push_back(Place(x - radius, y - radius));
        for (int64_t i = 0; i <= teeth; ++i)
          ring.push_back(Place(x - radius + 2 * radius * i / teeth,
                               i % 2 == 0 ? y + radius : y - radius + Between(0, radius)));
        ring.push_back(Place(x + radius, y - radius));
      }
    }
    Decorate(ring);
    ring.push_back(ring.front());
    return ring;
  }

  // Points twice, and spikes: there and back again.
  void Decorate(Positions& ring) {
    for (size_t times = Below(3); times > 0; --times) {
      const size_t at = Below(ring.size());
      const GridPoint point = ring[at];
      auto place = ring.begin() + static_cast<ptrdiff_t>(at);
      if (Below(2) == 0) {
        ring.insert(place, point);
      } else {
        auto reach = [&](int32_t value, int64_t bound) {
          return static_cast<int32_t>(std::clamp(value + Between(-20, 20) * scale_, -bound, bound));
        };
        GridPoint tip{reach(point.x, 1'800'000'000), reach(point.y, 900'000'000)};
        ring.insert(place, {point, tip});
      }
    }
  }

  std::vector<Part> Area() {
    std::vector<Part> parts;
    for (size_t count = 1 + Below(3); count > 0; --count) {
      // Another part, the same again, or one of its corners' neighbours.
      if (!parts.empty() && Below(4) == 0) {
        parts.push_back(parts.back());
        continue;
      }
      const int64_t x = Between(-30, 30), y = Between(-30, 30), radius = Between(1, 30);
      Part part = {Ring(x, y, radius)};
      for (size_t holes = Below(3); holes > 0; --holes)
        part.push_back(Ring(x + Between(-3, 3), y + Between(-3, 3), Between(1, radius)));
      parts.push_back(std::move(part));
    }
    return parts;
  }

  GridPoint Question(const std::vector<std::vector<Part>>& areas) {
    if (Below(3) == 0) return Place(Between(-70, 70), Between(-70, 70));
    // On a corner, on an edge, or a unit beside it.
    const auto& area = areas[Below(areas.size())];
    const Part& part = area[Below(area.size())];
    const Positions& ring = part[Below(part.size())];
    const size_t at = Below(ring.size() - 1);
    const GridPoint a = ring[at], b = ring[at + 1];
    const int64_t steps = Between(1, 4), step = Between(0, steps);
    int64_t x = a.x + (int64_t{b.x} - a.x) * step / steps + Between(-1, 1),
            y = a.y + (int64_t{b.y} - a.y) * step / steps + Between(-1, 1);
    return {static_cast<int32_t>(std::clamp<int64_t>(x, -1'800'000'000, 1'800'000'000)),
            static_cast<int32_t>(std::clamp<int64_t>(y, -900'000'000, 900'000'000))};
  }

 private:
  std::mt19937 random_;
  int64_t scale_ = 1;
  GridPoint centre_;
};

// Whether the reader takes it: a ring of fewer than three points has no inside.
inline bool HasInside(const std::vector<Part>& area) {
  for (const Part& part : area) {
    for (const Positions& ring : part) {
      Positions distinct;
      for (GridPoint point : ring)
        if (distinct.empty() || distinct.back() != point) distinct.push_back(point);
      if (distinct.size() < 4) return false;
      for (size_t i = 0; i + 1 < ring.size(); ++i)
        if (std::abs(int64_t{ring[i].x} - ring[i + 1].x) > 1'800'000'000) return false;
    }
  }
  return true;
}

inline std::string GeoJson(const std::vector<std::vector<Part>>& areas, bool heights) {
  std::string text = R"({"type":"FeatureCollection","features":[)";
  auto number = [](int32_t units) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.7f", units / kUnitsPerDegree);
    return std::string(digits);
  };
  for (size_t i = 0; i < areas.size(); ++i) {
    base::StrAppend(text, i == 0 ? "" : ",", R"({"type":"Feature","properties":{"code":"A)",
                    100 + i, R"("},"geometry":{"type":"MultiPolygon","coordinates":[)");
    for (const Part& part : areas[i]) {
      text += &part == &areas[i][0] ? "[" : ",[";
      for (const Positions& ring : part) {
        text += &ring == &part[0] ? "[" : ",[";
        for (const GridPoint& point : ring)
          base::StrAppend(text, &point == &ring[0] ? "[" : ",[", number(point.x), ",",
                          number(point.y), heights ? ",12.5]" : "]");
        text += "]";
      }
      text += "]";
    }
    text += "]}}";
  }
  return text + "]}";
}

}  // namespace sluice::enrichment
