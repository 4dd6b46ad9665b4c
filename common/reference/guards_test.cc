// What keeps a version out, each guard by itself.
#include "common/reference/guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/testing.h"

namespace sluice::reference {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSchema =
    R"(columns {name: "code"} columns {name: "name"} columns {name: "changed" type: date}
       key {column: "code"})";

RowsPtr Rows(std::string_view csv) {
  auto rows = enrichment::RowsFromText(kSchema, csv);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return *rows;
}

RowsPtr Numbered(int count, int changed = 0, std::string_view date = "2026-01-01") {
  std::string csv = "code,name,changed\n";
  for (int i = 0; i < count; ++i)
    base::StrAppend(csv, i, i < changed ? ",new," : ",old,", date, "\n");
  return Rows(csv);
}

absl::Status Change(std::string_view guards, const RowsPtr& before, const RowsPtr& next) {
  return CheckChange(SetFromText(base::StrCat("name: 's' csv: 's.csv' ", guards)), *before, *next);
}

TEST(Guards, AVersionWithTooFewRowsStaysOut) {
  auto table = enrichment::TableFromText("s", kSchema, "code,name,changed\n1,a,\n2,b,\n");
  EXPECT_EQ(CheckVersion(SetFromText("name: 's' csv: 's.csv' rows_min: 2"), *table),
            absl::OkStatus());
  EXPECT_THAT(CheckVersion(SetFromText("name: 's' csv: 's.csv' rows_min: 3"), *table).ToString(),
              HasSubstr("s.csv: has 2 rows, rows_min is 3"));
}

TEST(Guards, AVersionThatDoesNotAnswerWhatItMustStaysOut) {
  auto table = enrichment::TableFromText("s", kSchema, "code,name,changed\n1,a,\n");
  EXPECT_EQ(CheckVersion(SetFromText("name: 's' csv: 's' covers {key: '1'}"), *table),
            absl::OkStatus());
  EXPECT_THAT(
      CheckVersion(SetFromText("name: 's' csv: 's' covers {key: '1'} covers {key: '2'}"), *table)
          .ToString(),
      HasSubstr("has no row for covers[1]"));
  EXPECT_THAT(CheckVersion(SetFromText("name: 's' csv: 's' covers {}"), *table).ToString(),
              HasSubstr("covers[0]: key: has 0 values"));
}

TEST(Guards, HalfASetStaysOutUnlessItIsMeant) {
  EXPECT_EQ(Change("", Numbered(10), Numbered(9)), absl::OkStatus());
  EXPECT_THAT(Change("", Numbered(10), Numbered(8)).ToString(),
              HasSubstr("reference set 's' has 8 rows, the version in use 10: more than "
                        "shrink_percent_max (10)"));
  EXPECT_EQ(Change("shrink_percent_max: 100", Numbered(10), Numbered(1)), absl::OkStatus());
  EXPECT_FALSE(Change("shrink_percent_max: 0", Numbered(10), Numbered(9)).ok());
}

TEST(Guards, TooMuchChangeAtOnceStaysOut) {
  EXPECT_EQ(Change("change_percent_max: 20", Numbered(10), Numbered(10, 2)), absl::OkStatus());
  EXPECT_THAT(Change("change_percent_max: 20", Numbered(10), Numbered(10, 3)).ToString(),
              HasSubstr("3 of the 10 rows in use are missing or changed"));
  EXPECT_EQ(Change("change_percent_max: 0", Numbered(10), Numbered(20)), absl::OkStatus())
      << "what is added changes nothing that is in use";
}

TEST(Guards, AnOlderVersionStaysOut) {
  auto newer = Numbered(3, 0, "2026-02-01"), older = Numbered(3, 0, "2026-01-31");
  EXPECT_EQ(Change("rises: 'changed'", older, newer), absl::OkStatus());
  EXPECT_EQ(Change("rises: 'changed'", newer, newer), absl::OkStatus());
  EXPECT_THAT(Change("rises: 'changed'", newer, older).ToString(),
              HasSubstr("is older than the version in use: the highest 'changed' has gone back"));
}

TEST(Guards, RowsInBothAgreesWithCountingThem) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::map<int, int> a, b;
    for (int i = 0; i < 30; ++i) {
      if (random() % 3 > 0) a[i] = static_cast<int>(random() % 2);
      if (random() % 3 > 0) b[i] = static_cast<int>(random() % 2);
    }
    if (a.empty() || b.empty()) continue;
    size_t alike = 0;
    auto rows = [](const std::map<int, int>& of) {
      std::string csv = "code,name,changed\n";
      for (auto [code, name] : of) base::StrAppend(csv, code, ",", name, ",\n");
      return Rows(csv);
    };
    for (auto [code, name] : a) alike += b.contains(code) && b[code] == name;
    EXPECT_EQ(RowsInBoth(*rows(a), *rows(b)), alike);
  }
}

}  // namespace
}  // namespace sluice::reference
