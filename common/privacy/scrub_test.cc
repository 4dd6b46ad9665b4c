#include "common/privacy/scrub.h"

#include <gtest/gtest.h>

#include <random>

#include "common/base/strings.h"

namespace sluice::privacy {
namespace {

using namespace contract::v1;

class ScrubTest : public ::testing::Test {
 protected:
  void SetUp() override {
    scrubber_.NextEvent(2026);
    scrubber_.AddName("Ann O'Archer");
    scrubber_.AddName("Bo Bell-King");
    scrubber_.AddName("Cy Bell");
    scrubber_.AddName("Zo\u00EB Young");
    scrubber_.AddBirth("2019-02-03");
  }

  // Each finding as `<KIND canonical>`.
  std::string Marked(std::string_view text) {
    std::string out;
    size_t done = 0;
    for (const Finding& finding : scrubber_.Find(text)) {
      EXPECT_LE(done, finding.begin);
      EXPECT_LT(finding.begin, finding.end);
      out.append(text, done, finding.begin - done);
      done = finding.end;
      std::string_view canonical = scrubber_.canonical(finding);
      base::StrAppend(out, '<', finding.kind == 0 ? "BORN" : IdentifierKind_Name(finding.kind),
                      canonical.empty() ? "" : " ", canonical, '>');
    }
    return out.append(text, done);
  }

  Scrubber scrubber_;
};

TEST_F(ScrubTest, FindsNamesInAnyCaseAndOrder) {
  for (const char* name : {"Ann O'Archer", "ANN O'ARCHER", "ann o'archer", "O'Archer, Ann",
                           "OARCHER Ann", "O\u2019Archer", "Ann", "OArcher"}) {
    EXPECT_EQ(Marked(base::StrCat("saw ", name, " run")), "saw <PERSON_NAME ann o'archer> run")
        << name;
  }
  EXPECT_EQ(Marked("Ann's bag"), "<PERSON_NAME ann o'archer> bag");
  EXPECT_EQ(Marked("ZO\u00CB"), "<PERSON_NAME zo\u00EB young>");
  EXPECT_EQ(Marked("King, Bo Bell"), "<PERSON_NAME bo bell-king>");
  // Whose of two it is can't be told.
  EXPECT_EQ(Marked("Mr Bell said"), "Mr <PERSON_NAME> said");
  EXPECT_EQ(Marked("Cy Bell said"), "<PERSON_NAME cy bell> said");
}

TEST_F(ScrubTest, ReadsAFullNameAsThePersonWhoHasAllOfIt) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Casey Ashdown");
  scrubber_.AddName("Casey Brown");
  scrubber_.AddName("Ellis Brown");
  EXPECT_EQ(Marked("saw Casey Brown run"), "saw <PERSON_NAME casey brown> run");
  EXPECT_EQ(Marked("BROWN, Casey"), "<PERSON_NAME casey brown>");
  EXPECT_EQ(Marked("Casey said"), "<PERSON_NAME> said");
  EXPECT_EQ(Marked("Casey Brown, Ellis"), "<PERSON_NAME casey brown>, <PERSON_NAME ellis brown>");
}

TEST_F(ScrubTest, TellsNobodyApartBehindTheSixtyThirdName) {
  scrubber_.NextEvent(2026);
  for (char a = 'a'; a < 'a' + 13; ++a) {
    for (char b : {'b', 'c', 'd', 'f', 'g'})
      scrubber_.AddName(base::StrCat(std::string{a, b}, "xx"));
  }
  EXPECT_EQ(Marked("Abxx"), "<PERSON_NAME abxx>");
  EXPECT_EQ(Marked("Mgxx"), "<PERSON_NAME>");
}

TEST_F(ScrubTest, LeavesWordsThatAreNoNames) {
  for (const char* text : {"a young man, the king of it", "at King Street", "on Bell Road",
                           "Annual leave", "an annoyed caller", "he was yelling"})
    EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsIdentifiersByFormatAndCheck) {
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"rang 07700 900123 twice", "rang <PHONE +447700900123> twice"},
           {"tel:+44 (0)20 7946 0123.", "tel:<PHONE +442079460123>."},
           {"(020) 7946 0123", "<PHONE +442079460123>"},
           {"07700900123 12", "<PHONE +447700900123> 12"},
           {"a.b@Example.com, or", "<EMAIL a.b@example.com>, or"},
           {"PNC 81/34U seen", "PNC <PNC_ID 1981/0000034U> seen"},
           {"1981/0000034u", "<PNC_ID 1981/0000034U>"},
           {"CRO 65656/91H", "CRO <CRO 065656/91H>"},
           {"SF05/482703J", "<CRO SF05/482703J>"},
           {"ASN 10/01VK/01/375807W.", "ASN <ASN 1001VK0100000375807W>."},
           {"NHS 943 476 5870", "NHS <NHS_NUMBER 9434765870>"},
           {"NI no AB 12 34 56 C", "NI no <NINO AB123456C>"},
           {"ab123456c", "<NINO AB123456C>"},
           {"AB123456 D", "<NINO AB123456D>"},
           {"MORGA657054SM9IJ", "<DRIVING_LICENCE MORGA657054SM9IJ>"},
           {"of SW1A 1AA and", "of <POSTCODE SW1A 1AA> and"},
           {"sw1a1aa", "<POSTCODE SW1A 1AA>"},
           {"from 192.168.1.20", "from <IP_ADDRESS 192.168.1.20>"},
           {"PC 123AW saw", "PC <SHOULDER_NUMBER 123AW> saw"}}) {
    EXPECT_EQ(Marked(text), marked);
  }
}

