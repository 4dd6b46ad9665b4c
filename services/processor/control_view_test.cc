// What records of a control topic add up to, and what they must not say.
#include "services/processor/control_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const VersionIds kOne = {{"boroughs", "1"}};
const VersionIds kTwo = {{"boroughs", "2"}};

reference::v1::ControlRecord PinOf(int32_t partition, int64_t offset, uint64_t activation,
                                   const VersionIds& ids, uint64_t fence = 0) {
  return PinRecord("g", "raw", partition,
                   {offset, activation, fence, std::make_shared<const VersionIds>(ids)});
}

reference::v1::ControlRecord FenceOf(std::map<int32_t, int64_t> offsets, uint64_t activation,
                                     const VersionIds& ids) {
  reference::v1::ControlRecord record;
  record.set_group("g");
  record.set_topic("raw");
  record.mutable_fence()->mutable_offsets()->insert(offsets.begin(), offsets.end());
  record.mutable_fence()->set_activation(activation);
  record.mutable_fence()->mutable_ids()->insert(ids.begin(), ids.end());
  return record;
}

class ControlViewTest : public ::testing::Test {
 protected:
  absl::Status Add(const reference::v1::ControlRecord& record) {
    return view_.Add(record, next_++);
  }
  void ExpectRefused(const reference::v1::ControlRecord& record, const std::string& why) {
    absl::Status added = Add(record);
    EXPECT_EQ(added.code(), absl::StatusCode::kDataLoss) << added;
    EXPECT_THAT(std::string(added.message()), HasSubstr(why));
  }

  ControlView view_{"g", "raw"};
  int64_t next_ = 0;
};

TEST_F(ControlViewTest, PinsOfEachPartitionStandInTheOrderOfTheirOffsets) {
  EXPECT_EQ(Add(PinOf(0, 0, 1, kOne)), absl::OkStatus());
  EXPECT_EQ(Add(PinOf(3, 7, 1, kOne)), absl::OkStatus());
  EXPECT_EQ(Add(PinOf(0, 10, 2, kTwo)), absl::OkStatus());
  ASSERT_THAT(view_.pins(0), SizeIs(2));
  EXPECT_EQ(*view_.pins(0)[0].ids, kOne);
  EXPECT_EQ(view_.pins(0)[1].offset, 10);
  EXPECT_THAT(view_.pins(3), SizeIs(1));
  EXPECT_THAT(view_.pins(1), IsEmpty());
  EXPECT_EQ(view_.pins(0)[0].ids, view_.pins(3)[0].ids) << "kept once";
}

TEST_F(ControlViewTest, APinAtTheOffsetOfTheLastTakesItsPlace) {
  EXPECT_EQ(Add(PinOf(0, 10, 1, kOne)), absl::OkStatus());
  EXPECT_EQ(Add(PinOf(0, 10, 2, kTwo)), absl::OkStatus());
  ASSERT_THAT(view_.pins(0), SizeIs(1));
  EXPECT_EQ(*view_.pins(0)[0].ids, kTwo);
}

TEST_F(ControlViewTest, FencesAreNumberedByTheirPlaceAndNameEachPartitionsOffset) {
  EXPECT_EQ(Add(PinOf(0, 0, 1, kOne)), absl::OkStatus());
  EXPECT_EQ(Add(FenceOf({{0, 100}}, 2, kTwo)), absl::OkStatus());
  ASSERT_THAT(view_.fences(), SizeIs(1));
  EXPECT_EQ(view_.fences()[0].number, 2u);
  EXPECT_EQ(view_.fences()[0].From(0), 100);
  EXPECT_EQ(view_.fences()[0].From(5), 0) << "a partition that came later";
  EXPECT_EQ(Add(PinOf(0, 100, 2, kTwo, 2)), absl::OkStatus());
}

TEST_F(ControlViewTest, RecordsThatContradictAreRefusedAndChangeNothing) {
  EXPECT_EQ(Add(PinOf(0, 10, 5, kTwo)), absl::OkStatus());
  ExpectRefused(PinOf(0, 9, 5, kTwo), "raw/0/9 although 10 is pinned");
  ExpectRefused(PinOf(0, 20, 4, kOne), "activation 4, which is before 5");
  ExpectRefused(PinOf(1, 20, 5, kOne), "version 1 of 'boroughs' for activation 5");
  ExpectRefused(FenceOf({}, 5, kOne), "different services");
  ExpectRefused(PinOf(1, 20, 6, kOne, 99), "a fence that isn't there");
  ExpectRefused(PinOf(1, 20, 6, {}), "names no version");
  ExpectRefused(PinOf(1, -1, 6, kOne), "offset -1");
  ExpectRefused({}, "is of the group");
  reference::v1::ControlRecord other = PinOf(0, 30, 6, kOne);
  other.set_group("h");
  ExpectRefused(other, "of the group h, not of g");
  other.set_group("g");
  other.set_topic("raw2");
  ExpectRefused(other, "about the topic raw2");
  other.set_topic("raw");
  other.clear_what();
  ExpectRefused(other, "neither a pin nor a fence");
  EXPECT_THAT(view_.pins(0), SizeIs(1));
  EXPECT_THAT(view_.pins(1), IsEmpty());
  EXPECT_THAT(view_.fences(), IsEmpty());
}

TEST_F(ControlViewTest, AFenceMayGoBackAndAnotherSetMayCome) {
  EXPECT_EQ(Add(PinOf(0, 0, 5, kTwo)), absl::OkStatus());
  EXPECT_EQ(Add(FenceOf({{0, 10}}, 4, kOne)), absl::OkStatus());
  EXPECT_EQ(Add(PinOf(0, 10, 4, kOne, 2)), absl::OkStatus());
  EXPECT_EQ(Add(PinOf(1, 0, 5, {{"boroughs", "2"}, {"wards", "w"}})), absl::OkStatus());
}

}  // namespace
}  // namespace sluice::processor
