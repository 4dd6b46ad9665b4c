#include "common/privacy/format_preserving.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <unordered_set>

#include "common/base/strings.h"
#include "common/privacy/identifier.h"

namespace sluice::privacy {
namespace {

using namespace contract::v1;

FormatPreserver Preserver(uint8_t first = 1) {
  std::vector<uint8_t> key(32, first);
  return *FormatPreserver::Create(key);
}

std::string Encrypted(FormatPreserver& preserver, IdentifierKind kind, std::string_view value) {
  std::string out;
  absl::Status status = preserver.Encrypt(kind, value, out);
  EXPECT_TRUE(status.ok()) << IdentifierKind_Name(kind) << ": " << status;
  return out;
}

// Letters and digits as such, everything else as it stands: what a receiving system's mask sees.
std::string Shape(std::string_view text) {
  std::string shape;
  for (char c : text) shape.push_back(c >= '0' && c <= '9' ? '9' : c >= 'A' && c <= 'Z' ? 'A' : c);
  return shape;
}

struct Example {
  IdentifierKind kind;
  std::string_view value;
  bool same_shape;
};
constexpr Example kExamples[] = {
    {PHONE, "+447700900123", true},
    {PHONE, "+442079460123", true},
    {PHONE, "+441204900123", true},
    {PHONE, "+448001111", true},
    {PHONE, "+33612345678", true},
    {PHONE, "+12025550123", true},
    {PNC_ID, "1981/0000034U", true},
    {PNC_ID, "2002/0073319Z", true},
    {CRO, "065656/91H", true},
    {CRO, "SF05/482703J", false},
    {ASN, "1001VK0100000375807W", false},
    {NHS_NUMBER, "9434765870", true},
    {NINO, "AB123456", true},
    {VRM, "AB12CDE", true},
    {VRM, "A123BCD", false},
    {VRM, "ABC123D", false},
    {VRM, "1234AB", false},
    {VRM, "AIZ1234", false},
    {DRIVING_LICENCE, "MORGA657054SM9IJ", false},
    {PASSPORT, "123456789", true},
    {PASSPORT, "AB1234567", false},
    {WARRANT_NUMBER, "123456", false},
    {SHOULDER_NUMBER, "123AB", false},
    {POSTCODE, "SW1A 1AA", false},
    {UPRN, "100023336956", false},
};

TEST(FormatPreserver, EveryKindComesBackAndIsValid) {
  FormatPreserver preserver = Preserver(), other = Preserver(2);
  for (const Example& example : kExamples) {
    SCOPED_TRACE(example.value);
    ASSERT_TRUE(HasPreservableFormat(example.kind));
    std::string canonical, back;
    ASSERT_TRUE(AppendCanonical(example.kind, example.value, canonical));
    ASSERT_EQ(canonical, example.value);
    std::string out = Encrypted(preserver, example.kind, canonical);
    EXPECT_NE(out, canonical);
    EXPECT_EQ(out, Encrypted(preserver, example.kind, canonical));
    EXPECT_NE(out, Encrypted(other, example.kind, canonical));
    std::string again;
    EXPECT_TRUE(AppendCanonical(example.kind, out, again)) << out;
    EXPECT_EQ(again, out);
    if (example.same_shape) {
      EXPECT_EQ(Shape(out), Shape(canonical));
    }
    ASSERT_TRUE(preserver.Decrypt(example.kind, out, back).ok());
    EXPECT_EQ(back, canonical);
  }
}

// A hundred thousand values of a format, each valid, each another's, each coming back.
TEST(FormatPreserver, NeverGivesOneValueTwice) {
  FormatPreserver preserver = Preserver();
  std::map<IdentifierKind, std::unordered_set<std::string>> seen;
  size_t made = 0;
  for (int i = 0; i < 20'000; ++i) {
    char text[32];
    std::snprintf(text, sizeof(text), "1981/%07d", i);
    std::string pnc = text;
    pnc.push_back(CheckCharacter(PNC_ID, pnc));
    std::snprintf(text, sizeof(text), "94347%04d", i % 10'000);
    std::string nhs = text;
    char check = CheckCharacter(NHS_NUMBER, nhs);
    nhs.push_back(check);
    std::vector<std::pair<IdentifierKind, std::string>> values = {
        {PNC_ID, pnc},
        {PHONE, base::StrCat("+4477009", 10'000 + i)},
        {NINO, base::StrCat("AB", 100'000 + i)},
        {WARRANT_NUMBER, std::to_string(i)}};
    if (check != '\0' && i < 10'000) values.emplace_back(NHS_NUMBER, nhs);
    for (const auto& [kind, value] : values) {
      std::string out = Encrypted(preserver, kind, value), again, back;
      EXPECT_TRUE(AppendCanonical(kind, out, again) && again == out) << value << " -> " << out;
      EXPECT_TRUE(seen[kind].insert(out).second) << value;
      if (i % 100 == 0) {
        ASSERT_TRUE(preserver.Decrypt(kind, out, back).ok());
        EXPECT_EQ(back, value);
      }
      ++made;
    }
  }
  EXPECT_GT(made, 80'000u);
}

TEST(FormatPreserver, StaysInTheFormat) {
  FormatPreserver preserver = Preserver();
  EXPECT_TRUE(Encrypted(preserver, PHONE, "+447700900123").starts_with("+447"));
  EXPECT_TRUE(Encrypted(preserver, PHONE, "+33612345678").starts_with("+336"));
  EXPECT_TRUE(Encrypted(preserver, CRO, "SF05/482703J").starts_with("SF"));
}

// What a number is for, whether an age is issued, whether a date is real: it stays.
TEST(FormatPreserver, StaysAmongWhatIsValid) {
  FormatPreserver preserver = Preserver();
  std::mt19937_64 random(3);
  auto digits = [&](size_t count) {
    std::string text;
    while (text.size() < count) text.push_back(static_cast<char>('0' + random() % 10));
    return text;
  };
  for (int i = 0; i < 2'000; ++i) {
    // Allotted: 071 to 075, 077 to 079, and 07624 of the Isle of Man.
    std::string mobile = Encrypted(preserver, PHONE, "+4474" + digits(8));
    EXPECT_TRUE(mobile.starts_with("+447"));
    EXPECT_NE(mobile[4], '0');
    if (mobile[4] == '6') {
      EXPECT_TRUE(mobile.starts_with("+447624")) << mobile;
    }
    std::string pager = Encrypted(preserver, PHONE, "+4476600" + digits(5));
    EXPECT_TRUE(pager.starts_with("+4476")) << pager;
    EXPECT_TRUE(Encrypted(preserver, PHONE, "+4470" + digits(8)).starts_with("+4470"));
    std::string landline = Encrypted(preserver, PHONE, "+4420794" + digits(5));
    EXPECT_TRUE(landline[3] == '1' || landline[3] == '2') << landline;
    EXPECT_TRUE(Encrypted(preserver, PHONE, "+44330" + digits(7)).starts_with("+443"));

    std::string mark = Encrypted(preserver, VRM, "AB12CDE");
    int age = std::stoi(mark.substr(2, 2));
    EXPECT_TRUE((age >= 2 && age <= 25) || (age >= 51 && age <= 75)) << mark;
    std::string serial = digits(3);
    std::string later = base::StrCat("AB", i % 2 == 0 ? "76" : "31", "CDE");
    EXPECT_EQ(Encrypted(preserver, VRM, later).substr(2, 2), later.substr(2, 2));

    std::string licence = Encrypted(preserver, DRIVING_LICENCE,
                                    base::StrCat("ARCHE", i % 10, "0228", i / 10 % 10, "AB9XY"));
    int month = std::stoi(licence.substr(6, 2)) % 50, day = std::stoi(licence.substr(8, 2));
    EXPECT_LE(day, month == 2                                              ? 29
                   : month == 4 || month == 6 || month == 9 || month == 11 ? 30
                                                                           : 31)
        << licence;

    std::string nhs = "4" + digits(8);
    if (char check = CheckCharacter(NHS_NUMBER, nhs); check != '\0') {
      std::string out = Encrypted(preserver, NHS_NUMBER, nhs + check);
      EXPECT_TRUE(out[0] == '4' || out[0] == '6' || out[0] == '7') << out;
    }
    std::string pnc = base::StrCat("2031/", digits(7));
    pnc.push_back(CheckCharacter(PNC_ID, pnc));
    EXPECT_TRUE(Encrypted(preserver, PNC_ID, pnc).starts_with("2031/"));
  }
}

// Marks of other kinds stay of theirs, and come back.
TEST(FormatPreserver, KeepsTheKindOfAMark) {
  FormatPreserver preserver = Preserver();
  std::mt19937_64 random(5);
  auto digits = [&](size_t count) {
    std::string text(1, static_cast<char>('1' + random() % 9));
    while (text.size() < count) text.push_back(static_cast<char>('0' + random() % 10));
    return text;
  };
  for (int i = 0; i < 500; ++i) {
    const std::string q = base::StrCat("Q", digits(3), "ABC"),
                      jersey = base::StrCat("J", digits(5)),
                      corps = base::StrCat(digits(3), "X", digits(3)),
                      forces = base::StrCat(digits(2), "AB", digits(2)),
                      ireland = base::StrCat("12WX", digits(3 + random() % 4)),
                      later = base::StrCat("161D", digits(5));
    for (const std::string& mark : {q, jersey, corps, forces, ireland, later}) {
      const std::string out = Encrypted(preserver, VRM, mark);
      std::string again, back;
      EXPECT_TRUE(AppendCanonical(VRM, out, again) && again == out) << mark << " -> " << out;
      ASSERT_TRUE(preserver.Decrypt(VRM, out, back).ok()) << out;
      EXPECT_EQ(back, mark);
    }
    EXPECT_EQ(Encrypted(preserver, VRM, q)[0], 'Q');
    EXPECT_EQ(Encrypted(preserver, VRM, jersey)[0], 'J');
    EXPECT_EQ(Shape(Encrypted(preserver, VRM, corps)), Shape(corps));
    EXPECT_EQ(Shape(Encrypted(preserver, VRM, forces)), Shape(forces));
    EXPECT_EQ(Encrypted(preserver, VRM, ireland).substr(0, 2), "12");
    EXPECT_EQ(Encrypted(preserver, VRM, later).substr(0, 3), "161");
  }
}

TEST(FormatPreserver, RefusesWhatIsNotValid) {
  FormatPreserver preserver = Preserver();
  std::string out = "before";
  for (const auto& [kind, value] : std::initializer_list<std::pair<IdentifierKind, const char*>>{
           {PNC_ID, "1981/0000034A"},  // wrong letter
           {PNC_ID, "1881/0000034U"},  // before there were any
           {PNC_ID, "81/34U"},         // not canonical
           {NHS_NUMBER, "9434765871"},
           {NINO, "GB123456A"},
           {VRM, "AB50CDE"},
           {DRIVING_LICENCE, "ARCHE702309AB9XY"},  // 30 February
           {PHONE, "07700900123"},
           {PHONE, "+1234567"},  // too few digits are left
           {PHONE, "?ask at the desk"},
           {POSTCODE, "GIR 0AA"},
           {POSTCODE, "BFPO 61"},
           {POSTCODE, "FIQQ 1ZZ"},
           {VRM, "54321"},
           {VRM, "MAN12345"},
           {VRM, "?unknown"},
           {PHONE, "+442079460000;ext=12"},
           {PERSON_NAME, "ann archer"},
           {EMAIL, "a@example.com"},
           {PHONE, ""}}) {
    EXPECT_EQ(preserver.Encrypt(kind, value, out).code(), absl::StatusCode::kOutOfRange) << value;
    EXPECT_EQ(preserver.Decrypt(kind, value, out).code(), absl::StatusCode::kOutOfRange) << value;
  }
  EXPECT_FALSE(
      preserver.Encrypt(static_cast<IdentifierKind>(IdentifierKind_MAX + 1), "1", out).ok());
  EXPECT_EQ(out, "before");
}

TEST(FormatPreserver, SaysWhichKindsHaveAFormat) {
  for (IdentifierKind kind :
       {PERSON_NAME, EMAIL, ADDRESS, IP_ADDRESS, FREE_IDENTIFIER, EVENT_ID, SOURCE_POSITION})
    EXPECT_FALSE(HasPreservableFormat(kind)) << IdentifierKind_Name(kind);
  for (IdentifierKind kind : {PHONE, PNC_ID, CRO, ASN, NHS_NUMBER, NINO, VRM, DRIVING_LICENCE,
                              PASSPORT, WARRANT_NUMBER, SHOULDER_NUMBER, POSTCODE, UPRN})
    EXPECT_TRUE(HasPreservableFormat(kind)) << IdentifierKind_Name(kind);
}

}  // namespace
}  // namespace sluice::privacy