TEST_F(ScrubTest, FindsVehicleMarksAlsoMisread) {
  for (const char* mark : {"AB12CDE", "AB12 CDE", "ab12 cde", "ABI2 CDE", "ab12cde", "AB12-CDE"})
    EXPECT_EQ(Marked(base::StrCat("in ", mark, ".")), "in <VRM AB12CDE>.") << mark;
  EXPECT_EQ(Marked("AB2O CDE"), "<VRM AB20CDE>");
  EXPECT_EQ(Marked("A0B2 0DE"), "A0B2 0DE");
  EXPECT_EQ(Marked("A012CDE"), "<VRM AO12CDE>");
  EXPECT_EQ(Marked("A123 BCD"), "<VRM A123BCD>");
  EXPECT_EQ(Marked("ABC 123D"), "<VRM ABC123D>");
}

TEST_F(ScrubTest, FindsMarksWithoutAnAgeWhereSomebodySaysThatTheyAreOne) {
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"Vehicle 123 BCD parked", "Vehicle <VRM 123BCD> parked"},
           {"vehicle reg ABC 123.", "vehicle reg <VRM ABC123>."},
           {"a car, index no. AIZ 1234", "a car, index no. <VRM AIZ1234>"},
           {"the van AIZ1234 was", "the van <VRM AIZ1234> was"},
           {"plate 4 BCD", "plate <VRM 4BCD>"}})
    EXPECT_EQ(Marked(text), marked);
  for (const char* text :
       {"exhibit ABC 123", "PIN 1234", "CID 12", "car CAD 123", "vehicle 1 BMW", "the 12th car",
        "car 12th", "vehicle 2 and 3", "3 SUV", "van 123 parked", "vehicle stop at 10 in May"})
    EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsTheEventsOwnNumbersAndNobodyElses) {
  scrubber_.AddNumber(WARRANT_NUMBER, "123456");
  scrubber_.AddNumber(PASSPORT, "AB1234567");
  scrubber_.AddNumber(SHOULDER_NUMBER, "123AW");
  scrubber_.AddNumber(WARRANT_NUMBER, "77");
  EXPECT_EQ(Marked("from 123456, then 0123456"),
            "from <WARRANT_NUMBER 123456>, then <WARRANT_NUMBER 123456>");
  EXPECT_EQ(Marked("seized ab1234567"), "seized <PASSPORT AB1234567>");
  EXPECT_EQ(Marked("123AW saw"), "<SHOULDER_NUMBER 123AW> saw");
  for (const char* text : {"123457", "1234567", "123456/26", "77 of them", "AB12345678"})
    EXPECT_EQ(Marked(text), text);
  scrubber_.NextEvent(2026);
  EXPECT_EQ(Marked("from 123456"), "from 123456") << "it was the event's before";
  EXPECT_TRUE(Scrubber::IsNumber(WARRANT_NUMBER));
  EXPECT_FALSE(Scrubber::IsNumber(PHONE));
}

