// Arena, buffer and UTF-8: what every event's bytes go through.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/arena.h"
#include "common/base/buffer.h"
#include "common/base/secret.h"
#include "common/base/secure_memory.h"
#include "common/base/utf8.h"

namespace sluice::base {
namespace {

TEST(Arena, HandsOutAlignedRoomThatStaysInPlace) {
  Arena arena(64);
  arena.Allocate(1);
  auto* number = arena.AllocateArray<uint64_t>(2);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(number) % alignof(uint64_t), 0u);
  std::string_view text = arena.Copy("kept");
  number[0] = number[1] = ~uint64_t{0};
  for (int i = 0; i < 100; ++i) std::memset(arena.Allocate(50), 'x', 50);
  EXPECT_EQ(text, "kept");
  EXPECT_EQ(number[1], ~uint64_t{0});
  EXPECT_EQ(arena.Copy(""), "");
}

TEST(Arena, KeepsItsBlocksOverAReset) {
  Arena arena(64);
  auto fill = [&] {
    for (int i = 0; i < 20; ++i) arena.Allocate(40);
    arena.Allocate(1000);
  };
  fill();
  size_t held = arena.capacity();
  for (int i = 0; i < 10; ++i) {
    arena.Reset();
    fill();
  }
  EXPECT_EQ(arena.capacity(), held);
}

// Each batch's pieces are a little larger than the last one's.
TEST(Arena, ABlockThatWasMadeForALargePieceServesTheNextOne) {
  Arena arena;
  size_t largest = 0;
  for (size_t batch = 0; batch < 20; ++batch) {
    for (size_t i = 0; i < 128; ++i) {
      arena.Allocate(100);
      arena.Allocate(100'000 + 2 * (batch * 128 + i));
    }
    largest = std::max(largest, arena.used());
    arena.Reset();
  }
  EXPECT_LT(arena.capacity(), 40'000'000u);
  EXPECT_GT(largest, 12'800'000u);
}

TEST(Arena, GivesBackWhatLargeBatchesTook) {
  Arena arena(1000);
  for (int i = 0; i < 100; ++i) arena.Allocate(10'000);
  EXPECT_GE(arena.used(), 1'000'000u);
  arena.Trim(50'000);
  EXPECT_LE(arena.capacity(), 50'000u);
  EXPECT_EQ(arena.used(), 0u);
  arena.Allocate(500);
  Arena::Mark mark = arena.mark();
  std::string_view kept = arena.Copy("kept");
  arena.RewindTo(mark);
  for (int i = 0; i < 20; ++i) std::memset(arena.Allocate(400), 'x', 400);
  EXPECT_NE(kept, "kept");
  arena.RewindTo(mark);
  EXPECT_EQ(arena.used(), 500u);
}

TEST(Buffer, GrowsAndKeepsItsRoomWhenCleared) {
  Buffer buffer;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    buffer.Append("ab");
    buffer.Append('c');
    expected += "abc";
  }
  EXPECT_EQ(buffer.view(), expected);
  EXPECT_EQ(buffer.view_from(14'997), "abc");
  size_t capacity = buffer.capacity();
  buffer.Truncate(2);
  EXPECT_EQ(buffer.view(), "ab");
  buffer.Clear();
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_EQ(buffer.capacity(), capacity);
}

TEST(Utf8, TakesEveryLengthAndRefusesWhatRfc3629Forbids) {
  for (const char* text : {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x9A\x94",
                           "twelve bytes and \xC3\xA9 then more", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xF4\x8F\xBF\xBF", "\xC2\x80", "\xE0\xA0\x80", "\xF0\x90\x80\x80"})
    EXPECT_TRUE(IsUtf8(text)) << text;
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE2\x82",
        "\xF0\x9F\x9A", "12345678\xFF", "1234567\xC3", "\xE2\x28\xA1", "\xC3\xC3"})
    EXPECT_FALSE(IsUtf8(text)) << text;
}

TEST(SecretBytes, MovesAndCompares) {
  SecretBytes secret("key"), other("kez"), moved(std::move(secret));
  EXPECT_TRUE(secret.empty());
  EXPECT_EQ(moved.RevealText(SecretAccess()), "key");
  EXPECT_FALSE(moved.Equals(other));
  moved = std::move(other);
  EXPECT_TRUE(other.empty());  // NOLINT(bugprone-use-after-move): that a key is gone is promised.
  EXPECT_TRUE(moved.Equals(SecretBytes("kez")));
}

// In a process of its own: what is locked stays so.
TEST(SecureMemoryDeathTest, SecretsAreInOpenSslsLockedHeapOrTheCallerIsTold) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        absl::Status locked = LockMemory(64 * 1024);
        SecretBytes secret("key");
        const void* at = secret.Reveal(SecretAccess()).data();
        bool told = !locked.ok() && locked.message().find("RLIMIT_MEMLOCK") != std::string::npos;
        std::_Exit(CRYPTO_secure_allocated(at) == 1 && (locked.ok() || told) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace sluice::base
