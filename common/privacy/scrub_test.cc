#include "common/privacy/scrub.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "common/base/strings.h"
#include "tests/support/texts/marked_corpus.h"

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
    EXPECT_EQ(Marked(base::StrCat("saw ", name, " run")), "saw <PERSON_NAME annoarcher> run")
        << name;
  }
  EXPECT_EQ(Marked("Ann's bag"), "<PERSON_NAME annoarcher> bag");
  EXPECT_EQ(Marked("ZO\u00CB"), "<PERSON_NAME zo\u00EByoung>");
  EXPECT_EQ(Marked("King, Bo Bell"), "<PERSON_NAME bobellking>");
  // Whose of two it is can't be told.
  EXPECT_EQ(Marked("Mr Bell said"), "Mr <PERSON_NAME> said");
  EXPECT_EQ(Marked("Cy Bell said"), "<PERSON_NAME cybell> said");
}

TEST_F(ScrubTest, ReadsAFullNameAsThePersonWhoHasAllOfIt) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Casey Ashdown");
  scrubber_.AddName("Casey Brown");
  scrubber_.AddName("Ellis Brown");
  EXPECT_EQ(Marked("saw Casey Brown run"), "saw <PERSON_NAME caseybrown> run");
  EXPECT_EQ(Marked("BROWN, Casey"), "<PERSON_NAME caseybrown>");
  EXPECT_EQ(Marked("Casey said"), "<PERSON_NAME> said");
  EXPECT_EQ(Marked("Casey Brown, Ellis"), "<PERSON_NAME caseybrown>, <PERSON_NAME ellisbrown>");
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
           {"NI no AB 12 34 56 C", "NI no <NINO AB123456>"},
           {"ab123456c", "<NINO AB123456>"},
           {"AB123456 D", "<NINO AB123456>"},
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
  EXPECT_EQ(Marked("Yonug said"), "<PERSON_NAME zo\u00EByoung> said");
  EXPECT_EQ(Marked("ZO\u00CB YUONG"), "<PERSON_NAME zo\u00EByoung>");
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
                           "1/2/3/4",
                           "Seen on 140226",
                           "SEEN ON 140226",
                           "PS 654321 attended",
                           "at 21 40 00",
                           "AT 21 40 00",
                           "colour #ff11aa",
                           "Version 4.3.2.1",
                           "1.2.3.4.5",
                           "12 34 56",
                           "E8 5ft 2in",
                           "on 12 may",
                           "10:30:15",
                           "std::find"})
    EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsTheSameAgain) {
  EXPECT_EQ(Marked("Ann 07700 900123 Ann"), Marked("Ann 07700 900123 Ann"));
  scrubber_.NextEvent(0);
  EXPECT_EQ(Marked("Ann 12/03/1981"), "Ann 12/03/1981");
}

// Ordinary prose hides nobody who is in the event: whatever follows.
TEST_F(ScrubTest, FindsOwnNamesBeforeAnyWord) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Ifeoma Nwachukwu");
  for (const char* word : {"drive", "house", "close", "court", "road", "street", "may", "will",
                           "park", "and", "st", "way"}) {
    for (const char* name : {"Nwachukwu", "nwachukwu", "NWACHUKWU"}) {
      EXPECT_EQ(Marked(base::StrCat("Saw ", name, " ", word, " by")),
                base::StrCat("Saw <PERSON_NAME ifeomanwachukwu> ", word, " by"));
    }
  }
}

TEST_F(ScrubTest, FindsShortNamesAndNamesThatAreWordsWhereSomethingSaysSo) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Mei Xu");
  scrubber_.AddName("Tom Roy");
  scrubber_.AddName("Cerys Close");
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"spoke to Xu, Mr xu", "spoke to <PERSON_NAME meixu>, Mr <PERSON_NAME meixu>"},
           {"XU refused", "<PERSON_NAME meixu> refused"},
           {"told mei xu that", "told <PERSON_NAME meixu> that"},
           {"and roy ran off", "and <PERSON_NAME tomroy> ran off"},
           {"PC close saw Close run",
            "PC <PERSON_NAME cerysclose> saw <PERSON_NAME cerysclose> run"},
           {"with cerys close by", "with <PERSON_NAME cerysclose> by"},
           {"it was close to xu", "it was close to xu"},
           {"on Close Road", "on Close Road"}})
    EXPECT_EQ(Marked(text), marked);
  scrubber_.NextEvent(2026);
  scrubber_.AddName("May He");
  EXPECT_EQ(Marked("He left on 12 May. He ran in May"), "He left on 12 May. He ran in May");
  EXPECT_EQ(Marked("then He ran, and Mr He with May He"),
            "then <PERSON_NAME mayhe> ran, and Mr <PERSON_NAME mayhe> with <PERSON_NAME mayhe>");
}

