#include "services/pseudonymiser/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"

namespace sluice::pseudonymiser {
namespace {

using ::testing::HasSubstr;

class AuthorityTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Authority>> Open() {
    return Authority::Open(path_, keyring_, clock_, random_);
  }
  static absl::Status Lock(v1::AuthorityState& state, int64_t now_ms) {
    v1::KeptLock& lock = *state.add_locks();
    lock.set_caller("a");
    lock.set_since_unix_ms(now_ms);
    return absl::OkStatus();
  }
  static int LocksIn(Authority& authority) {
    int locks = -1;
    EXPECT_TRUE(authority
                    .With([&](v1::AuthorityState& state, int64_t) {
                      locks = state.locks_size();
                      return absl::OkStatus();
                    })
                    .ok());
    return locks;
  }
  std::string File() const {
    std::ifstream in(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void Replace(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("authority");
  const std::string path_ = folder_->path() + "/state";
  base::ManualClock clock_;
  base::SystemRandom random_;
  privacy::Keyring keyring_ = *privacy::Keyring::Create({{"intelligence", "int"}}, random_);
};

TEST_F(AuthorityTest, WhatIsChangedOutlivesTheProcessAndIsSeenByOthers) {
  auto first = *Open(), second = *Open();
  EXPECT_TRUE(first->made());
  EXPECT_FALSE(second->made());
  ASSERT_TRUE(first->With(Lock).ok());
  EXPECT_EQ(LocksIn(*second), 1);
  EXPECT_EQ(LocksIn(**Open()), 1);
}

TEST_F(AuthorityTest, WorkThatFailsChangesNothing) {
  auto authority = *Open();
  const std::string before = File();
  absl::Status failed = authority->With([](v1::AuthorityState& state, int64_t now_ms) {
    Lock(state, now_ms).IgnoreError();
    return absl::NotFoundError("its own");
  });
  EXPECT_TRUE(absl::IsNotFound(failed));
  EXPECT_EQ(File(), before);
  EXPECT_EQ(LocksIn(*authority), 0);
  EXPECT_EQ(File(), before) << "who only reads doesn't write";
}

TEST_F(AuthorityTest, ManyWhoActAtOnceAllTakeEffect) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      auto authority = *Open();
      for (int j = 0; j < 10; ++j) EXPECT_TRUE(authority->With(Lock).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(LocksIn(**Open()), 40);
}

TEST_F(AuthorityTest, WhatSomebodyElseWroteOrAnotherKeyringSealedIsRefused) {
  auto authority = *Open();
  ASSERT_TRUE(authority->With(Lock).ok());
  const std::string good = File();
  EXPECT_EQ(good.find("\"a\""), std::string::npos);
  for (size_t at : {size_t{0}, size_t{20}, good.size() - 1}) {
    std::string bad = good;
    bad[at] ^= 1;
    Replace(bad);
    EXPECT_TRUE(absl::IsUnavailable(authority->With(Lock)));
    EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
    EXPECT_FALSE(Authority::Check(path_, keyring_).ok());
    EXPECT_EQ(File(), bad) << "nothing is overwritten";
  }
  Replace(good.substr(0, 25));
  EXPECT_TRUE(absl::IsUnavailable(authority->With(Lock)));
  Replace(good);
  EXPECT_TRUE(authority->With(Lock).ok());
  auto other = *privacy::Keyring::Create({{"intelligence", "int"}}, random_);
  auto refused = Authority::Open(path_, other, clock_, random_);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("another keyring's"));
}

TEST_F(AuthorityTest, AFileThatHasGoneIsNotMadeAnewWhileTheProcessLives) {
  auto authority = *Open();
  std::filesystem::remove(path_);
  EXPECT_TRUE(absl::IsUnavailable(authority->With(Lock)));
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(Authority::Check(path_, keyring_).ok()) << "the first start makes it";
}

TEST_F(AuthorityTest, ARotationChangesNoSeal) {
  ASSERT_TRUE((*Open())->With(Lock).ok());
  ASSERT_TRUE(keyring_.Rotate("intelligence", random_).ok());
  EXPECT_EQ(LocksIn(**Open()), 1);
}

// A clock whose wall can be set.
class WallClock final : public base::Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override { return now; }
  int64_t UnixMillis() const override { return wall_ms; }
  std::chrono::steady_clock::time_point now;
  int64_t wall_ms = 1'000'000;
};

TEST_F(AuthorityTest, TimeDoesNotGoBackWhenAClockIsSet) {
  WallClock clock;
  auto at = [&](Authority& authority) {
    int64_t now = 0;
    EXPECT_TRUE(authority
                    .With([&](v1::AuthorityState& state, int64_t now_ms) {
                      now = now_ms;
                      return Lock(state, now_ms);
                    })
                    .ok());
    return now;
  };
  auto authority = *Authority::Open(path_, keyring_, clock, random_);
  EXPECT_EQ(at(*authority), 1'000'000);
  clock.wall_ms = 900'000;
  clock.now += std::chrono::milliseconds(100);
  EXPECT_EQ(at(*authority), 1'000'100) << "the process knows how long it has lived";
  // Nor by a restart with the wrong time.
  EXPECT_EQ(at(**Authority::Open(path_, keyring_, clock, random_)), 1'000'100);
  clock.wall_ms = 2'000'000;
  EXPECT_EQ(at(*authority), 2'000'000);
}

// A start with a clock that is 400 days ahead, and then with the right one.
TEST_F(AuthorityTest, AClockThatWasFarAheadPoisonsNothing) {
  constexpr int64_t kDayMs = 86'400'000;
  WallClock clock;
  clock.wall_ms = 1'000 * kDayMs;
  auto add = [&](bool redeemed) {
    return [&clock, redeemed](v1::AuthorityState& state, int64_t now_ms) {
      auto& one = *state.add_reidentifications();
      one.set_id(redeemed ? "redeemed" : "open");
      one.set_redeemed(redeemed);
      one.set_expires_unix_ms(now_ms + kDayMs);
      EXPECT_EQ(now_ms, clock.wall_ms);
      return Lock(state, now_ms);
    };
  };
  clock.wall_ms += 400 * kDayMs;
  {
    auto ahead = *Authority::Open(path_, keyring_, clock, random_);
    ASSERT_TRUE(ahead->With(add(false)).ok());
    ASSERT_TRUE(ahead->With(add(true)).ok());
  }
  clock.wall_ms -= 400 * kDayMs;
  std::vector<int64_t> resets;
  bool recorded = false;
  auto right = *Authority::Open(path_, keyring_, clock, random_, [&](int64_t behind, int ended) {
    resets = {behind, ended};
    return recorded ? absl::OkStatus() : absl::UnavailableError("the audit log is full");
  });
  EXPECT_TRUE(right
                  ->See([&](const v1::AuthorityState& state, int64_t now_ms) {
                    EXPECT_EQ(now_ms, clock.wall_ms);
                    EXPECT_EQ(state.reidentifications_size(), 1) << "no grant lives longer";
                    EXPECT_EQ(state.locks_size(), 2) << "a lock stays";
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_TRUE(absl::IsUnavailable(right->With(Lock))) << "recorded before it is done";
  recorded = true;
  ASSERT_TRUE(right
                  ->With([&](v1::AuthorityState& state, int64_t now_ms) {
                    EXPECT_EQ(now_ms, clock.wall_ms);
                    EXPECT_EQ(state.reidentifications(0).id(), "redeemed");
                    EXPECT_EQ(state.reidentifications(0).expires_unix_ms(), now_ms);
                    return Lock(state, now_ms);
                  })
                  .ok());
  EXPECT_EQ(resets, (std::vector<int64_t>{400 * kDayMs, 1}));
  resets.clear();
  ASSERT_TRUE(right->With(Lock).ok());
  EXPECT_TRUE(resets.empty());
}

TEST_F(AuthorityTest, AFrozenReplicaIsWaitedForWithAnEndAndReadersNotAtAll) {
  auto authority = *Open();
  auto held = privacy::KeyFileLock::Take(path_);
  ASSERT_TRUE(held.ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] { EXPECT_TRUE(absl::IsUnavailable(authority->With(Lock))); });
  EXPECT_TRUE(
      authority->See([](const v1::AuthorityState&, int64_t) { return absl::OkStatus(); }).ok());
  for (std::thread& thread : threads) thread.join();
  { privacy::KeyFileLock gone = *std::move(held); }
  EXPECT_TRUE(authority->With(Lock).ok());
}

// One function knows the bound, for who writes and for who reads.
TEST_F(AuthorityTest, TheFullestStateIsWrittenReadAndHasRoomForLocks) {
  auto authority = *Open();
  v1::KeptReidentification largest;
  largest.set_id(std::string(32, 'i'));
  largest.set_requester(std::string(2'048, 'r'));
  for (int i = 0; i < 2; ++i) largest.add_approvers(std::string(2'048, 'a'));
  for (int i = 0; i < 20; ++i) largest.add_recipients(std::string(200, 'n'));
  for (auto* text : {largest.mutable_justification()->mutable_purpose(),
                     largest.mutable_justification()->mutable_legal_basis(),
                     largest.mutable_justification()->mutable_case_reference()})
    text->assign(500, 'j');
  largest.mutable_scope()->set_domain(std::string(320, 'd'));
  for (int i = 0; i < 100; ++i) largest.mutable_scope()->add_kinds(contract::v1::PHONE);
  // The default, each as large as the rules of a request allow.
  ASSERT_TRUE(authority
                  ->With([&](v1::AuthorityState& state, int64_t) {
                    for (int i = 0; i < 1'000; ++i) *state.add_reidentifications() = largest;
                    return CheckRequestsFit(state);
                  })
                  .ok());
  EXPECT_TRUE((*Open())->With(Lock).ok());
  // Until no more fit; the state then has room for a lock of every caller.
  int added = 0;
  EXPECT_TRUE(absl::IsResourceExhausted(authority->With([&](v1::AuthorityState& state, int64_t) {
    for (; CheckRequestsFit(state).ok() && added < 100'000; added += 50)
      for (int i = 0; i < 50; ++i) *state.add_reidentifications() = largest;
    return CheckRequestsFit(state);
  })));
  ASSERT_TRUE(authority
                  ->With([&](v1::AuthorityState& state, int64_t) {
                    for (int i = 0; i < added - 50; ++i) *state.add_reidentifications() = largest;
                    EXPECT_TRUE(CheckRequestsFit(state).ok());
                    for (int i = 0; i < 1'000; ++i) {
                      auto& lock = *state.add_locks();
                      lock.set_caller(std::string(2'048, 'c'));
                      lock.set_reason("misses");
                      lock.set_since_unix_ms(1);
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(LocksIn(**Open()), 1'001);
}

}  // namespace
}  // namespace sluice::pseudonymiser
