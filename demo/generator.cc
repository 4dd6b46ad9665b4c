#include "demo/generator.h"

#include <cstdio>
#include <iterator>

namespace sluice::demo {
namespace {

constexpr const char* kFirst[] = {
    "Avery",  "Blake",  "Casey", "Devon",  "Ellis", "Frankie", "Harper", "Indigo", "Jules", "Kit",
    "Lennox", "Marlow", "Noor",  "Oakley", "Perry", "Quinn",   "Reese",  "Sasha",  "Toby",  "Zuri"};
constexpr const char* kLast[] = {
    "Ashdown",   "Birchall",    "Cawthorne", "Dunmore",  "Eastgate",    "Fernsby",
    "Greystone", "Hollis",      "Ibbotson",  "Jessop",   "Kingsmead",   "Larkhill",
    "Mossley",   "Northcott",   "Oldbury",   "Penhale",  "Quarrington", "Rookwood",
    "Stanmore",  "Thistlewood", "Underhill", "Wexcombe", "Yardley"};
constexpr const char* kTypes[] = {"Person search", "Person search", "Person search",
                                  "Vehicle search", "Person and Vehicle search"};
constexpr const char* kLaws[] = {"Misuse of Drugs Act 1971 (section 23)",
                                 "Police and Criminal Evidence Act 1984 (section 1)",
                                 "Criminal Justice and Public Order Act 1994 (section 60)"};
constexpr const char* kObjects[] = {"Controlled drugs", "Stolen goods", "Offensive weapons",
                                    "Article for use in theft"};
constexpr const char* kOutcomes[] = {
    "\"A no further action disposal\"", "\"Arrest\"", "\"Community resolution\"",
    "\"Penalty Notice for Disorder\"",  "false",      "\"\""};
constexpr const char* kEthnicities[] = {"W1", "W2", "W9", "M1", "A1", "A3", "B1", "B2", "O9", "NS"};
constexpr const char* kObserved[] = {"White", "Black", "Asian", "Mixed", "Other"};
constexpr const char* kDistricts[] = {"SW1A", "N1",  "E8",   "SE15", "W12",
                                      "NW3",  "CR0", "EC2M", "BR1",  "HA1"};

}  // namespace

// Year and serial of a person's PNC id, with the check letter of their number modulo 23.
std::string Generator::Pnc(uint32_t person) {
  constexpr char kLetters[] = "ZABCDEFGHJKLMNPQRTUVWXY";
  uint64_t year = 1975 + person % 45, serial = 1 + person * 37ull % 9'000'000;
  char text[16];
  std::snprintf(text, sizeof(text), "%04u/%07u%c", static_cast<unsigned>(year),
                static_cast<unsigned>(serial), kLetters[(year % 100 * 10'000'000 + serial) % 23]);
  return text;
}

std::string Generator::WarrantNo(uint32_t officer) { return std::to_string(10'000 + officer); }

std::span<const char* const> Generator::Laws() { return kLaws; }

std::span<const char* const> Generator::Objects() { return kObjects; }

const std::string& Generator::Next() {
  uint64_t number = count_++;
  uint32_t person = Below(kPeople), officer = Below(kOfficers);
  uint64_t id = random_();
  // The six ways: no JSON, unknown type, point outside of London, time without offset, birth that
  // is no date, wrong letter.
  int broken = number % 50 == 49 ? static_cast<int>(number / 50 % 6) : -1;
  std::string pnc = Pnc(person);
  if (broken == 5) pnc.back() = pnc.back() == 'A' ? 'B' : 'A';
  bool untidy = Below(10) == 0;
  double latitude = broken == 2 ? 53.4 : 51.3 + Below(400'000) / 1e6;
  double longitude = -0.45 + Below(700'000) / 1e6;
  char text[2048];
  int size = std::snprintf(
      text, sizeof(text),
      "{\"event_id\":\"%08x-%04x-4%03x-a%03x-%012llx\",\"occurred_at\":\"2026-%02u-%02uT%02u:%02u:"
      "00%s\",\"type\":\"%s\","
      "\"officer\":{\"warrant_no\":\"%s\",\"shoulder_no\":\"%u%s\",\"borough\":\"E09%06u\"},"
      "\"subject\":{\"name\":\"%s%s "
      "%s\",\"date_of_birth\":\"%u-%02u-%s\",\"gender\":\"%s\",\"self_defined_ethnicity\":\"%s\","
      "\"officer_defined_ethnicity\":\"%s\",\"phone\":\"%s7700 900%03u\",\"pnc_id\":\"%s\"},"
      "\"location\":{\"latitude\":%s%.6f%s,\"longitude\":%.6f,\"postcode\":\"%s "
      "%u%s\",\"street\":\"On or near High Street\"},"
      "\"legislation\":\"%s\",\"object_of_search\":\"%s\",\"outcome\":%s,\"outcome_linked_to_"
      "object\":%s,\"strip_searched\":false,"
      "\"grounds\":\"Seen near the station by a colleague; matched the description circulated "
      "under %u.\","
      "\"incident_reference\":\"CAD %u/04MAR26\"%s}",
      static_cast<unsigned>(id >> 32), static_cast<unsigned>(id >> 16 & 0xffff),
      static_cast<unsigned>(id & 0xfff), static_cast<unsigned>(number & 0xfff),
      static_cast<unsigned long long>(number), 1 + Below(9), 1 + Below(28), Below(24), Below(60),
      broken == 3 ? "" : "+00:00", broken == 1 ? "Kerbside chat" : kTypes[Below(std::size(kTypes))],
      WarrantNo(officer).c_str(), 100 + officer % 900, officer % 2 ? "AW" : "NE", 1 + Below(33),
      untidy ? " " : "", kFirst[person % std::size(kFirst)],
      kLast[person / std::size(kFirst) % std::size(kLast)], 1950 + person % 60, 1 + person % 12,
      broken == 4  ? "32"
      : person % 2 ? "07"
                   : "21",
      person % 5 ? "Male" : "Female", kEthnicities[person % std::size(kEthnicities)],
      kObserved[person % std::size(kObserved)], untidy ? "+44 " : "0", person % 1000, pnc.c_str(),
      untidy ? "\"" : "", latitude, untidy ? "\"" : "", longitude,
      kDistricts[Below(std::size(kDistricts))], Below(10), "AA", kLaws[Below(std::size(kLaws))],
      kObjects[Below(std::size(kObjects))], kOutcomes[Below(std::size(kOutcomes))],
      Below(5) ? "false" : "true", Below(9999), 1 + Below(9999),
      Below(20) ? "" : ",\"source_system\":\"legacy\"");
  event_.assign(text, static_cast<size_t>(broken == 0 ? size / 2 : size));
  return event_;
}

}  // namespace sluice::demo
