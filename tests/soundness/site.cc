#include "tests/soundness/site.h"

#include <algorithm>
#include <set>

#include "common/base/strings.h"
#include "common/enrichment/row_reader.h"
#include "common/enrichment/row_set.h"

namespace sluice::soundness {
namespace {

constexpr size_t kStreamsMax = 2;

using config::v1::Enrichment;
using config::v1::Stream;
using config::v1::Treatment;
using SchemaProto = reference::v1::Schema;

// What is put into a site so that lint has to find it.
constexpr std::string_view kMistakes[] = {
    "undecided",      "second time",      "masked id",     "topic",
    "weak treatment", "two overrides",    "equal members", "hidden key",
    "kept",           "undecided column", "no treatment"};

class SiteMaker {
 public:
  SiteMaker(Random& random, size_t turn) : random_(random), turn_(turn) {}

  Site Make() {
    if (Chance(random_, 35)) site_.mistake = Any(kMistakes, random_);
    MakeContract();
    MakeSets();
    MakeConfig();
    return std::move(site_);
  }

 private:
  bool Errs(std::string_view mistake) const { return site_.mistake == mistake; }

  // What the contract says of a leaf: mostly what it is.
  std::string Decide(const Kind& kind, Leaf& leaf) {
    leaf.of_class = kind.of_class;
    leaf.type = kind.type;
    leaf.truth = kind.truth;
    leaf.identifier = kind.option.starts_with("identifier");
    if (Errs("undecided") && leaf.truth != Truth::kPlain && Chance(random_, 50)) {
      leaf.undecided = true;
      leaf.of_class.clear();
      return "";
    }
    if (Errs("second time") && leaf.IsTime()) {
      leaf.called_plain = true;
      leaf.of_class.clear();
      return kind.truth == Truth::kDate ? "not_personal: true date: true" : "not_personal: true";
    }
    return std::string(kind.option);
  }

  static std::string Option(const std::string& decision) {
    return decision.empty() ? "" : base::StrCat(" [(sluice.contract.v1.field) = {", decision, "}]");
  }

  // A kind that may be there beside what the turn asks for.
  const Kind& AnyKind(Shape shape) {
    while (true) {
      const Kind& kind = Any(Kinds(), random_);
      if (kind.truth == Truth::kPoint) continue;  // AddPlace has both numbers
      if (Stands(kind, shape)) return kind;
    }
  }
  static const Kind& PlainText() {
    static const Kind kind{"", "not_personal: true", "string", Truth::kPlain};
    return kind;
  }

  // Adds a leaf of the kind; what the contract says of it.
  std::string AddLeaf(const Kind& kind, Shape shape, const std::string& path,
                      const std::string& name) {
    Leaf leaf;
    leaf.path = path;
    leaf.name = name;
    leaf.shape = shape;
    std::string decision = Decide(kind, leaf);
    site_.leaves.push_back(std::move(leaf));
    return decision;
  }

