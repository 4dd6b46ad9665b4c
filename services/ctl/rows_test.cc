#include "services/ctl/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <utility>

namespace sluice::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Each row as `line json` or `line !refusal`.
std::vector<std::string> Rows(const std::string& text, RowOptions options = {}) {
  std::istringstream in(text);
  auto reader = RowReader::Create(in, std::move(options));
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::vector<std::string> rows;
  Row row;
  while (reader.ok() && (*reader)->Next(row)) {
    EXPECT_EQ(row.number, rows.size() + 1);
    rows.push_back(std::to_string(row.line) + " " +
                   (row.refusal.empty() ? row.json : "!" + row.refusal));
  }
  return rows;
}

std::string HeaderError(const std::string& text, RowOptions options = {}) {
  std::istringstream in(text);
  return std::string(RowReader::Create(in, std::move(options)).status().message());
}

TEST(Rows, MixedLineEndsByteOrderMarkAndEmptyLines) {
  EXPECT_THAT(
      Rows("\xEF\xBB\xBF"
           "a,b\r\n1,2\n\n3,4\r\n\r\n5,6"),
      ElementsAre(R"(2 {"a":"1","b":"2"})", R"(4 {"a":"3","b":"4"})", R"(6 {"a":"5","b":"6"})"));
}

TEST(Rows, AHeaderHasNoMorePartsThanAnEventHasLevels) {
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  std::string error = HeaderError(deep + "\n1\n");
  EXPECT_THAT(error, HasSubstr("column 1"));
  EXPECT_THAT(error, HasSubstr("has more than 32 parts"));
  EXPECT_LT(error.size(), 300u) << "a name is shown in part";
  EXPECT_EQ(HeaderError(deep.substr(0, 63) + "\n1\n"), "");
}

// A cell that goes on is read once, not once for each of its lines; each of many columns is found
// by its name.
TEST(Rows, LongCellsAndWideHeadersTakeTimeByTheirBytes) {
  std::string line = std::string(5'000, 'x') + "\n", cell = "a\n\"";
  for (int i = 0; i < 190; ++i) cell += line;
  std::vector<std::string> rows = Rows(cell + "\"\n");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_GT(rows[0].size(), 950'000u);
  std::string header = "c0", row = "0";
  for (int i = 1; i < 100'000; ++i) {
    header += ",c" + std::to_string(i);
    row += ",";
  }
  EXPECT_THAT(Rows(header + "\n" + row + "\n"), ElementsAre(R"(2 {"c0":"0"})"));
}

TEST(Rows, AStreamThatFailsIsNoEnd) {
  std::ifstream folder("/", std::ios::binary);
  auto reader = RowReader::Create(folder, {.csv = false});
  ASSERT_TRUE(reader.ok());
  Row row;
  EXPECT_FALSE((*reader)->Next(row));
  EXPECT_EQ((*reader)->status().code(), absl::StatusCode::kUnavailable);
}

TEST(Rows, QuotedCellsHoldCommasQuotesAndLines) {
  EXPECT_THAT(Rows("a,b\n\"x, \"\"y\"\"\",\"one\r\ntwo\"\nc,d\n"),
              ElementsAre(R"(2 {"a":"x, \"y\"","b":"one\ntwo"})", R"(4 {"a":"c","b":"d"})"));
}

TEST(Rows, DottedColumnsNestAndEmptyCellsAreAbsent) {
  EXPECT_THAT(Rows("id,subject.name,subject.age\n1,N,\n2,,\n,,\n"),
              ElementsAre(R"(2 {"id":"1","subject":{"name":"N"}})", R"(3 {"id":"2"})", "4 {}"));
  RowOptions options;
  options.names = {{"Type", "type"}, {"Secret", ""}, {"Lat", "location.latitude"}};
  EXPECT_THAT(Rows("Type,Secret,Lat\na,b,51.5\n", options),
              ElementsAre(R"(2 {"type":"a","location":{"latitude":"51.5"}})"));
}

TEST(Rows, WhatIsBrokenIsRefusedAndReadPast) {
  EXPECT_THAT(
      Rows("a,b\n1\n1,2,3\nx\"y,2\n\"x\"y,2\n\xFF"
           ",2\n3,4\n"),
      ElementsAre("2 !1 cells where the header has 2", "3 !3 cells where the header has 2",
                  "4 !a quote inside a cell that isn't quoted", "5 !text behind a closing quote",
                  "6 !isn't UTF-8", R"(7 {"a":"3","b":"4"})"));
}

TEST(Rows, CellsBeyondTheHeadersAreCountedAndReadToTheirEnd) {
  EXPECT_THAT(Rows("a\n1,2,\"x\ny\",4\n5\n6,\"\"\n"),
              ElementsAre("2 !4 cells where the header has 1", R"(4 {"a":"5"})",
                          "5 !2 cells where the header has 1"));
  EXPECT_THAT(Rows("a,b\n1,2" + std::string(100'000, ',') + "\n3,4\n"),
              ElementsAre("2 !100002 cells where the header has 2", R"(3 {"a":"3","b":"4"})"));
}

TEST(Rows, AStrayQuoteCostsOneLineNotTheRestOfTheFile) {
  EXPECT_THAT(Rows("a,b\n\"1,2\n3,4\n5,6\n"),
              ElementsAre("2 !a quoted cell doesn't end", R"(3 {"a":"3","b":"4"})",
                          R"(4 {"a":"5","b":"6"})"));
  RowOptions options;
  options.row_lines_max = 2;
  EXPECT_THAT(Rows("a\n\"1\n2\n3\n\"4\"\n", options),
              ElementsAre("2 !a quoted cell doesn't end", R"(3 {"a":"2"})", R"(4 {"a":"3"})",
                          R"(5 {"a":"4"})"));
}

TEST(Rows, ALongLineIsRefusedInBoundedMemory) {
  RowOptions options;
  options.row_bytes_max = 10;
  EXPECT_THAT(Rows("a\n" + std::string(1000, 'x') + "\nok\n", options),
              ElementsAre("2 !is longer than 10 bytes", R"(3 {"a":"ok"})"));
}

TEST(Rows, JsonLinesAreObjects) {
  RowOptions options;
  options.csv = false;
  EXPECT_THAT(Rows(" {\"a\":1} \r\n[1]\n{\"a\":\n\xFF\n{}", options),
              ElementsAre(R"(1 {"a":1})", "2 !isn't a JSON object", "3 !isn't a JSON object",
                          "4 !isn't UTF-8", "5 {}"));
}

TEST(Rows, HeadersThatCannotBeReadAreErrors) {
  EXPECT_THAT(HeaderError(""), HasSubstr("no header"));
  EXPECT_THAT(HeaderError("a,,b\n"), HasSubstr("column 2 has no name"));
  EXPECT_THAT(HeaderError("a,b,a\n"), HasSubstr("column 3 has another column's name"));
  EXPECT_THAT(HeaderError("a,a.b\n"), HasSubstr("column 2"));
  EXPECT_THAT(HeaderError("a\n", {.key_column = "k"}), HasSubstr("--key"));
  EXPECT_THAT(HeaderError("a\n", {.names = {{"k", "x"}}}), HasSubstr("--name"));
}

}  // namespace
}  // namespace sluice::ctl
