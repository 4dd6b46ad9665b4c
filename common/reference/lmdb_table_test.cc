#include "common/reference/lmdb_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/lmdb_builder.h"

namespace sluice::reference {

using enrichment::kNoRow;
using enrichment::MakeTable;
using enrichment::Question;
using enrichment::ReadCsv;
using enrichment::RowId;
using enrichment::RowsFromText;
using enrichment::Schema;
using enrichment::SchemaFromText;
namespace {

using ::testing::HasSubstr;

class LmdbTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = (std::filesystem::temp_directory_path() / "sluice-lmdb-XXXXXX").string();
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file() const { return folder_ / "rows.mdb"; }

  absl::StatusOr<std::string> Build(const std::shared_ptr<const Schema>& schema,
                                    std::string_view csv) {
    auto builder = LmdbBuilder::Create(file(), schema);
    if (!builder.ok()) return builder.status();
    if (absl::Status read = ReadCsv(csv, "rows", **builder); !read.ok()) return read;
    return (*builder)->Finish();
  }

  std::filesystem::path folder_;
};

// Each question has the answer that the table in memory gives, and the same id.
TEST_F(LmdbTableTest, AnswersAsTheTableInMemoryDoes) {
  std::mt19937 random(5);
  for (std::string_view kind : {"as_of", "exact"}) {
    bool as_of = kind == "as_of";
    std::string text =
        base::StrCat("kind: ", kind, R"( columns { name: "force" }
        columns { name: "officer" type: integer } columns { name: "unit" max_len: 3000 } )",
                     as_of ? R"(columns { name: "from" type: time }
        columns { name: "to" type: time } valid { from: "from" to: "to" } )"
                           : "",
                     R"(key { column: "force" normalise: upper } key { column: "officer" })");
    std::string csv = as_of ? "force,officer,unit,from,to\n" : "force,officer,unit\n";
    for (int officer = 0; officer < 20'000; ++officer) {
      // Units of very different lengths, so that buckets end anywhere.
      auto unit = [&] { return std::string(officer % 500 == 0 ? 2'000 : random() % 40, 'u'); };
      if (!as_of) {
        base::StrAppend(csv, "mps,", officer, ",", unit(), "\n");
        continue;
      }
      for (int day = 10; day < 13; ++day) {
        if (random() % 4 == 0) continue;  // a gap
        base::StrAppend(csv, "mps,", officer, ",", unit(), ",2026-01-", day, "T00:00:00Z,2026-01-",
                        day + 1, "T00:00:00Z\n");
      }
    }
    auto rows = RowsFromText(text, csv);
    ASSERT_TRUE(rows.ok()) << rows.status();
    auto memory = *MakeTable("officers", *rows);
    auto id = Build((*rows)->shared_schema(), csv);
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_EQ(*id, memory->id());
    auto table = LmdbTable::Open("officers", file(), (*rows)->shared_schema());
    ASSERT_TRUE(table.ok()) << table.status();
    EXPECT_EQ((*table)->id(), memory->id());
    EXPECT_EQ((*table)->size(), memory->size());
    EXPECT_EQ((*table)->set(), "officers");
    for (int i = 0; i < 50'000; ++i) {
      event::Value key[] = {event::Value::Text(i % 7 == 0 ? "MPS" : "mps"),
                            event::Value::Int(static_cast<int64_t>(random() % 21'000))};
      Question question;
      question.key = key;
      question.at = 1'768'003'200 + static_cast<int64_t>(random() % (5 * 86'400));
      RowId wanted = memory->Find(question), found = (*table)->Find(question);
      ASSERT_EQ(found == kNoRow, wanted == kNoRow) << i;
      if (found == kNoRow) continue;
      for (size_t column = 0; column < 3; ++column) {
        event::Value a = (*table)->Cell(found, column), b = memory->Cell(wanted, column);
        ASSERT_EQ(a.kind, b.kind);
        if (a.kind == event::ValueKind::kText) {
          ASSERT_EQ(a.text(), b.text());
        }
        if (a.kind == event::ValueKind::kInt) {
          ASSERT_EQ(a.integer, b.integer);
        }
      }
    }
  }
}

TEST_F(LmdbTableTest, ASetOfOneRow) {
  auto schema = *SchemaFromText(R"(columns { name: "a" } key { column: "a" })");
  ASSERT_TRUE(Build(schema, "a\nx\n").ok());
  auto table = *LmdbTable::Open("one", file(), schema);
  event::Value x = event::Value::Text("x"), y = event::Value::Text("y");
  EXPECT_NE(table->Find({.key = {&x, 1}}), kNoRow);
  EXPECT_EQ(table->Find({.key = {&y, 1}}), kNoRow);
  EXPECT_EQ(table->Find({}), kNoRow);
}

TEST_F(LmdbTableTest, RefusedRowsLeaveTheLastFileAsItWas) {
  auto schema = *SchemaFromText(R"(columns { name: "a" } key { column: "a" })");
  auto good = Build(schema, "a\nx\n");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(Build(schema, "a\nx\ny\nx\n").status().message(),
            "rows: line 4: this key stands in rows: line 2 too");
  EXPECT_THAT(Build(schema, "a\n").status().message(), HasSubstr("there are no rows"));
  EXPECT_EQ((*LmdbTable::Open("set", file(), schema))->id(), *good);
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++files;
  EXPECT_EQ(files, 1) << "nothing is left beside it";
  auto as_of =
      *SchemaFromText(R"(kind: as_of columns { name: "a" } columns { name: "from" type: date }
      columns { name: "to" type: date } key { column: "a" } valid { from: "from" to: "to" })");
  EXPECT_EQ(Build(as_of, "a,from,to\nx,2026-01-01,\nx,,2026-01-02\n").status().message(),
            "rows: line 2: the row of rows: line 3 has the same key and overlaps it");
}

TEST_F(LmdbTableTest, RefusesFilesThatAreNotItsOwn) {
  auto schema = *SchemaFromText(R"(columns { name: "a" } key { column: "a" })");
  auto other = *SchemaFromText(R"(columns { name: "b" } key { column: "b" })");
  EXPECT_TRUE(absl::IsNotFound(LmdbTable::Open("set", file(), schema).status()));
  ASSERT_TRUE(Build(schema, "a\nx\n").ok());
  EXPECT_THAT(LmdbTable::Open("set", file(), other).status().message(),
              HasSubstr("rows of another schema"));
  std::ofstream(file(), std::ios::trunc) << std::string(20'000, 'x');
  EXPECT_FALSE(LmdbTable::Open("set", file(), schema).ok());
  auto area = *SchemaFromText(R"(kind: area columns { name: "a" }
      columns { name: "s" type: area } key { column: "a" })");
  EXPECT_THAT(LmdbBuilder::Create(file(), area).status().message(), HasSubstr("in memory only"));
}

}  // namespace
}  // namespace sluice::reference
