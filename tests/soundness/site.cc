#include "tests/soundness/site.h"

#include <algorithm>
#include <set>

#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"
#include "common/enrichment/row_set.h"

namespace sluice::soundness {
namespace {

using config::v1::Enrichment;
using config::v1::Stream;
using config::v1::Treatment;
using SchemaProto = reference::v1::Schema;

size_t Below(Random& random, size_t bound) { return static_cast<size_t>(random() % bound); }
bool Chance(Random& random, int percent) { return random() % 100 < static_cast<uint64_t>(percent); }

template <typename List>
const auto& Any(const List& list, Random& random) {
  return list[Below(random, std::size(list))];
}

std::string Letters(Random& random, size_t length) {
  // No vowels, so that no word of ours comes of it.
  constexpr std::string_view kLetters = "bcdfghjkmnpqrstvwxz0123456789";
  std::string text;
  for (size_t i = 0; i < length; ++i)
    text += i == 0 ? kLetters[Below(random, 19)] : kLetters[Below(random, kLetters.size())];
  return text;
}

std::string Digits(Random& random, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text += static_cast<char>('0' + Below(random, 10));
  return text;
}

std::string Two(size_t number) { return base::StrCat(number < 10 ? "0" : "", number); }

struct Kind {
  std::string_view of_class, option, type;
  Truth truth;
};

constexpr Kind kKinds[] = {
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
    {"ADDRESS", "identifier: ADDRESS", "string", Truth::kSecret},
    {"IP_ADDRESS", "identifier: IP_ADDRESS", "string", Truth::kSecret},
    {"FREE_IDENTIFIER", "identifier: FREE_IDENTIFIER", "string", Truth::kSecret},
    {"PHONE", "identifier: PHONE", "string", Truth::kPhone},
    {"POSTCODE", "identifier: POSTCODE", "string", Truth::kPostcode},
    {"DATE_OF_BIRTH", "quasi: DATE_OF_BIRTH", "string", Truth::kBirth},
    {"AGE", "quasi: AGE", "int32", Truth::kNumber},
    {"GENDER", "quasi: GENDER", "string", Truth::kSecret},
    {"OCCUPATION", "quasi: OCCUPATION", "string", Truth::kSecret},
    {"LOCATION_TEXT", "quasi: LOCATION_TEXT", "string", Truth::kSecret},
    {"ATTRIBUTE", "quasi: ATTRIBUTE", "string", Truth::kSecret},
    {"EVENT_TIME", "quasi: EVENT_TIME", "google.protobuf.Timestamp", Truth::kTime},
    {"ETHNICITY", "sensitive: ETHNICITY", "string", Truth::kSecret},
    {"HEALTH", "sensitive: HEALTH", "string", Truth::kSecret},
    {"RELIGION", "sensitive: RELIGION", "string", Truth::kSecret},
    {"FREE_TEXT", "free_text: true", "string", Truth::kText},
    {"", "not_personal: true", "string", Truth::kPlain},
    {"", "not_personal: true", "int32", Truth::kPlain},
    {"", "not_personal: true", "bool", Truth::kPlain},
    {"", "not_personal: true", "Enum", Truth::kPlain},
    {"", "not_personal: true", "double", Truth::kPlain},
};

class SiteMaker {
 public:
  explicit SiteMaker(Random& random) : random_(random) {}

  Site Make() {
    MakeContract();
    MakeSets();
    MakeConfig();
    return std::move(site_);
  }

 private:
  // What the contract says of a leaf of the kind: mostly what it is.
  std::string Decide(const Kind& kind, Leaf& leaf) {
    leaf.of_class = kind.of_class;
    leaf.type = kind.type;
    leaf.truth = kind.truth;
    if (leaf.truth != Truth::kPlain && Chance(random_, 1)) {
      leaf.undecided = true;
      leaf.of_class.clear();
      return "";
    }
    if (leaf.truth == Truth::kTime && Chance(random_, 15)) {
      leaf.called_plain = true;
      leaf.of_class.clear();
      return "not_personal: true";
    }
    return std::string(kind.option);
  }