// Of one name in any of its spellings, whichever the field has.
TEST_F(ScrubTest, FindsNamesJoinedAndParted) {
  const std::vector<std::vector<std::string>> kNames = {
      {"O'Hara", "O Hara", "OHara", "Ohara", "O\u2019HARA", "o hara", "O-Hara", "O\u00B4Hara"},
      {"McKenna", "Mc Kenna", "MCKENNA", "Mckenna", "mc kenna"},
      {"Mac Leod", "MacLeod", "Macleod", "mac leod"},
      {"De La Torre", "Delatorre", "de la Torre", "DE LA TORRE", "Dela Torre", "DeLaTorre"},
      {"van der Meer", "Van Der Meer", "Vandermeer", "VanderMeer", "vander meer"},
      {"Al-Najjar", "Al Najjar", "Alnajjar", "AL-NAJJAR", "AlNajjar", "al najjar"},
      {"FitzRoy", "Fitz Roy", "Fitzroy", "Fitz-Roy"},
      {"St Clair", "St. Clair", "StClair", "Stclair", "St-Clair"},
      {"D'Arcy", "D Arcy", "Darcy", "DArcy", "d'arcy"},
      {"Kerr-Hughes", "Kerr Hughes", "KerrHughes", "Kerrhughes", "KERR-HUGHES",
       "Kerr \u2013 Hughes"},
  };
  for (const auto& spellings : kNames) {
    for (const std::string& field : spellings) {
      for (const std::string& said : spellings) {
        scrubber_.NextEvent(2026);
        scrubber_.AddName(base::StrCat("Una ", field));
        // In small letters a name that is written apart needs its field's own borders, or a
        // particle's.
        const std::string marked = Marked(base::StrCat("met ", said, " at"));
        EXPECT_TRUE(marked.starts_with("met <PERSON_NAME una") && marked.ends_with("> at"))
            << field << " in " << said << ": " << marked;
      }
    }
  }
}

TEST_F(ScrubTest, SeesWhatItsReaderSees) {
  const char* const kMarks[] = {"\u201C", "\u201D", "\u2018", "\u2019", "\u2014",
                                "\u2013", "\u2022", "\u2026", "\u00A0", "\u202F",
                                "\u200B", "\u00AD", "\u200E", "\u202A", "\uFEFF",
                                "\u00AB", "\u00B7", "\u2192", "\u3000", "\u2032"};
  const std::pair<const char*, const char*> kValues[] = {
      {"07700 900123", "PHONE +447700900123"},
      {"SW1A 1AA", "POSTCODE SW1A 1AA"},
      {"AB123456C", "NINO AB123456"},
      {"943 476 5870", "NHS_NUMBER 9434765870"},
      {"AB12 CDE", "VRM AB12CDE"},
      {"O'Archer", "PERSON_NAME annoarcher"},
      {"2001:db8::7", "IP_ADDRESS 2001:db8::7"},
      {"a.b@example.com", "EMAIL a.b@example.com"}};
  for (const char* mark : kMarks) {
    for (const auto& [value, marked] : kValues) {
      EXPECT_EQ(Marked(base::StrCat("saw ", mark, value, mark, " left")),
                base::StrCat("saw ", mark, "<", marked, ">", mark, " left"));
    }
  }
  EXPECT_EQ(Marked("ZOE\u0308"), "<PERSON_NAME zo\u00EByoung>");
  EXPECT_EQ(Marked("\uFF21\uFF22\uFF11\uFF12\u3000\uFF23\uFF24\uFF25"), "<VRM AB12CDE>");
  EXPECT_EQ(Marked("0770\u00AD0 900\u200B123"), "<PHONE +447700900123>");
  EXPECT_EQ(Marked("saw\u200BO'Archer\u200Brun"), "saw\u200B<PERSON_NAME annoarcher>\u200Brun");
  EXPECT_EQ(Marked("O'Ar\u200Bcher"), "<PERSON_NAME annoarcher>");
  EXPECT_EQ(Marked("sawO'Archer"), "saw<PERSON_NAME annoarcher>");
}

