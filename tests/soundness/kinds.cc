#include "tests/soundness/kinds.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/privacy/identifier.h"

namespace sluice::soundness {
namespace {

using config::v1::Pseudonymise;
using config::v1::Treatment;

std::string Digits(Random& random, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text += static_cast<char>('0' + Below(random, 10));
  return text;
}

std::string Two(size_t number) { return base::StrCat(number < 10 ? "0" : "", number); }

std::string Capitals(Random& random, size_t length) {
  constexpr std::string_view kLetters = "ABCEGHJKLMNPRSTWXY";
  std::string text;
  for (size_t i = 0; i < length; ++i) text += kLetters[Below(random, kLetters.size())];
  return text;
}

// With the one last character that makes it valid. Which one that is, is nothing that is judged.
std::string WithCheck(contract::v1::IdentifierKind kind, const std::string& text) {
  for (char c : std::string_view("0123456789ABCDEFGHJKLMNPQRTUVWXYZ")) {
    std::string canonical;
    if (privacy::AppendCanonical(kind, text + c, canonical)) return text + c;
  }
  return "";
}

// A value that is valid for its kind; of kinds that any text is valid for, none.
std::string ValidValue(const std::string& of_class, Random& random) {
  using namespace contract::v1;
  if (of_class == "PNC_ID") {
    return WithCheck(PNC_ID, base::StrCat(1970 + Below(random, 40), "/", Digits(random, 7)));
  }
  if (of_class == "CRO")
    return WithCheck(CRO, base::StrCat(Digits(random, 6), "/", Two(60 + Below(random, 40))));
  if (of_class == "ASN") {
    return WithCheck(ASN, base::StrCat(Two(Below(random, 20)), "01VK01", Digits(random, 11)));
  }
  if (of_class == "NHS_NUMBER") {
    while (true) {  // of one number in eleven there is no check digit
      std::string text = WithCheck(NHS_NUMBER, "4" + Digits(random, 8));
      if (!text.empty()) return text;
    }
  }
  if (of_class == "NINO") return base::StrCat("AB", Digits(random, 6), "C");
  if (of_class == "VRM") return base::StrCat("AB", 51 + Below(random, 20), Capitals(random, 3));
  if (of_class == "DRIVING_LICENCE") {
    return base::StrCat(Capitals(random, 5), Below(random, 10), Two(1 + Below(random, 9)),
                        Two(10 + Below(random, 18)), Below(random, 10), "AB9", Capitals(random, 2));
  }
  if (of_class == "PASSPORT") return base::StrCat(1 + Below(random, 9), Digits(random, 8));
  if (of_class == "WARRANT_NUMBER") return base::StrCat(1 + Below(random, 9), Digits(random, 5));
  if (of_class == "SHOULDER_NUMBER") return base::StrCat(Digits(random, 4), Capitals(random, 2));
  if (of_class == "UPRN") return base::StrCat(1 + Below(random, 9), Digits(random, 11));
  return "";
}

std::string Postcode(Random& random) {
  constexpr std::string_view kAreas[] = {"N", "E", "BR", "CR", "HA"};
  constexpr std::string_view kEnds = "ABDEFGHJLNPQRSTUWXYZ";
  std::string text =
      base::StrCat(Any(kAreas, random), 1 + Below(random, 9), " ", Below(random, 10));
  for (int c = 0; c < 2; ++c) text += kEnds[Below(random, kEnds.size())];
  return text;
}

std::string Day(Random& random, size_t first_year, size_t years) {
  return base::StrCat(first_year + Below(random, years), "-", Two(1 + Below(random, 12)), "-",
                      Two(1 + Below(random, 28)));
}

std::string Prose(Random& random) {
  std::string marker;
  switch (Below(random, 7)) {
    case 0:
      marker = base::StrCat(Letters(random, 9), "@", Letters(random, 8), ".example");
      break;
    case 1:
      marker = ValidValue("NINO", random);
      break;
    case 2:
      marker = ValidValue("NHS_NUMBER", random);
      break;
    case 3:
      marker = Postcode(random);
      break;
    case 4:
      marker = ValidValue("PNC_ID", random);
      break;
    case 5:
      marker = ValidValue("DRIVING_LICENCE", random);
      break;
    default:
      marker = base::StrCat("07700", Digits(random, 6));
  }
  return base::StrCat("Caller rang twice and left ", marker, " for a reply.");
}

bool IsInteger(std::string_view type) {
  return type == "int32" || type == "int64" || type == "uint64";
}

bool IsIdentifier(const Kind& kind) { return kind.option.starts_with("identifier"); }

bool HasFormat(std::string_view of_class) {
  for (std::string_view other :
       {"PHONE", "PNC_ID", "CRO", "ASN", "NHS_NUMBER", "NINO", "VRM", "DRIVING_LICENCE", "PASSPORT",
        "WARRANT_NUMBER", "SHOULDER_NUMBER", "POSTCODE", "UPRN"})
    if (of_class == other) return true;
  return false;
}

// Whether a stream that isn't internal may have it, too.
bool Fits(const Kind& kind, Shape shape, Way way, bool internal) {
  const bool identifier = IsIdentifier(kind), text = kind.type == "string",
             point = kind.truth == Truth::kPoint, time = kind.type == "google.protobuf.Timestamp",
             date = kind.truth == Truth::kBirth || kind.truth == Truth::kDate,
             event_time = kind.of_class == "EVENT_TIME", id = kind.of_class == "EVENT_ID";
  if (way == "keep") return internal || (!event_time && !id);
  if (way == "drop") return true;
  if (way == "pseudonymise" || way == "encrypt") return identifier;
  if (way == "format_preserve") return identifier && HasFormat(kind.of_class);
  if (shape == Shape::kMapKey) return false;  // two keys would become one
  if (way == "constant") return true;
  if (way == "mask") return text && !date && (internal || !id);
  if (way == "shift") return time || date;
  if (way == "scrub") return kind.truth == Truth::kText;
  if (way == "generalise: age_bands") return kind.truth == Truth::kBirth;
  if (way == "generalise: hour") return time;
  if (way == "generalise: year" || way == "generalise: month" || way == "generalise: day")
    return time || date;
  if (way == "generalise: sector" || way == "generalise: district" || way == "generalise: area")
    return kind.truth == Truth::kPostcode;
  if (way == "generalise: grid_metres" || way == "generalise: snap" || way == "generalise: area_of")
    return point;
  if (way == "generalise: bucket")
    return !identifier && !point && (IsInteger(kind.type) || kind.type == "double");
  return false;
}

}  // namespace

bool Stands(const Kind& kind, Shape shape) {
  if (kind.truth == Truth::kPoint)
    return shape == Shape::kMessage || shape == Shape::kListOfMessages;
  // A map's parts have no `date`.
  if (kind.truth == Truth::kDate) return shape != Shape::kMapKey && shape != Shape::kMapValue;
  if (shape == Shape::kMapKey)
    return kind.type == "string" ? kind.truth != Truth::kText : IsInteger(kind.type);
  return true;
}

namespace {

// Years between two days, as people count them.
int AgeOn(const std::string& day, const std::string& birth) {
  int years = std::stoi(day.substr(0, 4)) - std::stoi(birth.substr(0, 4));
  return day.substr(5, 5) < birth.substr(5, 5) ? years - 1 : years;
}

}  // namespace

std::string Letters(Random& random, size_t length) {
  // No vowels, so that no word of ours comes of it.
  constexpr std::string_view kLetters = "bcdfghjkmnpqrstvwxz0123456789";
  std::string text;
  for (size_t i = 0; i < length; ++i)
    text += i == 0 ? kLetters[Below(random, 19)] : kLetters[Below(random, kLetters.size())];
  return text;
}

std::string_view NameOf(Shape shape) {
  switch (shape) {
    case Shape::kField:
      return "field";
    case Shape::kList:
      return "list";
    case Shape::kOneof:
      return "oneof";
    case Shape::kMapKey:
      return "map key";
    case Shape::kMapValue:
      return "map value";
    case Shape::kMessage:
      return "message";
    case Shape::kListOfMessages:
      return "list of messages";
    case Shape::kListInMessages:
      return "list in a list of messages";
    case Shape::kMapOfMessages:
      return "map of messages";
  }
  return "";
}

const std::vector<Kind>& Kinds() {
  static const auto* const kKinds = new std::vector<Kind>{
      {"PERSON_NAME", "identifier: PERSON_NAME", "string", Truth::kSecret},
      {"EMAIL", "identifier: EMAIL", "string", Truth::kSecret},
      {"PNC_ID", "identifier: PNC_ID", "string", Truth::kSecret},
      {"CRO", "identifier: CRO", "string", Truth::kSecret},
      {"ASN", "identifier: ASN", "string", Truth::kSecret},
      {"NHS_NUMBER", "identifier: NHS_NUMBER", "string", Truth::kSecret},
      {"NINO", "identifier: NINO", "string", Truth::kSecret},
      {"VRM", "identifier: VRM", "string", Truth::kSecret},
      {"DRIVING_LICENCE", "identifier: DRIVING_LICENCE", "string", Truth::kSecret},
      {"PASSPORT", "identifier: PASSPORT", "string", Truth::kSecret},
      {"WARRANT_NUMBER", "identifier: WARRANT_NUMBER", "string", Truth::kSecret},
      {"SHOULDER_NUMBER", "identifier: SHOULDER_NUMBER", "string", Truth::kSecret},
      {"UPRN", "identifier: UPRN", "string", Truth::kSecret},
      {"UPRN", "identifier: UPRN", "int64", Truth::kSecret},
      {"ADDRESS", "identifier: ADDRESS", "string", Truth::kSecret},
      {"IP_ADDRESS", "identifier: IP_ADDRESS", "string", Truth::kSecret},
      {"FREE_IDENTIFIER", "identifier: FREE_IDENTIFIER", "string", Truth::kSecret},
      {"FREE_IDENTIFIER", "identifier: FREE_IDENTIFIER", "uint64", Truth::kSecret},
      {"EVENT_ID", "identifier: EVENT_ID", "string", Truth::kId},
      {"PHONE", "identifier: PHONE", "string", Truth::kPhone},
      {"POSTCODE", "identifier: POSTCODE", "string", Truth::kPostcode},
      {"DATE_OF_BIRTH", "quasi: DATE_OF_BIRTH", "string", Truth::kBirth},
      {"AGE", "quasi: AGE", "int32", Truth::kShort},
      {"GENDER", "quasi: GENDER", "string", Truth::kSecret},
      {"GENDER", "quasi: GENDER", "Enum", Truth::kShort},
      {"NATIONALITY", "quasi: NATIONALITY", "string", Truth::kSecret},
      {"OCCUPATION", "quasi: OCCUPATION", "string", Truth::kSecret},
      {"LOCATION_TEXT", "quasi: LOCATION_TEXT", "string", Truth::kSecret},
      {"LATITUDE", "quasi: LATITUDE", "double", Truth::kPoint},
      {"ATTRIBUTE", "quasi: ATTRIBUTE", "string", Truth::kSecret},
      {"ATTRIBUTE", "quasi: ATTRIBUTE", "double", Truth::kShort},
      {"EVENT_TIME", "quasi: EVENT_TIME", "google.protobuf.Timestamp", Truth::kTime},
      {"EVENT_TIME", "quasi: EVENT_TIME date: true", "string", Truth::kDate},
      {"ETHNICITY", "sensitive: ETHNICITY", "string", Truth::kSecret},
      {"POLITICAL_OPINION", "sensitive: POLITICAL_OPINION", "string", Truth::kSecret},
      {"RELIGION", "sensitive: RELIGION", "string", Truth::kSecret},
      {"TRADE_UNION", "sensitive: TRADE_UNION", "string", Truth::kSecret},
      {"HEALTH", "sensitive: HEALTH", "string", Truth::kSecret},
      {"HEALTH", "sensitive: HEALTH", "bool", Truth::kShort},
      {"SEX_LIFE", "sensitive: SEX_LIFE", "string", Truth::kSecret},
      {"BIOMETRIC", "sensitive: BIOMETRIC", "string", Truth::kSecret},
      {"GENETIC", "sensitive: GENETIC", "string", Truth::kSecret},
      {"CRIMINAL_RECORD", "sensitive: CRIMINAL_RECORD", "string", Truth::kSecret},
      {"FREE_TEXT", "free_text: true", "string", Truth::kText},
      {"", "not_personal: true", "string", Truth::kPlain},
      {"", "not_personal: true", "int32", Truth::kPlain},
      {"", "not_personal: true", "bool", Truth::kPlain},
      {"", "not_personal: true", "Enum", Truth::kPlain},
      {"", "not_personal: true", "double", Truth::kPlain},
      {"", "not_personal: true", "bytes", Truth::kPlain},
  };
  return *kKinds;
}

std::string Leaf::Written() const {
  std::string written = path;
  if (shape == Shape::kListOfMessages || shape == Shape::kListInMessages ||
      shape == Shape::kMapOfMessages)
    written.insert(written.find('.'), "[]");
  if (shape == Shape::kMapKey || shape == Shape::kMapValue) written.insert(path.rfind('.'), "[]");
  return written;
}

const std::vector<Way>& Ways() {
  static const auto* const kWays = new std::vector<Way>{"keep",
                                                        "drop",
                                                        "constant",
                                                        "mask",
                                                        "pseudonymise",
                                                        "encrypt",
                                                        "format_preserve",
                                                        "shift",
                                                        "scrub",
                                                        "generalise: age_bands",
                                                        "generalise: year",
                                                        "generalise: month",
                                                        "generalise: day",
                                                        "generalise: hour",
                                                        "generalise: sector",
                                                        "generalise: district",
                                                        "generalise: area",
                                                        "generalise: grid_metres",
                                                        "generalise: bucket",
                                                        "generalise: snap",
                                                        "generalise: area_of"};
  return *kWays;
}

std::string Combination::ToString() const {
  return base::StrCat(kind->of_class.empty() ? "not_personal" : kind->of_class, " (", kind->type,
                      "), ", NameOf(shape), ", ", way);
}

const std::vector<Combination>& Combinations() {
  static const auto* const kAll = [] {
    auto* all = new std::vector<Combination>();
    for (const Kind& kind : Kinds()) {
      for (Shape shape : kShapes) {
        if (!Stands(kind, shape)) continue;
        for (Way way : Ways()) {
          // What lint can't call proven is a mistake.
          if (Fits(kind, shape, way, true) && (way != "keep" || !IsIdentifier(kind)))
            all->push_back({&kind, shape, way});
        }
      }
    }
    Random random(1);
    std::shuffle(all->begin(), all->end(), random);
    return all;
  }();
  return *kAll;
}

std::vector<Way> WaysOf(const Kind& kind, Shape shape, bool internal) {
  std::vector<Way> ways;
  for (Way way : Ways()) {
    if (Fits(kind, shape, way, internal)) ways.push_back(way);
  }
  return ways;
}

Treatment MakeTreatment(Way way, const Leaf& leaf, Random& random) {
  Treatment how;
  auto generalise = [&] { return how.mutable_generalise(); };
  if (way == "keep") how.mutable_keep();
  if (way == "drop") how.mutable_drop();
  if (way == "constant") how.set_constant("withheld");
  if (way == "mask") {
    int shown = static_cast<int>(Below(random, 3));
    if (Chance(random, 50)) {
      how.mutable_mask()->set_keep_first(shown);
    } else {
      how.mutable_mask()->set_keep_last(shown);
    }
  }
  if (way == "pseudonymise") {
    constexpr Pseudonymise::Linkage kLinkages[] = {Pseudonymise::domain, Pseudonymise::domain,
                                                   Pseudonymise::period, Pseudonymise::event,
                                                   Pseudonymise::none};
    how.mutable_pseudonymise()->set_linkage(Any(kLinkages, random));
  }
  if (way == "encrypt") how.mutable_encrypt();
  if (way == "format_preserve") how.mutable_format_preserve();
  if (way == "shift") how.mutable_shift()->set_person("who");
  if (way == "scrub") {
    how.mutable_scrub()->set_replace(Chance(random, 50) ? config::v1::Scrub::placeholders
                                                        : config::v1::Scrub::pseudonyms);
  }
  if (way == "generalise: age_bands") {
    for (int from : {18, 40}) generalise()->mutable_age_bands()->add_from(from);
  }
  if (way == "generalise: year") generalise()->mutable_year();
  if (way == "generalise: month") generalise()->mutable_month();
  if (way == "generalise: day") generalise()->mutable_day();
  if (way == "generalise: hour") generalise()->mutable_hour();
  if (way == "generalise: sector") generalise()->mutable_sector();
  if (way == "generalise: district") generalise()->mutable_district();
  if (way == "generalise: area") generalise()->mutable_area();
  if (way == "generalise: grid_metres")
    generalise()->set_grid_metres(static_cast<int>(100 * (1 + Below(random, 20))));
  if (way == "generalise: bucket") generalise()->set_bucket(leaf.type == "double" ? 25 : 10);
  if (way == "generalise: snap") generalise()->set_snap("points");
  if (way == "generalise: area_of") generalise()->mutable_area_of()->set_set("zones");
  return how;
}

Way WayOf(const Treatment& treatment) {
  if (treatment.how_case() == Treatment::HOW_NOT_SET) return "keep";
  const auto name = [](const google::protobuf::Message& of, const char* oneof) {
    return of.GetReflection()
        ->GetOneofFieldDescriptor(of, of.GetDescriptor()->FindOneofByName(oneof))
        ->name();
  };
  std::string way = name(treatment, "how");
  if (treatment.has_generalise()) way = "generalise: " + name(treatment.generalise(), "to");
  return *std::find(Ways().begin(), Ways().end(), way);
}

std::vector<Treatment> Chain(const Leaf& leaf, Random& random) {
  std::vector<Treatment> chain;
  auto add = [&](Way way) -> Treatment& {
    chain.push_back(MakeTreatment(way, leaf, random));
    return chain.back();
  };
  auto mask = [&](int first) {
    Treatment& treatment = add("mask");
    treatment.mutable_mask()->Clear();
    treatment.mutable_mask()->set_keep_first(first);
  };
  auto linked = [&](Pseudonymise::Linkage linkage, Pseudonymise::Calendar every) {
    Pseudonymise& how = *add("pseudonymise").mutable_pseudonymise();
    how.Clear();
    how.set_linkage(linkage);
    if (linkage == Pseudonymise::period) how.set_every(every);
  };
  add("drop");
  const bool key = leaf.shape == Shape::kMapKey;
  if (!key) add("constant");
  switch (leaf.truth) {
    case Truth::kPlain:
      return {};
    case Truth::kPoint:
      for (int metres : {5000, 2000, 500})
        add("generalise: grid_metres").mutable_generalise()->set_grid_metres(metres);
      break;
    case Truth::kBirth:
      if (Chance(random, 30)) {
        add("generalise: age_bands");
        add("generalise: age_bands").mutable_generalise()->mutable_age_bands()->add_from(60);
        break;
      }
      [[fallthrough]];
    case Truth::kDate:
    case Truth::kTime:
      if (key) break;
      for (Way way : {"generalise: year", "generalise: month", "generalise: day"}) add(way);
      if (leaf.truth == Truth::kTime) add("generalise: hour");
      break;
    case Truth::kPostcode:
      if (!key && Chance(random, 50)) {
        for (Way way : {"generalise: area", "generalise: district", "generalise: sector"}) add(way);
        break;
      }
      [[fallthrough]];
    case Truth::kPhone:
    case Truth::kId:
    case Truth::kSecret: {
      static constexpr std::string_view kOthers[] = {"GENDER", "NATIONALITY", "OCCUPATION",
                                                     "ATTRIBUTE", "LOCATION_TEXT"};
      bool identifier =
          std::find(std::begin(kOthers), std::end(kOthers), leaf.of_class) == std::end(kOthers);
      for (const Kind& kind : Kinds())
        if (kind.of_class == leaf.of_class) identifier &= IsIdentifier(kind);
      if (identifier && (key || leaf.type != "string" || Chance(random, 70))) {
        linked(Pseudonymise::none, Pseudonymise::month);
        linked(Pseudonymise::event, Pseudonymise::month);
        linked(Pseudonymise::period, Pseudonymise::month);
        linked(Pseudonymise::period, Pseudonymise::quarter);
        linked(Pseudonymise::period, Pseudonymise::year);
        linked(Pseudonymise::domain, Pseudonymise::month);
        add("encrypt");
      } else if (leaf.type == "string" && !key) {
        for (int first : {0, 1, 2, 3}) mask(first);
      }
      break;
    }
    case Truth::kText:
      add("scrub").mutable_scrub()->set_replace(config::v1::Scrub::placeholders);
      break;
    case Truth::kShort:
      if (leaf.type == "int32" || leaf.type == "double") {
        for (double width : {50.0, 20.0, 5.0})
          add("generalise: bucket").mutable_generalise()->set_bucket(width);
      }
      break;
  }
  add("keep");
  return chain;
}

std::string ValueOf(const Leaf& leaf, Random& random) {
  switch (leaf.truth) {
    case Truth::kSecret:
    case Truth::kId:
      if (leaf.type == "int64" || leaf.type == "uint64")
        return base::StrCat(1 + Below(random, 9), Digits(random, 11));
      if (leaf.valid) return ValidValue(leaf.of_class, random);
      return Letters(random, 16);
    case Truth::kPhone:
      return base::StrCat("07700", Digits(random, 6));
    case Truth::kText:
      return Prose(random);
    case Truth::kTime:
      return base::StrCat("2026-0", 3 + Below(random, 2), "-", Two(1 + Below(random, 28)), "T",
                          Two(Below(random, 24)), ":", Two(Below(random, 60)), ":",
                          Two(1 + Below(random, 59)), "Z");
    case Truth::kPoint:
      return leaf.of_class == "LATITUDE" ? base::StrCat("51.", Digits(random, 6), 7)
                                         : base::StrCat("0.", Digits(random, 6), 7);
    case Truth::kBirth:
    case Truth::kDate:
      return Day(random, 1950, 55);
    case Truth::kPostcode:
      return Postcode(random);
    case Truth::kShort:
    case Truth::kPlain:
      break;
  }
  if (leaf.type == "bool") return Chance(random, 50) ? "true" : "false";
  if (leaf.type == "Enum") return Chance(random, 50) ? "ONE" : "TWO";
  if (leaf.type == "double") return base::StrCat(1 + Below(random, 99), ".5");
  if (leaf.type == "int32") {
    return base::StrCat(leaf.truth == Truth::kShort ? 18 + Below(random, 60)
                                                    : 1 + Below(random, 9999));
  }
  if (leaf.type == "bytes") return Capitals(random, 8);
  return Letters(random, 6);
}

std::optional<std::string> RespellingOf(const Leaf& leaf, const std::string& value) {
  if (leaf.type != "string") return std::nullopt;
  if (leaf.of_class == "PHONE") return "+44 " + value.substr(1);
  if (leaf.of_class == "POSTCODE") return absl::AsciiStrToLower(value);
  if (leaf.of_class == "PERSON_NAME" || leaf.of_class == "FREE_IDENTIFIER")
    return absl::AsciiStrToUpper(value);
  return std::nullopt;
}

std::optional<std::string> AlikeOf(const Leaf& leaf, const std::string& value,
                                   const Treatment& treatment, const std::string& at,
                                   Random& random) {
  const std::string other = ValueOf(leaf, random);
  // So much of the beginning stays, the rest is another value's.
  auto from = [&](size_t shown) { return value.substr(0, shown) + other.substr(shown); };
  const Way way = WayOf(treatment);
  if (way == "drop" || way == "constant") return other;
  if (way == "pseudonymise" || way == "encrypt") return RespellingOf(leaf, value);
  if (way == "mask" && value.size() == other.size()) {
    const auto first = static_cast<size_t>(treatment.mask().keep_first());
    const auto last = static_cast<size_t>(treatment.mask().keep_last());
    if (value.find(' ') != std::string::npos) return std::nullopt;
    if (first + last >= value.size()) return other;
    return value.substr(0, first) + other.substr(first, value.size() - first - last) +
           value.substr(value.size() - last);
  }
  if (way == "generalise: year") return from(5);
  if (way == "generalise: month") return from(8);
  if (way == "generalise: day" && leaf.truth == Truth::kTime) return from(11);
  if (way == "generalise: hour") return from(14);
  if (way == "generalise: sector")
    return value.substr(0, value.size() - 2) + other.substr(other.size() - 2);
  if (way == "generalise: district")
    return value.substr(0, value.find(' ')) + other.substr(other.find(' '));
  if (way == "generalise: area") {
    auto letters = [](const std::string& text) { return text[1] < 'A' ? 1u : 2u; };
    return value.substr(0, letters(value)) + other.substr(letters(other));
  }
  if (way == "generalise: bucket") {
    const auto width = static_cast<int>(treatment.generalise().bucket());
    if (width < 1) return std::nullopt;  // one that the compiler is to refuse
    const int low = std::stoi(value) / width * width;
    return base::StrCat(low + static_cast<int>(Below(random, static_cast<size_t>(width))),
                        leaf.type == "double" ? ".25" : "");
  }
  if (way == "generalise: age_bands") {
    auto band = [&](const std::string& birth) {
      int age = AgeOn(at, birth), last = 0;
      for (int from : treatment.generalise().age_bands().from()) last += age >= from;
      return last;
    };
    for (int tries = 0; tries < 20; ++tries) {
      std::string birth = ValueOf(leaf, random);
      if (band(birth) == band(value)) return birth;
    }
  }
  return std::nullopt;
}

std::string MarkerIn(const std::string& text) {
  const size_t at = text.find("left ") + 5;
  return text.substr(at, text.find(" for a reply") - at);
}

}  // namespace sluice::soundness