  const Kind& AnyKind(bool map_key) {
    while (true) {
      const Kind& kind = Any(kKinds, random_);
      if (!map_key) return kind;
      // Only an identifier's treatments keep keys apart.
      const bool plain = kind.truth == Truth::kPlain;
      if (kind.type == "string" &&
          (plain ? true : kind.option.starts_with("identifier") && Chance(random_, 15)))
        return kind;
    }
  }

  std::string Option(const std::string& decision) {
    return decision.empty() ? "" : base::StrCat(" [(sluice.contract.v1.field) = {", decision, "}]");
  }

  // A field, with its leaf or its two.
  std::string MakeField(const std::string& prefix, Shape shape, int number) {
    const std::string name = base::StrCat(prefix.empty() ? "f" : "g", number);
    auto add = [&](const Kind& kind, Shape part, std::string_view suffix) {
      Leaf leaf;
      leaf.name = name;
      leaf.path = base::StrCat(prefix, name, suffix);
      leaf.shape = part;
      std::string decision = Decide(kind, leaf);
      site_.leaves.push_back(std::move(leaf));
      return decision;
    };
    if (shape == Shape::kMapKey) {
      const Kind& key = AnyKind(true);
      const Kind& value = AnyKind(false);
      std::string of_key = add(key, Shape::kMapKey, ".key");
      std::string of_value = add(value, Shape::kMapValue, ".value");
      std::string both;
      if (!of_key.empty()) base::StrAppend(both, "key: {", of_key, "} ");
      if (!of_value.empty()) base::StrAppend(both, "value: {", of_value, "}");
      return base::StrCat("map<string, ", value.type, "> ", name, " = ", number, Option(both), ";");
    }
    const Kind& kind = AnyKind(false);
    std::string decision = add(kind, shape, "");
    return base::StrCat(shape == Shape::kList ? "repeated " : "", kind.type, " ", name, " = ",
                        number, Option(decision), ";");
  }

  void MakeContract() {
    std::string root, oneof, subject, people;
    site_.leaves.push_back({"id", "id", "EVENT_ID", "string", Truth::kId, Shape::kField});
    site_.leaves.push_back(
        {"at", "at", "OCCURRED_AT", "google.protobuf.Timestamp", Truth::kTime, Shape::kField});
    int number = 3;
    for (size_t left = 2 + Below(random_, 6); left > 0; --left, ++number) {
      constexpr Shape kShapes[] = {Shape::kField, Shape::kField, Shape::kField, Shape::kField,
                                   Shape::kList,  Shape::kList,  Shape::kMapKey};
      base::StrAppend(root, "  ", MakeField("", Any(kShapes, random_), number), "\n");
    }
    for (size_t left = Below(random_, 3); left > 0; --left, ++number)
      base::StrAppend(oneof, "    ", MakeField("", Shape::kOneof, number), "\n");
    for (size_t left = Below(random_, 4); left > 0; --left, ++number)
      base::StrAppend(subject, "  ", MakeField("subject.", Shape::kMessage, number), "\n");
    for (size_t left = Below(random_, 3); left > 0; --left, ++number)
      base::StrAppend(people, "  ", MakeField("people.", Shape::kListOfMessages, number), "\n");
    if (!oneof.empty()) base::StrAppend(root, "  oneof which {\n", oneof, "  }\n");
    if (!subject.empty()) base::StrAppend(root, "  Subject subject = 101;\n");
    if (!people.empty()) base::StrAppend(root, "  repeated Person people = 102;\n");
    if (Chance(random_, 60)) {
      place_ = true;
      base::StrAppend(root, "  Place place = 103;\n");
      for (const char* name : {"latitude", "longitude"}) {
        Leaf leaf{base::StrCat("place.", name), name, "", "double", Truth::kPoint, Shape::kMessage};
        leaf.of_class = name[1] == 'a' ? "LATITUDE" : "LONGITUDE";
        site_.leaves.push_back(std::move(leaf));
      }
    }
    site_.contract = base::StrCat(
        "enum Enum { NONE = 0; ONE = 1; TWO = 2; }\nmessage E {\n"
        "  option (sluice.contract.v1.event) = {id: 'id' time: 'at'};\n"
        "  string id = 1;\n  google.protobuf.Timestamp at = 2;\n",
        root, "}\nmessage Subject {\n", subject, "}\nmessage Person {\n", people,
        "}\nmessage Place {\n  double latitude = 1 [(sluice.contract.v1.field).quasi = LATITUDE];\n"
        "  double longitude = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];\n}\n");
  }

