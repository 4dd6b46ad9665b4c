#include "common/enrichment/interval_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"

namespace sluice::enrichment {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kUnits = R"(
  kind: as_of columns { name: "officer" } columns { name: "unit" }
  columns { name: "from" type: date } columns { name: "to" type: date }
  key { column: "officer" normalise: upper } valid { from: "from" to: "to" time_zone: "Europe/London" })";

std::string UnitAt(const Table& table, std::string_view officer, int64_t at) {
  event::Value key = event::Value::Text(officer);
  Question question;
  question.key = {&key, 1};
  question.at = at;
  RowId row = table.Find(question);
  return row == kNoRow ? "" : std::string(table.Cell(row, 1).text());
}

TEST(IntervalTable, FromIsInAndToIsNotInTheZoneOfTheSet) {
  auto table = TableFromText("units", kUnits,
                             "officer,unit,from,to\np1,first,,2026-07-01\np1,second,2026-07-01,\n"
                             "p2,only,2026-01-01,2026-02-01\n");
  constexpr int64_t kJuly = 1782860400;  // 2026-06-30T23:00:00Z, midnight in London
  EXPECT_EQ(UnitAt(*table, "P1 ", kJuly - 1), "first");
  EXPECT_EQ(UnitAt(*table, "p1", kJuly), "second");
  EXPECT_EQ(UnitAt(*table, "p1", -5'000'000'000), "first");
  EXPECT_EQ(UnitAt(*table, "p2", 1767225600 - 1), "") << "a gap";
  EXPECT_EQ(UnitAt(*table, "p2", 1767225600), "only");
  EXPECT_EQ(UnitAt(*table, "p2", 1769904000), "");
  EXPECT_EQ(UnitAt(*table, "p3", kJuly), "");
}

TEST(IntervalTable, RefusesRowsThatHoldAtTheSameTime) {
  auto error = [](std::string_view rows) {
    return std::string(
        RowsFromText(kUnits, "officer,unit,from,to\n" + std::string(rows)).status().message());
  };
  EXPECT_THAT(error("p1,a,2026-01-01,2026-03-01\nP1,b,2026-02-28,\n"),
              HasSubstr("rows: line 3: the row of rows: line 2 has the same key and overlaps it"));
  EXPECT_THAT(error("p1,a,,\np1,b,2026-02-28,\n"), HasSubstr("overlaps it"));
  EXPECT_THAT(error("p1,a,2026-03-01,2026-03-01\n"), HasSubstr("ends before it begins"));
}

TEST(IntervalTable, AgreesWithASearchThroughRandomHistories) {
  std::mt19937 random(11);
  std::uniform_int_distribution<int> length(1, 20), gap(0, 3);
  struct Row {
    int from, to;
    std::string unit;
  };
  std::string text = "id,unit,low,high\n";
  std::map<int, std::vector<Row>> histories;
  for (int id = 0; id < 200; ++id) {
    int at = gap(random);
    for (int i = length(random); i > 0; --i) {
      Row row{at, at + length(random), base::StrCat("u", text.size())};
      at = row.to + gap(random);
      base::StrAppend(text, id, ",", row.unit, ",", row.from, ",", row.to, "\n");
      histories[id].push_back(row);
    }
  }
  auto schema = [](std::string_view half_open) {
    return base::StrCat(R"(kind: range columns { name: "id" type: integer } columns { name: "unit" }
      columns { name: "low" type: integer } columns { name: "high" type: integer }
      key { column: "id" } bounds { low: "low" high: "high" half_open: )",
                        half_open, "}");
  };
  auto table = TableFromText("histories", schema("true"), text);
  for (int i = 0; i < 20'000; ++i) {
    int id = static_cast<int>(random() % 210), at = static_cast<int>(random() % 300);
    std::string expected;
    for (const Row& row : histories[id])
      if (at >= row.from && at < row.to) expected = row.unit;
    event::Value key = event::Value::Int(id);
    Question question;
    question.key = {&key, 1};
    question.at = *table->schema().Ordered(event::Value::Int(at));
    RowId row = table->Find(question);
    ASSERT_EQ(row == kNoRow ? "" : std::string(table->Cell(row, 1).text()), expected)
        << id << " at " << at;
  }
  EXPECT_FALSE(RowsFromText(schema("false"), "id,unit,low,high\n1,a,1,2\n1,b,2,3\n").ok())
      << "closed ranges share the value 2";
}

}  // namespace
}  // namespace sluice::enrichment
