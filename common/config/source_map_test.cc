#include "common/config/source_map.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::config {
namespace {

using testing::HasSubstr;

TEST(SourceMap, FallsBackToThePartAround) {
  SourceMap map("p.yaml");
  map.Add("", 1);
  map.Add("streams[0]", 3);
  map.Add("streams[0].fields", 5);
  map.Add("streams[0].fields[a.b]", 6);
  map.Add("streams[0].fields[a.b]", 9);
  EXPECT_EQ(map.Line("streams[0].fields[a.b]"), 6);
  EXPECT_EQ(map.Line("streams[0].fields[a.b].mask.with"), 6);
  EXPECT_EQ(map.Line("streams[0].fields[x.y]"), 5);
  EXPECT_EQ(map.Line("streams[0].name"), 3);
  EXPECT_EQ(map.Line("nowhere.at[all]"), 1);
  EXPECT_EQ(map.Where("streams[0].fields"), "p.yaml:5");
}

TEST(Problems, AreSortedByFileAndLine) {
  Problems problems;
  EXPECT_TRUE(problems.ToStatus().ok());
  problems.Add("b", 1, "x", "wrong");
  problems.Add("a", 20, "", "wrong");
  problems.Add("a", 3, "y", "wrong");
  EXPECT_EQ(problems.size(), 3u);
  EXPECT_EQ(problems.ToStatus(),
            absl::InvalidArgumentError("a:3: y: wrong\na:20: wrong\nb:1: x: wrong"));
}

TEST(Problems, StayOneLineEachAndShort) {
  Problems problems;
  std::string euros;
  for (int i = 0; i < 1000; ++i) euros += "\xe2\x82\xac";
  problems.Add("a", 1, "p\nq", euros);
  std::string text(problems.ToStatus().message());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 0);
  EXPECT_LT(text.size(), 450u);
  // Cut between characters.
  EXPECT_THAT(text, HasSubstr("\xe2\x82\xac..."));
}

}  // namespace
}  // namespace sluice::config
