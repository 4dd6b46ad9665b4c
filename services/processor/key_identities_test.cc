#include "services/processor/key_identities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "services/processor/positions.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;

config::v1::Pipeline TestPipeline() {
  config::v1::Pipeline pipeline;
  for (const char* domain : {"care@previous", "", "desk", "desk@2"})
    pipeline.add_streams()->set_domain(domain);
  return pipeline;
}

privacy::Keyring NewKeyring() {
  base::SystemRandom random;
  return *privacy::Keyring::Create({{"care", "car"}, {"desk", "dsk"}, {"other", "oth"}}, random);
}

std::shared_ptr<const HeldKeys> Held(const privacy::Keyring& keyring, bool whole = true) {
  return HeldKeysOf(keyring.domains(), TestPipeline(), "keyring.bin", whole);
}

KeyIdentities Recorded(const privacy::Keyring& keyring) { return NotRecorded({}, *Held(keyring)); }

std::string Refusal(const KeyIdentities& recorded, const HeldKeys& held) {
  absl::Status status = CompareKeys(recorded, held);
  EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status)) << status;
  return std::string(status.message());
}

TEST(KeyIdentitiesTest, OnlyTheDomainsThatStreamsUseAreRecorded) {
  EXPECT_THAT(DomainsOf(TestPipeline()), ::testing::ElementsAre("care", "desk"));
  privacy::Keyring keyring = NewKeyring();
  KeyIdentities recorded = Recorded(keyring);
  ASSERT_EQ(recorded.size(), 2u);
  EXPECT_EQ(recorded.at({"care", 1}),
            (EpochIdentity{"car", keyring.Find("care")->epochs[0].check}));
  EXPECT_FALSE(recorded.at({"care", 1}).check.empty());
  EXPECT_TRUE(NotRecorded(recorded, *Held(keyring)).empty());
}

TEST(KeyIdentitiesTest, AnotherKeyringIsRefusedAndSaysWhatToDo) {
  const KeyIdentities recorded = Recorded(NewKeyring());
  std::string refusal = Refusal(recorded, *Held(NewKeyring()));
  EXPECT_THAT(refusal, ::testing::AllOf(HasSubstr("keyring.bin"), HasSubstr("domain 'care'"),
                                        HasSubstr("another secret"), HasSubstr("forget-keys")));
  // Of a domain that no stream uses, nothing is asked.
  EXPECT_EQ(Refusal({{{"other", 1}, {"oth", "0011223344556677"}}}, *Held(NewKeyring())), "");
}

TEST(KeyIdentitiesTest, ARotationPassesAndALostEpochDoesNot) {
  base::SystemRandom random;
  privacy::Keyring keyring = NewKeyring();
  const KeyIdentities before = Recorded(keyring);
  const std::shared_ptr<const HeldKeys> older = Held(keyring);
  ASSERT_TRUE(keyring.Rotate("desk", random).ok());
  const std::shared_ptr<const HeldKeys> newer = Held(keyring);
  const KeyIdentities after = Recorded(keyring);
  EXPECT_EQ(Refusal(before, *newer), "");
  EXPECT_THAT(NotRecorded(before, *newer),
              ::testing::ElementsAre(::testing::Key(std::pair<std::string, uint32_t>("desk", 2))));
  EXPECT_THAT(Refusal(after, *older),
              ::testing::AllOf(HasSubstr("'desk', epoch 2"), HasSubstr("older copy")));
  // The older copy is rotated: the number is used a second time.
  HeldKeys rotated = *older;
  for (privacy::KeyringDomain& domain : rotated.domains) {
    if (domain.name == "desk") domain.epochs.push_back({.number = 2, .check = "0123456789abcdef"});
  }
  EXPECT_THAT(Refusal(after, rotated), HasSubstr("another secret"));
}

TEST(KeyIdentitiesTest, WhatARestoredKeyringLeavesOutPasses) {
  privacy::Keyring keyring = NewKeyring();
  KeyIdentities recorded = Recorded(keyring);
  recorded[{"desk", 2}] = {"dsk", "0123456789abcdef"};
  std::vector<privacy::KeyringDomain> domains = keyring.domains();
  auto desk = std::find_if(domains.begin(), domains.end(),
                           [](const auto& domain) { return domain.name == "desk"; });
  EXPECT_NE(Refusal(recorded, *HeldKeysOf(domains, TestPipeline(), "keyring.bin", true)), "");
  desk->next_epoch_min = 3;
  EXPECT_EQ(Refusal(recorded, *HeldKeysOf(domains, TestPipeline(), "keyring.bin", true)), "");
  // A service doesn't say so; its next epoch does.
  desk->next_epoch_min = 0;
  desk->epochs.push_back({.number = 3, .check = "ffeeddccbbaa9988"});
  EXPECT_EQ(Refusal(recorded, *HeldKeysOf(domains, TestPipeline(), "keyring.bin", true)), "");
}