  void MakeSets() {
    const size_t first = site_.leaves.size();
    std::vector<const Leaf*> keys;
    for (size_t i = 0; i < first; ++i) {
      const Leaf& leaf = site_.leaves[i];
      if (leaf.type == "string" && leaf.shape == Shape::kField && leaf.truth != Truth::kText)
        keys.push_back(&leaf);
    }
    if (!keys.empty() && Chance(random_, 45)) {
      AddJoin("exact", {Any(keys, random_)->path}, "");
      const Set& set = site_.sets.back();
      if (Chance(random_, 40)) AddJoin("exact", {}, Any(set.columns, random_).name);
    }
    if (place_ && Chance(random_, 40))
      AddJoin(Chance(random_, 50) ? "area" : "nearest", {"place.latitude", "place.longitude"}, "");
    if (place_ && Chance(random_, 30)) {
      site_.sets.push_back({"points", "nearest", {}});
      AddColumns(site_.sets.back());
    }
  }

  void AddColumns(Set& set) {
    constexpr std::string_view kClasses[] = {"", "", "", "", "PERSON_NAME", "PHONE", "HEALTH"};
    for (size_t i = 0; i < 2 + Below(random_, 2); ++i)
      set.columns.push_back(
          {base::StrCat("c", i), std::string(Any(kClasses, random_)), Chance(random_, 8)});
  }

  void AddJoin(const std::string& kind, std::vector<std::string> leaves, const std::string& cell) {
    Set set{base::StrCat("set", site_.sets.size()), kind, {}};
    AddColumns(set);
    site_.sets.push_back(std::move(set));
    Join join{site_.sets.size() - 1, base::StrCat("row", site_.joins.size()), std::move(leaves),
              cell};
    Enrichment& enrich = *site_.config.add_enrich();
    enrich.set_set(site_.sets.back().name);
    enrich.set_into(join.into);
    if (kind == "area") {
      enrich.set_area("place");
    } else if (kind == "nearest") {
      enrich.set_nearest("place");
    } else {
      enrich.set_key(cell.empty() ? join.leaves[0] : base::StrCat(site_.joins[0].into, ".", cell));
    }
    site_.joins.push_back(std::move(join));
  }

  void MakeConfig() {
    config::v1::Pipeline& config = site_.config;
    config.set_contract("test.E");
    config.mutable_input()->set_topic("raw");
    config.mutable_quarantine()->set_topic("quarantine");
    config.mutable_quarantine()->set_public_key("key");
    const size_t streams = 1 + Below(random_, 2);
    for (size_t i = 0; i < streams; ++i) MakeStream(i);
  }

  void MakeStream(size_t index) {
    Stream& stream = *site_.config.add_streams();
    stream.set_name(base::StrCat("s", index));
    stream.set_topic(base::StrCat(Chance(random_, 1) ? "clean " : "clean.", index));
    stream.set_format(Chance(random_, 80) ? config::v1::json : config::v1::protobuf);
    stream.set_internal(Chance(random_, 40));
    stream.set_domain(base::StrCat("d", index));
    std::set<std::string> classes;
    for (const Leaf& leaf : site_.leaves)
      if (!leaf.of_class.empty()) classes.insert(leaf.of_class);
    for (const Set& set : site_.sets)
      for (const Column& column : set.columns)
        if (!column.of_class.empty()) classes.insert(column.of_class);
    if (classes.contains("LATITUDE")) {
      classes.erase("LATITUDE");
      classes.erase("LONGITUDE");
      classes.insert("LOCATION");
    }
    for (const std::string& name : classes) {
      if (name == "EVENT_ID" && Chance(random_, 70)) continue;
      if (name == "OCCURRED_AT" && stream.internal() && Chance(random_, 50)) continue;
      Treatment treatment = TreatmentOf(name, stream.internal());
      if (treatment.how_case() != Treatment::kDrop && name != "LOCATION" && Chance(random_, 3))
        treatment.set_as(Chance(random_, 30) ? "row0" : "renamed");
      (*stream.mutable_treat())[name] = treatment;
    }
    if (Chance(random_, 20)) AddOverrides(stream);
    for (const Join& join : site_.joins) AddJoinDecisions(stream, join);
    for (const Leaf& leaf : site_.leaves) {
      if (leaf.truth == Truth::kText && Chance(random_, 70))
        (*stream.mutable_accept())["free-text:" + Written(leaf)] = "the generator says so";
    }
  }

