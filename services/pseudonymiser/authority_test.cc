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
  clock.wall_ms = 5;
  clock.now += std::chrono::milliseconds(100);
  EXPECT_EQ(at(*authority), 1'000'100) << "the process knows how long it has lived";
  // Nor by a restart with the wrong time.
  EXPECT_EQ(at(**Authority::Open(path_, keyring_, clock, random_)), 1'000'100);
  clock.wall_ms = 2'000'000;
  EXPECT_EQ(at(*authority), 2'000'000);
}

}  // namespace
}  // namespace sluice::pseudonymiser