  void AddField(const Kind& kind, Shape shape) {
    const int number = number_++;
    auto field = [&](std::string_view prefix, const char* letter, std::string_view label) {
      std::string name = base::StrCat(letter, number);
      std::string decision = AddLeaf(kind, shape, base::StrCat(prefix, name), name);
      return base::StrCat("  ", label, kind.type, " ", name, " = ", number, Option(decision),
                          ";\n");
    };
    const bool message = kind.type.find('.') != std::string_view::npos;
    const std::string_view maybe = !message && Chance(random_, 25) ? "optional " : "";
    switch (shape) {
      case Shape::kField:
        root_ += field("", "f", maybe);
        return;
      case Shape::kList:
        root_ += field("", "f", "repeated ");
        return;
      case Shape::kOneof:
        oneof_ += field("", "f", "");
        return;
      case Shape::kMessage:
        subject_ += field("subject.", "g", maybe);
        return;
      case Shape::kListOfMessages:
        person_ += field("people.", "h", maybe);
        return;
      case Shape::kListInMessages:
        person_ += field("people.", "h", "repeated ");
        return;
      case Shape::kMapOfMessages:
        item_ += field("named.value.", "m", maybe);
        return;
      case Shape::kMapKey:
      case Shape::kMapValue: {
        const bool key = shape == Shape::kMapKey;
        const Shape other_shape = key ? Shape::kMapValue : Shape::kMapKey;
        const Kind& other = Chance(random_, 80) ? PlainText() : AnyKind(other_shape);
        const std::string name = base::StrCat("f", number);
        const Kind& of_key = key ? kind : other;
        const Kind& of_value = key ? other : kind;
        std::string key_is = AddLeaf(of_key, Shape::kMapKey, name + ".key", name);
        std::string value_is = AddLeaf(of_value, Shape::kMapValue, name + ".value", name);
        std::string both;
        if (!key_is.empty()) base::StrAppend(both, "key: {", key_is, "} ");
        if (!value_is.empty()) base::StrAppend(both, "value: {", value_is, "}");
        base::StrAppend(root_, "  map<", of_key.type, ", ", of_value.type, "> ", name, " = ",
                        number, Option(both), ";\n");
        return;
      }
    }
  }

  void AddPlace(Shape shape) {
    const char* field = shape == Shape::kMessage ? "place" : "places";
    if (site_.Find(base::StrCat(field, ".latitude")) != nullptr) return;
    for (const char* name : {"latitude", "longitude"}) {
      Leaf leaf;
      leaf.path = base::StrCat(field, ".", name);
      leaf.name = name;
      leaf.of_class = name[1] == 'a' ? "LATITUDE" : "LONGITUDE";
      leaf.type = "double";
      leaf.truth = Truth::kPoint;
      leaf.shape = shape;
      site_.leaves.push_back(std::move(leaf));
    }
    root_ +=
        shape == Shape::kMessage ? "  Place place = 103;\n" : "  repeated Place places = 104;\n";
    place_ |= shape == Shape::kMessage;
  }

  void MakeContract() {
    auto first = [&](const char* name, const char* of_class, const char* type, Truth truth) {
      Leaf leaf;
      leaf.path = leaf.name = name;
      leaf.of_class = of_class;
      leaf.type = type;
      leaf.truth = truth;
      site_.leaves.push_back(std::move(leaf));
    };
    first("id", "EVENT_ID", "string", Truth::kId);
    first("at", "OCCURRED_AT", "google.protobuf.Timestamp", Truth::kTime);
    first("who", "FREE_IDENTIFIER", "string", Truth::kSecret);  // whose dates are shifted by
    for (size_t i = 0; i < kTurnsPerSite; ++i) {
      const Combination& wanted =
          Combinations()[(turn_ * kTurnsPerSite + i) % Combinations().size()];
      const size_t before = site_.leaves.size();
      if (wanted.kind->truth == Truth::kPoint) {
        AddPlace(wanted.shape);
      } else {
        AddField(*wanted.kind, wanted.shape);
      }
      for (size_t leaf = before; leaf < site_.leaves.size(); ++leaf) {
        if (site_.leaves[leaf].shape == wanted.shape) wanted_[leaf] = wanted.way;
      }
    }
    for (size_t left = Below(random_, 3); left > 0; --left) {
      const Shape shape = Any(kShapes, random_);
      AddField(AnyKind(shape), shape);
    }
    if (Errs("second time")) AddField(Kinds()[kEventTime], Shape::kField);
    if (Chance(random_, 40)) AddPlace(Shape::kMessage);
    if (!oneof_.empty()) base::StrAppend(root_, "  oneof which {\n", oneof_, "  }\n");
    if (!subject_.empty()) base::StrAppend(root_, "  Subject subject = 101;\n");
    if (!person_.empty()) base::StrAppend(root_, "  repeated Person people = 102;\n");
    if (!item_.empty()) {
      base::StrAppend(root_, "  map<string, Item> named = 105 ",
                      "[(sluice.contract.v1.field).key.not_personal = true];\n");
    }
    site_.contract = base::StrCat(
        "enum Enum { NONE = 0; ONE = 1; TWO = 2; }\nmessage E {\n"
        "  option (sluice.contract.v1.event) = {id: 'id' time: 'at'};\n"
        "  string id = 1;\n  google.protobuf.Timestamp at = 2;\n"
        "  string who = 3 [(sluice.contract.v1.field).identifier = FREE_IDENTIFIER];\n",
        root_, "}\nmessage Subject {\n", subject_, "}\nmessage Person {\n", person_,
        "}\nmessage Item {\n", item_,
        "}\nmessage Place {\n  double latitude = 1 [(sluice.contract.v1.field).quasi = LATITUDE];\n"
        "  double longitude = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];\n}\n");
  }

