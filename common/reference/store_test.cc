// Versions in memory and in mapped files: the same rows, ids and answers, and what is left of
// files.
#include "common/reference/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "common/base/strings.h"
#include "common/reference/guards.h"
#include "common/reference/question.h"
#include "common/reference/shelf.h"
#include "common/reference/snapshot.h"
#include "common/reference/tables.h"
#include "common/reference/testing.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kUnits = R"(schema {kind: as_of
    columns {name: "officer" type: integer} columns {name: "unit"} columns {name: "team"}
    columns {name: "from" type: date} columns {name: "to" type: date}
    key {column: "officer"} valid {from: "from" to: "to"}})";
constexpr const char* kCodes = R"(schema {columns {name: "force"} columns {name: "code"}
    columns {name: "name"} key {column: "force"} key {column: "code" normalise: upper}})";

class StoreTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }
  std::string shelf() const { return path("shelf"); }
  absl::StatusOr<RowsPtr> Read(std::string_view schema, std::string_view store = "mapped",
                               const std::string& file = "rows.csv", bool on_shelf = true) {
    auto source =
        MakeSource(SetFromText(base::StrCat("name: 'units' csv: '", path(file), "' store: ", store,
                                            " ", schema)),
                   {[](const std::string& path) { return path; }, {}, {}, on_shelf ? shelf() : ""});
    EXPECT_TRUE(source.ok()) << source.status();
    return (*source)->Read();
  }
  std::set<std::string> Files() const { return FilesIn(shelf() + "/units"); }
  // Officers who change units, and codes, both with gaps.
  void WriteUnits(int officers) {
    std::string csv = "officer,unit,team,from,to\n";
    for (int officer = 0; officer < officers; ++officer) {
      for (int month = 1; month < 9; ++month) {
        if (random_() % 4 == 0) continue;
        base::StrAppend(csv, officer, ",U", random_() % 50, ",",
                        random_() % 3 == 0 ? "" : "\"a,b\"", ",2026-0", month, "-01,2026-0",
                        month + 1, "-01\n");
      }
    }
    WriteText(path("rows.csv"), csv);
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("store");
  std::mt19937 random_{11};
};

