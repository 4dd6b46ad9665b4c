#include "services/ctl/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <thread>

#include "services/ctl/json.h"

namespace sluice::ctl {
namespace {

class OutputTest : public ::testing::Test {
 protected:
  std::istringstream in_;
  std::ostringstream out_, err_;
};

TEST_F(OutputTest, ColumnsLineUpWhateverTheyHold) {
  Output output(in_, out_, err_, {.colour = true});
  Table table({"name", "count"});
  table.Add({output.Paint(Colour::kRed, "a"), "1"});
  table.Add({"caf\u00e9s", "22"});
  table.Add({"x"});
  table.Print(output);
  EXPECT_EQ(out_.str(),
            "\033[1mname\033[0m   \033[1mcount\033[0m\n"
            "\033[31ma\033[0m      1\n"
            "caf\u00e9s  22\n"
            "x\n");
}

TEST_F(OutputTest, ProgressIsDrawnOnATerminalOnlyAndLeavesNothingBehind) {
  for (bool live : {false, true}) {
    err_.str("");
    Output output(in_, out_, err_, {.live = live});
    {
      Progress progress(output, "reading", 4);
      auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
      while (std::chrono::steady_clock::now() < until) progress.Set(2);
    }
    if (live) {
      EXPECT_THAT(err_.str(), ::testing::HasSubstr("reading [############............] 50% 2 ("));
      EXPECT_THAT(err_.str(), ::testing::EndsWith("\r\033[K"));
    } else {
      EXPECT_EQ(err_.str(), "");
    }
  }
}

TEST(JsonText, NestsAndEscapes) {
  JsonText json;
  json.BeginObject().Member("a", "q\"\n").Member("n", -3).Member("d", 0.5).Member("b", true);
  json.Key("list").BeginArray().Value(1u).Raw("{}").Null().EndArray();
  json.Key("none").BeginObject().EndObject().EndObject();
  EXPECT_EQ(
      std::move(json).Finish(),
      "{\n  \"a\": \"q\\\"\\n\",\n  \"n\": -3,\n  \"d\": 0.5,\n  \"b\": true,\n  \"list\": [\n"
      "    1,\n    {},\n    null\n  ],\n  \"none\": {}\n}\n");
}

}  // namespace
}  // namespace sluice::ctl
