#include "common/telemetry/memory_limit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace sluice::telemetry {
namespace {

class MemoryLimitTest : public ::testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) {
    std::filesystem::path path = folder_->path() + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  double Limit() const { return MemoryLimitBytes(folder_->path() + "/cgroup", folder_->path()); }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("memory-limit");
};

TEST_F(MemoryLimitTest, Version2SaysItInMemoryMax) {
  Write("cgroup", "0::/");
  Write("memory.max", "67108864");
  EXPECT_EQ(Limit(), 67108864);
}

TEST_F(MemoryLimitTest, Version1HasAHierarchyForMemory) {
  Write("cgroup", "5:cpu,cpuacct:/pod\n4:memory:/pod\n0::/");
  Write("memory/pod/memory.limit_in_bytes", "1000000");
  Write("cpu,cpuacct/pod/memory.limit_in_bytes", "1");
  EXPECT_EQ(Limit(), 1000000);
}

TEST_F(MemoryLimitTest, AGroupIsBoundByThoseAboveIt) {
  Write("cgroup", "0::/slice/pod");
  Write("slice/memory.max", "2000");
  Write("slice/pod/memory.max", "3000");
  EXPECT_EQ(Limit(), 2000);
}

TEST_F(MemoryLimitTest, NoLimitIsInfinity) {
  EXPECT_TRUE(std::isinf(Limit())) << "no control groups at all";
  Write("cgroup", "4:memory:/\n0::/pod");
  EXPECT_TRUE(std::isinf(Limit())) << "a path of the host's";
  Write("pod/memory.max", "max");
  Write("memory/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_TRUE(std::isinf(Limit()));
}

}  // namespace
}  // namespace sluice::telemetry
