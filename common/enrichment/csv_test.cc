#include "common/enrichment/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::enrichment {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Row {
  int line;
  std::vector<std::string> cells;
};
struct Document {
  std::vector<std::string> header;
  std::vector<Row> rows;
};

absl::StatusOr<Document> ParseCsv(std::string_view text) {
  auto reader = CsvReader::Create(text);
  if (!reader.ok()) return reader.status();
  Document document{reader->header(), {}};
  base::Arena arena;
  std::vector<std::string_view> cells;
  while (true) {
    auto more = reader->Next(arena, cells);
    if (!more.ok()) return more.status();
    if (!*more) return document;
    document.rows.push_back({reader->line(), {cells.begin(), cells.end()}});
  }
}

std::string ErrorOf(std::string_view text) {
  return std::string(ParseCsv(text).status().message());
}

TEST(Csv, ReadsQuotedCellsAndMixedLineEnds) {
  auto document = ParseCsv(
      "\xEF\xBB\xBF"
      "code,name\r\nE1,\"Kensington, \"\"Royal\"\"\"\nE2,\"two\nlines\"\r\nE3,");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_THAT(document->header, ElementsAre("code", "name"));
  ASSERT_EQ(document->rows.size(), 3u);
  EXPECT_THAT(document->rows[0].cells, ElementsAre("E1", "Kensington, \"Royal\""));
  EXPECT_THAT(document->rows[1].cells, ElementsAre("E2", "two\nlines"));
  EXPECT_THAT(document->rows[2].cells, ElementsAre("E3", ""));
  EXPECT_EQ(document->rows[2].line, 5);
}

TEST(Csv, NamesTheLineOfWhatIsWrong) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("no header"));
  EXPECT_THAT(ErrorOf("a,b\n1\n"), HasSubstr("line 2: 1 cells where the header has 2"));
  EXPECT_THAT(ErrorOf("a,b\n1,2,3\n"), HasSubstr("line 2: 3 cells"));
  EXPECT_THAT(ErrorOf("a,b\n1,x\"y\n"), HasSubstr("line 2: a quote inside"));
  EXPECT_THAT(ErrorOf("a,b\n1,\"x\"y\n"), HasSubstr("line 2: text after a closing quote"));
  EXPECT_THAT(ErrorOf("a,b\n1,\"x\n"), HasSubstr("doesn't end"));
  EXPECT_THAT(ErrorOf("a,a\n"), HasSubstr("columns 1 and 2 have one name"));
  EXPECT_THAT(ErrorOf("a,\n"), HasSubstr("no name"));
  EXPECT_THAT(ErrorOf("a\n\xC0\x80\n"), HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace sluice::enrichment
