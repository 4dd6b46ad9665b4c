// What a fence isn't written for; where it is, services/processor/reference_kafka_test.cc shows.
#include "services/ctl/fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;

class FenceTest : public ::testing::Test {
 protected:
  FenceTest() {
    // Nobody listens there: a refusal comes before anything is asked of brokers.
    site_.connection.brokers = {"127.0.0.1:1"};
    config::v1::Reference& reference = *site_.config.mutable_reference();
    reference.mutable_remote()->add_sets("boroughs");
    reference.mutable_remote()->add_sets("wards");
    reference.mutable_control()->set_topic("control");
    reference.mutable_control()->set_swap(config::v1::fenced);
    Activate("boroughs", "b1");
  }
  void Activate(const std::string& set, const std::string& id) {
    auto& status = *service_.add_sets();
    status.set_name(set);
    status.set_active_id(id);
  }
  void ExpectRefused(absl::StatusCode code, const std::string& why) {
    absl::Status refused = WriteFence(site_, service_, {}).status();
    EXPECT_EQ(refused.code(), code) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(why));
  }

  Site site_;
  reference::v1::GetStatusResponse service_;
};

TEST_F(FenceTest, WithoutAControlTopicOrFencedSwapsNoneIsWritten) {
  Activate("wards", "w1");
  site_.config.mutable_reference()->mutable_control()->set_swap(config::v1::when_there);
  ExpectRefused(absl::StatusCode::kInvalidArgument, "reference.control.swap isn't `fenced`");
  site_.config.mutable_reference()->clear_control();
  ExpectRefused(absl::StatusCode::kInvalidArgument, "reference.control.swap isn't `fenced`");
}

TEST_F(FenceTest, ASetThatTheServiceDoesNotKnowOrHasNoVersionOfIsNamed) {
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "has no version of wards");
  Activate("wards", "");
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "has no version of wards");
}

}  // namespace
}  // namespace sluice::ctl
