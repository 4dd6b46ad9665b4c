#include "services/pseudonymiser/gate.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::pseudonymiser {
namespace {

size_t Taken(Gate& gate, std::string_view caller, bool bulk, std::vector<Gate::Pass>& passes) {
  size_t taken = 0;
  for (; taken < 1'000; ++taken) {
    auto pass = gate.Enter(caller, bulk);
    if (!pass.ok()) {
      EXPECT_TRUE(absl::IsResourceExhausted(pass.status()));
      break;
    }
    passes.push_back(*std::move(pass));
  }
  return taken;
}

TEST(Gate, PeopleLeaveHalfOfThePlacesToProcessors) {
  Gate gate(32);
  std::vector<Gate::Pass> passes;
  size_t people = 0;
  for (const char* caller : {"a", "b", "c", "d", "e", "f"})
    people += Taken(gate, caller, false, passes);
  EXPECT_EQ(people, 16u);
  EXPECT_EQ(Taken(gate, "processor", true, passes), 16u);
  EXPECT_EQ(Taken(gate, "other", true, passes), 0u);
  passes.clear();
  EXPECT_EQ(Taken(gate, "a", false, passes), 4u) << "an eighth for one";
  EXPECT_EQ(Taken(gate, "processor", true, passes), 24u) << "three quarters for one";
  EXPECT_EQ(Taken(gate, "other", true, passes), 4u);
}

TEST(Gate, StreamsHavePlacesOfTheirOwn) {
  Gate gate(32);
  std::vector<Gate::Pass> passes;
  auto streams = [&](const char* caller) {
    size_t taken = 0;
    for (auto pass = gate.EnterStream(caller); pass.ok(); pass = gate.EnterStream(caller)) {
      passes.push_back(*std::move(pass));
      ++taken;
    }
    return taken;
  };
  EXPECT_EQ(streams("a"), 2u);
  EXPECT_EQ(streams("b") + streams("c") + streams("d") + streams("e"), 6u);
  EXPECT_EQ(Taken(gate, "processor", true, passes), 24u);
  passes.clear();
  EXPECT_EQ(streams("e"), 2u);
}

TEST(Gate, HasAPlaceForEachKindHoweverSmallItIs) {
  Gate gate(1);
  std::vector<Gate::Pass> passes;
  EXPECT_EQ(Taken(gate, "a", false, passes), 1u);
  EXPECT_EQ(Taken(gate, "processor", true, passes), 3u);
}

}  // namespace
}  // namespace sluice::pseudonymiser
