#include "common/privacy/identifier.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <tuple>

#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

using namespace contract::v1;

struct Form {
  IdentifierKind kind;
  std::string value;
  std::string canonical;
  bool valid = true;
};

class Forms : public ::testing::TestWithParam<Form> {};
void PrintTo(const Form& form, std::ostream* out) {
  *out << IdentifierKind_Name(form.kind) << " " << form.value;
}

TEST_P(Forms, AreCanonicalAndChecked) {
  std::string out = "kept ";
  EXPECT_EQ(AppendCanonical(GetParam().kind, GetParam().value, out), GetParam().valid);
  EXPECT_EQ(out, "kept " + GetParam().canonical);
}

TEST_P(Forms, AreCanonicalThemselves) {
  std::string once, twice;
  bool valid = AppendCanonical(GetParam().kind, GetParam().value, once);
  EXPECT_EQ(AppendCanonical(GetParam().kind, once, twice), valid);
  EXPECT_EQ(twice, once);
}

// PNC, CRO and ASN: published test values of the Ministry of Justice's validators. NHS: NHS Data
// Dictionary's example and the test range 999. NINO: HMRC NIM39110. Phones: Ofcom's numbers for
// drama.
INSTANTIATE_TEST_SUITE_P(
    All, Forms,
    ::testing::Values(
        Form{PERSON_NAME,
             "  Zo\xC3\x8B  O\xE2\x80\x99"
             "Brien ",
             "zo\xC3\xABobrien"},
        Form{PERSON_NAME, "", "", false}, Form{PHONE, "07700 900123", "+447700900123"},
        Form{PHONE, "+44 7700 900123", "+447700900123"},
        Form{PHONE, "0044 (0)7700-900123", "+447700900123"},
        Form{PHONE, "+44 (0) 7700 900123", "+447700900123"},
        Form{PHONE, "447700900123", "+447700900123"}, Form{PHONE, "020 7946 0000", "+442079460000"},
        Form{PHONE, "+33 1 23 45 67 89", "+33123456789"},
        Form{PHONE, "not known", "?not known", false}, Form{PHONE, "12345", "?12345", false},
        Form{EMAIL, " Some.One@Example.COM", "some.one@example.com"},
        Form{PHONE, "020 7946 0000 ext. 12", "+442079460000;ext=12"},
        Form{PHONE, "tel:+44-7700-900123", "+447700900123"},
        Form{PHONE, "07700/900123 ext 4", "+447700900123;ext=4"},
        Form{PHONE, "07700 900123 / not known", "?07700 900123 / not known", false},
        Form{PERSON_NAME, "-", "-"}, Form{EMAIL, "a@b", "?a@b", false},
        Form{EMAIL, "mailto:a%40b@x.example?subject=c", "?mailto:a%40b@x.example?subject=c", false},
        Form{EMAIL, "\"a b\"@x.example", "\"a b\"@x.example"},
        Form{EMAIL, "\"a.b\"@x.example", "a.b@x.example"},
        Form{EMAIL, "a@Stra\u00DFe.example", "a@xn--strae-oqa.example"},
        Form{EMAIL, "a@\u2665.example", "?a@\u2665.example", false},
        Form{CRO, "06565691H", "065656/91H"}, Form{CRO, "SF05482703J", "SF05/482703J"},
        Form{PNC_ID, "2002/0073319Z", "2002/0073319Z"},
        Form{PNC_ID, "1979/0163001B", "1979/0163001B"}, Form{PNC_ID, "81/34U", "1981/0000034U"},
        Form{PNC_ID, "033Y", "2003/0000003Y"}, Form{PNC_ID, "20020073319z", "2002/0073319Z"},
        Form{PNC_ID, "2001/0171310S", "?2001/0171310s", false},
        Form{PNC_ID, "2003/0011985Z", "2003/0011985Z", false},
        Form{PNC_ID, "81/1234567A", "1981/1234567A", false}, Form{CRO, "65656/91H", "065656/91H"},
        Form{CRO, "SF05/482703J", "SF05/482703J"}, Form{CRO, "SF83/50058Z", "SF83/50058Z"},
        Form{CRO, "85227/65G", "085227/65G", false},
        Form{ASN, "1001VK0100000375807W", "1001VK0100000375807W"},
        Form{ASN, "10/01VK/01/375807W", "1001VK0100000375807W"},
        Form{ASN, "0836FP0100000377244A", "0836FP0100000377244A"},
        Form{ASN, "0836FP0100000377244B", "0836FP0100000377244B", false},
        Form{NHS_NUMBER, "943 476 5870", "9434765870"},
        Form{NHS_NUMBER, "943-476-5871", "9434765871", false},
        Form{NHS_NUMBER, "9990548609", "9990548609"}, Form{NINO, "ab 12 34 56 c", "AB123456"},
        Form{NINO, "QQ123456A", "QQ123456", false}, Form{NINO, "AB123456", "AB123456"},
        Form{NINO, "GB123456A", "GB123456", false}, Form{VRM, "ab12 cde", "AB12CDE"},
        Form{VRM, "AB01CDE", "?ab01cde", false}, Form{VRM, "A123 BCD", "A123BCD"},
        Form{VRM, "ABC 123D", "ABC123D"}, Form{VRM, "1234 AB", "1234AB"},
        Form{VRM, "AIZ 1234", "AIZ1234"}, Form{VRM, "UNKNOWN", "?unknown", false},
        Form{VRM, "q 42 xyz", "Q42XYZ"}, Form{VRM, "J-654321", "J654321"},
        Form{VRM, "K654321", "?k654321", false}, Form{VRM, "54321", "54321"},
        Form{VRM, "654321", "?654321", false}, Form{VRM, "MAN 12345", "MAN12345"},
        Form{VRM, "12345-MN", "12345MN"}, Form{VRM, "DMN 12 B", "DMN12B"},
        Form{VRM, "12-D-34567", "12D34567"}, Form{VRM, "152 WX 9", "152WX9"},
        Form{VRM, "153 WX 9", "?153wx9", false}, Form{VRM, "86 D 345", "?86d345", false},
        Form{VRM, "131 TS 45", "131TS45"}, Form{VRM, "141 TS 45", "?141ts45", false},
        Form{VRM, "211 X 305", "211X305"}, Form{VRM, "12 AB 34", "12AB34"},
        Form{VRM, "ab 12 cd", "AB12CD"}, Form{VRM, "W-XY 98.765", "?wxy98765", false},
        Form{VRM, "AB12 C?E", "?ab12c?e", false},
        Form{DRIVING_LICENCE, "MORGA 657054 SM9IJ", "MORGA657054SM9IJ", true},
        Form{DRIVING_LICENCE, "MORGA699054SM9IJ", "?morga699054sm9ij", false},
        Form{PASSPORT, "123 456 789", "123456789"}, Form{PASSPORT, "ABCDEFG", "?abcdefg", false},
        Form{WARRANT_NUMBER, "012345", "12345"}, Form{WARRANT_NUMBER, "1234567", "?1234567", false},
        Form{SHOULDER_NUMBER, "123 ab", "123AB"}, Form{SHOULDER_NUMBER, "AB123", "?ab123", false},
        Form{POSTCODE, "sw1a1aa", "SW1A 1AA"}, Form{POSTCODE, "M1 1AE", "M1 1AE"},
        Form{POSTCODE, "GIR 0AA", "GIR 0AA"}, Form{POSTCODE, "SW1", "?sw1", false},
        Form{POSTCODE, "QA1 1AA", "?qa11aa", false}, Form{POSTCODE, "bfpo7", "BFPO 7"},
        Form{POSTCODE, "BFPO 12345", "?bfpo12345", false}, Form{POSTCODE, "BF1 3AA", "BF1 3AA"},
        Form{POSTCODE, "stHL1ZZ", "STHL 1ZZ"}, Form{POSTCODE, "GX11 1AA", "GX11 1AA"},
        Form{POSTCODE, "AI-2640", "AI 2640"}, Form{POSTCODE, "KY2-2001", "KY2 2001"},
        Form{POSTCODE, "VG1120", "VG 1120"}, Form{POSTCODE, "MSR 1250", "MSR 1250"},
        Form{POSTCODE, "XXXX 1ZZ", "?xxxx1zz", false},
        Form{UPRN, "000100023336956", "100023336956"}, Form{UPRN, "0", "0"},
        Form{ADDRESS, "Flat 2, 10 High St.", "flat 2 10 high st"},
        Form{IP_ADDRESS, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        Form{IP_ADDRESS, "192.0.2.1", "192.0.2.1"},
        Form{IP_ADDRESS, "192.0.2.256", "?192.0.2.256", false},
        Form{FREE_IDENTIFIER, "CAD 123/01JAN26", "cad 123/01jan26"},
        Form{EVENT_ID, "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
             "6f9619ff-8b86-d011-b42d-00cf4fc964ff"},
        Form{EVENT_ID, "A-1", "A-1"}),
    [](const auto& info) {
      return base::StrCat(IdentifierKind_Name(info.param.kind), "_", info.index);
    });

TEST(Mark, TellsWhenItWasIssued) {
  struct Case {
    const char* mark;
    int32_t year, month;  // the first of issue
  };
  for (const auto& [mark, year, month] :
       {Case{"AB02CDE", 2002, 3}, Case{"AB51CDE", 2001, 9}, Case{"AB26CDE", 2026, 3},
        Case{"AB76CDE", 2026, 9}, Case{"AB49CDE", 2049, 3}, Case{"AB99CDE", 2049, 9},
        Case{"87D1", 1987, 1}, Case{"12C345", 2012, 1}, Case{"262WX1234", 2026, 7}}) {
    EXPECT_FALSE(IsMarkOfLater(mark, year, month)) << mark;
    EXPECT_TRUE(month == 1 ? IsMarkOfLater(mark, year - 1, 12)
                           : IsMarkOfLater(mark, year, month - 1))
        << mark;
  }
  // None of these tells.
  for (const char* mark : {"A123BCD", "ABC123D", "Q123ABC", "J12345", "301D234", "12AB34", "AB12CD",
                           "54321", "AIZ1234", "?unknown", ""})
    EXPECT_FALSE(IsMarkOfLater(mark, 1900, 1)) << mark;
}

TEST(Postcode, OfTheForcesShowsNoNumberInPart) {
  for (auto part : {PostcodePart::kSector, PostcodePart::kDistrict, PostcodePart::kArea})
    EXPECT_EQ(PartOfPostcode("BFPO 6", part), "BFPO");
  EXPECT_EQ(PartOfPostcode("VG 1120", PostcodePart::kSector), "VG 1");
  EXPECT_EQ(PartOfPostcode("FIQQ 1ZZ", PostcodePart::kDistrict), "FIQQ");
}

std::string Canonical(IdentifierKind kind, std::string_view value) {
  std::string out;
  AppendCanonical(kind, value, out);
  return out;
}

TEST(Spellings, OfOneValueAreOne) {
  const std::pair<IdentifierKind, std::vector<std::string>> kSame[] = {
      {PERSON_NAME, {"Se\u00E1n O'Brien", "SE\u00C1N  O\u2019BRIEN", " sea\u0301n\to'brien\u00A0"}},
      {PERSON_NAME, {"Ana De La Cruz", "ana delacruz", "ANA DE LA CRUZ", "Ana Dela Cruz"}},
      {PERSON_NAME, {"Anna Smith-Jones", "Anna Smith Jones", "Anna SmithJones", "anna smithjones"}},
      {PERSON_NAME, {"Fergus McDonald", "Fergus Mc Donald", "FERGUS MCDONALD"}},
      {PERSON_NAME, {"J. Smith", "J Smith", "j smith", "J.Smith"}},
      {EMAIL,
       {"a.b@b\u00FCcher.example", "A.B@B\u00DCCHER.example", "a.b@xn--bcher-kva.example",
        "mailto:a.b@b\u00FCcher.example", "MAILTO:a.b@xn--bcher-kva.example?subject=x",
        "a.b@bu\u0308cher.example.", "\"a.b\"@b\u00FCcher.example"}},
      {ADDRESS, {"12\u00BD High Street", "12 1/2 High Street", "12 \u00BD, High Street"}},
      {PHONE,
       {"+447700900123", "tel:+447700900123", "TEL:07700900123", "07700/900123", "07700\r\n900123",
        "07700 900 123", "0044 7700 900123", "447700900123", "(07700) 900-123",
        "07700\u00A0900\u2011123", "\u202A+44 7700 900123\u202C",
        "\uFF10\uFF17\uFF17\uFF10\uFF10900123", "7700900123", "+44 (0)7700.900.123"}},
      {EMAIL,
       {"a.b@example.com", "A.B@EXAMPLE.COM", " a.b@Example.com\n", "\u200Ba.b@example.com"}},
      {PNC_ID,
       {"81/34U", "81/0000034U", "1981/34u", "1981/0000034U", "19810000034U", "8134U",
        " 1981 / 34 U"}},
      {CRO, {"65656/91H", "065656/91h", "65656 / 91 H"}},
      {ASN, {"1001VK0100000375807W", "10/01VK/01/375807W", "10/01vk/01/00000375807w"}},
      {NHS_NUMBER,
       {"9434765870", "943 476 5870", "943-476-5870", "943\u2013476\u20135870", "943.476.5870",
        "943/476/5870", "9 4 3 4 7 6 5 8 7 0"}},
      {NINO, {"AB123456C", "ab 12 34 56 c", "AB-12-34-56-C", "AB123456", "AB.123456/C"}},
      {VRM, {"AB12CDE", "ab12 cde", "AB12-CDE"}},
      {POSTCODE, {"SW1A 1AA", "sw1a1aa", "SW1A\u00A01AA", " sw 1a 1a a "}},
      {UPRN, {"100023336956", "000100023336956"}},
      {ADDRESS,
       {"Flat 2, 10 High St.", "FLAT 2 10 HIGH ST", "flat 2,10 high st",
        "Flat 2\uFF0C 10 High St"}},
      {IP_ADDRESS, {"192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", " 192.0.2.1 "}},
      {IP_ADDRESS, {"2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0:1"}},
  };
  for (const auto& [kind, spellings] : kSame) {
    for (const std::string& spelling : spellings) {
      EXPECT_EQ(Canonical(kind, spelling), Canonical(kind, spellings[0]))
          << IdentifierKind_Name(kind) << " " << spelling;
    }
  }
}

TEST(Spellings, OfTwoValuesAreTwo) {
  const std::tuple<IdentifierKind, std::string, std::string> kTwo[] = {
      {EMAIL, "a@stra\u00DFe.example", "a@strasse.example"},
      {EMAIL, "stra\u00DFe@x.example", "strasse@x.example"},
      {ADDRESS, "12\u00BD High Street", "121/2 High Street"},
      {FREE_IDENTIFIER, "\u21165", "no5"},
      {FREE_IDENTIFIER, "10\u00B2", "102"},
      {FREE_IDENTIFIER, "\u2460", "1"},
      {PERSON_NAME, "Fergus MacDonald", "Fergus McDonald"},
      {PERSON_NAME, "Jos\u00E9", "Jose"},
      {PHONE, "020 7946 0000", "020 7946 0000 x1"},
      {CRO, "SF05/482703J", "SF05/482704K"},
  };
  for (const auto& [kind, one, other] : kTwo)
    EXPECT_NE(Canonical(kind, one), Canonical(kind, other)) << one;
}

// The work of a canonical form is its value's bytes, whatever they are: nothing here takes long.
TEST(Canonical, IsLinearAndBounded) {
  std::string marks = "a";
  for (int i = 0; i < 100'000; ++i) marks += "\u0301";
  for (int i = 0; i < 100'000; ++i) marks += "\u0316";
  std::string phrases;
  for (int i = 0; i < 100'000; ++i) phrases += "\uFDFA";
  for (IdentifierKind kind : {PERSON_NAME, PHONE, EMAIL, ADDRESS, FREE_IDENTIFIER, NHS_NUMBER}) {
    for (const std::string& value : {marks, phrases, std::string(300'000, '9')}) {
      std::string out;
      AppendCanonical(kind, value, out);
      EXPECT_LE(out.size(), 3 * value.size() + 1) << IdentifierKind_Name(kind);
    }
  }
}

TEST(Phone, FollowsTheNationalPlanOfGreatBritain) {
  auto valid = [](std::string_view value) {
    std::string out;
    return AppendCanonical(PHONE, value, out);
  };
  for (std::string_view good :
       {"08001111", "0169772123", "+448001111", "+1 202 555 0100", "00 33 1 23 45 67 89"}) {
    EXPECT_TRUE(valid(good)) << good;
  }
  for (std::string_view bad :
       {"999", "101", "04700900123", "06700900123", "077009001234", "0770090012", "+44", "+",
        "+4480011111", "+0123456789", "+1234567890123456", "0770O900123", "07700 90012\u00BD",
        "07700 90012\u00B3", ""}) {
    EXPECT_FALSE(valid(bad)) << bad;
  }
}

// Every single wrong digit changes a PNC ID's check letter; the letter is there to catch that.
// A soft hyphen is no part of a name, and has the name read in the way for all of Unicode.
TEST(Spellings, OfANameAreOneInBothWaysOfReading) {
  std::mt19937 random(5);
  for (int i = 0; i < 20'000; ++i) {
    std::string name(random() % 9, '\0');
    for (char& c : name)
      c = random() % 2 == 0 ? "O'b-. ,`d\t"[random() % 10] : static_cast<char>(random() % 128);
    std::string hyphened = name;
    hyphened.insert(random() % (name.size() + 1), "\u00AD");
    EXPECT_EQ(Canonical(PERSON_NAME, name), Canonical(PERSON_NAME, hyphened)) << "name " << i;
  }
}

TEST(PncId, CatchesEveryWrongDigitOfItsSerial) {
  const std::string good = "2002/0073319Z";
  for (size_t i = 5; i < 12; ++i) {
    for (char c = '0'; c <= '9'; ++c) {
      std::string value = good, out;
      value[i] = c;
      EXPECT_EQ(AppendCanonical(PNC_ID, value, out), value == good) << value;
    }
  }
}

// Whatever a feed holds: one value in a kind's alphabet with characters changed, doubled and left
// out.
TEST(Canonical, IsCanonicalItselfForMangledValues) {
  const std::pair<IdentifierKind, std::string_view> kSeeds[] = {
      {PERSON_NAME, "Se\u00E1n O\u2019Brien"},
      {PHONE, "+44 (0)7700 900123"},
      {EMAIL, "Some.One@Example.com"},
      {PNC_ID, "81/34U"},
      {PNC_ID, "2002/0073319Z"},
      {CRO, "65656/91H"},
      {CRO, "SF05/482703J"},
      {ASN, "10/01VK/01/375807W"},
      {ASN, "1001VK0100000375807W"},
      {NHS_NUMBER, "943 476 5870"},
      {NINO, "AB 12 34 56 C"},
      {VRM, "AB12 CDE"},
      {DRIVING_LICENCE, "MORGA657054SM9IJ"},
      {PASSPORT, "123456789"},
      {WARRANT_NUMBER, "012345"},
      {SHOULDER_NUMBER, "123AB"},
      {POSTCODE, "SW1A 1AA"},
      {UPRN, "000100023336956"},
      {ADDRESS, "Flat 2, 10 High St."},
      {IP_ADDRESS, "2001:db8::1"},
      {IP_ADDRESS, "192.0.2.1"},
      {FREE_IDENTIFIER, "CAD 123/01JAN26"},
      {EVENT_ID, "6F9619FF-8B86-D011-B42D-00CF4FC964FF"},
      {SOURCE_POSITION, "raw/3/7"}};
  const std::string_view kPieces[] = {" ",      "?",      "/",      "-",      "+",      "0",
                                      "9",      "Z",      "a",      "(",      ".",      ",",
                                      "@",      ":",      "\t",     "\u00A0", "\u2011", "\u00E9",
                                      "\u0301", "\uFF11", "\uFF0C", "\u200B", "\xFF"};
  std::mt19937_64 random(7);
  std::string once, twice;
  for (const auto& [kind, seed] : kSeeds) {
    for (int i = 0; i < 20'000; ++i) {
      std::string value(seed);
      for (uint64_t edits = random() % 4; edits > 0; --edits) {
        size_t at = random() % (value.size() + 1);
        std::string_view piece = kPieces[random() % std::size(kPieces)];
        if (random() % 2 == 0 && at < value.size()) value.erase(at, 1);
        if (random() % 2 == 0) value.insert(std::min(at, value.size()), piece);
      }
      once.clear();
      twice.clear();
      bool valid = AppendCanonical(kind, value, once);
      EXPECT_EQ(AppendCanonical(kind, once, twice), valid)
          << IdentifierKind_Name(kind) << " " << value;
      ASSERT_EQ(twice, once) << IdentifierKind_Name(kind) << " " << value;
      bool has_format = kind != PERSON_NAME && kind != ADDRESS && kind != FREE_IDENTIFIER &&
                        kind != EVENT_ID && kind != SOURCE_POSITION;
      if (has_format) {
        EXPECT_TRUE(!valid || once.front() != '?') << value;
      }
    }
  }
}

// Test vectors of ideal-postcodes' parser: two texts each, a postcode and what is expected of it.
class PostcodeVectors : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("SLUICE_SHARED_DATA");
    const char* source = std::getenv("SLUICE_SOURCE_DIR");
    folder_ = std::filesystem::path(data != nullptr     ? data
                                    : source != nullptr ? base::StrCat(source, "/../shared/data")
                                                        : "../shared/data") /
              "identifiers" / "postcode-vectors";
    if (!std::filesystem::exists(folder_)) {
      GTEST_SKIP() << "no postcode vectors at " << folder_
                   << "; set SLUICE_SHARED_DATA to their data folder";
    }
  }

  // (base, expected) as JSON writes them, expected with its quotes.
  std::vector<std::pair<std::string, std::string>> Read(const char* name) {
    std::ifstream in(folder_ / name);
    std::string text(std::istreambuf_iterator<char>(in), {});
    auto behind = [&](std::string_view what, size_t from) {
      size_t at = text.find(what, from);
      return at == std::string::npos ? at : text.find_first_not_of(": \t", at + what.size());
    };
    std::vector<std::pair<std::string, std::string>> tests;
    for (size_t at = 0; (at = behind("\"base\"", at)) != std::string::npos;) {
      size_t expected = behind("\"expected\"", at);
      std::string base = text.substr(at + 1, text.find('"', at + 1) - at - 1);
      tests.emplace_back(base,
                         text.substr(expected, text.find_first_of("\r\n}", expected) - expected));
    }
    EXPECT_FALSE(tests.empty()) << name;
    return tests;
  }

  void ExpectParts(const char* name, std::optional<PostcodePart> part) {
    for (const auto& [value, expected] : Read(name)) {
      std::string canonical;
      bool valid = AppendCanonical(POSTCODE, value, canonical);
      std::string_view got = part ? PartOfPostcode(canonical, *part) : canonical;
      EXPECT_EQ(valid ? base::StrCat('"', got, '"') : "null", expected) << value;
    }
  }

  std::filesystem::path folder_;
};

TEST_F(PostcodeVectors, HaveTheirParts) {
  ExpectParts("normalisation.json", std::nullopt);
  ExpectParts("sectors.json", PostcodePart::kSector);
  ExpectParts("outcodes.json", PostcodePart::kDistrict);
  ExpectParts("areas.json", PostcodePart::kArea);
}

TEST_F(PostcodeVectors, AreValidWhereTheySaySo) {
  for (const auto& [value, expected] : Read("validation.json")) {
    std::string canonical;
    EXPECT_EQ(AppendCanonical(POSTCODE, value, canonical), expected == "true") << value;
  }
}

TEST(Postcode, HasParts) {
  EXPECT_EQ(PartOfPostcode("SW1A 1AA", PostcodePart::kSector), "SW1A 1");
  EXPECT_EQ(PartOfPostcode("SW1A 1AA", PostcodePart::kDistrict), "SW1A");
  EXPECT_EQ(PartOfPostcode("SW1A 1AA", PostcodePart::kArea), "SW");
  EXPECT_EQ(PartOfPostcode("M1 1AE", PostcodePart::kArea), "M");
}

}  // namespace
}  // namespace sluice::privacy
