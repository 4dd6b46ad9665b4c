#include "common/base/strings.h"

#include <gtest/gtest.h>

namespace sluice::base {
namespace {

TEST(StringsTest, ReadsHexadecimalDigitsOfBothCases) {
  EXPECT_EQ(BytesOfHex("00ff7aF0"), std::string("\x00\xff\x7a\xf0", 4));
  EXPECT_EQ(BytesOfHex(""), "");
}

}  // namespace
}  // namespace sluice::base
