#include "services/pseudonymiser/reidentification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace sluice::pseudonymiser {
namespace {

using ::testing::HasSubstr;

absl::Status Ok(const Reidentification&) { return absl::OkStatus(); }
absl::Status Away(const Reidentification&) { return absl::UnavailableError("no trail"); }

class ReidentificationTest : public ::testing::Test {
 protected:
  v1::RequestReidentificationRequest Wanted(uint32_t values = 3) {
    v1::RequestReidentificationRequest request;
    request.mutable_scope()->set_domain("intelligence");
    request.mutable_scope()->add_kinds(contract::v1::PHONE);
    request.mutable_scope()->set_values_max(values);
    request.mutable_justification()->set_purpose("threat to life");
    request.mutable_justification()->set_legal_basis("DPA 2018 s.35");
    request.mutable_justification()->set_case_reference("C-1");
    return request;
  }
  std::string Asked() { return grants_.Request("ann", Wanted(), Ok)->id(); }
  std::string Approved() {
    std::string id = Asked();
    EXPECT_TRUE(grants_.Approve("bob", id, Wanted().scope(), Ok).ok());
    EXPECT_TRUE(grants_.Approve("cyd", id, Wanted().scope(), Ok).ok());
    return id;
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("grants");
  base::ManualClock clock_;
  base::SystemRandom random_;
  privacy::Keyring keyring_ = *privacy::Keyring::Create({{"intelligence", "int"}}, random_);
  std::unique_ptr<Authority> authority_ =
      *Authority::Open(folder_->path() + "/state", keyring_, clock_, random_);
  Reidentifications grants_{{.request_valid_ms = 10'000,
                             .grant_valid_ms_max = 5'000,
                             .values_max = 10,
                             .requests_max = 5,
                             .requests_per_caller_max = 3},
                            authority_.get(),
                            random_};
};

TEST_F(ReidentificationTest, TwoOthersApproveAndTheRequesterRedeemsOnce) {
  std::string id = Asked();
  auto first = grants_.Approve("bob", id, Wanted().scope(), Ok);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(IsApproved(*first));
  EXPECT_EQ(grants_.Redeem("ann", id, Ok).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(IsApproved(*grants_.Approve("cyd", id, Wanted().scope(), Ok)));
  auto redeemed = grants_.Redeem("ann", id, Ok);
  ASSERT_TRUE(redeemed.ok()) << redeemed.status();
  EXPECT_THAT(redeemed->recipients(), ::testing::ElementsAre("ann"));
  auto again = grants_.Redeem("ann", id, Ok);
  EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("redeemed already"));
  EXPECT_EQ(grants_.Find(id)->state, v1::Reidentification::REDEEMED);
}

TEST_F(ReidentificationTest, NobodyApprovesTheirOwnNorTwice) {
  std::string id = Asked();
  EXPECT_TRUE(absl::IsPermissionDenied(grants_.Approve("ann", id, Wanted().scope(), Ok).status()));
  ASSERT_TRUE(grants_.Approve("bob", id, Wanted().scope(), Ok).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(grants_.Approve("bob", id, Wanted().scope(), Ok).status()));
  EXPECT_EQ(grants_.Find(id)->request.approvers_size(), 1);
  ASSERT_TRUE(grants_.Approve("cyd", id, Wanted().scope(), Ok).ok());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(grants_.Approve("dan", id, Wanted().scope(), Ok).status()));
}

TEST_F(ReidentificationTest, AnApproverWhoReadSomethingElseApprovesNothing) {
  std::string id = Asked();
  EXPECT_TRUE(absl::IsInvalidArgument(grants_.Approve("bob", id, Wanted(2).scope(), Ok).status()));
  EXPECT_TRUE(grants_.Find(id)->request.approvers().empty());
}

TEST_F(ReidentificationTest, NobodyElseRedeems) {
  std::string id = Approved();
  EXPECT_TRUE(absl::IsPermissionDenied(grants_.Redeem("bob", id, Ok).status()));
  EXPECT_TRUE(grants_.Redeem("ann", id, Ok).ok());
}

TEST_F(ReidentificationTest, ARequestAndAGrantExpire) {
  std::string id = Asked();
  clock_.Advance(std::chrono::milliseconds(10'000));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(grants_.Approve("bob", id, Wanted().scope(), Ok).status()));
  std::string approved = Approved();
  clock_.Advance(std::chrono::milliseconds(4'999));
  EXPECT_EQ(grants_.Find(approved)->state, v1::Reidentification::APPROVED);
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_TRUE(absl::IsFailedPrecondition(grants_.Redeem("ann", approved, Ok).status()));
  EXPECT_EQ(grants_.Find(approved)->state, v1::Reidentification::EXPIRED);
}

TEST_F(ReidentificationTest, AGrantLastsNoLongerThanAsked) {
  v1::RequestReidentificationRequest wanted = Wanted();
  wanted.set_valid_s(1);
  std::string id = grants_.Request("ann", wanted, Ok)->id();
  ASSERT_TRUE(grants_.Approve("bob", id, wanted.scope(), Ok).ok());
  ASSERT_TRUE(grants_.Approve("cyd", id, wanted.scope(), Ok).ok());
  clock_.Advance(std::chrono::milliseconds(1'000));
  EXPECT_FALSE(grants_.Redeem("ann", id, Ok).ok());
}

TEST_F(ReidentificationTest, WhatCannotBeRecordedIsNotDone) {
  EXPECT_TRUE(absl::IsUnavailable(grants_.Request("ann", Wanted(), Away).status()));
  int kept = 0;
  EXPECT_TRUE(grants_
                  .ForEach("",
                           [&](const Reidentification&, Reidentifications::State) {
                             ++kept;
                             return true;
                           })
                  .ok());
  EXPECT_EQ(kept, 0);
  std::string id = Asked();
  EXPECT_TRUE(absl::IsUnavailable(grants_.Approve("bob", id, Wanted().scope(), Away).status()));
  EXPECT_TRUE(grants_.Find(id)->request.approvers().empty());
}

TEST_F(ReidentificationTest, ACheckThatRefusesLeavesTheGrantUnused) {
  std::string id = Approved();
  EXPECT_TRUE(absl::IsUnavailable(grants_.Redeem("ann", id, Away).status()));
  EXPECT_TRUE(grants_.Redeem("ann", id, Ok).ok());
}

TEST_F(ReidentificationTest, EveryReasonIsRequired) {
  auto refused = [&](auto change) {
    v1::RequestReidentificationRequest request = Wanted();
    change(request);
    return absl::IsInvalidArgument(grants_.Request("ann", request, Ok).status());
  };
  EXPECT_TRUE(refused([](auto& r) { r.mutable_justification()->clear_purpose(); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_justification()->clear_legal_basis(); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_justification()->clear_case_reference(); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_scope()->clear_domain(); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_scope()->clear_kinds(); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_scope()->set_values_max(0); }));
  EXPECT_TRUE(refused([](auto& r) { r.mutable_scope()->set_values_max(11); }));
}

TEST_F(ReidentificationTest, TheNumberOfRequestsIsBounded) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(grants_.Request("ann", Wanted(), Ok).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(grants_.Request("ann", Wanted(), Ok).status()));
  EXPECT_TRUE(grants_.Request("eve", Wanted(), Ok).ok());
  EXPECT_TRUE(grants_.Request("eve", Wanted(), Ok).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(grants_.Request("fay", Wanted(), Ok).status()));
  clock_.Advance(std::chrono::milliseconds(10'000));
  EXPECT_TRUE(grants_.Request("fay", Wanted(), Ok).ok()) << "expired requests make room";
}

TEST_F(ReidentificationTest, AnUnknownRequestIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(grants_.Redeem("ann", "00", Ok).status()));
  EXPECT_TRUE(absl::IsNotFound(grants_.Approve("bob", "00", Wanted().scope(), Ok).status()));
}

TEST_F(ReidentificationTest, AnotherReplicaKnowsTheSame) {
  auto other = *Authority::Open(folder_->path() + "/state", keyring_, clock_, random_);
  Reidentifications elsewhere({}, other.get(), random_);
  std::string id = Asked();
  ASSERT_TRUE(elsewhere.Approve("bob", id, Wanted().scope(), Ok).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(grants_.Approve("bob", id, Wanted().scope(), Ok).status()));
  ASSERT_TRUE(grants_.Approve("cyd", id, Wanted().scope(), Ok).ok());
  ASSERT_TRUE(elsewhere.Redeem("ann", id, Ok).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(grants_.Redeem("ann", id, Ok).status()))
      << "a grant is for once, not for once a replica";
}

TEST_F(ReidentificationTest, WithoutAPlaceToKeepItNobodyIsReidentified) {
  Reidentifications nowhere({}, nullptr, random_);
  auto asked = nowhere.Request("ann", Wanted(), Ok);
  EXPECT_TRUE(absl::IsFailedPrecondition(asked.status()));
  EXPECT_THAT(std::string(asked.status().message()), HasSubstr("`state`"));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      nowhere.ForEach("", [](const Reidentification&, Reidentifications::State) { return true; })));
}

}  // namespace
}  // namespace sluice::pseudonymiser