  void MakeSets() {
    std::vector<const Leaf*> keys;
    for (const Leaf& leaf : site_.leaves) {
      if (leaf.type == "string" && leaf.shape == Shape::kField && leaf.truth != Truth::kText)
        keys.push_back(&leaf);
    }
    const bool wanted = Errs("hidden key") || Errs("equal members") || Errs("undecided column");
    if (wanted || Chance(random_, 45)) {
      AddJoin("exact", {Any(keys, random_)->path}, "");
      const Set& set = site_.sets.back();
      if (Chance(random_, 40)) AddJoin("exact", {}, Any(set.columns, random_).name);
    }
    if (place_ && Chance(random_, 40))
      AddJoin(Chance(random_, 50) ? "area" : "nearest", {"place.latitude", "place.longitude"}, "");
    // What points are snapped to, and the areas that they become.
    if (site_.Find("place.latitude") == nullptr && site_.Find("places.latitude") == nullptr) return;
    for (bool points : {true, false}) {
      Set set{points ? "points" : "zones", points ? "nearest" : "area", false, {}};
      AddColumns(set);
      site_.sets.push_back(std::move(set));
    }
  }

  void AddColumns(Set& set) {
    constexpr std::string_view kClasses[] = {"", "", "", "", "PERSON_NAME", "PHONE", "HEALTH"};
    for (size_t i = 0; i < 2 + Below(random_, 2); ++i) {
      set.columns.push_back({base::StrCat("c", i), std::string(Any(kClasses, random_)),
                             Chance(random_, Errs("undecided column") ? 50 : 8)});
    }
  }

  void AddJoin(const std::string& kind, std::vector<std::string> leaves, const std::string& cell) {
    Set set{base::StrCat("set", site_.sets.size()), kind, true, {}};
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
    const size_t streams = 1 + Below(random_, kStreamsMax);
    for (size_t i = 0; i < streams; ++i) MakeStream(i);
    for (Leaf& leaf : site_.leaves) {
      for (const Stream& stream : config.streams()) {
        const Treatment* how = Stated(stream, leaf);
        if (how != nullptr && (how->has_format_preserve() || leaf.IsDate())) leaf.valid = true;
      }
    }
  }

  static const Treatment* Stated(const Stream& stream, const Leaf& leaf) {
    auto field = stream.fields().find(leaf.path);
    if (field != stream.fields().end()) return &field->second;
    auto treated = stream.treat().find(leaf.of_class);
    return treated == stream.treat().end() ? nullptr : &treated->second;
  }

