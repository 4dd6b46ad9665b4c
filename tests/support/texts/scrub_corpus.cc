#include "tests/support/texts/scrub_corpus.h"

#include <algorithm>
#include <iterator>

#include "common/base/strings.h"

namespace sluice::bench {
namespace {

using namespace contract::v1;
using base::StrCat;

constexpr std::string_view kFirst[] = {"Avery", "Blake",     "Casey",    "Devon",    "Ellis",
                                       "Mark",  "Rose",      "May",      "Will",     "Jos\u00E9",
                                       "Grace", "Quinn",     "Mary-Ann", "Zo\u00EB", "Noor",
                                       "Kit",   "Oluwaseun", "Bill",     "Sasha",    "Hope"};
constexpr std::string_view kLast[] = {
    "Ashdown", "Young",   "Cawthorne", "O'Archer",        "Bell-King", "Brown",  "Fernsby",
    "Field",   "Hollis",  "Ibbotson",  "N\u00FA\u00F1ez", "Larkhill",  "Baker",  "St John",
    "Price",   "Okonkwo", "Rookwood",  "Thistlewood",     "Ward",      "Yardley"};
// Of people whom no event names.
constexpr std::string_view kStrangers[] = {"Tamsin Petheridge", "Mr Vandersloot", "Idris Quennell",
                                           "Miss Abercrombie"};
constexpr std::string_view kStreets[] = {"High Street", "King Street", "Baker Street",
                                         "Young Lane",  "Field Road",  "Station Approach",
                                         "Ward Close",  "Brown Avenue"};
constexpr std::string_view kActs[] = {"section 23 of the Misuse of Drugs Act 1971", "s.1 PACE 1984",
                                      "s60 CJPOA 1994", "section 47 Firearms Act 1968"};
constexpr std::string_view kDistricts[] = {"SW1A", "N1", "E8", "SE15", "W12", "CR0", "EC2M", "BR1"};
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

// A capital letter behind % stands for what is planted, a small one for what only looks alike.
constexpr std::string_view kSentences[] = {
    "%N was stopped outside the shop on %s.",
    "Subject gave the name %N, born %B.",
    "Male detained, %N, DOB %B, of %Z.",
    "%L became abusive and refused to leave.",
    "%G said that he had been with friends since %t.",
    "Seen with %N and another male near %s at about %t.",
    "Caller on %P reports two males near %s.",
    "Call back on %P after %t.",
    "PNC check on %K, no trace.",
    "PNC %K, CRO %C, warning for weapons.",
    "Vehicle %V seen leaving %s at %t.",
    "Index %V, registered keeper lives at %Z.",
    "Address for updates is %E.",
    "NHS number %H passed to the hospital.",
    "National Insurance %I shown on a letter.",
    "Driving licence %D produced at the roadside.",
    "Arrested on %r under %A.",
    "Attended with PC %O, nothing further.",
    "Threats sent from %J during the night.",
    "Officers attended at %t on %r, CAD %c refers.",
    "Searched under %q, nothing found.",
    "Bus %b towards %s was delayed by %n minutes.",
    "Goods worth %p recovered, exhibit %x.",
    "Closed the %a between junctions %n and %n.",
    "Crime number %k, earlier reference %w.",
    "Flat %n, third floor; aged %n to %n, 5ft 11, size 10 shoes.",
    "A young man in a brown coat, the mark of a field on his shoe, will return in may.",
    "Stopped on %n after matching description circulated by control room, ref %w.",
    "The price of hope is one king in the ward, said a baker.",
    "Till receipt %w shows %n items at %t, total %p.",
    "Witness %U will provide a statement.",
    "Vehicle %Y parked across the drive.",
    "Also recorded as %M by the shop.",
    "Document %T was seized.",
    "Text came from %X this morning.",
};
// Those at the end hold what is hard to find, or can't be found, and are rarer.
constexpr size_t kHard = 5;

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}
std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}
template <size_t N>
std::string Pick(const std::string_view (&from)[N], uint32_t number) {
  return std::string(from[number % N]);
}
std::string TwoDigits(uint32_t number) { return StrCat(number < 10 ? "0" : "", number); }

}  // namespace

