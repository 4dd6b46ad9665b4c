#include "common/config/file_state.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace sluice::config {
namespace {

TEST(FileState, IsAnotherAfterEveryKindOfChange) {
  auto folder = *test_support::TempDir::Create("file-state");
  std::string file = folder->path() + "/a", inner = folder->path() + "/b";
  std::string missing = FileState({file});
  std::ofstream(file) << "one";
  std::string first = FileState({file});
  EXPECT_NE(first, missing);
  EXPECT_EQ(FileState({file}), first);
  std::ofstream(file) << "longer";
  EXPECT_NE(FileState({file}), first);
  // Replaced by one of the same size, as a site's tool does.
  std::string before = FileState({file});
  std::ofstream(inner) << "longer";
  std::filesystem::rename(inner, file);
  EXPECT_NE(FileState({file}), before);
  std::string of_folder = FileState({folder->path()});
  std::ofstream(inner) << "";
  EXPECT_NE(FileState({folder->path()}), of_folder);
}

TEST(WatchedFiles, AChangeCountsOnceItHasStoodStill) {
  auto folder = *test_support::TempDir::Create("watched-files");
  std::string file = folder->path() + "/a";
  std::ofstream(file) << "one";
  WatchedFiles watched({file});
  EXPECT_FALSE(watched.Changed());
  std::ofstream(file) << "three";
  EXPECT_FALSE(watched.Changed());
  std::ofstream(file) << "seventeen";
  EXPECT_FALSE(watched.Changed());
  EXPECT_TRUE(watched.Changed());
  EXPECT_FALSE(watched.Changed());
  EXPECT_TRUE(watched.Changed(true));
  EXPECT_FALSE(watched.Changed());
}

}  // namespace
}  // namespace sluice::config