  void MakeStream(size_t index) {
    Stream& stream = *site_.config.add_streams();
    stream.set_name(base::StrCat("s", index));
    stream.set_topic(base::StrCat(Errs("topic") ? "clean " : "clean.", index));
    stream.set_format(Chance(random_, 80) ? config::v1::json : config::v1::protobuf);
    stream.set_internal(Chance(random_, 40) && !Errs("masked id"));
    stream.set_domain(base::StrCat("d", index));
    if (Chance(random_, 80)) {
      for (const Leaf& leaf : site_.leaves) {
        for (size_t other = 0; other < kStreamsMax; ++other) {
          (*stream
                .mutable_accept())[base::StrCat("links-audiences:shift:", leaf.path, "=s", other)] =
              "the generator says so";
        }
      }
    }
    for (size_t i = 0; i < site_.leaves.size(); ++i) {
      const Leaf& leaf = site_.leaves[i];
      if (leaf.undecided || leaf.called_plain || leaf.truth == Truth::kPoint) continue;
      Treat(stream, leaf, WayFor(stream, i, index));
    }
    for (size_t i = 0; i + 1 < site_.leaves.size(); ++i) {
      if (site_.leaves[i].truth == Truth::kPoint && site_.leaves[i].name == "latitude")
        TreatPoint(stream, i, index);
    }
    for (const Set& set : site_.sets) {
      for (const Column& column : set.columns) {
        if (column.of_class.empty() || stream.treat().contains(column.of_class)) continue;
        Treatment how;
        if (Chance(random_, 30) && column.of_class == "HEALTH") {
          how.mutable_keep();
        } else {
          how.mutable_drop();
        }
        (*stream.mutable_treat())[column.of_class] = how;
      }
    }
    for (const Join& join : site_.joins) AddJoinDecisions(stream, join);
    for (const Leaf& leaf : site_.leaves) {
      if (leaf.truth == Truth::kText && Chance(random_, 95))
        (*stream.mutable_accept())["free-text:" + leaf.Written()] = "the generator says so";
    }
    if (Chance(random_, 15)) ChooseKey(stream);
    Err(stream);
  }

  const Kind& KindOf(const Leaf& leaf) const {
    for (const Kind& kind : Kinds()) {
      if (kind.of_class == leaf.of_class && kind.type == leaf.type && kind.truth == leaf.truth)
        return kind;
    }
    return PlainText();
  }

  // The first stream does what the turn asks for; others anything else that should be possible.
  Way WayFor(const Stream& stream, size_t leaf, size_t index) {
    const Leaf& of = site_.leaves[leaf];
    auto wanted = wanted_.find(leaf);
    if (wanted != wanted_.end() && index == 0) {
      const bool only_inside =
          (wanted->second == "keep" && (of.IsTime() || of.truth == Truth::kId)) ||
          (wanted->second == "mask" && of.truth == Truth::kId);
      if (only_inside) site_.config.mutable_streams(0)->set_internal(true);
      return wanted->second;
    }
    if (of.path == "at") {
      constexpr Way kTimes[] = {"drop", "generalise: hour", "generalise: day", "generalise: month",
                                "generalise: year"};
      return stream.internal() && Chance(random_, 30) ? "keep" : Any(kTimes, random_);
    }
    // The other part of a map that somebody asked for stays, as it can.
    const bool part = of.shape == Shape::kMapKey || of.shape == Shape::kMapValue;
    std::vector<Way> ways = WaysOf(KindOf(of), of.shape, stream.internal());
    const bool identifier = KindOf(of).option.starts_with("identifier");
    std::erase_if(ways, [&](Way way) {
      return (way == "keep" && identifier) || (way == "drop" && part && Chance(random_, 85));
    });
    if (of.truth == Truth::kPlain && Chance(random_, 70)) return "keep";
    return ways.empty() ? "drop" : Any(ways, random_);
  }