TEST_F(ScrubTest, FindsEverySpelling) {
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"DOB 1971-2-3", "DOB <BORN>"},
           {"saw 1971-2-3 then", "saw <BORN> then"},
           {"1971-02-03T00:00", "<BORN>T00:00"},
           {"1971-02-031", "1971-02-031"},
           {"born March 12, 1971 in", "born <BORN> in"},
           {"DOB 120371", "DOB <BORN>"},
           {"dob: 12 03 1971", "dob: <BORN>"},
           {"NINO AB 123456C given", "NINO <NINO AB123456> given"},
           {"AB 12 34 56C", "<NINO AB123456>"},
           {"NI number AB 123456 was", "NI number <NINO AB123456> was"},
           {"at SW1A  1AA now", "at <POSTCODE SW1A 1AA> now"},
           {"at SW1A\r\n1AA now", "at <POSTCODE SW1A 1AA> now"},
           {"AB51  ABC", "<VRM AB51ABC>"},
           {"AB 12 CDE", "<VRM AB12CDE>"},
           {"A B 1 2 C D E", "<VRM AB12CDE>"},
           {"020 7946 0018x12", "<PHONE +442079460018;ext=12>"},
           {"020 7946 0018 ext. 12, or", "<PHONE +442079460018;ext=12>, or"},
           {"rang 0 7 7 0 0 9 0 0 3 2 1 twice", "rang <PHONE +447700900321> twice"},
           {"NHS 9 4 3 4 7 6 5 8 7 0 on", "NHS <NHS_NUMBER 9434765870> on"},
           {"07700/900321", "<PHONE +447700900321>"},
           {"07700\t900321", "<PHONE +447700900321>"},
           {"07700\r\n900321", "<PHONE +447700900321>"},
           {"tel07700900321 nhs9434765870", "tel<PHONE +447700900321> nhs<NHS_NUMBER 9434765870>"},
           {"tel 7700900321", "tel <PHONE +447700900321>"},
           {"from 2001:db8::8a2e:370:7335 today",
            "from <IP_ADDRESS 2001:db8::8a2e:370:7335> today"},
           {"[fe80::1]:80", "[<IP_ADDRESS fe80::1>]:80"},
           {"CRO no. 06565691H", "CRO no. <CRO 065656/91H>"},
           {"PNC 81 / 34 U", "PNC <PNC_ID 1981/0000034U>"},
           {"passport 123456789", "passport <PASSPORT 123456789>"},
           {"UPRN 100023336956", "UPRN <UPRN 100023336956>"},
           {"MORGA 657054 SM9IJ", "<DRIVING_LICENCE MORGA657054SM9IJ>"},
           {"DUE: LK66 DUE seen", "DUE: <VRM LK66DUE> seen"}})
    EXPECT_EQ(Marked(text), marked);
}

TEST_F(ScrubTest, FindsWholeAddressesAlsoInLinks) {
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"https://p.example/s?email=kim.roe%40example.org&tel=%2B447700900321 now",
            "https://p.example/s?email=<EMAIL kim.roe@example.org>&tel=<PHONE +447700900321> now"},
           {"https://p.example/s?email=kim@example.org&x",
            "https://p.example/s?email=<EMAIL kim@example.org>&x"},
           {"s?tel=07700%20900321 now", "s?tel=<PHONE +447700900321> now"},
           {"s?e=kim%2540example.org", "s?e=<EMAIL kim@example.org>"},
           {"from bounce+kim.roe=example.org@lists.example.net",
            "from <EMAIL bounce+kim.roe=example.org@lists.example.net>"},
           {"mail kim/admin@example.org.", "mail <EMAIL kim/admin@example.org>."},
           {"mail \"kim roe\"@example.org today", "mail <EMAIL \"kim roe\"@example.org> today"},
           {"mail kj\u00F8s@b\u00FCcher.example today",
            "mail <EMAIL kj\u00F8s@xn--bcher-kva.example> today"},
           {"'kim@example.org'", "'<EMAIL kim@example.org>'"},
           {"100% 20 men, 50%", "100% 20 men, 50%"}})
    EXPECT_EQ(Marked(text), marked);
}

