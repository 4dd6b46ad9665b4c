// Files and folders as sources, and what is said of a set that is configured wrongly.
#include "common/reference/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <vector>

#include "common/base/strings.h"
#include "common/reference/set_loader.h"
#include "common/reference/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::reference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kSchema =
    R"(schema {columns {name: "code"} columns {name: "name"} key {column: "code"}})";

class SourceTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }
  std::string Set(std::string_view source, std::string_view file, std::string_view rest = kSchema) {
    return base::StrCat("name: 's' ", source, ": '", file, "' ", rest);
  }
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("source");
};

TEST_F(SourceTest, EqualRowsAreOneVersionWhateverTheFormat) {
  WriteText(path("a.csv"), "name,code\nOne,1\nTwo,2\n");
  WriteText(path("a.jsonl"),
            "{\"code\":\"2\",\"name\":\"Two\"}\n{\"code\":\"1\",\"name\":\"One\",\"x\":0}\n");
  auto csv = SourceFromText(Set("csv", path("a.csv")))->Read();
  auto jsonl = SourceFromText(Set("json_lines", path("a.jsonl")))->Read();
  ASSERT_TRUE(csv.ok()) << csv.status();
  ASSERT_TRUE(jsonl.ok()) << jsonl.status();
  EXPECT_EQ((*csv)->id(), (*jsonl)->id());
  EXPECT_EQ((*csv)->size(), 2u);
}

TEST_F(SourceTest, AFoldersFilesAreOneSet) {
  std::filesystem::create_directory(path("f"));
  WriteText(path("f/b.csv"), "code,name\n2,Two\n");
  WriteText(path("f/a.csv"), "code,name\n1,One\n");
  WriteText(path("f/notes.txt"), "not a row");
  WriteText(path("whole.csv"), "code,name\n1,One\n2,Two\n");
  auto folder = SourceFromText(Set("csv", path("f"), "key: 'code' not_personal: 'name'"))->Read();
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(
      (*folder)->id(),
      (*SourceFromText(Set("csv", path("whole.csv"), "key: 'code' not_personal: 'name'"))->Read())
          ->id());
  WriteText(path("f/c.csv"), "code,name\n1,Uno\n");
  auto doubled = SourceFromText(Set("csv", path("f"), "key: 'code' not_personal: 'name'"))->Read();
  EXPECT_THAT(doubled.status().ToString(), HasSubstr("f/c.csv: line 2: this key stands in "));
}

TEST_F(SourceTest, AFolderWithoutFilesAndAFileThatIsNotThereAreErrors) {
  std::filesystem::create_directory(path("f"));
  EXPECT_THAT(SourceFromText(Set("geojson", path("f")))->Mark().status().ToString(),
              HasSubstr("has no *.geojson files"));
  EXPECT_TRUE(absl::IsNotFound(SourceFromText(Set("csv", path("x.csv")))->Read().status()));
}

TEST_F(SourceTest, AnEmptyFileIsNoVersion) {
  WriteText(path("a.jsonl"), "");
  EXPECT_THAT(SourceFromText(Set("json_lines", path("a.jsonl")))->Read().status().ToString(),
              HasSubstr("a.jsonl: there are no rows"));
  WriteText(path("a.csv"), "");
  EXPECT_FALSE(
      SourceFromText(Set("csv", path("a.csv"), "key: 'code' not_personal: 'name'"))->Read().ok());
}

TEST_F(SourceTest, AChangedFileIsReadOnceItHasStoodStillForALook) {
  base::ManualClock clock;
  WriteText(path("a.csv"), "code,name\n1,One\n");
  std::string set = Set("csv", path("a.csv"));
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  auto first = loader.Look(/*anyway=*/true);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NE(*first, nullptr);
  EXPECT_EQ(*loader.Look(false), nullptr) << "nothing is new";
  WriteText(path("a.csv"), "code,name\n1,One\n2,Two\n");
  EXPECT_EQ(*loader.Look(false), nullptr) << "it may still grow";
  auto second = loader.Look(false);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_NE(*second, nullptr);
  EXPECT_EQ((*second)->size(), 2u);
}

TEST_F(SourceTest, AFileIsReadInFullNowAndThenWhateverItsTimeSays) {
  base::ManualClock clock;
  WriteText(path("a.csv"), "code,name\n1,One\n");
  std::string set = base::StrCat(Set("csv", path("a.csv")), " full_read_interval_ms: 5000");
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  ASSERT_NE(*loader.Look(true), nullptr);
  EXPECT_FALSE(loader.FullReadDue());
  EXPECT_EQ(*loader.Look(false), nullptr);
  clock.Advance(std::chrono::milliseconds(5000));
  EXPECT_TRUE(loader.FullReadDue());
  EXPECT_NE(*loader.Look(false), nullptr);
  EXPECT_EQ(*loader.read_at(), clock.Now());
  EXPECT_EQ(*loader.Look(false), nullptr);
}

TEST_F(SourceTest, APipeAndAFolderWithinAreNoFiles) {
  ASSERT_EQ(mkfifo(path("a.csv").c_str(), 0600), 0);
  auto pipe = SourceFromText(Set("csv", path("a.csv")))->Read();
  EXPECT_THAT(pipe.status().ToString(), HasSubstr("a.csv: isn't a file"));
  auto mapped = SourceFromText(Set("csv", path("a.csv"), base::StrCat("store: mapped ", kSchema)));
  EXPECT_THAT(mapped->Read().status().ToString(), HasSubstr("a.csv: isn't a file"));
}