  // By its class, where that isn't treated yet; else by itself.
  void Treat(Stream& stream, const Leaf& leaf, Way way) {
    if (leaf.path == "id" && Chance(random_, 60)) return;
    if (leaf.path == "at" && stream.internal() && Chance(random_, 50)) return;
    Treatment how = MakeTreatment(way, leaf, random_);
    if (leaf.of_class.empty()) {
      if (way != "keep") (*stream.mutable_fields())[leaf.path] = how;
      return;
    }
    if (!stream.treat().contains(leaf.of_class) && leaf.path != "id") {
      (*stream.mutable_treat())[leaf.of_class] = how;
      return;
    }
    if (way != "drop" && leaf.shape != Shape::kMapKey && leaf.shape != Shape::kMapValue &&
        Chance(random_, 15))
      how.set_as(base::StrCat("renamed_", leaf.name));
    (*stream.mutable_fields())[leaf.path] = how;
  }

  void TreatPoint(Stream& stream, size_t latitude, size_t index) {
    const Leaf& leaf = site_.leaves[latitude];
    auto wanted = wanted_.find(latitude);
    Kind point = KindOf(leaf);
    Way way = wanted != wanted_.end() && index == 0
                  ? wanted->second
                  : Any(WaysOf(point, leaf.shape, stream.internal()), random_);
    Treatment how = MakeTreatment(way, leaf, random_);
    if (!stream.treat().contains("LOCATION")) {
      (*stream.mutable_treat())["LOCATION"] = how;
      return;
    }
    for (size_t i : {latitude, latitude + 1})
      (*stream.mutable_fields())[site_.leaves[i].path] = how;
  }

  void ChooseKey(Stream& stream) {
    std::vector<std::string> fields;
    for (const Leaf& leaf : site_.leaves) {
      const Treatment* how = Stated(stream, leaf);
      const bool out =
          how == nullptr ? leaf.of_class.empty() && leaf.truth == Truth::kPlain : !how->has_drop();
      if (out && leaf.type == "string" &&
          (leaf.shape == Shape::kField || leaf.shape == Shape::kMessage))
        fields.push_back(leaf.path);
    }
    if (!fields.empty()) stream.set_key(Any(fields, random_));
  }