TEST_F(StoreTest, MappedRowsAreAnsweredGuardedAndWrittenAsThoseInMemory) {
  WriteUnits(2'000);
  auto memory = Read(kUnits, "memory"), mapped = Read(kUnits);
  ASSERT_TRUE(memory.ok()) << memory.status();
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_EQ((*mapped)->id(), (*memory)->id());
  EXPECT_EQ((*mapped)->size(), (*memory)->size());
  EXPECT_EQ((*mapped)->schema().identity(), (*memory)->schema().identity());
  EXPECT_EQ(RowsInBoth(**mapped, **memory), (*memory)->size());
  EXPECT_EQ(WriteSnapshot("units", **mapped).body, WriteSnapshot("units", **memory).body);
  auto a = MakeTables({{"units", *memory}}), b = MakeTables({{"units", *mapped}});
  ASSERT_TRUE(b.ok()) << b.status();
  int found = 0;
  for (int i = 0; i < 20'000; ++i) {
    v1::Question question;
    question.add_key(base::StrCat(random_() % 2'100));
    question.set_at(base::StrCat("2026-0", 1 + random_() % 9, "-1", random_() % 10, "T00:00:00Z"));
    auto row_a = Ask(*a->at("units"), question, 0), row_b = Ask(*b->at("units"), question, 0);
    ASSERT_TRUE(row_a.ok() && row_b.ok());
    ASSERT_EQ(*row_a == enrichment::kNoRow, *row_b == enrichment::kNoRow);
    if (*row_a == enrichment::kNoRow) continue;
    ++found;
    ASSERT_EQ(RowTexts(*a->at("units"), *row_a), RowTexts(*b->at("units"), *row_b));
  }
  EXPECT_GT(found, 10'000);
  // A difference between the two kinds, either way round.
  WriteUnits(1'990);
  auto next = Read(kUnits);
  ASSERT_TRUE(next.ok()) << next.status();
  Snapshot snapshot = WriteSnapshot("units", **next, memory->get());
  EXPECT_EQ(snapshot.body, WriteSnapshot("units", **next, mapped->get()).body);
  auto patched = ReadSnapshot(snapshot, mapped->get());
  ASSERT_TRUE(patched.ok()) << patched.status();
  EXPECT_EQ((*patched)->id(), (*next)->id());
  auto set = SetFromText("name: 'units' csv: 'units.csv' change_percent_max: 10");
  EXPECT_EQ(CheckChange(set, **mapped, **next), CheckChange(set, **memory, **next));
  EXPECT_FALSE(CheckChange(set, **mapped, **next).ok());
  set = SetFromText(base::StrCat("name: 'u' csv: 'u.csv' rises: 'to' ", kUnits));
  EXPECT_EQ(CheckChange(set, **mapped, **mapped), absl::OkStatus());
}

TEST_F(StoreTest, KeysOfSeveralPartsAndEachFormatAreTheSameToo) {
  WriteText(path("rows.csv"), "force,code,name\nmps,a1,One\ncolp,A1,Two\n");
  WriteText(path("rows.jsonl"),
            "{\"force\":\"colp\",\"code\":\"A1\",\"name\":\"Two\"}\n"
            "{\"force\":\"mps\",\"code\":\"a1\",\"name\":\"One\"}\n");
  auto memory = Read(kCodes, "memory"), mapped = Read(kCodes);
  auto lines = SourceFromText(base::StrCat("name: 'c' json_lines: '", path("rows.jsonl"),
                                           "' store: mapped ", kCodes))
                   ->Read();
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_EQ((*mapped)->id(), (*memory)->id());
  EXPECT_EQ((*lines)->id(), (*memory)->id());
  auto texts = Read("key: 'name'");
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_EQ((*texts)->id(), (*Read("key: 'name'", "memory"))->id());
}

TEST_F(StoreTest, WrongRowsAreRefusedInTheSameWordsAndLeaveNoFile) {
  for (const char* csv : {"force,code,name\nmps,a1,One\nmps,A1,Two\n", "force,code,name\n", "",
                          "force,name\nmps,One\n", "force,code,name\nmps,,One\n"}) {
    WriteText(path("rows.csv"), csv);
    auto memory = Read(kCodes, "memory"), mapped = Read(kCodes);
    EXPECT_FALSE(mapped.ok());
    EXPECT_EQ(mapped.status(), memory.status());
    EXPECT_THAT(Files(), IsEmpty());
  }
  EXPECT_TRUE(absl::IsNotFound(Read(kCodes, "mapped", "none.csv").status()));
}

TEST_F(StoreTest, AFileGoesWithItsLastUserUnlessItIsKept) {
  WriteText(path("rows.csv"), "force,code,name\nmps,a1,One\n");
  auto shelf = *Shelf::Open(this->shelf());
  RowsPtr refused = *Read(kCodes);
  EXPECT_THAT(Files(), ElementsAre(HasSubstr("rows.new-")));
  auto tables = *MakeTables({{"units", refused}});
  refused.reset();
  EXPECT_EQ(Files().size(), 1u) << "it is looked up";
  tables.clear();
  EXPECT_THAT(Files(), IsEmpty());

  RowsPtr kept = *Read(kCodes);
  ASSERT_EQ(shelf->Put("units", *kept), absl::OkStatus());
  ASSERT_EQ(shelf->Put("units", *kept), absl::OkStatus()) << "it is there";
  EXPECT_THAT(Files(), ElementsAre(kept->id() + ".mapped"));
  // The same version built once more takes the first one's place.
  RowsPtr again = *Read(kCodes);
  ASSERT_EQ(shelf->Put("units", *again), absl::OkStatus());
  EXPECT_THAT(Files(), ElementsAre(kept->id() + ".mapped"));
  std::string id = kept->id();
  kept.reset();
  again.reset();
  auto read = shelf->Get("units", id);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->id(), id);
  EXPECT_EQ(shelf->Put("units", **read), absl::OkStatus());

  WriteText(path("rows.csv"), "force,code,name\nmps,a1,Two\n");
  RowsPtr next = *Read(kCodes);
  ASSERT_EQ(shelf->Put("units", *next), absl::OkStatus());
  shelf->Prune("units", 0, {next->id()});
  EXPECT_THAT(Files(), ElementsAre(next->id() + ".mapped"));
  auto row = (*read)->Walk();
  EXPECT_TRUE(row->Next()) << "who still has it can look it up";
  EXPECT_TRUE(absl::IsNotFound(shelf->Get("units", id).status()));
}

TEST_F(StoreTest, WhatIsNotKeptHasNoFileByName) {
  WriteText(path("rows.csv"), "force,code,name\nmps,a1,One\n");
  auto rows = Read(kCodes, "mapped", "rows.csv", /*on_shelf=*/false);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_FALSE(fs::exists(shelf()));
  EXPECT_EQ((*rows)->id(), (*Read(kCodes, "memory"))->id());
  EXPECT_EQ((*rows)->size(), 1u);
}

TEST_F(StoreTest, AFileThatWasCutShortIsNoVersion) {
  WriteUnits(200);
  auto shelf = *Shelf::Open(this->shelf());
  RowsPtr rows = *Read(kUnits);
  ASSERT_EQ(shelf->Put("units", *rows), absl::OkStatus());
  std::string id = rows->id(), file = this->shelf() + "/units/" + id + ".mapped";
  rows.reset();
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_TRUE(absl::IsDataLoss(shelf->Get("units", id).status()));
  fs::resize_file(file, 0);
  EXPECT_TRUE(absl::IsDataLoss(shelf->Get("units", id).status()));
}

// A process that is killed while it builds: whatever there is by then is taken away, and is no
// version.
TEST_F(StoreTest, WhatAKilledProcessWasBuildingIsNeverUsed) {
  WriteUnits(5'000);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    while (Read(kUnits).ok()) {
    }
    _exit(1);
  }
  EXPECT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
    for (const std::string& file : Files())
      if (file.ends_with(".unfinished")) return true;
    return false;
  }));
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it couldn't build";
  auto shelf = *Shelf::Open(this->shelf());
  EXPECT_THAT(Files(), IsEmpty());
  EXPECT_THAT(shelf->List("units"), IsEmpty());
  EXPECT_TRUE(Read(kUnits).ok());
}

TEST(CheckSet, RefusesWhatCanNotBeMapped) {
  auto mistakes = [](std::string_view text) {
    std::string found;
    CheckSet(SetFromText(text), [&](std::string_view path, std::string_view what) {
      base::StrAppend(found, path, ": ", what, "\n");
    });
    return found;
  };
  EXPECT_EQ(mistakes(base::StrCat("name: 's' csv: 'a' store: mapped ", kUnits)), "");
  EXPECT_EQ(mistakes("name: 's' csv: 'a' key: 'k' store: mapped"), "");
  EXPECT_EQ(mistakes(base::StrCat("name: 's' topic {name: 't'} store: mapped ", kUnits)),
            "store: a topic's rows are held in memory: leave store out\n");
  EXPECT_EQ(mistakes("name: 's' geojson: 'a' store: mapped schema {kind: area columns {name: 'c'} "
                     "columns {name: 'b' type: area} key {column: 'c'}}"),
            "store: sets of the kind area are held in memory: leave store out\n");
}

}  // namespace
}  // namespace sluice::reference
