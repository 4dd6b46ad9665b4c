#include "common/privacy/punycode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

#include "common/privacy/fold.h"

namespace sluice::privacy {
namespace {

constexpr size_t kLabelMax = 63;

// RFC 3492 section 5.
constexpr uint32_t kBase = 36, kTMin = 1, kTMax = 26, kSkew = 38, kDamp = 700, kBiasFirst = 72;

char Digit(uint32_t value) {
  return static_cast<char>(value < 26 ? 'a' + value : '0' + value - 26);
}

uint32_t Adapt(uint32_t delta, uint32_t points, bool first) {
  delta /= first ? kDamp : 2;
  delta += delta / points;
  uint32_t k = 0;
  for (; delta > (kBase - kTMin) * kTMax / 2; k += kBase) delta /= kBase - kTMin;
  return k + (kBase - kTMin + 1) * delta / (delta + kSkew);
}

bool IsAllowed(int32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  const utf8proc_category_t category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_MC) ||
         category == UTF8PROC_CATEGORY_ND;
}

}  // namespace

bool AppendALabel(std::string_view label, std::string& out) {
  uint32_t points[kLabelMax];
  uint32_t count = 0;
  for (; !label.empty();) {
    int32_t c;
    const size_t size = ReadCodePoint(label, c);
    if (size == 0 || !IsAllowed(c) || count == kLabelMax) return false;
    points[count++] = static_cast<uint32_t>(c);
    label.remove_prefix(size);
  }
  const size_t begin = out.size();
  out.append("xn--");
  uint32_t done = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (points[i] >= 0x80) continue;
    out.push_back(static_cast<char>(points[i]));
    ++done;
  }
  const uint32_t ascii = done;
  if (ascii > 0) out.push_back('-');
  // At most 63 points below 0x110000: nothing here overflows.
  for (uint32_t n = 0x80, delta = 0, bias = kBiasFirst; done < count; ++delta, ++n) {
    uint32_t next = UINT32_MAX;
    for (uint32_t i = 0; i < count; ++i) {
      if (points[i] >= n) next = std::min(next, points[i]);
    }
    delta += (next - n) * (done + 1);
    n = next;
    for (uint32_t i = 0; i < count; ++i) {
      if (points[i] < n) ++delta;
      if (points[i] != n) continue;
      uint32_t q = delta;
      for (uint32_t k = kBase;; k += kBase) {
        const uint32_t t = k <= bias ? kTMin : std::min(k - bias, kTMax);
        if (q < t) break;
        out.push_back(Digit(t + (q - t) % (kBase - t)));
        q = (q - t) / (kBase - t);
      }
      out.push_back(Digit(q));
      bias = Adapt(delta, done + 1, done == ascii);
      delta = 0;
      ++done;
    }
  }
  if (out.size() - begin <= kLabelMax) return true;
  out.resize(begin);
  return false;
}

}  // namespace sluice::privacy
