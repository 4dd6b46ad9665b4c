#include "common/stream/failpoint.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace sluice::stream {
namespace {

class FailpointTest : public testing::Test {
 protected:
  void TearDown() override { unsetenv("SLUICE_FAILPOINT"); }
};

TEST_F(FailpointTest, IsOffUnlessNamed) {
  Failpoint unset("after_produce");
  unset.Pass();
  setenv("SLUICE_FAILPOINT", "after_produce_too", 1);
  Failpoint other("after_produce");
  other.Pass();
}

TEST_F(FailpointTest, KillsOnTheFirstPassByDefault) {
  setenv("SLUICE_FAILPOINT", "after_produce", 1);
  EXPECT_EXIT(Failpoint("after_produce").Pass(), testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FailpointTest, KillsOnTheCountedPass) {
  setenv("SLUICE_FAILPOINT", "after_produce:3", 1);
  Failpoint point("after_produce");
  point.Pass();
  point.Pass();
  EXPECT_EXIT(point.Pass(), testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace sluice::stream
