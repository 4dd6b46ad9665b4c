#include "common/kafka/denials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "common/base/strings.h"

namespace sluice::kafka {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(DenialsTest, ThePageHasTheTableOfTheCode) {
  const char* root = std::getenv("SLUICE_SOURCE_DIR");
  ASSERT_NE(root, nullptr);
  std::ifstream file(base::StrCat(root, "/docs/reference/denials.md"));
  std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(page, HasSubstr(DenialTable())) << "put this table into docs/reference/denials.md";
  for (size_t kind = 0; kind < kFailureKinds; ++kind) {
    EXPECT_THAT(page, HasSubstr(base::StrCat(
                          "\n| `", FailureKindName(static_cast<FailureKind>(kind)), "` |")));
  }
}

TEST(DenialsTest, ADenialNamesOperationResourceAndGrant) {
  BrokerFailure failure = PermissionFailure(Access::kWriteOutput, "clean.stops");
  EXPECT_EQ(FailureKindName(failure.kind), "permission");
  EXPECT_EQ(failure.operation, "write an output topic");
  EXPECT_EQ(failure.resource, "topic clean.stops");
  EXPECT_THAT(failure.text, HasSubstr("grant it Write on topic clean.stops"));
  EXPECT_THAT(PermissionFailure(Access::kDescribeBrokers, "").text, HasSubstr("on the cluster"));
}

TEST(DenialsTest, AFailureLastsOverTriesThatMeetItAgain) {
  LastFailure last;
  EXPECT_FALSE(last.get());
  const LastFailure::Time start{};
  last.Met(PermissionFailure(Access::kJoinGroup, "g"), start);
  last.Passed(start + 15s);
  EXPECT_FALSE(last.get()) << "a try got past it";
  last.Met(PermissionFailure(Access::kJoinGroup, "g"), start + 16s);
  EXPECT_EQ(last.get()->since, start);
  last.Met(PermissionFailure(Access::kReadInput, "raw"), start + 17s);
  EXPECT_EQ(last.get()->since, start + 17s) << "another operation";
  last.Passed(start + 18s);
  last.Met(PermissionFailure(Access::kReadInput, "raw"), start + 100s);
  EXPECT_EQ(last.get()->since, start + 100s) << "it had gone away meanwhile";
}

}  // namespace
}  // namespace sluice::kafka