// What another generator found that was taken for something else, or not at all.
TEST_F(ScrubTest, TellsApartWhatLooksAlike) {
  scrubber_.AddBirth("1974-11-23");
  scrubber_.AddNumber(PASSPORT, "003124415");
  scrubber_.AddName("Farrukh Das");
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           // A letter apart, of the forms with a slash.
           {"saw 2002 / 0073319 Z run", "saw <PNC_ID 2002/0073319Z> run"},
           {"saw 65656 / 91 h run", "saw <CRO 065656/91H> run"},
           {"1/2 a mile, 65/12 A", "1/2 a mile, 65/12 A"},
           // A word between the label and the value; nine digits with noughts in front are no
           // phone.
           {"PNC ID 020073319Z", "PNC ID <PNC_ID 2002/0073319Z>"},
           // Pairs of digits that would be a date.
           {"NI YT-12-09-68-D", "NI <NINO YT120968>"},
           {"LA 10 88 53 seen", "<NINO LA108853> seen"},
           {"zx 34 35 81 seen", "<NINO ZX343581> seen"},
           {"AT 20 30 00, PC 12 34 56", "AT 20 30 00, PC 12 34 56"},
           // Marks of other kinds behind a word; without it only what nothing else is.
           {"vehicle J 12345 left", "vehicle <VRM J12345> left"},
           {"index 101 D 234.", "index <VRM 101D234>."},
           {"reg 12-WX-3456", "reg <VRM 12WX3456>"},
           {"a Q123 ABC there", "a <VRM Q123ABC> there"},
           {"unit AB12CD, J12345", "unit AB12CD, J12345"},
           {"saw KF66 DUE there", "saw <VRM KF66DUE> there"},
           {"KF66 DUE", "<VRM KF66DUE>"},
           {"UNIT KF66 DUE BACK", "UNIT KF66 DUE BACK"},
           {"CM 12 XDX left", "<VRM CM12XDX> left"},
           {"at 0056hrs", "at 0056hrs"},
           // O read as 0 in a mark whose letters are no postcode's.
           {"of XU63 0AW", "of <VRM XU63OAW>"},
           {"of SW63 0AW", "of <POSTCODE SW63 0AW>"},
           {"at dy4  2ft", "at <POSTCODE DY4 2FT>"},
           {"at e4 2ft, se1 1st floor", "at e4 2ft, se1 1st floor"},
           {"sent to BFPO 61.", "sent to <POSTCODE BFPO 61>."},
           {"of FIQQ 1ZZ", "of <POSTCODE FIQQ 1ZZ>"},
           {"From:2001:db8::4.then", "From:<IP_ADDRESS 2001:db8::4>.then"},
           {"aa:bb:cc:dd:ee:ff:00:11:22:33", "aa:bb:cc:dd:ee:ff:00:11:22:33"},
           {"PC 815 AS left", "PC <SHOULDER_NUMBER 815AS> left"},
           {"PC 815 AS REQUESTED", "PC 815 AS REQUESTED"},
           {"OO999 960059 YU6AW", "<DRIVING_LICENCE OO999960059YU6AW>"},
           {"version 16.7.64", "version 16.7.64"},
           // The event's own.
           {"noted 23111974, 231174", "noted <BORN>, <BORN>"},
           {"noted 24111974, 241174", "noted 24111974, 241174"},
           {"noted 003124415", "noted <PASSPORT 003124415>"},
           {"saw Das there", "saw <PERSON_NAME farrukhdas> there"}})
    EXPECT_EQ(Marked(text), marked);
}

// A surname may be a particle of other names, or be a word in a list of words that it isn't.
TEST_F(ScrubTest, FindsSurnamesThatAreParticlesElsewhere) {
  for (const char* name : {"Das", "Le", "Du", "Abu", "Bin", "Dos", "Van", "Ben", "Mac", "Di", "Te",
                           "Ten", "Saint", "Al", "Den", "St", "Von"}) {
    scrubber_.NextEvent(2026);
    scrubber_.AddName(base::StrCat("Rina ", name));
    std::string upper(name), lower(name);
    for (char& c : upper) c = static_cast<char>(c >= 'a' ? c - 32 : c);
    for (char& c : lower) c = static_cast<char>(c <= 'Z' ? c + 32 : c);
    const std::string found = base::StrCat("<PERSON_NAME rina", lower, ">");
    EXPECT_EQ(Marked(base::StrCat(name, " was arrested")), base::StrCat(found, " was arrested"));
    EXPECT_EQ(Marked(base::StrCat(upper, " REFUSED")), base::StrCat(found, " REFUSED"));
    EXPECT_EQ(Marked(base::StrCat("spoke to ", name, " at")),
              base::StrCat("spoke to ", found, " at"));
  }
}