  // The path as the contract's nodes have it.
  static std::string Written(const Leaf& leaf) {
    std::string path = leaf.path;
    if (leaf.shape == Shape::kListOfMessages) path.insert(path.find('.'), "[]");
    if (leaf.shape == Shape::kMapKey || leaf.shape == Shape::kMapValue)
      path.insert(path.rfind('.'), "[]");
    return path;
  }

  Treatment TreatmentOf(const std::string& name, bool internal) {
    Treatment how;
    auto pick = [&](int last) {
      return static_cast<int>(Below(random_, static_cast<size_t>(last)));
    };
    auto identifier = [&] {
      switch (pick(12)) {
        case 0:
        case 1:
        case 2:
          how.mutable_drop();
          return;
        case 3:
        case 4:
        case 5: {
          auto& linkage = *how.mutable_pseudonymise();
          using config::v1::Pseudonymise;
          linkage.set_linkage(
              Any(std::vector<Pseudonymise::Linkage>{Pseudonymise::domain, Pseudonymise::domain,
                                                     Pseudonymise::period, Pseudonymise::event,
                                                     Pseudonymise::none},
                  random_));
          return;
        }
        case 6:
          how.mutable_encrypt();
          return;
        case 7:
          how.set_constant("withheld");
          return;
        case 8:
          if (name == "PHONE") {
            how.mutable_format_preserve();
            return;
          }
          [[fallthrough]];
        case 9:
          how.mutable_mask()->set_keep_last(pick(4));
          return;
        case 10:
          how.mutable_mask()->set_keep_first(pick(4));
          return;
        default:
          if (Chance(random_, 15)) {
            how.mutable_keep();
          } else {
            how.mutable_drop();
          }
      }
    };
    auto generalise = [&] { return how.mutable_generalise(); };
    if (name == "EVENT_ID") {
      switch (pick(4)) {
        case 0:
          how.mutable_drop();
          break;
        case 1:
          how.mutable_mask()->set_keep_first(30);
          break;
        default:
          how.mutable_pseudonymise();
      }
    } else if (name == "OCCURRED_AT" || name == "EVENT_TIME") {
      switch (pick(8)) {
        case 0:
          how.mutable_drop();
          break;
        case 1:
          if (internal || Chance(random_, 30)) {
            how.mutable_keep();
          } else {
            generalise()->mutable_year();
          }
          break;
        case 2:
          generalise()->mutable_year();
          break;
        case 3:
          generalise()->mutable_day();
          break;
        case 4:
          generalise()->mutable_hour();
          break;
        default:
          generalise()->mutable_month();
      }
    } else if (name == "LOCATION") {
      switch (pick(8)) {
        case 0:
        case 1:
          how.mutable_drop();
          break;
        case 2:
          how.mutable_keep();
          break;
        case 3:
          if (Chance(random_, 40)) {
            generalise()->set_bucket(1e-7);
          } else {
            how.mutable_drop();
          }
          break;
        case 4:
          if (!site_.sets.empty() && site_.sets.back().name == "points") {
            generalise()->set_snap("points");
            break;
          }
          [[fallthrough]];
        default:
          generalise()->set_grid_metres(100 * (1 + pick(20)));
      }
    } else if (name == "DATE_OF_BIRTH") {
      switch (pick(8)) {
        case 0:
          how.mutable_mask()->set_keep_first(9);
          break;
        case 1:
        case 2:
          generalise()->mutable_age_bands()->add_from(18);
          how.mutable_generalise()->mutable_age_bands()->add_from(40);
          break;
        case 3:
          generalise()->mutable_year();
          break;
        case 4:
          generalise()->mutable_month();
          break;
        case 5:
          how.mutable_keep();
          break;
        default:
          how.mutable_drop();
      }
    } else if (name == "FREE_TEXT") {
      switch (pick(5)) {
        case 0:
          how.mutable_scrub();
          break;
        case 1:
          how.mutable_scrub()->set_replace(config::v1::Scrub::placeholders);
          break;
        case 2:
          how.set_constant("withheld");
          break;
        default:
          how.mutable_drop();
      }
    } else if (name == "AGE") {
      switch (pick(4)) {
        case 0:
          how.mutable_keep();
          break;
        case 1:
          generalise()->set_bucket(10);
          break;
        default:
          how.mutable_drop();
      }
    } else if (name == "POSTCODE") {
      switch (pick(6)) {
        case 0:
          generalise()->mutable_sector();
          break;
        case 1:
          generalise()->mutable_district();
          break;
        case 2:
          generalise()->mutable_area();
          break;
        case 3:
          how.mutable_pseudonymise();
          break;
        default:
          how.mutable_drop();
      }
    } else if (name == "GENDER" || name == "OCCUPATION" || name == "LOCATION_TEXT" ||
               name == "ATTRIBUTE" || name == "ETHNICITY" || name == "HEALTH" ||
               name == "RELIGION") {
      switch (pick(5)) {
        case 0:
          how.mutable_keep();
          break;
        case 1:
          how.mutable_mask()->set_keep_first(pick(4));
          break;
        case 2:
          how.set_constant("withheld");
          break;
        default:
          how.mutable_drop();
      }
    } else {
      identifier();
    }
    return how;
  }