TEST(KeyIdentitiesTest, WhatIsNotKnownIsNotHeldAgainstAnybody) {
  privacy::Keyring keyring = NewKeyring();
  KeyIdentities recorded = Recorded(keyring);
  recorded[{"desk", 1}].check.clear();
  EXPECT_EQ(Refusal(recorded, *Held(keyring)), "");
  EXPECT_EQ(NotRecorded(recorded, *Held(keyring)).size(), 1u) << "it is known now";
  HeldKeys none = *HeldKeysOf({}, TestPipeline(), "keyring.bin", true);
  EXPECT_THAT(Refusal(recorded, none), HasSubstr("lack this domain"));
  none.whole = false;
  EXPECT_EQ(Refusal(recorded, none), "") << "a policy may hide a domain";
}

class Written final : public stream::Output {
 public:
  absl::Status Produce(const stream::OutputRecord& record) override {
    keys.emplace_back(*record.key);
    return recorded.Add(*record.key, record.value);
  }
  size_t record_bytes_max(size_t) const override { return 1000; }

  std::vector<std::string> keys;
  RecordedPositions recorded{"stops"};
};

TEST(KeyIdentitiesTest, EpochsAreRecordedWithTheFirstResultsThatFollowThemAndOnce) {
  const PositionSite site = {"stops", "readers", "raw.stops", "IdIdIdIdIdIdIdIdIdIdId"};
  Written out;
  base::SystemRandom random;
  privacy::Keyring keyring = NewKeyring();
  auto keys = Held(keyring);
  PositionRecorder recorder(site, 3);
  std::vector<kafka::CommittedPosition> from = {{"raw.stops", 0, 5, "stops"}};
  recorder.Begin(from, out.recorded, site.topic_id);
  auto write = [&](int64_t next, bool commits) {
    out.keys.clear();
    std::vector<stream::Position> positions = {{"raw.stops", 0, next}};
    ASSERT_TRUE(recorder.Write(positions, "v1", keys, out).ok());
    if (commits) recorder.Committed();
  };
  write(6, /*commits=*/false);
  EXPECT_THAT(out.keys, ::testing::Contains("stops/keys/care/1"));
  write(7, true);
  EXPECT_THAT(out.keys, ::testing::Contains("stops/keys/desk/1")) << "the first was aborted";
  write(8, true);
  EXPECT_THAT(out.keys, ::testing::ElementsAre("stops/" + site.topic_id + "/0"));
  ASSERT_TRUE(keyring.Rotate("care", random).ok());
  keys = Held(keyring);
  write(9, true);
  EXPECT_THAT(out.keys,
              ::testing::ElementsAre("stops/keys/care/2", "stops/" + site.topic_id + "/0"));
  EXPECT_EQ(out.recorded.keys(), NotRecorded({}, *keys));
  // After a restart they are known.
  PositionRecorder again(site, 3);
  std::vector<kafka::CommittedPosition> at = {{"raw.stops", 0, 9, "stops"}};
  again.Begin(at, out.recorded, site.topic_id);
  out.keys.clear();
  std::vector<stream::Position> positions = {{"raw.stops", 0, 10}};
  ASSERT_TRUE(again.Write(positions, "v1", keys, out).ok());
  EXPECT_EQ(out.keys.size(), 1u);
  // A person forgets them.
  EXPECT_TRUE(out.recorded.Add("stops/keys/care/2", std::nullopt).ok());
  EXPECT_FALSE(out.recorded.keys().contains({"care", 2}));
}

TEST(KeyIdentitiesTest, RecordsThatAreNoEpochAreRefused) {
  RecordedPositions recorded("stops");
  positions::v1::KeyEpoch epoch;
  epoch.set_label("dsk");
  std::string value = epoch.SerializeAsString();
  // A domain's name may hold anything that is one line.
  EXPECT_TRUE(recorded.Add("stops/keys/a/b c/7", value).ok());
  EXPECT_TRUE(recorded.keys().contains({"a/b c", 7}));
  EXPECT_TRUE(recorded.Add("others/keys/desk/7", value).ok());
  EXPECT_EQ(recorded.keys().size(), 1u) << "of another pipeline";
  for (const char* key : {"stops/keys", "stops/keys/", "stops/keys/desk", "stops/keys/desk/",
                          "stops/keys/desk/x", "stops/keys//1", "stops/keys/desk/-1"})
    EXPECT_TRUE(absl::IsDataLoss(recorded.Add(key, value))) << key;
  EXPECT_TRUE(absl::IsDataLoss(recorded.Add("stops/keys/desk/1", "\xff")));
}

}  // namespace
}  // namespace sluice::processor