TEST_F(ScrubTest, FindsCommonSurnamesInSmallLetters) {
  for (const char* name :
       {"smith",    "jones",  "williams", "taylor", "davies",   "evans",   "thomas",  "johnson",
        "roberts",  "turner", "wright",   "webb",   "spencer",  "harper",  "hughes",  "edwards",
        "thompson", "cole",   "cooper",   "morris", "morgan",   "chapman", "palmer",  "harris",
        "clarke",   "scott",  "watson",   "carter", "marshall", "jackson", "parsons", "holt"}) {
    scrubber_.NextEvent(2026);
    scrubber_.AddName(base::StrCat("Una ", name));
    EXPECT_EQ(Marked(base::StrCat("then ", name, " ran off")),
              base::StrCat("then <PERSON_NAME una", name, "> ran off"));
  }
}

// In capitals nothing tells a street from what somebody does: the name comes first.
TEST_F(ScrubTest, FindsOwnNamesBeforeStreetWordsInCapitals) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Rose Hill");
  scrubber_.AddName("Bo Young");
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"SPOKE TO YOUNG CLOSE TO THE DOOR", "SPOKE TO <PERSON_NAME boyoung> CLOSE TO THE DOOR"},
           {"STOPPED BY YOUNG DRIVE AWAY", "STOPPED BY <PERSON_NAME boyoung> DRIVE AWAY"},
           {"AT 14:30 YOUNG WALK OFF", "AT 14:30 <PERSON_NAME boyoung> WALK OFF"},
           {"NEAR HILL WALK AWAY", "NEAR <PERSON_NAME rosehill> WALK AWAY"},
           {"AT 12 YOUNG DRIVE", "AT 12 YOUNG DRIVE"},
           {"ON YOUNG STREET", "ON YOUNG STREET"},
           {"on Young Close", "on Young Close"}})
    EXPECT_EQ(Marked(text), marked);
}

TEST_F(ScrubTest, FindsNamesJoinedToOtherWords) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Ngozi Okafor");
  for (const char* front : {"Mr", "saw", "PC", "Detained", "now", "ID", "DETAINED|"}) {
    const std::string before = front;
    EXPECT_EQ(Marked(base::StrCat("then ", before, "Okafor left")),
              base::StrCat("then ", before, "<PERSON_NAME ngoziokafor> left"));
  }
  EXPECT_EQ(Marked("OKAFORsaid so"), "<PERSON_NAME ngoziokafor>said so");
  EXPECT_EQ(Marked("sawNgoziOkafor"), "saw<PERSON_NAME ngoziokafor>");
  for (const char* text : {"aWord", "PCBooks", "iOS", "HTMLParser"}) EXPECT_EQ(Marked(text), text);
}

TEST_F(ScrubTest, FindsNamesBesideFigures) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Ngozi Okafor");
  scrubber_.AddName("May Nd");
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"as Okafor85 online", "as <PERSON_NAME ngoziokafor>85 online"},
           {"ngoziokafor85", "<PERSON_NAME ngoziokafor>85"},
           {"Okafor0600", "<PERSON_NAME ngoziokafor>0600"},
           {"IC3Okafor ran", "IC3<PERSON_NAME ngoziokafor> ran"},
           {"0600sawOkafor ran", "0600saw<PERSON_NAME ngoziokafor> ran"},
           {"on 12May26, 2Nd floor, May5", "on 12May26, 2Nd floor, May5"}})
    EXPECT_EQ(Marked(text), marked);
}

TEST_F(ScrubTest, FindsPlurals) {
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Jean Okafor");
  scrubber_.AddName("Bo Jones");
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"Okafors car, the okafors",
            "<PERSON_NAME jeanokafor> car, the <PERSON_NAME jeanokafor>"},
           {"OKAFORS CAR", "<PERSON_NAME jeanokafor> CAR"},
           {"the Joneses", "the <PERSON_NAME bojones>"},
           {"in blue jeans", "in blue jeans"},
           {"BLUE JEANS", "BLUE JEANS"}})
    EXPECT_EQ(Marked(text), marked);
}

