#include "common/privacy/fold.h"

#include <random>

#include "gtest/gtest.h"

namespace sluice::privacy {
namespace {

std::string Fold(std::string_view text) {
  std::string out;
  AppendFolded(text, out);
  return out;
}

std::string Utf8(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c)};
  auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x800) return {static_cast<char>(0xC0 | (c >> 6)), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | (c >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (c >> 18)), tail(12), tail(6), tail(0)};
}

TEST(Fold, FoldsCaseAndSpacesOfAscii) {
  EXPECT_EQ(Fold("  John \t SMITH\r\n"), "john smith");
  EXPECT_EQ(Fold(""), "");
  EXPECT_EQ(Fold(" \t "), "");
  EXPECT_EQ(Fold("a"), "a");
}

TEST(Fold, FoldsCompatibleFormsCaseAndWidth) {
  EXPECT_EQ(Fold("ＪＯＨＮ　Ｓｍｉｔｈ"), "john smith");
  EXPECT_EQ(Fold("Stra\u00DFe"), "strasse");
  EXPECT_EQ(Fold("\uFB01nch"), "finch");
  EXPECT_EQ(Fold("Zo\u00EB"), Fold("ZOE\u0308"));
  EXPECT_EQ(Fold("\u03A3\u03AF\u03C3\u03C5\u03C6\u03BF\u03C2"),
            Fold("\u03C3\u03AF\u03C3\u03C5\u03C6\u03BF\u03C3"));
}

TEST(Fold, FoldsTypographicApostrophesAndDashes) {
  EXPECT_EQ(Fold("O\u2019Brien\u2013Jones"), "o'brien-jones");
}

TEST(Fold, KeepsWhatSaysMoreThanItsShape) {
  for (const char* text : {"12\u00BD", "\u2116", "x\u00B2", "\u2460", "\uFDFA", "\u2122", "\u2026"})
    EXPECT_EQ(Fold(text), text);
  EXPECT_EQ(Fold("\u2163"), "iv");
  EXPECT_EQ(Fold("\u0660\u0667\u0967"), "071") << "decimal digits of other scripts";
}

TEST(Fold, LoweredKeepsWhatCaseFoldingMakesOne) {
  std::string out;
  AppendLowered("STRA\u00DFE \uFF21", out);
  EXPECT_EQ(out, "stra\u00DFe a");
}

// Two runs of marks of different classes, which reordering by insertion takes a minute for.
TEST(Fold, IsLinearInCombiningMarks) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += "\u0301";
  for (int i = 0; i < 200'000; ++i) text += "\u0316";
  std::string once = Fold(text);
  EXPECT_TRUE(once.starts_with("\u00E1\u0316\u0316"));
  EXPECT_EQ(Fold(once), once);
}

TEST(Fold, DropsInvisibleCharacters) {
  EXPECT_EQ(Fold("Jo\u200Bhn\u00AD"), "john");
  EXPECT_EQ(Fold("\uFEFFJohn\u00A0\u2003Smith"), "john smith");
}

TEST(Fold, KeepsTheBytesOfWhatIsNotUtf8) { EXPECT_EQ(Fold("A\xFF  B"), "a\xFF b"); }

TEST(Fold, AppendsBehindWhatIsThere) {
  std::string out = "x ";
  AppendFolded("  A\u00A0", out);
  EXPECT_EQ(out, "x a");
}

TEST(Fold, FoldsTextLongerThanTheStackBuffer) {
  std::string text;
  std::string expected;
  for (int i = 0; i < 2000; ++i) {
    text += "\u00C9";
    expected += "\u00E9";
  }
  EXPECT_EQ(Fold(text), expected);
}

TEST(Fold, IsIdempotentForEveryCodePoint) {
  for (char32_t c = 1; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = Utf8(c);
    text.insert(0, 1, 'a').push_back('b');
    std::string once = Fold(text);
    ASSERT_EQ(Fold(once), once) << "U+" << std::hex << static_cast<uint32_t>(c);
    ASSERT_LE(once.size() - 2, 3 * (text.size() - 2)) << "U+" << std::hex << uint32_t{c};
  }
}

TEST(Fold, IsIdempotentForRandomText) {
  std::mt19937_64 random(1);
  const char32_t limits[] = {0x80, 0x250, 0x600, 0x3200, 0x11000, 0x1F000};
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (int n = 1 + static_cast<int>(random() % 8); n > 0; --n) {
      char32_t c = 1 + random() % limits[random() % 6];
      if (c < 0xD800 || c >= 0xE000) text += Utf8(c);
    }
    std::string once = Fold(text);
    ASSERT_EQ(Fold(once), once) << testing::PrintToString(text);
  }
}

TEST(Fold, LeavesMarksOut) {
  auto without = [](std::string_view text, bool german) {
    std::string folded, out;
    AppendFolded(text, folded);
    AppendWithoutMarks(folded, german, out);
    return out;
  };
  EXPECT_EQ(without("Jos\u00E9 Nu\u0301n\u0303ez", false), "jose nunez");
  EXPECT_EQ(without("\u0141ukasz S\u00F8rb\u00F8", false), "lukasz sorbo");
  EXPECT_EQ(without("Nguy\u1EC5n \u0110\u1EE9c", false), "nguyen duc");
  EXPECT_EQ(without("M\u00FCller \u00C5s \u00C9", true), "mueller aas e");
  EXPECT_EQ(without("Q\u0323\u0303x", false), "qx");
  // Other scripts' letters, and bytes that are no character.
  EXPECT_EQ(without("\u0439\u738B", false), "\u0439\u738B");
  EXPECT_EQ(without("a\xFF"
                    "b",
                    false),
            "a\xFF"
            "b");
}

}  // namespace
}  // namespace sluice::privacy
