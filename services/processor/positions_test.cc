#include "services/processor/positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;

const PositionSite kSite = {"stops", "readers", "raw.stops", "IdIdIdIdIdIdIdIdIdIdId"};

kafka::CommittedPosition Committed(int64_t offset, std::string_view metadata = "stops",
                                   int32_t partition = 2) {
  return {"raw.stops", partition, offset, metadata};
}

positions::v1::Position Recorded(int64_t next, const std::string& group = "readers") {
  positions::v1::Position position;
  position.set_next_offset(next);
  position.set_group(group);
  position.set_topic("raw.stops");
  position.set_version("v1");
  return position;
}

std::string Refusal(const kafka::CommittedPosition& committed,
                    const positions::v1::Position* recorded) {
  absl::Status status = ComparePosition(kSite, committed, recorded);
  EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status)) << status;
  return std::string(status.message());
}

TEST(PositionsTest, OnlyWhatAgreesIsReadOnFrom) {
  positions::v1::Position at_7 = Recorded(7), elsewhere = Recorded(7, "others");
  EXPECT_EQ(Refusal(Committed(7), &at_7), "");
  EXPECT_EQ(Refusal(Committed(7, ""), &at_7), "") << "taken over from before there was metadata";
  EXPECT_EQ(Refusal(Committed(7, ""), nullptr), "");
  EXPECT_EQ(Refusal(Committed(-1, ""), nullptr), "") << "a partition that nothing came of yet";
  EXPECT_THAT(Refusal(Committed(3), &at_7),
              ::testing::AllOf(HasSubstr("committed offset 3"), HasSubstr("up to offset 7")));
  EXPECT_THAT(Refusal(Committed(9), &at_7), HasSubstr("somebody set the group's offset"));
  EXPECT_THAT(Refusal(Committed(-1, ""), &at_7), HasSubstr("offsets recover"));
  EXPECT_THAT(Refusal(Committed(7), nullptr), HasSubstr("nothing is recorded"));
  EXPECT_THAT(Refusal(Committed(7), &elsewhere), HasSubstr("pipeline.name"));
  EXPECT_THAT(Refusal(Committed(7, "custody"), &at_7), HasSubstr("pipeline 'custody'"));
  EXPECT_THAT(Refusal(Committed(7, "a person's name"), &at_7),
              ::testing::Not(HasSubstr("a person's name")))
      << "what another program wrote isn't repeated";
}

TEST(PositionsTest, WhatNobodyKnowsIsNamedUntilEveryPartitionIsRecorded) {
  const std::string id = kSite.topic_id;
  RecordedPositions recorded("stops");
  auto add = [&](std::string_view of, int32_t partition) {
    ASSERT_TRUE(
        recorded.Add(PositionKeyText("stops", of, partition), Recorded(20).SerializeAsString())
            .ok());
  };
  auto unknown = [&](std::vector<int64_t> committed, std::vector<int64_t> ends) {
    return UnknownPartitions(kSite, recorded, committed, ends);
  };
  using Partitions = std::vector<int32_t>;
  EXPECT_EQ(unknown({-1, -1}, {30, 0}), (Partitions{0, 1})) << "nothing at all is known";
  EXPECT_EQ(unknown({20, -1, -1}, {30, 30, 0}), Partitions{1}) << "the group knows one";
  EXPECT_EQ(unknown({20, 7}, {30, 30}), Partitions{});
  add(id, 0);  // a person set this one alone
  EXPECT_EQ(unknown({20, -1, -1}, {30, 30, 0}), Partitions{1});
  // A worker that recorded which version began doesn't make the others known.
  ASSERT_TRUE(recorded.Add(PositionKeyText("stops", id, 0) + "/0", "").ok());
  EXPECT_EQ(unknown({20, -1}, {30, 30}), Partitions{1});
  ASSERT_TRUE(recorded.Add(BegunKeyText("stops", id), "").ok());
  EXPECT_EQ(recorded.Versions(id, 0).size(), 1u) << "no version begins there";
  EXPECT_EQ(unknown({20, -1}, {30, 30}), Partitions{}) << "partition 1 was added since";
  ASSERT_TRUE(recorded.Add(BegunKeyText("stops", id), std::nullopt).ok());
  EXPECT_EQ(unknown({20, -1}, {30, 30}), Partitions{1});
  add("FormerFormerFormerForm", 1);
  EXPECT_EQ(unknown({20, -1}, {30, 30}), Partitions{}) << "of the new topic nothing was read";
}

TEST(PositionsTest, VeryManyPartitionsAreNotAllNamed) {
  EXPECT_EQ(PartitionsText(std::vector<int32_t>{3}), "partition 3");
  EXPECT_EQ(PartitionsText(std::vector<int32_t>{0, 2}), "partitions 0, 2");
  EXPECT_THAT(PartitionsText(std::vector<int32_t>(500, 1)), HasSubstr("(500 in all)"));
}

class Written final : public stream::Output {
 public:
  absl::Status Produce(const stream::OutputRecord& record) override {
    EXPECT_EQ(record.topic, 3u);
    keys.emplace_back(*record.key);
    EXPECT_TRUE(recorded.Add(*record.key, record.value).ok());
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return 1000; }

