#include "services/pseudonymiser/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace sluice::pseudonymiser {
namespace {

using config::v1::Permission;
using ::testing::HasSubstr;

class PolicyTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const Policy>> Load(const std::string& yaml) {
    std::string path = folder_->path() + "/policy.yaml";
    std::ofstream(path) << yaml;
    return Policy::Load(path);
  }
  std::string Refusal(const std::string& yaml) {
    return std::string(Load(yaml).status().message());
  }
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("policy");
};

TEST_F(PolicyTest, AllowsWhatIsWrittenAndNothingElse) {
  auto policy = Load(R"(callers:
  - caller: spiffe://force/processor
    may:
      - {calls: [pseudonymise, encrypt], domains: [intelligence]}
      - {calls: [pseudonymise], domains: [public]}
  - caller: admin.force
    may: [{calls: [rotate_domain], domains: ["*"]}]
)");
  ASSERT_TRUE(policy.ok()) << policy.status();
  auto decide = [&](const char* caller, Call call, const char* domain) {
    return (*policy)->Decide(caller, call, domain);
  };
  const char* processor = "spiffe://force/processor";
  EXPECT_EQ(decide(processor, Permission::pseudonymise, "public"), Decision::kAllowed);
  EXPECT_EQ(decide(processor, Permission::encrypt, "intelligence"), Decision::kAllowed);
  EXPECT_EQ(decide(processor, Permission::encrypt, "public"), Decision::kNotAllowed);
  EXPECT_EQ(decide(processor, Permission::decrypt, "intelligence"), Decision::kNotAllowed);
  EXPECT_EQ(decide(processor, Permission::pseudonymise, ""), Decision::kAllowed);
  EXPECT_EQ(decide(processor, Permission::decrypt, ""), Decision::kNotAllowed);
  EXPECT_EQ(decide("admin.force", Permission::rotate_domain, "anything"), Decision::kAllowed);
  EXPECT_EQ(decide("spiffe://force/processor/x", Permission::pseudonymise, "public"),
            Decision::kUnknownCaller);
  EXPECT_EQ(decide("", Permission::pseudonymise, "public"), Decision::kUnknownCaller);
}

TEST_F(PolicyTest, AConversionIsAllowedInTheDirectionThatIsWritten) {
  auto policy =
      Load("callers: [{caller: a, may: [{calls: [convert], domains: [int], to: [pub]}]}]");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->DecideConversion("a", "int", "pub"), Decision::kAllowed);
  EXPECT_EQ((*policy)->DecideConversion("a", "pub", "int"), Decision::kNotAllowed);
  EXPECT_EQ((*policy)->DecideConversion("a", "int", "int"), Decision::kNotAllowed);
  EXPECT_EQ((*policy)->DecideConversion("b", "int", "pub"), Decision::kUnknownCaller);
}

TEST_F(PolicyTest, ARevokedCallerMayDoNothingWhateverElseIsWritten) {
  auto policy = Load(R"(callers: [{caller: a, may: [{calls: [decrypt], domains: ["*"]}]}]
revoked: [a, gone]
)");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->Decide("a", Permission::decrypt, "x"), Decision::kRevoked);
  EXPECT_EQ((*policy)->Decide("gone", Permission::decrypt, "x"), Decision::kRevoked);
  EXPECT_EQ((*policy)->DecideConversion("a", "x", "y"), Decision::kRevoked);
}

TEST_F(PolicyTest, ACallerHasLimitsUnlessItIsABulkOne) {
  auto policy = Load(R"(callers:
  - caller: person
  - {caller: strict, limits: {values_per_s: 5, misses_per_hour: 1}}
  - {caller: processor, limits: {bulk: true, values_per_day: 7}}
)");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->limits("person").distinct_values_per_hour, 10'000u);
  EXPECT_EQ((*policy)->limits("strict").values_per_s, 5u);
  EXPECT_EQ((*policy)->limits("strict").values_per_day, 100'000u);
  EXPECT_EQ((*policy)->limits("processor").values_per_s, 0u);
  EXPECT_EQ((*policy)->limits("processor").values_per_day, 7u);
  EXPECT_EQ((*policy)->limits("stranger").values_per_s, 1'000u);
}

TEST_F(PolicyTest, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(Refusal("callers:\n  - {caller: a}\n  - {caller: a}\n"),
              AllOf(HasSubstr("policy.yaml:3"), HasSubstr("named twice")));
  EXPECT_THAT(Refusal("callers: [{caller: a, may: [{calls: [decrypt]}]}]"),
              HasSubstr("name the domains"));
  EXPECT_THAT(Refusal("callers: [{caller: a, may: [{domains: [x]}]}]"), HasSubstr("the calls"));
  EXPECT_THAT(Refusal("callers: [{caller: a, may: [{calls: [convert], domains: [x]}]}]"),
              HasSubstr("go together"));
  EXPECT_THAT(Refusal("callers: [{caller: a, may: [{calls: [rotate], domains: [x], to: [y]}]}]"),
              HasSubstr("go together"));
  EXPECT_THAT(Refusal("callers: [{caller: a, may: [{calls: [unspecified], domains: [x]}]}]"),
              HasSubstr("is no call"));
  EXPECT_THAT(Refusal("callers: [{caller: a, may: [{calls: [all], domains: [x]}]}]"),
              HasSubstr("all"));
  EXPECT_THAT(Refusal("callers: [{caller: a, limits: {values_per_s: -1}}]"),
              HasSubstr("can't be negative"));
}

}  // namespace
}  // namespace sluice::pseudonymiser
