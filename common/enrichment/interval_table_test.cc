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
  EXPECT_THAT(error("p1,a,2026-03-02,2026-03-01\n"),
              HasSubstr("line 2: column 'to': the row ends before it begins"));
}

TEST(IntervalTable, ARowThatBeginsAndEndsAtOnceIsCountedAndLeftOut) {
  auto schema = SchemaFromText(kUnits);
  RowSet::Builder builder(*schema);
  ASSERT_EQ(ReadCsv("officer,unit,from,to\n"
                    "p1,first,2026-01-01,2026-03-01\np1,nothing,2026-03-01,2026-03-01\n"
                    "p1,second,2026-03-01,\np2,planned,infinity,\np2,void,,-infinity\n"
                    "p2,planned too,infinity,infinity\np3,always,-infinity,INFINITY\n",
                    "rows", builder),
            absl::OkStatus());
  EXPECT_EQ(builder.never_hold(), 4u);
  auto rows = *builder.Finish();
  auto table = *MakeTable("units", rows);
  EXPECT_EQ(table->size(), 3u);
  constexpr int64_t kMarch = 1772323200;
  EXPECT_EQ(UnitAt(*table, "p1", kMarch - 1), "first");
  EXPECT_EQ(UnitAt(*table, "p1", kMarch), "second");
  EXPECT_EQ(UnitAt(*table, "p2", kMarch), "");
  EXPECT_EQ(UnitAt(*table, "p3", kMarch), "always");
  // What is open is written down as what isn't there.
  EXPECT_EQ(rows->id(), (*RowsFromText(kUnits,
                                       "officer,unit,from,to\np1,first,2026-01-01,2026-03-01\n"
                                       "p1,second,2026-03-01,\np3,always,,\n"))
                            ->id());
}

TEST(IntervalTable, AVersionOfRowsThatNeverHoldIsNone) {
  EXPECT_THAT(
      std::string(
          RowsFromText(kUnits, "officer,unit,from,to\np1,a,infinity,\n").status().message()),
      HasSubstr("there are no rows: all 1 of the source begin and end at once"));
}

TEST(IntervalTable, RangesOfNumbersMayBeOpenOrNeverHold) {
  auto table = TableFromText("bands",
                             R"(kind: range columns { name: "band" }
      columns { name: "low" type: number } columns { name: "high" type: number }
      bounds { low: "low" high: "high" half_open: true })",
                             "band,low,high\nlow,-Infinity,10\nnone,10,10\nnever,Infinity,\n"
                             "high,10,Infinity\n");
  EXPECT_EQ(table->size(), 2u);
  for (auto [value, band] : {std::pair(-1e300, "low"), {9.999, "low"}, {10.0, "high"}}) {
    Question question;
    question.at = *table->schema().Ordered(event::Value::Double(value));
    RowId row = table->Find(question);
    ASSERT_NE(row, kNoRow);
    EXPECT_EQ(table->Cell(row, 0).text(), band) << value;
  }
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
