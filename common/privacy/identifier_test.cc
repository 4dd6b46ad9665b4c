#include "common/privacy/identifier.h"

#include <gtest/gtest.h>

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
void PrintTo(const Form& form, std::ostream* out) { *out << IdentifierKind_Name(form.kind) << " " << form.value; }

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

// PNC, CRO and ASN: published test values of the Ministry of Justice's validators. NHS: NHS Data Dictionary's example
// and the test range 999. NINO: HMRC NIM39110. Phones: Ofcom's numbers for drama.
INSTANTIATE_TEST_SUITE_P(
    All, Forms,
    ::testing::Values(
        Form{PERSON_NAME, "  Zo\xC3\x8B  O\xE2\x80\x99" "Brien ", "zo\xC3\xAB o'brien"}, Form{PERSON_NAME, "", "", false},
        Form{PHONE, "07700 900123", "+447700900123"}, Form{PHONE, "+44 7700 900123", "+447700900123"},
        Form{PHONE, "0044 (0)7700-900123", "+447700900123"},
        Form{PHONE, "+44 (0) 7700 900123", "+447700900123"}, Form{PHONE, "447700900123", "+447700900123"},
        Form{PHONE, "020 7946 0000", "+442079460000"}, Form{PHONE, "+33 1 23 45 67 89", "+33123456789"},
        Form{PHONE, "not known", "?not known", false}, Form{PHONE, "12345", "?12345", false},
        Form{EMAIL, " Some.One@Example.COM", "some.one@example.com"}, Form{EMAIL, "a@b", "?a@b", false},
        Form{PNC_ID, "2002/0073319Z", "2002/0073319Z"}, Form{PNC_ID, "1979/0163001B", "1979/0163001B"},
        Form{PNC_ID, "81/34U", "1981/0000034U"}, Form{PNC_ID, "033Y", "2003/0000003Y"},
        Form{PNC_ID, "20020073319z", "2002/0073319Z"}, Form{PNC_ID, "2001/0171310S", "?2001/0171310s", false},
        Form{PNC_ID, "2003/0011985Z", "2003/0011985Z", false}, Form{PNC_ID, "81/1234567A", "1981/1234567A", false},
        Form{CRO, "65656/91H", "065656/91H"}, Form{CRO, "SF05/482703J", "SF05/482703J"},
        Form{CRO, "SF83/50058Z", "SF83/50058Z"}, Form{CRO, "85227/65G", "085227/65G", false},
        Form{ASN, "1001VK0100000375807W", "1001VK0100000375807W"}, Form{ASN, "10/01VK/01/375807W", "1001VK0100000375807W"},
        Form{ASN, "0836FP0100000377244A", "0836FP0100000377244A"}, Form{ASN, "0836FP0100000377244B", "0836FP0100000377244B", false},
        Form{NHS_NUMBER, "943 476 5870", "9434765870"}, Form{NHS_NUMBER, "943-476-5871", "9434765871", false},
        Form{NHS_NUMBER, "9990548609", "9990548609"},
        Form{NINO, "ab 12 34 56 c", "AB123456C"}, Form{NINO, "QQ123456A", "QQ123456A", false}, Form{NINO, "AB123456", "AB123456"},
        Form{NINO, "GB123456A", "GB123456A", false},
        Form{VRM, "ab12 cde", "AB12CDE"}, Form{VRM, "AB01CDE", "?ab01cde", false}, Form{VRM, "A123 BCD", "A123BCD"},
        Form{VRM, "ABC 123D", "ABC123D"}, Form{VRM, "1234 AB", "1234AB"}, Form{VRM, "AIZ 1234", "AIZ1234"},
        Form{VRM, "UNKNOWN", "?unknown", false},
        Form{DRIVING_LICENCE, "MORGA 657054 SM9IJ", "MORGA657054SM9IJ", true}, Form{DRIVING_LICENCE, "MORGA699054SM9IJ", "?morga699054sm9ij", false},
        Form{PASSPORT, "123 456 789", "123456789"}, Form{PASSPORT, "ABCDEFG", "?abcdefg", false},
        Form{WARRANT_NUMBER, "012345", "12345"}, Form{WARRANT_NUMBER, "1234567", "?1234567", false},
        Form{SHOULDER_NUMBER, "123 ab", "123AB"}, Form{SHOULDER_NUMBER, "AB123", "?ab123", false},
        Form{POSTCODE, "sw1a1aa", "SW1A 1AA"}, Form{POSTCODE, "M1 1AE", "M1 1AE"}, Form{POSTCODE, "GIR 0AA", "GIR 0AA"},
        Form{POSTCODE, "SW1", "?sw1", false}, Form{POSTCODE, "QA1 1AA", "?qa1 1aa", false},
        Form{UPRN, "000100023336956", "100023336956"}, Form{UPRN, "0", "0"},
        Form{ADDRESS, "Flat 2, 10 High St.", "flat 2 10 high st"},
        Form{IP_ADDRESS, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"}, Form{IP_ADDRESS, "192.0.2.1", "192.0.2.1"},
        Form{IP_ADDRESS, "192.0.2.256", "?192.0.2.256", false},
        Form{FREE_IDENTIFIER, "CAD 123/01JAN26", "cad 123/01jan26"},
        Form{EVENT_ID, "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"}, Form{EVENT_ID, "A-1", "A-1"}),
    [](const auto& info) { return base::StrCat(IdentifierKind_Name(info.param.kind), "_", info.index); });

TEST(Postcode, HasParts) {
  EXPECT_EQ(PartOfPostcode("SW1A 1AA", PostcodePart::kSector), "SW1A 1");
  EXPECT_EQ(PartOfPostcode("SW1A 1AA", PostcodePart::kDistrict), "SW1A");
  EXPECT_EQ(PartOfPostcode("SW1A 1AA", PostcodePart::kArea), "SW");
  EXPECT_EQ(PartOfPostcode("M1 1AE", PostcodePart::kArea), "M");
}

}  // namespace
}  // namespace sluice::privacy
