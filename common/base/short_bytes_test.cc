#include "common/base/short_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace sluice::base {
namespace {

std::string Text(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + i % 26));
  return text;
}

TEST(ShortBytes, CopyTouchesNothingButItsBytes) {
  for (size_t size = 0; size < 200; ++size) {
    std::string from = Text(size);
    std::string to(size + 2, '#');
    CopyShort(to.data() + 1, from.data(), size);
    EXPECT_EQ(to, "#" + from + "#");
  }
}

TEST(ShortBytes, OneOtherByteAnywhereIsAnotherText) {
  for (size_t size = 0; size < 80; ++size) {
    const std::string text = Text(size);
    EXPECT_TRUE(SameShort(text, std::string(text)));
    EXPECT_FALSE(SameShort(text, text + "x"));
    for (size_t i = 0; i < size; ++i) {
      std::string other = text;
      other[i] = '!';
      EXPECT_FALSE(SameShort(text, other)) << size << " " << i;
    }
  }
}

TEST(ShortBytes, EveryByteIsSeenAndNoOther) {
  auto free_of = [](unsigned char byte) {
    return [byte](uint64_t word) {
      for (int i = 0; i < 8; ++i) {
        if ((word >> (8 * i) & 0xFF) == byte) return false;
      }
      return true;
    };
  };
  for (size_t size = 0; size < 80; ++size) {
    const std::string text = Text(size);
    // Neither what lies behind a short text, nor a zero that nobody wrote.
    EXPECT_TRUE(AllWords(text, free_of('!'))) << size;
    EXPECT_TRUE(AllWords(text, free_of(0))) << size;
    for (size_t i = 0; i < size; ++i) {
      std::string other = text;
      other[i] = '!';
      EXPECT_FALSE(AllWords(other, free_of('!'))) << size << " " << i;
    }
  }
}

}  // namespace
}  // namespace sluice::base
