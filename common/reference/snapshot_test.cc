// What is written is what is read, whole and as a difference; what is broken is found.
#include "common/reference/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <thread>

#include "common/base/sha256.h"
#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/reference/guards.h"
#include "common/reference/shelf.h"
#include "common/reference/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::reference {
namespace {

using ::testing::HasSubstr;

constexpr const char* kUnits =
    R"(kind: as_of columns {name: "unit"} columns {name: "name"} columns {name: "from" type: date}
       columns {name: "to" type: date} columns {name: "strength" type: integer}
       columns {name: "share" type: number} columns {name: "open" type: boolean}
       columns {name: "at" type: time} key {column: "unit"} valid {from: "from" to: "to"})";

RowsPtr Random(std::mt19937& random, int units) {
  std::string csv = "unit,name,from,to,strength,share,open,at\n";
  for (int i = 0; i < units; ++i) {
    if (random() % 4 == 0) continue;
    base::StrAppend(csv, "U", i, ",", random() % 3, ",,2025-01-01,", random() % 2, ",0.5,true,\n");
    if (random() % 2 == 0)
      base::StrAppend(csv, "U", i, ",b,2025-01-01,,,,false,2026-03-04T05:06:07.5Z\n");
  }
  base::StrAppend(csv, "last,,,,,,,\n");
  auto rows = enrichment::RowsFromText(kUnits, csv);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return *rows;
}

TEST(Snapshot, IsReadBackWholeAndAsADifference) {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    RowsPtr a = Random(random, 30), b = Random(random, 30);
    auto whole = ReadSnapshot(WriteSnapshot("units", *b));
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_EQ((*whole)->id(), b->id());
    auto patched = ReadSnapshot(WriteSnapshot("units", *b, a.get()), a.get());
    ASSERT_TRUE(patched.ok()) << patched.status();
    EXPECT_EQ((*patched)->id(), b->id());
    EXPECT_EQ((*patched)->size(), b->size());
  }
}

TEST(Snapshot, IsWrittenAndReadInPartsOfAnySizeFromAnyOffset) {
  std::mt19937 random(6);
  RowsPtr a = Random(random, 30), b = Random(random, 30);
  Snapshot snapshot = WriteSnapshot("units", *b, a.get());
  for (size_t part_bytes : {size_t{1}, size_t{3}, size_t{64}, snapshot.body.size() + 1}) {
    for (size_t offset : {size_t{0}, size_t{1}, snapshot.body.size() / 2, snapshot.body.size()}) {
      std::vector<std::string> parts;
      ASSERT_EQ(WriteBody(*b, a.get(), {offset, part_bytes},
                          [&](std::string_view part) {
                            parts.emplace_back(part);
                            return absl::OkStatus();
                          }),
                absl::OkStatus());
      auto reader = SnapshotReader::Create(snapshot.head, Store(), a.get());
      ASSERT_TRUE(reader.ok()) << reader.status();
      ASSERT_EQ((*reader)->Add(snapshot.body.substr(0, offset)), absl::OkStatus());
      EXPECT_EQ((*reader)->bytes(), offset);
      for (const std::string& part : parts) {
        EXPECT_LE(part.size(), part_bytes);
        ASSERT_EQ((*reader)->Add(part), absl::OkStatus());
      }
      EXPECT_EQ(parts.size(), (snapshot.body.size() - offset + part_bytes - 1) / part_bytes);
      EXPECT_THAT((*reader)->Add("k").ToString(), HasSubstr("more bytes than its head says"));
      auto read = (*reader)->Finish();
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ((*read)->id(), b->id());
    }
  }
  // Who takes it may end it.
  int taken = 0;
  auto ends = [&](std::string_view) {
    return ++taken < 3 ? absl::OkStatus() : absl::CancelledError("enough");
  };
  EXPECT_EQ(WriteBody(*b, nullptr, {0, 8}, ends).message(), "enough");
  EXPECT_EQ(taken, 3);
}

TEST(Snapshot, ADifferenceHoldsOnlyWhatIsDifferent) {
  std::string csv = "unit,name,from,to,strength,share,open,at\n";
  for (int i = 0; i < 1000; ++i) base::StrAppend(csv, "U", i, ",n,,,,,,\n");
  auto a = *enrichment::RowsFromText(kUnits, csv);
  auto b = *enrichment::RowsFromText(kUnits, csv + "V,n,,,,,,\n");
  EXPECT_LT(WriteSnapshot("units", *b, a.get()).body.size(), 100u);
  EXPECT_EQ(WriteSnapshot("units", *a, a.get()).body.size(), 5u);
}

TEST(Snapshot, WhatIsBrokenIsFound) {
  std::mt19937 random(9);
  RowsPtr a = Random(random, 10), b = Random(random, 10);
  Snapshot snapshot = WriteSnapshot("units", *b, a.get());
  EXPECT_THAT(ReadSnapshot(snapshot).status().ToString(), HasSubstr("another version"));
  EXPECT_FALSE(ReadSnapshot(snapshot, b.get()).ok());
  // A hash that fits doesn't help: whatever is read has the rows of the id.
  auto refused_or_equal = [&](const Snapshot& damaged) {
    auto read = ReadSnapshot(damaged, a.get());
    return !read.ok() || RowsInBoth(**read, *b) == b->size();
  };
  for (size_t i = 0; i < snapshot.body.size(); ++i) {
    for (char flip : {'\x01', '\x80', '\xFF'}) {
      Snapshot broken = snapshot;
      broken.body[i] = static_cast<char>(broken.body[i] ^ flip);
      EXPECT_FALSE(ReadSnapshot(broken, a.get()).ok());
      base::Sha256 hash;
      hash.Add(broken.body);
      broken.head.set_body_sha256(hash.Hex());
      EXPECT_TRUE(refused_or_equal(broken)) << "at " << i;
    }
    Snapshot cut = snapshot;
    cut.body.resize(i);
    base::Sha256 hash;
    hash.Add(cut.body);
    cut.head.set_body_sha256(hash.Hex());
    cut.head.set_bytes(i);
    EXPECT_TRUE(refused_or_equal(cut)) << "cut at " << i;
  }
}

