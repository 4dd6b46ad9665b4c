// What is planned for partitions of which nothing is known.
#include "services/ctl/offsets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Partition 0 was set by a person after everything was lost, of 1 and 3 nothing is known, and 2 was
// never written to.
GroupView PartlySet() {
  GroupView view;
  view.site = {"stops", "readers", "raw.stops", "IdIdIdIdIdIdIdIdIdIdId"};
  for (int32_t partition = 0; partition < 4; ++partition) {
    PartitionOffsets& at = view.partitions.emplace_back();
    at.partition = partition;
    at.log_begin = partition == 2 ? 0 : 2;
    at.log_end = partition == 2 ? 0 : 60;
    at.unknown = partition % 2 == 1;
    if (at.unknown) at.problem = "nothing is known";
  }
  view.partitions[0].committed = 20;
  view.partitions[0].recorded.emplace().set_next_offset(20);
  return view;
}

TEST(Offsets, EachUnknownPartitionIsGivenALowerBound) {
  std::vector<OffsetChange> changes = PlanRecovery(PartlySet(), {true, {{0, 50}, {1, 31}}});
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].partition, 1);
  EXPECT_EQ(changes[0].to, 31);
  EXPECT_EQ(changes[1].partition, 3);
  EXPECT_EQ(changes[1].to, 2);
  for (const OffsetChange& change : changes) {
    EXPECT_FALSE(change.exact);
    EXPECT_FALSE(change.blind);
  }
}

TEST(Offsets, WithoutAnInternalStreamItIsSaidThatEverythingIsPublishedAgain) {
  std::vector<OffsetChange> changes = PlanRecovery(PartlySet(), {false, {{1, 31}}});
  ASSERT_EQ(changes.size(), 2u);
  for (const OffsetChange& change : changes) {
    EXPECT_TRUE(change.blind);
    EXPECT_THAT(change.note, AllOf(HasSubstr("no stream is internal"), HasSubstr("again")));
  }
  // Before the first start there are no results to publish again.
  GroupView fresh = PartlySet();
  for (PartitionOffsets& at : fresh.partitions) at = {.partition = at.partition, .log_end = 60};
  changes = PlanRecovery(fresh, {false, {}});
  ASSERT_EQ(changes.size(), 4u);
  for (const OffsetChange& change : changes) EXPECT_FALSE(change.blind);
}

TEST(Offsets, NoPartitionIsLeftUnknown) {
  absl::Status part = PlanSet(PartlySet(), {"0=20", "1=30"}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(part)) << part;
  EXPECT_THAT(std::string(part.message()),
              AllOf(HasSubstr("partition 3"), Not(HasSubstr("partition 1"))));
  EXPECT_TRUE(PlanSet(PartlySet(), {"1=30", "3=begin"}).ok()) << "2 was read by nobody";
}

}  // namespace
}  // namespace sluice::ctl