  std::vector<std::string> keys;
  RecordedPositions recorded{"stops"};
};

TEST(PositionsTest, AVersionsFirstOffsetIsWrittenOnceAndOutlivesRestartsAndAborts) {
  Written out;
  const std::string& id = kSite.topic_id;
  auto write = [&out](PositionRecorder& recorder, int64_t next, const char* version, bool commits) {
    std::vector<stream::Position> positions = {{"raw.stops", 2, next}};
    ASSERT_TRUE(recorder.Write(positions, version, nullptr, out).ok());
    if (commits) recorder.Committed();
  };
  {
    PositionRecorder recorder(kSite, 3);
    std::vector<kafka::CommittedPosition> from = {Committed(5)};
    recorder.Begin(from, out.recorded, kSite.topic_id);
    write(recorder, 8, "v1", true);
    write(recorder, 9, "v1", true);
    EXPECT_THAT(out.keys, ::testing::ElementsAre("stops/" + id + "/2/5", "stops/" + id + "/2",
                                                 "stops/" + id + "/2"));
    EXPECT_TRUE(recorder.Resume(std::vector{Committed(9)}));
    EXPECT_FALSE(recorder.Resume(std::vector{Committed(8)})) << "nobody else's word is taken";
    EXPECT_FALSE(recorder.Resume(std::vector{Committed(9, "custody")}));
    EXPECT_FALSE(recorder.Resume(std::vector{Committed(9, "stops", 4)}));
    out.keys.clear();
    write(recorder, 12, "v2", /*commits=*/false);
    EXPECT_TRUE(recorder.Resume(std::vector{Committed(9)})) << "it was aborted";
    write(recorder, 11, "v2", true);
    EXPECT_THAT(out.keys, ::testing::ElementsAre("stops/" + id + "/2/9", "stops/" + id + "/2",
                                                 "stops/" + id + "/2/9", "stops/" + id + "/2"));
    out.keys.clear();
    write(recorder, 15, "v2", /*commits=*/false);
    EXPECT_TRUE(recorder.Resume(std::vector{Committed(15)})) << "it was committed after all";
    write(recorder, 16, "v2", true);
    EXPECT_EQ(out.keys.size(), 2u);
  }
  PositionRecorder recorder(kSite, 3);
  std::vector<kafka::CommittedPosition> from = {Committed(16)};
  recorder.Begin(from, out.recorded, kSite.topic_id);
  out.keys.clear();
  write(recorder, 17, "v2", true);
  EXPECT_EQ(out.keys.size(), 1u) << "the version is known from before the restart";
  write(recorder, 20, "v1", true);
  EXPECT_THAT(out.recorded.Versions(id, 2),
              ::testing::ElementsAre(::testing::Pair(5, "v1"), ::testing::Pair(9, "v2"),
                                     ::testing::Pair(17, "v1")));
  EXPECT_EQ(out.recorded.Find(id, 2)->next_offset(), 20);
}

TEST(PositionsTest, ATopicThatWasCreatedAgainAndOtherPipelinesAreToldApart) {
  RecordedPositions recorded("stops");
  std::string value = Recorded(7).SerializeAsString();
  ASSERT_TRUE(recorded.Add("stops/old/0", value).ok());
  ASSERT_TRUE(recorded.Add("custody/new/0", value).ok());
  EXPECT_EQ(recorded.all().size(), 1u);
  EXPECT_EQ(recorded.FormerId("raw.stops", "new"), "old");
  EXPECT_EQ(recorded.FormerId("raw.other", "new"), "");
  ASSERT_TRUE(recorded.Add("stops/new/0", value).ok());
  EXPECT_EQ(recorded.FormerId("raw.stops", "new"), "");
  ASSERT_TRUE(recorded.Add("stops/new/0", std::nullopt).ok());
  EXPECT_EQ(recorded.Find("new", 0), nullptr);
}

TEST(PositionsTest, WhatIsntAPositionIsRefused) {
  RecordedPositions recorded("stops");
  std::string value = Recorded(7).SerializeAsString();
  for (const char* key : {"", "stops", "stops/id", "stops/id/", "stops/id/x", "stops/id/-1",
                          "stops/id/0/x", "/id/0", "stops//0", "stops/id/0/1/2"})
    EXPECT_TRUE(absl::IsDataLoss(recorded.Add(key, value))) << key;
  EXPECT_TRUE(absl::IsDataLoss(recorded.Add("stops/id/0", "\xff")));
}

TEST(PositionsTest, NamesAndTheirDefault) {
  config::v1::Pipeline pipeline;
  pipeline.mutable_quarantine()->set_topic("quarantine.stops");
  EXPECT_EQ(PipelineName(pipeline), "quarantine.stops");
  EXPECT_EQ(PositionsTopic(pipeline), "quarantine.stops.positions");
  pipeline.set_name("stops");
  EXPECT_EQ(PipelineName(pipeline), "stops");
  EXPECT_TRUE(IsPipelineName("quarantine.stops_1-a"));
  for (const char* name : {"", "a/b", "a b", "\xc3\xa9"}) EXPECT_FALSE(IsPipelineName(name));
  EXPECT_FALSE(IsPipelineName(std::string(250, 'a')));
}

}  // namespace
}  // namespace sluice::processor
