#include "common/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace sluice::base {
namespace {

using ::testing::HasSubstr;

class File : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "file-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  std::string Write(const std::string& text) {
    std::ofstream(folder_ + "/file", std::ios::binary) << text;
    return folder_ + "/file";
  }
  std::string folder_;
};

TEST_F(File, IsReadWholeAndEmptyIsNoError) {
  std::string text(700'000, 'x');
  text[300'000] = '\0';
  EXPECT_EQ(*ReadFile(Write(text)), text);
  EXPECT_EQ(*ReadFile(Write("")), "");
  EXPECT_EQ(*ReadFile("/dev/null"), "");
}

TEST_F(File, SaysWhatIsWrongWithThePath) {
  EXPECT_EQ(ReadFile(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadFile(Write("") + "/below").status().code(), absl::StatusCode::kNotFound);
  absl::Status folder = ReadFile(folder_).status();
  EXPECT_EQ(folder.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(folder.message()),
              HasSubstr(folder_ + ": cannot be read: it is a folder"));
  EXPECT_EQ(CheckReadable(folder_).message(), folder.message());
}

TEST_F(File, HasABound) {
  std::string path = Write("1234");
  EXPECT_EQ(*ReadFile(path, 4), "1234");
  EXPECT_THAT(std::string(ReadFile(path, 3).status().message()), HasSubstr("longer than 3 bytes"));
  EXPECT_FALSE(ReadFile("/dev/zero", 1'000'000).ok());
}

TEST_F(File, APipeIsNoRegularFileAndIsNotOpened) {
  std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(CheckReadable(pipe).ok());
  EXPECT_THAT(std::string(CheckReadable(pipe, /*regular=*/true).message()),
              HasSubstr("is not a regular file"));
}

}  // namespace
}  // namespace sluice::base
