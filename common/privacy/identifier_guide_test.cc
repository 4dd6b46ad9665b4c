#include "common/privacy/identifier_guide.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "common/base/strings.h"
#include "common/privacy/identifier.h"
#include "common/privacy/scrub.h"

namespace sluice::privacy {
namespace {

using namespace contract::v1;
using base::StrAppend;
using base::StrCat;

std::string Canonical(IdentifierKind kind, std::string_view value) {
  std::string out;
  AppendCanonical(kind, value, out);
  return out;
}

bool IsValid(IdentifierKind kind, std::string_view value) {
  std::string out;
  return AppendCanonical(kind, value, out);
}

std::string Code(std::string_view text) { return StrCat("`", text, "`"); }

std::string Page() {
  std::string page =
      "# Kinds of identifier\n"
      "<!-- Written by scripts/identifiers.py from common/privacy/identifier_guide.h; `./run docs` "
      "writes it again. -->\n\n"
      "Each kind has one **canonical form** for all spellings of a value. Pseudonyms are made of\n"
      "the canonical form, so that two spellings of one value get one pseudonym, in fields and in\n"
      "scrubbed texts. `encrypt` gives the canonical form back. `check: true` in a contract\n"
      "quarantines an event whose value fails the kind's check; without it, such a value gets a\n"
      "form of its own, `?` and its folded text. A value without a letter or a digit (`-`, `?`)\n"
      "identifies nobody: it gets no pseudonym, as a blank one.\n\n"
      "For every kind, full-width characters, other scripts' digits, typographic dashes and\n"
      "apostrophes, no-break spaces and characters that cannot be seen are read as the plain "
      "ones.\n"
      "Fractions, superscripts and circled digits are not digits.\n";
  for (const KindGuide& guide : IdentifierGuide()) {
    StrAppend(page, "\n## ", IdentifierKind_Name(guide.kind), "\n\n", guide.form, "\n\n",
              "| spellings of one value | canonical form |\n|---|---|\n");
    for (std::string_view spelling : guide.one)
      StrAppend(page, "| ", Code(spelling), " | ", Code(Canonical(guide.kind, spelling)), " |\n");
    StrAppend(page, "\n| two values | canonical forms |\n|---|---|\n");
    for (const auto& [a, b] : guide.two)
      StrAppend(page, "| ", Code(a), ", ", Code(b), " | ", Code(Canonical(guide.kind, a)), ", ",
                Code(Canonical(guide.kind, b)), " |\n");
    StrAppend(page, "\n**Check:** ", guide.check);
    std::string refused;
    for (std::string_view value : guide.refused)
      if (!value.empty()) StrAppend(refused, refused.empty() ? "" : ", ", Code(value));
    if (!refused.empty()) StrAppend(page, " Refused: ", refused, ".");
    StrAppend(page, "\n\n**In a text:** ", guide.in_text, "\n");
  }
  return page;
}

TEST(IdentifierGuide, HasEveryKind) {
  std::set<int> kinds;
  for (const KindGuide& guide : IdentifierGuide()) kinds.insert(guide.kind);
  EXPECT_EQ(kinds.size(), static_cast<size_t>(IdentifierKind_ARRAYSIZE - 1));
}

TEST(IdentifierGuide, SpellingsOfOneValueAreOneInFieldsAndTexts) {
  for (const KindGuide& guide : IdentifierGuide()) {
    const std::string form = Canonical(guide.kind, guide.one[0]);
    Scrubber scrubber;
    scrubber.NextEvent(2026);
    if (guide.kind == PERSON_NAME) scrubber.AddName(guide.one[0]);
    for (size_t i = 0; i < guide.one.size(); ++i) {
      std::string_view spelling = guide.one[i];
      EXPECT_TRUE(IsValid(guide.kind, spelling)) << spelling;
      EXPECT_EQ(Canonical(guide.kind, spelling), form) << spelling;
      if (guide.before == nullptr || i >= guide.only_in_fields) continue;
      const std::string text = StrCat(guide.before, spelling, " there.");
      bool found = false;
      for (const Finding& finding : scrubber.Find(text)) {
        // A link's scheme may stay.
        const size_t from =
            text.find(':') < 12 && finding.kind != IP_ADDRESS ? text.find(':') + 1 : text.size();
        const std::string_view before = guide.before;
        found |= finding.kind == guide.kind && scrubber.canonical(finding) == form &&
                 (finding.begin == before.size() || finding.begin == from) &&
                 finding.end == before.size() + spelling.size();
      }
      EXPECT_TRUE(found) << text;
    }
  }
}

TEST(IdentifierGuide, TwoValuesAreTwoAndTheRefusedAreRefused) {
  for (const KindGuide& guide : IdentifierGuide()) {
    for (const auto& [a, b] : guide.two)
      EXPECT_NE(Canonical(guide.kind, a), Canonical(guide.kind, b)) << a;
    for (std::string_view value : guide.refused) EXPECT_FALSE(IsValid(guide.kind, value)) << value;
  }
}

// scripts/identifiers.py asks for the page.
TEST(IdentifierGuide, IsThePage) {
  if (const char* out = std::getenv("SLUICE_IDENTIFIER_GUIDE")) {
    std::ofstream(out) << Page();
    return;
  }
  const char* source = std::getenv("SLUICE_SOURCE_DIR");
  std::ifstream in(StrCat(source != nullptr ? source : ".", "/docs/guides/identifiers.md"));
  const std::string page(std::istreambuf_iterator<char>(in), {});
  EXPECT_TRUE(page == Page()) << "docs/guides/identifiers.md is not current: run ./run docs";
}

}  // namespace
}  // namespace sluice::privacy