TEST_F(ScrubTest, FindsNamesWithAndWithoutTheirMarks) {
  const std::pair<std::string, std::string> kNames[] = {
      {"Garc\u00EDa", "Garcia"}, {"Si\u00E2n", "Sian"},     {"Nguy\u1EC5n", "Nguyen"},
      {"\u0141ask", "Lask"},     {"K\u00FCrten", "Kurten"}, {"K\u00FCrten", "Kuerten"},
      {"\u00D8rsted", "Orsted"}, {"O'Se\u0301", "O'Se"}};
  for (const auto& [marked, plain] : kNames) {
    for (const auto& [field, said] :
         {std::pair(marked, plain), std::pair(plain, marked), std::pair(marked, marked)}) {
      scrubber_.NextEvent(2026);
      scrubber_.AddName(base::StrCat("Una ", field));
      const std::string found = Marked(base::StrCat("Saw Una ", said, " run, and ", said, "."));
      EXPECT_TRUE(found.starts_with("Saw <PERSON_NAME una") &&
                  found.find("> run, and <PERSON_NAME una") != std::string::npos)
          << field << " in " << said << ": " << found;
    }
  }
  // Of two whose names differ in their marks only, a name with marks is one's.
  scrubber_.NextEvent(2026);
  scrubber_.AddName("Zo\u00EB Young");
  scrubber_.AddName("Zoe Young");
  EXPECT_EQ(Marked("Zo\u00EB Young"), "<PERSON_NAME zo\u00EByoung>");
  EXPECT_EQ(Marked("Zoe Young"), "<PERSON_NAME>");
}

TEST_F(ScrubTest, FindsValuesBesideSignsAndInOtherSpellings) {
  scrubber_.AddBirth("1974-11-23");
  scrubber_.AddNumber(WARRANT_NUMBER, "482913");
  for (const auto& [text, marked] : std::initializer_list<std::pair<const char*, const char*>>{
           {"IP:2001:db8::1", "IP:<IP_ADDRESS 2001:db8::1>"},
           {"addr:fe80::1", "addr:<IP_ADDRESS fe80::1>"},
           {"src:2001:db8::1 dst:2001:db8::2",
            "src:<IP_ADDRESS 2001:db8::1> dst:<IP_ADDRESS 2001:db8::2>"},
           {"\uFF1A2001:db8::1, :fe80::2", "\uFF1A<IP_ADDRESS 2001:db8::1>, :<IP_ADDRESS fe80::2>"},
           {"a::b, ab::cd", "a::b, ab::cd"},
           {"Vehicle #AB12CDE", "Vehicle #<VRM AB12CDE>"},
           {"#AB12 CDE", "#<VRM AB12CDE>"},
           {"\uFF03AB12CDE", "\uFF03<VRM AB12CDE>"},
           {"#SW1A 1AA", "#<POSTCODE SW1A 1AA>"},
           {"#A12BCD, vehicle #A12BCD", "#A12BCD, vehicle #<VRM A12BCD>"},
           {"DOB 12MAR1981", "DOB <BORN>"},
           {"DOB 12Mar81, 12 MAR 81", "DOB <BORN>, <BORN>"},
           {"noted 23NOV1974", "noted <BORN>"},
           {"born 12th March 81", "born <BORN>"},
           {"on 12th March 81 people", "on 12th March 81 people"},
           {"DOB12/03/1981", "DOB<BORN>"},
           {"DOB12031981, dob120381", "DOB<BORN>, dob<BORN>"},
           {"Date of birth 1981 03 12", "Date of birth <BORN>"},
           {"DOB given as 12031981", "DOB given as <BORN>"},
           {"PC482913 saw PC123AW", "PC<WARRANT_NUMBER 482913> saw PC<SHOULDER_NUMBER 123AW>"},
           {"at GIR 0AA", "at <POSTCODE GIR 0AA>"},
           {"Postcode gir 0aa", "Postcode <POSTCODE GIR 0AA>"},
           {"saw ABC 123 D go", "saw <VRM ABC123D> go"},
           {"saw A 123 BCD go", "saw <VRM A123BCD> go"},
           {"CAD 123 D, REF 456 B, S 136 MHA", "CAD 123 D, REF 456 B, S 136 MHA"},
           {"SECTION S136 MHA", "SECTION S136 MHA"},
           {"held under S136 MHA", "held under S136 MHA"},
           {"A 30 MPH ZONE, A 20 MIN WALK", "A 30 MPH ZONE, A 20 MIN WALK"},
           {"saw AB1 2CDE go", "saw <VRM AB12CDE> go"},
           {"saw AB12C DE go", "saw <VRM AB12CDE> go"},
           {"saw AB 12CDE go", "saw <VRM AB12CDE> go"},
           {"AT 12HRS ON A40 2MEN", "AT 12HRS ON A40 2MEN"},
           {"kim@exam_ple.org", "<EMAIL kim@exam_ple.org>"},
           {"kim&bo@example.org", "<EMAIL kim&bo@example.org>"},
           {"s?a=1&e=bo@example.org", "s?a=1&e=<EMAIL bo@example.org>"}})
    EXPECT_EQ(Marked(text), marked);
}