char CheckLetter(std::string_view digits) {
  unsigned value = 0;
  for (char c : digits) value = (value * 10 + static_cast<unsigned>(c - '0')) % 23;
  return "ZABCDEFGHJKLMNPQRTUVWXY"[value];
}

char NhsCheck(std::string_view body) {
  int sum = 0;
  for (int i = 0; i < 9; ++i) sum += (10 - i) * (body[static_cast<size_t>(i)] - '0');
  const int check = (11 - sum % 11) % 11;
  return check == 10 ? '\0' : static_cast<char>('0' + check);
}

std::string ScrubCorpus::Digits(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out.push_back(static_cast<char>('0' + Below(10)));
  return out;
}

std::string ScrubCorpus::Letters(std::string_view alphabet, int count) {
  std::string out;
  for (int i = 0; i < count; ++i)
    out.push_back(alphabet[Below(static_cast<uint32_t>(alphabet.size()))]);
  return out;
}

ScrubCorpus::Person ScrubCorpus::NewPerson() {
  return {Pick(kFirst, Below(1000)), Pick(kLast, Below(1000)),
          StrCat(1946 + Below(68), "-", TwoDigits(1 + Below(12)), "-", TwoDigits(1 + Below(28)))};
}

std::string ScrubCorpus::NameOf(const Person& person) {
  switch (Below(6)) {
    case 0:
      return StrCat(Upper(person.last), ", ", person.first);
    case 1:
      return Upper(StrCat(person.first, " ", person.last));
    case 2:
      return Lower(StrCat(person.first, " ", person.last));
    case 3:
      return StrCat(person.last, " ", person.first);
    default:
      return StrCat(person.first, " ", person.last);
  }
}

std::string ScrubCorpus::DateOf(const std::string& iso) {
  std::string year = iso.substr(0, 4), month = iso.substr(5, 2), day = iso.substr(8, 2);
  std::string name = Pick(kMonths, static_cast<uint32_t>(std::stoi(month) - 1));
  switch (Below(6)) {
    case 0:
      return iso;
    case 1:
      return StrCat(day, "/", month, "/", year);
    case 2:
      return StrCat(day, ".", month, ".", year.substr(2));
    case 3:
      return StrCat(std::stoi(day), " ", name, " ", year);
    case 4:
      return StrCat(std::stoi(day), "th of ", name, " ", year);
    default:
      return StrCat(day, "-", name.substr(0, 3), "-", year);
  }
}

std::string ScrubCorpus::Phone() {
  std::string mobile = StrCat("7700 900", Digits(3)), line = Digits(3);
  switch (Below(8)) {
    case 0:
      return StrCat("0", mobile);
    case 1:
      return StrCat("+44 ", mobile);
    case 2:
      return StrCat("0044", mobile.substr(0, 4), mobile.substr(5));
    case 3:
      return StrCat("07700-900-", line);
    case 4:
      return StrCat("(020) 7946 0", line);
    case 5:
      return StrCat("020 7946 0", line);
    case 6:
      return StrCat("+44 (0)20 7946 0", line);
    default:
      return StrCat("07700900", line);
  }
}

std::string ScrubCorpus::Mark() {
  constexpr std::string_view kFront = "ABCDEFGHJKLMNPRSTUVWXY", kBack = "ABCDEFGHJKLMNOPRSTUVWXYZ";
  std::string mark = StrCat(Letters(kFront, 2), Below(2) ? "1" : "6", 2 + Below(8));
  std::string back = Letters(kBack, 3);
  switch (Below(7)) {
    case 0:
      return Lower(StrCat(mark, back));
    case 1:  // as it is misread
      if (mark[2] == '1') mark[2] = 'I';
      return StrCat(mark, " ", back);
    case 2:
      std::replace(back.begin(), back.end(), 'O', '0');
      return StrCat(mark, back);
    case 3:
      return StrCat(Letters("ABCDEFGHJKLMNP", 1), 100 + Below(900), Letters("ABCDEFGHJK", 3));
    case 4:
      return StrCat(Letters("ABCDEFGHJK", 3), " ", 100 + Below(900), Letters("KLMNP", 1));
    case 5:
      return StrCat(mark, back);
    default:
      return StrCat(mark, " ", back);
  }
}