TEST_F(ScrubTest, FindsNamesWithTwoLettersSwapped) {
  EXPECT_EQ(Marked("Yonug said"), "<PERSON_NAME zo\u00EB young> said");
  EXPECT_EQ(Marked("ZO\u00CB YUONG"), "<PERSON_NAME zo\u00EB young>");
  for (const char* text : {"Youngs", "Yuogn", "yonug", "Blel", "Youmg"})
    EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsPhonesWithOForNought) {
  EXPECT_EQ(Marked("on O77OO 9OO 123."), "on <PHONE +447700900123>.");
  EXPECT_EQ(Marked("07700 9oo123"), "<PHONE +447700900123>");
  for (const char* text : {"O7700", "1OO 200 300 400", "2OOO 1000 1"})
    EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsDatesOfBirth) {
  for (const char* born : {"12/03/1981", "12.3.81", "1981-03-12", "12 March 1981",
                           "12th of Mar 1981", "03/02/2019", "3 February 2019"})
    EXPECT_EQ(Marked(base::StrCat("(", born, ")")), "(<BORN>)") << born;
  EXPECT_EQ(Marked("dob 4/5/2021"), "dob <BORN>");
  EXPECT_EQ(Marked("born on 4/5/2021"), "born on <BORN>");
  EXPECT_EQ(Marked("D.O.B. 4/5/2021"), "D.O.B. <BORN>");
}

TEST_F(ScrubTest, LeavesWhatOnlyLooksAlike) {
  for (const char* text : {"CAD 1234/04MAR26",
                           "ref 1234567",
                           "at 10:30 on 04/03/2026",
                           "GBP 1,250.00",
                           "A40 AND on",
                           "M25 for",
                           "on 12 may",
                           "9434765871",
                           "81/34A",
                           "s.23 of the Act 1971",
                           "E1 6th floor",
                           "10am",
                           "5ft 10in",
                           "2 x 20",
                           "PS4 and TV",
                           "flat 12b",
                           "@",
                           "a@",
                           "@b",
                           "a@b",
                           "1/2/3/4"})
    EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsTheSameAgain) {
  EXPECT_EQ(Marked("Ann 07700 900123 Ann"), Marked("Ann 07700 900123 Ann"));
  scrubber_.NextEvent(0);
  EXPECT_EQ(Marked("Ann 12/03/1981"), "Ann 12/03/1981");
}

// Any bytes: ends, and findings stay inside and in order.
TEST_F(ScrubTest, SurvivesAnyText) {
  std::mt19937_64 random(3);
  constexpr std::string_view kParts[] = {"@",    ".",  " ", "-",   "/",   "1", "07700", "900123",
                                         "AB",   "12", "C", "'",   "Ann", "+", "(0)",   "\xC3",
                                         "\xAB", "81", "U", "May", "st",  "",  "O'",    "2019"};
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (uint64_t parts = random() % 30; parts > 0; --parts)
      text += kParts[random() % std::size(kParts)];
    Marked(text);
  }
}

}  // namespace
}  // namespace sluice::privacy