  void Err(Stream& stream) {
    Treatment drop, keep;
    drop.mutable_drop();
    keep.mutable_keep();
    const Leaf& leaf = Any(site_.leaves, random_);
    auto& fields = *stream.mutable_fields();
    if (Errs("masked id")) {
      Treatment mask;
      mask.mutable_mask()->set_keep_first(static_cast<int>(8 + Below(random_, 8)));
      fields["id"] = mask;
    } else if (Errs("weak treatment")) {
      for (const Leaf& other : site_.leaves) {
        Treatment weak;
        if (other.IsDate()) {
          weak.mutable_mask()->set_keep_first(9);
        } else if (other.truth == Truth::kPoint) {
          weak.mutable_generalise()->set_bucket(1e-7);
        } else if (other.truth == Truth::kSecret && other.type == "string" &&
                   other.shape != Shape::kMapKey && Chance(random_, 30)) {
          weak.mutable_mask()->set_keep_first(15);
        } else {
          continue;
        }
        fields[other.path] = weak;
      }
    } else if (Errs("two overrides")) {
      if (leaf.truth == Truth::kPoint) return;
      fields[leaf.path] = drop;
      fields[leaf.path + "[]"] = keep;
    } else if (Errs("equal members")) {
      // A row's name, or another field's.
      std::vector<std::string> names;
      for (const Leaf& other : site_.leaves) {
        if (other.shape != Shape::kField && other.shape != Shape::kList) continue;
        Treatment named = drop;
        if (const Treatment* stated = Stated(stream, other)) named = *stated;
        if (named.has_drop()) named.set_constant("withheld");
        named.set_as(Chance(random_, 50) ? site_.joins[0].into : "same");
        fields[other.path] = named;
      }
      fields.erase(site_.joins[0].into);
    } else if (Errs("hidden key")) {
      stream.mutable_accept()->erase("join-key:" + site_.joins[0].into);
      fields.erase(site_.joins[0].into);
      for (const std::string& path : site_.joins[0].leaves) fields[path] = drop;
    } else if (Errs("kept")) {
      fields[leaf.path] = keep;
    } else if (Errs("undecided column")) {
      for (const Set& set : site_.sets) {
        for (const Join& join : site_.joins) {
          if (&site_.sets[join.set] != &set) continue;
          fields.erase(join.into);
          for (const Column& column : set.columns)
            fields.erase(base::StrCat(join.into, ".", column.name));
        }
      }
    } else if (Errs("no treatment")) {
      if (!stream.treat().empty()) stream.mutable_treat()->erase(leaf.of_class);
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
    if (Chance(random_, 95))
      (*stream.mutable_accept())[base::StrCat("join-key:", join.into)] = "the generator says so";
  }

  static constexpr size_t kEventTime = 31;  // of Kinds()

  Random& random_;
  size_t turn_;
  Site site_;
  std::string root_, oneof_, subject_, person_, item_;
  int number_ = 10;
  bool place_ = false;
  std::map<size_t, Way> wanted_;  // by leaf
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

Site MakeSite(Random& random, size_t turn) { return SiteMaker(random, turn).Make(); }

std::vector<std::string> ValuesOf(const Leaf& leaf, Random& random) {
  std::vector<std::string> values = {ValueOf(leaf, random), ValueOf(leaf, random)};
  // A map has no two equal keys.
  while (leaf.shape == Shape::kMapKey && values[1] == values[0]) values[1] = ValueOf(leaf, random);
  return values;
}

Values MakeValues(const Site& site, Random& random) {
  Values values;
  for (const Leaf& leaf : site.leaves) values[leaf.path] = ValuesOf(leaf, random);
  return values;
}

std::string JsonOf(const Site& site, const Values& values) {
  std::string root, subject, place, people[2], places[2], named[2];
  bool oneof = false;
  auto value = [&](const Leaf& leaf, size_t i) { return Literal(leaf, values.at(leaf.path)[i]); };
  auto member = [](std::string& to, const std::string& name, const std::string& text) {
    base::StrAppend(to, to.empty() ? "" : ",", Quoted(name), ":", text);
  };
  for (size_t i = 0; i < site.leaves.size(); ++i) {
    const Leaf& leaf = site.leaves[i];
    const bool point = leaf.truth == Truth::kPoint;
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
        auto key = [&](size_t item) { return Quoted(values.at(leaf.path)[item]); };
        member(
            root, leaf.name,
            base::StrCat("{", key(0), ":", value(part, 0), ",", key(1), ":", value(part, 1), "}"));
        break;
      }
      case Shape::kMapValue:
        break;
      case Shape::kMessage:
        member(point ? place : subject, leaf.name, value(leaf, 0));
        break;
      case Shape::kListOfMessages:
        for (size_t item : {0, 1})
          member(point ? places[item] : people[item], leaf.name, value(leaf, item));
        break;
      case Shape::kListInMessages:
        for (size_t item : {0, 1})
          member(people[item], leaf.name, base::StrCat("[", value(leaf, item), "]"));
        break;
      case Shape::kMapOfMessages:
        for (size_t item : {0, 1}) member(named[item], leaf.name, value(leaf, item));
        break;
    }
  }
  auto two = [&](const std::string(&items)[2]) {
    return base::StrCat("[{", items[0], "},{", items[1], "}]");
  };
  if (!subject.empty()) member(root, "subject", base::StrCat("{", subject, "}"));
  if (!place.empty()) member(root, "place", base::StrCat("{", place, "}"));
  if (!people[0].empty()) member(root, "people", two(people));
  if (!places[0].empty()) member(root, "places", two(places));
  if (!named[0].empty()) {
    member(root, "named", base::StrCat(R"({"one":{)", named[0], R"(},"other":{)", named[1], "}}"));
  }
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
      if (join != nullptr && join->cell.empty()) {
        for (const Values& values : events) keys.insert(values.at(join->leaves[0])[0]);
      } else if (join != nullptr) {
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