void ScrubCorpus::Plant(IdentifierKind kind, std::string_view text, PlantedText& out,
                        bool claimed) {
  size_t begin = out.text.size();
  out.text.append(text);
  out.planted.push_back({begin, out.text.size(), kind, claimed});
}

void ScrubCorpus::Fill(char what, const Person& person, PlantedText& out) {
  auto checked = [](std::string body, std::string_view digits) {
    body.push_back(CheckLetter(digits));
    return body;
  };
  switch (what) {
    case 'N':
      return Plant(PERSON_NAME, NameOf(person), out);
    case 'L':
      return Plant(PERSON_NAME, person.last, out);
    case 'G':
      return Plant(PERSON_NAME, person.first, out);
    case 'B':
      return Plant(IDENTIFIER_KIND_UNSPECIFIED, DateOf(person.birth), out);
    case 'Z':
      return Plant(
          POSTCODE,
          StrCat(Pick(kDistricts, Below(1000)), " ", Below(10), Letters("ABDEFGHJLNPQRSTUWXYZ", 2)),
          out);
    case 'P':
      return Plant(PHONE, Phone(), out);
    case 'K': {
      std::string year = std::to_string(1960 + Below(60));
      std::string serial = Digits(7);
      std::string full = checked(StrCat(year, "/", serial), StrCat(year.substr(2), serial));
      if (Below(2)) full = full.substr(2);
      return Plant(PNC_ID, full, out);
    }
    case 'C': {
      const std::string serial = Digits(6), year = TwoDigits(50 + Below(45));
      return Plant(CRO, checked(StrCat(serial, "/", year), StrCat(year, serial)), out);
    }
    case 'A': {
      // Digits of force and system, then the year: letters count for nothing.
      const std::string year = TwoDigits(5 + Below(20)), serial = Digits(11);
      return Plant(ASN, checked(StrCat(year, "01VK01", serial), StrCat("01", "01", year, serial)),
                   out);
    }
    case 'H': {
      std::string body = Digits(9);
      // A tenth of all bodies has no check digit.
      while (NhsCheck(body) == '\0' || body[0] == '0') body = Digits(9);
      std::string number = body;
      number.push_back(NhsCheck(body));
      if (Below(2)) number.insert(6, " ").insert(3, " ");
      return Plant(NHS_NUMBER, number, out);
    }
    case 'I': {
      std::string digits = Digits(6), front = Letters("ABCEHJLMPRST", 1) + "M";
      std::string back = Letters("ABCD", 1);
      return Plant(NINO,
                   Below(2) ? StrCat(front, digits, back)
                            : StrCat(front, " ", digits.substr(0, 2), " ", digits.substr(2, 2), " ",
                                     digits.substr(4), " ", back),
                   out);
    }
    case 'V':
      return Plant(VRM, Mark(), out);
    case 'D':
      return Plant(DRIVING_LICENCE,
                   StrCat(Letters("ABCDEFGHJKLMNPRST", 5), Digits(1), TwoDigits(1 + Below(12)),
                          TwoDigits(1 + Below(28)), Digits(1), Letters("ABCDEFGH", 2),
                          Letters("ABCDEFGH2345", 1), Letters("ABCDEFGH", 2)),
                   out);
    case 'E':
      return Plant(EMAIL,
                   StrCat(Letters("abcdeghilmnorst", 7), ".", Letters("aeiou", 2),
                          Below(2) ? "@example.com" : "@mail.example.co.uk"),
                   out);
    case 'J':
      return Plant(IP_ADDRESS, StrCat("203.0.113.", Below(256)), out);
    case 'O':
      return Plant(SHOULDER_NUMBER, StrCat(100 + Below(900), Letters("ACEGHJKLNPRSTWX", 2)), out);
    // Hard ones, and those that aren't claimed.
    case 'U':
      return Plant(PERSON_NAME, Pick(kStrangers, Below(1000)), out, false);
    case 'Y':
      return Plant(VRM,
                   Below(2) ? StrCat(Letters("ABCDEFGH", 1), "IZ ", 1000 + Below(9000))
                            : StrCat(1 + Below(999), " ", Letters("BCDFGHJK", 3)),
                   out);
    case 'M': {
      std::string misspelt = person.last;
      if (misspelt.size() > 3) std::swap(misspelt[1], misspelt[2]);
      const bool one_word = std::all_of(person.last.begin(), person.last.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      });
      return Plant(PERSON_NAME, misspelt, out, one_word && misspelt.size() >= 5);
    }
    case 'T':
      // Half of them are the event's own.
      if (Below(2)) {
        const bool own = Below(2);
        return Plant(PASSPORT, own ? out.passport : StrCat("5", Digits(8)), out, own);
      } else {
        const bool own = Below(2);
        return Plant(WARRANT_NUMBER, own ? out.warrant : Digits(6), out, own);
      }
    case 'X': {
      std::string spoken = StrCat("O77OO 9OO ", Digits(3));
      return Plant(PHONE, spoken, out);
    }
    // What only looks alike.
    case 's':
      out.text += Pick(kStreets, Below(1000));
      return;
    case 't':
      out.text += StrCat(TwoDigits(Below(24)), ":", TwoDigits(Below(60)));
      return;
    case 'r':
      out.text += DateOf(StrCat("2026-0", 1 + Below(9), "-", TwoDigits(1 + Below(28))));
      return;
    case 'c':
      out.text += StrCat(1 + Below(9999), "/", TwoDigits(1 + Below(28)), "MAR26");
      return;
    case 'q':
      out.text += Pick(kActs, Below(1000));
      return;
    case 'b':
      out.text += StrCat(Below(2) ? "N" : "", 1 + Below(300));
      return;
    case 'n':
      out.text += std::to_string(1 + Below(60));
      return;
    case 'p':
      out.text += StrCat("\u00A3", 1 + Below(999), ".", TwoDigits(Below(100)));
      return;
    case 'x':
      out.text += StrCat(Letters("ABCDEFGH", 3), "/", 1 + Below(20));
      return;
    case 'a':
      out.text += StrCat(Below(2) ? "A" : "M", 1 + Below(400));
      return;
    case 'k':
      out.text += StrCat(1000000 + Below(9000000), "/26");
      return;
    default:
      out.text += Digits(7);
      return;
  }
}

PlantedText ScrubCorpus::Next() {
  PlantedText out;
  std::vector<Person> people(1 + Below(3));
  for (Person& person : people) {
    person = NewPerson();
    out.names.push_back(StrCat(person.first, " ", person.last));
    out.births.push_back(person.birth);
  }
  out.warrant = StrCat(1 + Below(9), Digits(5));
  out.passport = StrCat("5", Digits(8));
  const uint32_t sentences = 1 + Below(6);
  for (uint32_t i = 0; i < sentences; ++i) {
    const size_t easy = std::size(kSentences) - kHard;
    std::string_view sentence =
        Below(20) == 0 ? kSentences[easy + Below(kHard)] : kSentences[Below(easy)];
    const Person& person = people[Below(static_cast<uint32_t>(people.size()))];
    if (i > 0) out.text += ' ';
    for (size_t at = 0; at < sentence.size(); ++at) {
      if (sentence[at] == '%') {
        Fill(sentence[++at], person, out);
      } else {
        out.text += sentence[at];
      }
    }
  }
  return out;
}

}  // namespace sluice::bench
