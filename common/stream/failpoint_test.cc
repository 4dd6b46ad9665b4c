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

TEST_F(FailpointTest, FaultsAtTheEventThatIsNamed) {
  EventFault().Pass(0, 0);
  for (const char* nothing : {"fault_at_event:", "fault_at_event:3", "fault_at_event:x/4"}) {
    setenv("SLUICE_FAILPOINT", nothing, 1);
    EventFault().Pass(0, 0);
    EventFault().Pass(3, 4);
  }
  setenv("SLUICE_FAILPOINT", "fault_at_event:3/42", 1);
  EventFault fault;
  fault.Pass(3, 41);
  fault.Pass(2, 42);
  EXPECT_DEATH(fault.Pass(3, 42), "");
}

}  // namespace
}  // namespace sluice::stream
