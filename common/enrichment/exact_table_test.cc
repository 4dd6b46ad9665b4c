#include "common/enrichment/exact_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::enrichment {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::shared_ptr<const ExactTable>> Load(std::string_view text) {
  return ExactTable::FromCsv("boroughs", "code", text, "boroughs.csv");
}

TEST(ExactTable, FindsRowsByKey) {
  auto table = Load("name,code,ward\nCamden,E07,Bloomsbury\nHackney,E12,Dalston\n");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT((*table)->columns(), ElementsAre("name", "ward"));
  EXPECT_EQ((*table)->size(), 2u);
  RowId row = (*table)->Find("E12");
  ASSERT_NE(row, kNoRow);
  EXPECT_EQ((*table)->Cell(row, 0), "Hackney");
  EXPECT_EQ((*table)->Cell(row, 1), "Dalston");
  EXPECT_EQ((*table)->Find("E13"), kNoRow);
  EXPECT_EQ((*table)->Find(""), kNoRow);
}

TEST(ExactTable, IdIsTheContentsWhateverTheOrderOfRows) {
  std::string id = (*Load("code,name\nE1,a\nE2,b\n"))->id();
  EXPECT_EQ(id.size(), 32u);
  EXPECT_EQ((*Load("code,name\r\nE2,b\r\nE1,a\r\n"))->id(), id);
  EXPECT_NE((*Load("code,name\nE1,a\nE2,c\n"))->id(), id);
  EXPECT_NE((*Load("code,title\nE1,a\nE2,b\n"))->id(), id);
  EXPECT_NE((*Load("code,name\nE1,a\n"))->id(), id);
}

TEST(ExactTable, RefusesWhatCannotBeAVersion) {
  EXPECT_THAT(std::string(Load("name\nx\n").status().message()),
              HasSubstr("boroughs.csv: line 1: no column 'code'"));
  EXPECT_THAT(std::string(Load("code,name\n").status().message()), HasSubstr("no rows"));
  EXPECT_THAT(std::string(Load("code,name\nE1,a\n,b\n").status().message()),
              HasSubstr("line 3: the key is empty"));
  EXPECT_THAT(std::string(Load("code,name\nE1,a\nE2,b\nE1,c\n").status().message()),
              HasSubstr("line 4: this key stands in an earlier line"));
}

}  // namespace
}  // namespace sluice::enrichment