  void AddOverrides(Stream& stream) {
    const Leaf& leaf = Any(site_.leaves, random_);
    if (leaf.truth == Truth::kPoint || leaf.undecided) return;
    Treatment drop, other;
    drop.mutable_drop();
    if (leaf.of_class.empty()) {
      other.mutable_keep();
    } else {
      other = TreatmentOf(leaf.of_class, stream.internal());
    }
    (*stream.mutable_fields())[leaf.path] = Chance(random_, 50) ? drop : other;
    if (Chance(random_, 40)) {
      Treatment keep;
      keep.mutable_keep();
      (*stream.mutable_fields())[leaf.path + "[]"] = keep;
    }
  }

  void AddJoinDecisions(Stream& stream, const Join& join) {
    const Set& set = site_.sets[join.set];
    Treatment drop, keep;
    drop.mutable_drop();
    keep.mutable_keep();
    if (Chance(random_, 10)) {
      (*stream.mutable_fields())[join.into] = drop;
      return;
    }
    for (const Column& column : set.columns) {
      if (column.of_class.empty() || column.undecided) continue;
      // What can't be done with a column has to be dropped by name.
      auto treated = stream.treat().find(column.of_class);
      bool plain = treated != stream.treat().end() &&
                   (treated->second.has_keep() || treated->second.has_drop());
      if (!plain && Chance(random_, 90))
        (*stream.mutable_fields())[base::StrCat(join.into, ".", column.name)] = drop;
    }
    if (Chance(random_, 85))
      (*stream.mutable_accept())[base::StrCat("join-key:", join.into)] = "the generator says so";
  }

