#include "common/telemetry/json.h"

#include <string>

#include "gtest/gtest.h"

namespace sluice::telemetry {
namespace {

TEST(AppendJsonText, ReplacesWhatIsNotUtf8) {
  std::string out;
  AppendJsonText(out, "a\xff\x7f");
  EXPECT_EQ(out, R"("a\ufffd\u007f")");
}

TEST(AppendJsonText, KeepsUtf8AndEscapesWhatJsonMust) {
  std::string out = "x";
  AppendJsonText(out, std::string_view("\0\"\\/\n\xe2\x82\xac", 8));
  EXPECT_EQ(out, "x\"\\u0000\\\"\\\\/\\n\xe2\x82\xac\"");
}

}  // namespace
}  // namespace sluice::telemetry