// By whoever can write a snapshot with its right hash and id.
TEST(Snapshot, ValuesThatAreNotOfTheirColumnsTypesAreRefused) {
  auto read = [](std::string_view schema, std::vector<event::Value> row) {
    enrichment::RowSet::Builder builder(*enrichment::SchemaFromText(schema));
    EXPECT_EQ(builder.Add(row, {"rows", 1}), absl::OkStatus());
    return ReadSnapshot(WriteSnapshot("s", **builder.Finish())).status();
  };
  using event::Value;
  constexpr std::string_view kAreas =
      "kind: area columns {name: 'k'} columns {name: 'a' type: area} key {column: 'k'}";
  auto area = [](std::initializer_list<uint32_t> words) {
    static std::deque<std::string> kept;
    std::string& bytes = kept.emplace_back();
    for (uint32_t word : words) bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
    return Value::Text(bytes);
  };
  EXPECT_EQ(read(kAreas, {Value::Text("k"), area({1, 1, 3, 0, 0, 9, 0, 0, 9})}), absl::OkStatus());
  for (Value wrong : {area({0}), area({1, 0}), area({1, 1, 2, 0, 0, 9, 0}), area({1, 1, 1u << 31}),
                      area({1, 1, 3, 0, 0, 9, 0, 0, 9, 7}), area({2, 1, 3, 0, 0, 9, 0, 0, 9}),
                      Value::Text("x"), Value::Int(7)})
    EXPECT_TRUE(absl::IsDataLoss(read(kAreas, {Value::Text("k"), wrong})));
  for (std::string_view type : {"text", "integer", "number", "boolean", "date", "time"}) {
    int fits = 0;
    for (Value value : {Value::Text("2024-01-01"), Value::Int(1), Value::Double(1),
                        Value::Bool(true), Value::Time(1, 0)}) {
      absl::Status status = read(base::StrCat("columns {name: 'k'} columns {name: 'v' type: ", type,
                                              "} key {column: 'k'}"),
                                 {Value::Text("k"), value});
      EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
      fits += status.ok();
    }
    EXPECT_EQ(fits, 1) << type;
  }
}

class ShelfTest : public ::testing::Test {
 protected:
  std::unique_ptr<Shelf> Open() {
    auto shelf = Shelf::Open(folder_->path() + "/shelf");
    EXPECT_TRUE(shelf.ok()) << shelf.status();
    return *std::move(shelf);
  }
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("shelf");
  std::mt19937 random_{3};
};

TEST_F(ShelfTest, KeepsVersionsOverARestart) {
  RowsPtr rows = Random(random_, 20);
  {
    auto shelf = Open();
    ASSERT_EQ(shelf->Put("units", *rows), absl::OkStatus());
    EXPECT_THAT(Shelf::Open(folder_->path() + "/shelf").status().ToString(),
                HasSubstr("another process keeps its versions here"));
  }
  auto shelf = Open();
  auto read = shelf->Get("units", rows->id());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->id(), rows->id());
  EXPECT_TRUE(absl::IsNotFound(shelf->Get("units", "0123").status()));
  EXPECT_TRUE(absl::IsNotFound(shelf->Get("wards", rows->id()).status()));
}

TEST_F(ShelfTest, TwoMayKeepOneVersionAtATimeAndAHalfWrittenOneGoes) {
  RowsPtr rows = Random(random_, 200);
  auto shelf = Open();
  std::string half = folder_->path() + "/shelf/units/" + rows->id() + ".snapshot.new-7";
  for (int round = 0; round < 20; ++round) {
    std::filesystem::remove_all(folder_->path() + "/shelf/units");
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] { EXPECT_EQ(shelf->Put("units", *rows), absl::OkStatus()); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(shelf->Get("units", rows->id()).ok());
  }
  std::ofstream(half) << "half";
  shelf.reset();
  shelf = Open();
  EXPECT_FALSE(std::filesystem::exists(half));
}

TEST_F(ShelfTest, ADamagedFileIsNoVersion) {
  RowsPtr rows = Random(random_, 20);
  auto shelf = Open();
  ASSERT_EQ(shelf->Put("units", *rows), absl::OkStatus());
  std::string path = folder_->path() + "/shelf/units/" + rows->id() + ".snapshot";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_TRUE(absl::IsDataLoss(shelf->Get("units", rows->id()).status()));
}

TEST_F(ShelfTest, PrunesTheOldestButWhatIsInUse) {
  auto shelf = Open();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    RowsPtr rows = Random(random_, 20);
    ids.push_back(rows->id());
    ASSERT_EQ(shelf->Put("units", *rows), absl::OkStatus());
    std::filesystem::last_write_time(folder_->path() + "/shelf/units/" + rows->id() + ".snapshot",
                                     std::filesystem::file_time_type(std::chrono::hours(i)));
  }
  shelf->Prune("units", 2, {ids[0]});
  std::set<std::string> kept;
  for (const Kept& version : shelf->List("units")) kept.insert(version.id);
  EXPECT_EQ(kept, (std::set<std::string>{ids[0], ids[3], ids[4]}));
  EXPECT_EQ(shelf->List("units").front().id, ids[4]);
}

}  // namespace
}  // namespace sluice::reference