  Random& random_;
  Site site_;
  bool place_ = false;
};

std::string Quoted(const std::string& text) { return base::StrCat("\"", text, "\""); }

// As the type is written in JSON.
std::string Literal(const Leaf& leaf, const std::string& text) {
  bool bare = leaf.type == "int32" || leaf.type == "double" || leaf.type == "bool";
  return bare ? text : Quoted(text);
}

reference::v1::Column* AddColumn(SchemaProto& schema, const std::string& name,
                                 std::string_view of_class, bool undecided) {
  reference::v1::Column* column = schema.add_columns();
  column->set_name(name);
  if (undecided) return column;
  if (of_class == "PERSON_NAME") {
    column->set_identifier(contract::v1::PERSON_NAME);
  } else if (of_class == "PHONE") {
    column->set_identifier(contract::v1::PHONE);
  } else if (of_class == "HEALTH") {
    column->set_sensitive(contract::v1::HEALTH);
  } else {
    column->set_not_personal(true);
  }
  return column;
}

}  // namespace

const Leaf* Site::Find(std::string_view path) const {
  for (const Leaf& leaf : leaves) {
    if (leaf.path == path) return &leaf;
  }
  return nullptr;
}

Site MakeSite(Random& random) { return SiteMaker(random).Make(); }

std::vector<std::string> ValuesOf(const Leaf& leaf, Random& random) {
  std::vector<std::string> values;
  for (int i = 0; i < 2; ++i) {
    std::string text;
    switch (leaf.truth) {
      case Truth::kSecret:
      case Truth::kId:
        text = Letters(random, 16);
        break;
      case Truth::kPhone:
        text = base::StrCat("07700", Digits(random, 6));
        break;
      case Truth::kText:
        text = base::StrCat("Caller rang twice and left 07700", Digits(random, 6), " for a reply.");
        break;
      case Truth::kTime:
        text = base::StrCat("2026-0", 3 + Below(random, 2), "-", Two(1 + Below(random, 28)), "T",
                            Two(Below(random, 24)), ":", Two(Below(random, 60)), ":",
                            Two(1 + Below(random, 59)), "Z");
        break;
      case Truth::kPoint:
        text = leaf.of_class == "LATITUDE" ? base::StrCat("51.", Digits(random, 6), 7)
                                           : base::StrCat("0.", Digits(random, 6), 7);
        break;
      case Truth::kBirth:
        text = base::StrCat(1950 + Below(random, 55), "-", Two(1 + Below(random, 12)), "-",
                            Two(1 + Below(random, 28)));
        break;
      case Truth::kPostcode: {
        constexpr std::string_view kAreas[] = {"N", "E", "BR", "CR", "HA"};
        constexpr std::string_view kEnds = "ABDEFGHJLNPQRSTUWXYZ";
        text = base::StrCat(Any(kAreas, random), 1 + Below(random, 9), " ", Below(random, 10));
        for (int c = 0; c < 2; ++c) text += kEnds[Below(random, kEnds.size())];
        break;
      }
      case Truth::kNumber:
        text = base::StrCat(18 + Below(random, 60));
        break;
      case Truth::kPlain:
        text = leaf.type == "bool"     ? (Chance(random, 50) ? "true" : "false")
               : leaf.type == "Enum"   ? (Chance(random, 50) ? "ONE" : "TWO")
               : leaf.type == "double" ? base::StrCat(1 + Below(random, 99), ".5")
               : leaf.type == "int32"  ? base::StrCat(1 + Below(random, 9999))
                                       : Letters(random, 6);
        break;
    }
    values.push_back(std::move(text));
  }
  return values;
}

Values MakeValues(const Site& site, Random& random) {
  Values values;
  for (const Leaf& leaf : site.leaves) values[leaf.path] = ValuesOf(leaf, random);
  return values;
}

std::string JsonOf(const Site& site, const Values& values) {
  std::string root, subject, place, people[2];
  bool oneof = false;
  auto value = [&](const Leaf& leaf, size_t i) { return Literal(leaf, values.at(leaf.path)[i]); };
  auto member = [](std::string& to, const std::string& name, const std::string& text) {
    base::StrAppend(to, to.empty() ? "" : ",", Quoted(name), ":", text);
  };
  for (size_t i = 0; i < site.leaves.size(); ++i) {
    const Leaf& leaf = site.leaves[i];
    switch (leaf.shape) {
      case Shape::kField:
        member(root, leaf.name, value(leaf, 0));
        break;
      case Shape::kList:
        member(root, leaf.name, base::StrCat("[", value(leaf, 0), ",", value(leaf, 1), "]"));
        break;
      case Shape::kOneof:
        if (!oneof) member(root, leaf.name, value(leaf, 0));
        oneof = true;
        break;
      case Shape::kMapKey: {
        const Leaf& part = site.leaves[i + 1];
        member(root, leaf.name,
               base::StrCat("{", value(leaf, 0), ":", value(part, 0), ",", value(leaf, 1), ":",
                            value(part, 1), "}"));
        break;
      }
      case Shape::kMapValue:
        break;
      case Shape::kMessage:
        member(leaf.path.starts_with("place.") ? place : subject, leaf.name, value(leaf, 0));
        break;
      case Shape::kListOfMessages:
        member(people[0], leaf.name, value(leaf, 0));
        member(people[1], leaf.name, value(leaf, 1));
        break;
    }
  }
  if (!subject.empty()) member(root, "subject", base::StrCat("{", subject, "}"));
  if (!place.empty()) member(root, "place", base::StrCat("{", place, "}"));
  if (!people[0].empty())
    member(root, "people", base::StrCat("[{", people[0], "},{", people[1], "}]"));
  return base::StrCat("{", root, "}");
}

std::string CellText(const Set& set, const Column& column, bool other) {
  // From the names, so that equal sites have equal sets.
  Random random(std::hash<std::string>()(base::StrCat(set.name, ".", column.name)) + other);
  return Letters(random, 14);
}

std::vector<std::shared_ptr<const enrichment::Table>> MakeTables(const Site& site,
                                                                 const std::vector<Values>& events,
                                                                 std::string_view other) {
  std::vector<std::shared_ptr<const enrichment::Table>> tables;
  std::map<std::string, std::vector<std::string>> first_cells;  // by column of the first set
  for (size_t s = 0; s < site.sets.size(); ++s) {
    const Set& set = site.sets[s];
    const Join* join = nullptr;
    for (const Join& candidate : site.joins) {
      if (candidate.set == s) join = &candidate;
    }
    SchemaProto schema;
    std::set<std::string> keys;
    if (set.kind == "exact") {
      AddColumn(schema, "k", "", true);
      if (join->cell.empty()) {
        for (const Values& values : events) keys.insert(values.at(join->leaves[0])[0]);
      } else {
        const auto& cells = first_cells[join->cell];
        keys.insert(cells.begin(), cells.end());
      }
    } else {
      keys = {"0", "1", "2"};
      reference::v1::Column* id = AddColumn(schema, "k", "", false);
      id->set_type(reference::v1::Column::integer);
    }
    schema.add_key()->set_column("k");
    for (const Column& column : set.columns)
      AddColumn(schema, column.name, column.of_class, column.undecided);
    if (set.kind == "nearest") {
      schema.set_kind(SchemaProto::nearest);
      for (const char* name : {"lat", "long"})
        AddColumn(schema, name, "", true)->set_type(reference::v1::Column::number);
      schema.mutable_point()->set_latitude("lat");
      schema.mutable_point()->set_longitude("long");
      schema.mutable_point()->set_max_metres(100'000);
    } else if (set.kind == "area") {
      schema.set_kind(SchemaProto::area);
      AddColumn(schema, "shape", "", true)->set_type(reference::v1::Column::area);
    }
    std::string csv = "k", json;
    for (const Column& column : set.columns) base::StrAppend(csv, ",", column.name);
    if (set.kind == "nearest") csv += ",lat,long";
    csv += "\n";
    size_t row = 0;
    for (const std::string& key : keys) {
      base::StrAppend(csv, key);
      std::string properties = base::StrCat("\"k\":", key);
      for (const Column& column : set.columns) {
        std::string cell = base::StrCat(
            CellText(set, column, base::StrCat(set.name, ".", column.name) == other), row);
        base::StrAppend(csv, ",", cell);
        base::StrAppend(properties, ",\"", column.name, "\":\"", cell, "\"");
        if (s == 0) first_cells[column.name].push_back(std::move(cell));
      }
      if (set.kind == "nearest") base::StrAppend(csv, ",51.", 2 + 3 * row, ",0.", 2 + 3 * row);
      csv += "\n";
      if (set.kind == "area") {
        const std::string west = base::StrCat("0.", 3 * row),
                          east = base::StrCat(row == 2 ? "1." : "0.", row == 2 ? 0 : 3 * row + 3);
        base::StrAppend(json, json.empty() ? "" : ",", R"({"type":"Feature","properties":{)",
                        properties, R"(},"geometry":{"type":"Polygon","coordinates":[[[)", west,
                        ",51],[", east, ",51],[", east, ",52],[", west, ",52],[", west, ",51]]]}}");
      }
      ++row;
    }
    auto compiled = enrichment::Schema::Create(schema);
    if (!compiled.ok()) return {};
    enrichment::RowSet::Builder builder(*compiled);
    absl::Status read =
        set.kind == "area"
            ? enrichment::ReadGeoJson(
                  base::StrCat(R"({"type":"FeatureCollection","features":[)", json, "]}"), set.name,
                  builder)
            : enrichment::ReadCsv(csv, set.name, builder);
    auto rows = builder.Finish();
    if (!read.ok() || !rows.ok()) return {};
    auto table = enrichment::MakeTable(set.name, *std::move(rows));
    if (!table.ok()) return {};
    tables.push_back(*std::move(table));
  }
  return tables;
}

}  // namespace sluice::soundness
