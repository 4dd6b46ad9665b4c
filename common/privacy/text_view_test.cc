#include "common/privacy/text_view.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::privacy {
namespace {

using Unseen = TextView::Unseen;

std::string View(std::string_view source, Unseen unseen = Unseen::kAsMeant) {
  TextView view;
  view.Build(source, unseen);
  return std::string(view.text());
}

TEST(TextView, ShowsPlainCharacters) {
  EXPECT_EQ(View("a b"), "a b");
  EXPECT_EQ(View("\u201Ca\u2019s\u201D \u2013\u00A0\u2014"), "\"a's\" - -");
  EXPECT_EQ(View("\uFF21\uFF22\uFF11\uFF20\u3000\u0667"), "AB1@ 7");
  EXPECT_EQ(View("\u2022x\u2026\u00A3\u00B2\u00BD"), "|x||||");
  EXPECT_EQ(View("Zo\u00EB Zoe\u0308"), "Zo\u00EB Zoe\u0308") << "letters and marks stay";
  EXPECT_EQ(View("a\xFF\xE2\x80"), "a|||") << "what isn't UTF-8";
}

TEST(TextView, TakesWhatIsNotSeenInThreeWays) {
  const std::string_view source = "a\u200Bb\u00ADc";
  EXPECT_EQ(View(source),
            "a\x1F"
            "bc");
  EXPECT_EQ(View(source, Unseen::kGone), "abc");
  EXPECT_EQ(View(source, Unseen::kParts),
            "a\x1F"
            "b\x1F"
            "c");
  TextView view;
  view.Build(source, Unseen::kAsMeant);
  EXPECT_TRUE(view.has_breaks() && view.has_unseen());
  view.Build("abc", Unseen::kAsMeant);
  EXPECT_FALSE(view.has_breaks() || view.has_unseen());
}

TEST(TextView, LeadsBackToTheSource) {
  TextView view;
  const std::string_view source = "\u201Cab\u00ADc\u201D d\uFB01";
  view.Build(source, Unseen::kGone);
  ASSERT_EQ(view.text(), "\"abc\" dfi");
  auto back = [&](uint32_t begin, uint32_t end) {
    const uint32_t from = view.SourceBegin(begin);
    return source.substr(from, view.SourceEnd(end) - from);
  };
  EXPECT_EQ(back(1, 4), "ab\u00ADc");
  EXPECT_EQ(back(1, 3), "ab");
  EXPECT_EQ(back(3, 4), "c");
  EXPECT_EQ(back(0, 5), "\u201Cab\u00ADc\u201D");
  EXPECT_EQ(back(6, 9), "d\uFB01");
}

TEST(TextView, DecodesPercent) {
  EXPECT_TRUE(TextView::IsEncoded("a%40b"));
  for (const char* text : {"100%", "5% of", "%", "%4", "%zz"})
    EXPECT_FALSE(TextView::IsEncoded(text));
  TextView view;
  const std::string_view source = "x%40y%252Bz%%41";
  view.BuildDecoded(source);
  EXPECT_EQ(view.text(), "x@y+z%A");
  EXPECT_EQ(view.SourceBegin(1), 1u);
  EXPECT_EQ(view.SourceEnd(2), 4u);
  EXPECT_EQ(view.SourceEnd(4), 10u);
}

// Any bytes: positions lie in the source, in order.
TEST(TextView, LeadsBackFromAnywhere) {
  std::mt19937_64 random(5);
  constexpr std::string_view kParts[] = {"a",      "\u00AD", "\u200B",     "\u201C", "\xFF",
                                         "\uFB01", "%41",    "\u00E9",     " ",      "\u2116",
                                         "%",      "\uFDFA", "\U0001F600", "\uFF11", "%25"};
  TextView view;
  for (int i = 0; i < 5'000; ++i) {
    std::string source;
    for (uint64_t parts = random() % 12; parts > 0; --parts)
      source += kParts[random() % std::size(kParts)];
    for (int way = 0; way < 4; ++way) {
      if (way == 3) {
        view.BuildDecoded(source);
      } else {
        view.Build(source, static_cast<Unseen>(way));
      }
      uint32_t done = 0;
      for (uint32_t at = 0; at < view.text().size(); ++at) {
        const uint32_t begin = view.SourceBegin(at), end = view.SourceEnd(at + 1);
        ASSERT_LT(begin, end);
        ASSERT_LE(end, source.size());
        ASSERT_LE(done, begin + 4) << "characters of one shape share their source";
        done = begin;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::privacy