// The work is linear in the bytes: these take minutes otherwise.
TEST_F(ScrubTest, IsLinear) {
  std::string words, distinct, marks = "a";
  for (int i = 0; i < 100'000; ++i) {
    words += "ab ";
    base::StrAppend(distinct, static_cast<char>('a' + i % 26), static_cast<char>('a' + i / 26 % 26),
                    static_cast<char>('a' + i / 676 % 26), static_cast<char>('a' + i / 17576), ' ');
    marks += i < 50'000 ? "\u0301" : "\u0316";
  }
  std::string noughts, dots, ats;
  for (int i = 0; i < 100'000; ++i) {
    noughts += "0 ";
    dots += "a.";
    ats += "a@";
  }
  for (const std::string* text : {&words, &distinct, &marks, &noughts, &dots, &ats}) {
    scrubber_.NextEvent(2026);
    scrubber_.AddName(*text);
    scrubber_.Find(*text);
  }
  scrubber_.NextEvent(2026);
  for (int i = 0; i < 50'000; ++i)
    scrubber_.AddName(base::StrCat("Ab", distinct.substr(static_cast<size_t>(i) * 5, 4)));
  scrubber_.Find(distinct);
}

// Every own name and kind beside every mark, in every shape; and prose that only looks alike.
TEST(ScrubCorpus, HoldsItsBars) {
  const char* wanted = std::getenv("SLUICE_SCRUB_SAMPLES");
  const size_t samples = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 12;
  bench::MarkedCorpus corpus(7);
  Scrubber scrubber;
  size_t planted = 0, missed = 0, findings = 0, wrong = 0;
  auto look = [&](const bench::PlantedText& text, const std::string& what) {
    scrubber.NextEvent(text.year);
    for (const std::string& name : text.names) scrubber.AddName(name);
    for (const std::string& birth : text.births) scrubber.AddBirth(birth);
    if (!text.warrant.empty()) scrubber.AddNumber(WARRANT_NUMBER, text.warrant);
    if (!text.passport.empty()) scrubber.AddNumber(PASSPORT, text.passport);
    const bench::Found found = bench::Compare(text, scrubber.Find(text.text));
    planted += text.planted.size();
    missed += text.planted.size() - found.planted;
    findings += found.findings;
    wrong += found.findings - found.right;
    if ((found.planted < text.planted.size() || found.right < found.findings) &&
        missed + wrong < 20)
      ADD_FAILURE() << what << ": " << testing::PrintToString(text.text) << " for "
                    << text.names[0];
  };
  for (size_t i = 0; i < samples; ++i) {
    for (size_t sort = 0; sort < bench::MarkedCorpus::sorts(); ++sort) {
      for (size_t mark = 0; mark < bench::MarkedCorpus::marks(); ++mark)
        look(corpus.Next(sort, mark),
             base::StrCat(bench::MarkedCorpus::NameOfSort(sort), " beside ",
                          bench::MarkedCorpus::NameOfMark(mark)));
    }
  }
  for (size_t i = 0; i < samples * 100; ++i) look(corpus.Ordinary(), "prose");
  EXPECT_LE(missed * 2000, planted);
  EXPECT_LE(wrong * 500, findings);
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
