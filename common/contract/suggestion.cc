#include "common/contract/suggestion.h"

#include <utility>

namespace sluice::contract {
namespace {

// By words of a name in small letters, joined by one underscore. The first that is found counts, so
// longer ones stand before those that are a part of them.
constexpr std::pair<std::string_view, std::string_view> kByWords[] = {
    {"next_of_kin", "identifier = PERSON_NAME"},
    {"date_of_birth", "quasi = DATE_OF_BIRTH"},
    {"dob", "quasi = DATE_OF_BIRTH"},
    {"birth", "quasi = DATE_OF_BIRTH"},
    {"birthday", "quasi = DATE_OF_BIRTH"},
    {"email", "identifier = EMAIL"},
    {"phone", "identifier = PHONE"},
    {"mobile", "identifier = PHONE"},
    {"telephone", "identifier = PHONE"},
    {"tel", "identifier = PHONE"},
    {"msisdn", "identifier = PHONE"},
    {"postcode", "identifier = POSTCODE"},
    {"ip_address", "identifier = IP_ADDRESS"},
    {"ip", "identifier = IP_ADDRESS"},
    {"address", "identifier = ADDRESS"},
    {"uprn", "identifier = UPRN"},
    {"pnc", "identifier = PNC_ID"},
    {"cro", "identifier = CRO"},
    {"asn", "identifier = ASN"},
    {"nhs", "identifier = NHS_NUMBER"},
    {"nino", "identifier = NINO"},
    {"vrm", "identifier = VRM"},
    {"licence", "identifier = DRIVING_LICENCE"},
    {"passport", "identifier = PASSPORT"},
    {"warrant", "identifier = WARRANT_NUMBER"},
    {"collar", "identifier = SHOULDER_NUMBER"},
    {"shoulder", "identifier = SHOULDER_NUMBER"},
    {"imei", "identifier = FREE_IDENTIFIER"},
    {"imsi", "identifier = FREE_IDENTIFIER"},
    {"iban", "identifier = FREE_IDENTIFIER"},
    {"alias", "identifier = PERSON_NAME"},
    {"aliases", "identifier = PERSON_NAME"},
    {"surname", "identifier = PERSON_NAME"},
    {"forename", "identifier = PERSON_NAME"},
    {"firstname", "identifier = PERSON_NAME"},
    {"lastname", "identifier = PERSON_NAME"},
    {"name", "identifier = PERSON_NAME"},
    {"latitude", "quasi = LATITUDE"},
    {"longitude", "quasi = LONGITUDE"},
    {"street", "quasi = LOCATION_TEXT"},
    {"gender", "quasi = GENDER"},
    {"nationality", "quasi = NATIONALITY"},
    {"occupation", "quasi = OCCUPATION"},
    {"age", "quasi = AGE"},
    {"ethnicity", "sensitive = ETHNICITY"},
    {"religion", "sensitive = RELIGION"},
    {"narrative", "free_text = true"},
    {"notes", "free_text = true"},
    {"comments", "free_text = true"},
    {"remarks", "free_text = true"},
};

// `nextOfKin` and `Next_of_kin` as `_next_of_kin_`: a word is found with an underscore on both
// sides.
std::string Words(std::string_view name) {
  std::string words = "_";
  bool after_capital = true;
  for (char c : name) {
    bool capital = c >= 'A' && c <= 'Z';
    if (capital && !after_capital && words.back() != '_') words.push_back('_');
    words.push_back(capital ? static_cast<char>(c - 'A' + 'a') : c);
    after_capital = capital;
  }
  return words + "_";
}

}  // namespace

std::string SuggestedOption(std::string_view field_name) {
  const std::string words = Words(field_name);
  for (const auto& [wanted, option] : kByWords) {
    if (words.find("_" + std::string(wanted) + "_") != std::string::npos)
      return std::string(option);
  }
  return "";
}

}  // namespace sluice::contract