TEST_F(SourceTest, WhatMemoryWouldNotHoldIsRefused) {
  std::ofstream(path("a.csv")) << "code,name\n";
  std::filesystem::resize_file(path("a.csv"), uint64_t{9} << 30);  // of a disk it takes nothing
  EXPECT_THAT(SourceFromText(Set("csv", path("a.csv")))->Read().status().ToString(),
              HasSubstr("a.csv: is larger than 8589934592 bytes: set store: mapped"));
  Store store;
  store.LimitMemory(1000);
  auto builder = store.Begin(*enrichment::Schema::Create(SetFromText(kSchema).schema()));
  ASSERT_TRUE(builder.ok()) << builder.status();
  absl::Status status;
  int rows = 0;
  for (; status.ok() && rows < 100; ++rows) {
    std::string code = base::StrCat(rows);
    status = (*builder)->Add(std::vector{event::Value::Text(code), event::Value::Text("name")},
                             {"s.csv", rows});
  }
  EXPECT_EQ(rows, 6);
  EXPECT_THAT(status.ToString(), HasSubstr("s.csv: line 5: the rows take more than 1000 bytes"));
}

TEST_F(SourceTest, AMemberMayBeInAnotherFileOfTheFolder) {
  std::filesystem::create_directory(path("f"));
  WriteText(path("f/a.jsonl"), "{\"code\":\"1\"}\n");
  EXPECT_THAT(SourceFromText(Set("json_lines", path("f")))->Read().status().ToString(),
              HasSubstr("f: no row has 'name'"));
  WriteText(path("f/b.jsonl"), "{\"code\":\"2\",\"name\":\"Two\"}\n");
  EXPECT_TRUE(SourceFromText(Set("json_lines", path("f")))->Read().ok());
}

TEST_F(SourceTest, AnInterruptEndsTheReadingOfAFile) {
  std::string text = "code,name\n";
  for (int i = 0; i < 5000; ++i) base::StrAppend(text, i, ",x\n");
  WriteText(path("a.csv"), text);
  auto interrupt = std::make_shared<Interrupt>();
  auto source =
      MakeSource(SetFromText(Set("csv", path("a.csv"))),
                 {.resolve = [](const std::string& path) { return path; }, .interrupt = interrupt});
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE((*source)->Read().ok());
  interrupt->Raise();
  EXPECT_TRUE(absl::IsCancelled((*source)->Read().status()));
}

TEST_F(SourceTest, AWrongFileIsToldOfOnceUntilItIsAnother) {
  base::ManualClock clock;
  WriteText(path("a.csv"), "code,name\n1,One\n1,Two\n");
  std::string set = Set("csv", path("a.csv"));
  SetLoader loader(SetFromText(set), SourceFromText(set), clock);
  EXPECT_THAT(loader.Look(true).status().ToString(), HasSubstr("this key stands in"));
  auto again = loader.Look(false);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, nullptr);
}

std::vector<std::string> Mistakes(std::string_view text) {
  std::vector<std::string> mistakes;
  CheckSet(SetFromText(text), [&](std::string_view path, std::string_view what) {
    mistakes.push_back(base::StrCat(path, ": ", what));
  });
  return mistakes;
}

TEST(CheckSet, NamesEveryMistake) {
  EXPECT_THAT(Mistakes("name: 'a' csv: 'a.csv' key: 'k'"), IsEmpty());
  EXPECT_THAT(Mistakes("name: '../a' csv: 'a.csv' key: 'k'"), ElementsAre(HasSubstr("name: must")));
  EXPECT_THAT(Mistakes("name: 'a' key: 'k'"), ElementsAre(HasSubstr("name a source")));
  EXPECT_THAT(Mistakes("name: 'a' csv: 'a.csv'"), ElementsAre(HasSubstr("give schema, or key")));
  EXPECT_THAT(Mistakes("name: 'a' json_lines: 'a' key: 'k'"),
              ElementsAre(HasSubstr("key: only a CSV source")));
  EXPECT_THAT(Mistakes(base::StrCat("name: 'a' csv: 'a' key: 'k' ", kSchema)),
              ElementsAre(HasSubstr("key: the schema has a key")));
  EXPECT_THAT(Mistakes(base::StrCat("name: 'a' csv: 'a' rows_min: -1 shrink_percent_max: 101 "
                                    "change_percent_max: -1 rises: 'name' ",
                                    kSchema)),
              ElementsAre(HasSubstr("rows_min"), HasSubstr("shrink_percent_max"),
                          HasSubstr("change_percent_max"), HasSubstr("rises: the column must be")));
  EXPECT_THAT(
      Mistakes(base::StrCat(
          "name: 'a' postgres {connection: 'host=x password=y' query: 'q' look_interval_ms: 1} ",
          kSchema)),
      ElementsAre(HasSubstr("postgres.connection: write keyword=value pairs"),
                  HasSubstr("postgres.look_interval_ms")));
}

}  // namespace
}  // namespace sluice::reference
