#include "common/enrichment/exact_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::enrichment {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<std::shared_ptr<const Table>> Load(std::string_view text,
                                                  const std::vector<std::string>& not_personal = {
                                                      "name"}) {
  return ExactTable::FromCsv("boroughs", "code", not_personal, text, "boroughs.csv");
}

RowId Find(const Table& table, std::string_view key) {
  event::Value value = event::Value::Text(key);
  Question question;
  question.key = {&value, 1};
  return table.Find(question);
}

TEST(ExactTable, FindsRowsByKey) {
  auto table = Load("name,code,ward\nCamden,E07,Bloomsbury\nHackney,E12,\n", {"name", "ward"});
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT((*table)->schema().PublishedColumns(), ElementsAre(0u, 2u));
  EXPECT_EQ((*table)->size(), 2u);
  RowId row = Find(**table, "E12");
  ASSERT_NE(row, kNoRow);
  EXPECT_EQ((*table)->Cell(row, 0).text(), "Hackney");
  EXPECT_EQ((*table)->Cell(row, 1).text(), "E12");
  EXPECT_FALSE((*table)->Cell(row, 2).present()) << "an empty cell is no value";
  EXPECT_EQ(Find(**table, "E13"), kNoRow);
  EXPECT_EQ(Find(**table, ""), kNoRow);
  EXPECT_EQ(Find(**table, std::string(kKeyBytesMax + 1, 'x')), kNoRow);
}

TEST(ExactTable, IdIsTheContentsWhateverTheOrderOfRows) {
  std::string id = (*Load("code,name\nE1,a\nE2,b\n"))->id();
  EXPECT_EQ(id.size(), 32u);
  EXPECT_EQ((*Load("code,name\r\nE2,b\r\nE1,a\r\n"))->id(), id);
  EXPECT_NE((*Load("code,name\nE1,a\nE2,c\n"))->id(), id);
  EXPECT_NE((*Load("code,title\nE1,a\nE2,b\n", {"title"}))->id(), id);
  EXPECT_EQ((*Load("code,phone,name\nE1,1,a\nE2,2,b\n"))->id(), id) << "phone isn't read";
  EXPECT_NE((*Load("code,name\nE1,a\n"))->id(), id);
}

TEST(ExactTable, RefusesWhatCannotBeAVersion) {
  auto error = [](std::string_view text) { return std::string(Load(text).status().message()); };
  EXPECT_THAT(error("name\nx\n"), HasSubstr("boroughs.csv: line 1: "));
  EXPECT_THAT(error("name\nx\n"), HasSubstr("key: none of the header's 1 columns is named 'code'"));
  EXPECT_THAT(error("code,name\n"), HasSubstr("boroughs.csv: there are no rows"));
  EXPECT_THAT(error("code,name\nE1,a\n,b\n"),
              HasSubstr("boroughs.csv: line 3: column 'code': has no value"));
  EXPECT_THAT(error("code,name\nE1,a\nE2,b\nE1,c\n"),
              HasSubstr("boroughs.csv: line 4: this key stands in boroughs.csv: line 2 too"));
}

// A file that has lost its header line has a row there, of somebody's.
TEST(ExactTable, ErrorsNeverSayWhatStandsInTheHeader) {
  auto error = [](std::string_view text) { return std::string(Load(text).status().message()); };
  EXPECT_THAT(error("Morrow,07700900417\nEllis,07700900582\n"),
              AllOf(HasSubstr("boroughs.csv: line 1: key: none of the header's 2 columns is named "
                              "'code'; check that the file's first line is its header"),
                    HasSubstr("not_personal: none of the header's 2 columns is named 'name'"),
                    Not(HasSubstr("Morrow")), Not(HasSubstr("07700"))));
  EXPECT_THAT(error("Morrow,Morrow,code,name\n"), Not(HasSubstr("Morrow")));
  EXPECT_THAT(error("code,code,name\nE1,E2,a\n"),
              HasSubstr("line 1: columns 1 and 2 have one name"));
}

// Keys that meet in the hash table are still told apart.
TEST(ExactTable, FindsEveryOneOfManyKeys) {
  std::string text = "code,name\n";
  for (int i = 0; i < 5000; ++i)
    text += "K" + std::to_string(i * 7) + "," + std::to_string(i) + "\n";
  auto table = Load(text);
  ASSERT_TRUE(table.ok()) << table.status();
  for (int i = 0; i < 5000; ++i) {
    RowId row = Find(**table, "K" + std::to_string(i * 7));
    ASSERT_NE(row, kNoRow) << i;
    ASSERT_EQ((*table)->Cell(row, 1).text(), std::to_string(i));
    ASSERT_EQ(Find(**table, "K" + std::to_string(i * 7 + 1)), kNoRow) << i;
  }
}

}  // namespace
}  // namespace sluice::enrichment
