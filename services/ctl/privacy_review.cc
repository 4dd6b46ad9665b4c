#include "services/ctl/privacy_review.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/base/planted_fault.h"
#include "common/base/strings.h"
#include "common/contract/suggestion.h"
#include "common/engine/flow.h"
#include "common/engine/treatment_table.h"
#include "common/privacy/domain_name.h"

namespace sluice::ctl {
namespace {

using config::v1::Generalise;
using config::v1::Treatment;
using contract::Classification;
using contract::Node;
using engine::Op;
using engine::OutputNode;
using engine::StreamPlan;
using engine::TreatmentKind;

// So many attributes of one person together are a fingerprint.
constexpr size_t kAttributesMax = 3;

// The unit of a pseudonym's `linkage: period`.
std::string PeriodOf(const config::v1::Pseudonymise& pseudonymise) {
  return config::v1::Pseudonymise::Calendar_Name(
      pseudonymise.has_every() ? pseudonymise.every() : config::v1::Pseudonymise::month);
}

bool IsPlace(const Classification& is) {
  return is.quasi == contract::v1::LATITUDE || is.quasi == contract::v1::LONGITUDE ||
         is.quasi == contract::v1::LOCATION_TEXT;
}

// A time of the event, whatever its class.
bool IsTime(const Node& node) {
  const Classification& is = node.classification;
  return node.type == contract::Type::kTimestamp || is.quasi == contract::v1::OCCURRED_AT ||
         is.quasi == contract::v1::EVENT_TIME;
}

// A leaf of what a stream gets: a field of the contract, or a column of a joined row, which is
// kept.
struct Leaf {
  const Node& node;  // of a column: what a field like it would be
  const OutputNode& output;
  const Treatment* treatment = nullptr;  // that the configuration states
  std::string at;                        // where it does, behind the stream
  std::string declared;                  // where it is classified, in words
  bool column = false;

  // The name of a warning says all of what is accepted by it: what, of which class, of which field
  // or column, and how much of it.
  std::string Name(std::string_view what, std::string_view level = "") const {
    return base::StrCat(what, ":", node.classification.name(), ":", node.path,
                        level.empty() ? "" : "=", level);
  }
};

// Every stream's own treatment of a field, as the configuration has it.
const Treatment* TreatmentOf(const config::v1::Stream& stream, const StreamPlan& compiled,
                             const Node& node, std::string& path) {
  if (auto found = compiled.overrides.find(node.id); found != compiled.overrides.end()) {
    path = base::StrCat(".fields[", found->second.path, "]");
    return &found->second.treatment;
  }
  for (std::string_view name : {std::string_view(node.classification.name()),
                                std::string_view(IsPlace(node.classification) ? "LOCATION" : "")}) {
    auto found = stream.treat().find(std::string(name));
    if (name.empty() || found == stream.treat().end()) continue;
    path = base::StrCat(".treat[", name, "]");
    return &found->second;
  }
  return nullptr;
}

class Reviewer {
 public:
  explicit Reviewer(const engine::Pipeline& pipeline)
      : pipeline_(pipeline), plan_(pipeline.contract()) {}

  Review Do() {
    for (const StreamPlan& stream : pipeline_.streams()) review_.streams.push_back(stream.name);
    FillMatrix();
    for (size_t i = 0; i < pipeline_.streams().size(); ++i) ReviewStream(i);
    FillReaches();
    NoteColumns();
    NoteShared();
    ReviewDomains();
    ReviewMasks();
    ReviewContract();
    TakeAccepted();
    return std::move(review_);
  }

 private:
  const config::v1::Stream& config() const {
    return pipeline_.config().streams(static_cast<int>(index_));
  }

  void Warn(std::string name, std::string_view at, std::string text) {
    std::string stream = config().name();
    // One for each name: two joins of one set may lead to the same column.
    for (const Warning& warning : review_.warnings) {
      if (warning.name == name && warning.stream == stream) return;
    }
    review_.warnings.push_back({std::move(name), std::move(stream),
                                base::StrCat("pipeline.streams[", index_, "]", at),
                                std::move(text)});
  }

  static std::map<contract::NodeId, const OutputNode*> OutputsOf(const StreamPlan& stream) {
    std::map<contract::NodeId, const OutputNode*> outputs;
    for (const OutputNode& output : stream.nodes) outputs.emplace(output.node, &output);
    return outputs;
  }

  void FillMatrix() {
    for (const Node& node : plan_.nodes()) {
      if (node.is_message()) continue;
      MatrixRow row{node.path, std::string(node.classification.name()), {}};
      for (const StreamPlan& stream : pipeline_.streams()) {
        bool out = OutputsOf(stream).contains(node.id);
        row.treatments.push_back(out ? stream.treatments[node.id] : "drop");
      }
      review_.matrix.push_back(std::move(row));
    }
    for (const contract::OpaqueField& field : plan_.opaque_fields())
      review_.matrix.push_back(
          {field.path, field.type, std::vector<std::string>(pipeline_.streams().size(), "drop")});
    for (size_t i = 0; i < pipeline_.joins().size(); ++i) {
      const engine::JoinPlan& join = pipeline_.joins()[i];
      for (size_t column = 0; column < join.columns.size(); ++column) {
        const Classification& is = join.column(column).classification;
        MatrixRow row{base::StrCat(join.field.name, ".", join.columns[column].name),
                      is.classified() ? std::string(is.name()) : base::StrCat("joined: ", join.set),
                      {}};
        for (const StreamPlan& stream : pipeline_.streams())
          row.treatments.push_back(Carries(stream, i, column) ? "keep" : "drop");
        review_.matrix.push_back(std::move(row));
      }
    }
  }

  void FillReaches() {
    for (const StreamPlan& stream : pipeline_.streams()) {
      for (const engine::OutputLeaf& leaf : engine::OutputLeaves(pipeline_, stream)) {
        for (const engine::Flow& flow : leaf.flows) {
          std::string how = flow.how == engine::FlowHow::kWhole      ? "whole"
                            : flow.how == engine::FlowHow::kChosenBy ? "chosen by"
                                                                     : leaf.through;
          review_.reaches.push_back(
              {stream.name, leaf.path, flow.source.ToString(pipeline_), std::move(how)});
        }
      }
    }
  }

  // Columns that no stream gets, since nobody has decided what they are. Of what a row is found by
  // nobody needs to.
  void NoteColumns() {
    std::set<std::string> noted;
    for (const engine::JoinPlan& join : pipeline_.joins()) {
      const enrichment::Schema& schema = join.table->schema();
      for (size_t i = 0; i < schema.columns().size(); ++i) {
        const enrichment::Column& column = schema.columns()[i];
        const bool bound = schema.has_interval() && (i == schema.low() || i == schema.high());
        const bool area = schema.kind() == reference::v1::Schema::area && i == schema.area();
        const bool point = schema.kind() == reference::v1::Schema::nearest &&
                           (i == schema.latitude() || i == schema.longitude());
        if (column.classification.decided() || schema.IsKey(i) || bound || area || point) continue;
        if (!noted.insert(base::StrCat(join.set, ".", column.name)).second) continue;
        review_.notes.push_back(base::StrCat(
            "the column '", column.name, "' of the reference set '", join.set,
            "' is undecided, so no stream gets it: classify it in the set's schema, or name it in "
            "not_personal"));
      }
    }
  }

  static bool Carries(const StreamPlan& stream, size_t join, size_t column) {
    for (const engine::StreamJoin& carried : stream.joins) {
      if (carried.join == join)
        return std::find(carried.columns.begin(), carried.columns.end(), column) !=
               carried.columns.end();
    }
    return false;
  }

  void ReviewStream(size_t index) {
    index_ = index;
    stream_ = &pipeline_.streams()[index];
    attributes_.clear();
    exact_birth_ = fine_postcode_ = exact_time_ = exact_place_ = false;
    auto outputs = OutputsOf(*stream_);
    for (const Node& node : plan_.nodes()) {
      if (node.is_message()) continue;
      if (node.classification.identifier != 0) ++review_.identifiers;
      auto found = outputs.find(node.id);
      if (found == outputs.end()) continue;
      Leaf leaf{node, *found->second, nullptr, "", "", false};
      leaf.treatment = TreatmentOf(config(), *stream_, node, leaf.at);
      leaf.declared = base::StrCat("the contract (", node.location.ToString(), ")");
      ReviewLeaf(leaf);
    }
    ReviewJoins();
    for (const StreamPlan::Risk& risk : stream_->risks)
      Warn(risk.name, risk.config_path, risk.text);
    ReviewTogether();
    if (config().purpose().empty()) {
      Warn("no-purpose", "",
           "no `purpose`: say why this audience gets the data (UK GDPR Art. 5(1)(b), DPA 2018 "
           "s.36)");
    }
  }

  // What a field like the column would be.
  static Node NodeOf(const engine::JoinPlan& join, size_t column) {
    Node node;
    node.name = join.column(column).name;
    node.path = base::StrCat(join.field.name, ".", join.columns[column].name);
    node.type = engine::OutputTypeOf(join.column(column).type);
    node.classification = join.column(column).classification;
    return node;
  }

  // Where the stream says that a joined column is kept.
  std::string KeptAt(const Node& column) const {
    if (config().fields().contains(column.path)) return base::StrCat(".fields[", column.path, "]");
    std::string name(column.classification.name());
    if (!config().treat().contains(name) && IsPlace(column.classification)) name = "LOCATION";
    return config().treat().contains(name) ? base::StrCat(".treat[", name, "]") : "";
  }

  // A joined column is one more leaf, and it is kept.
  void ReviewJoins() {
    OutputNode kept;
    kept.op = Op::kKeep;
    for (size_t i = 0; i < pipeline_.joins().size(); ++i) {
      const engine::JoinPlan& join = pipeline_.joins()[i];
      for (size_t column = 0; column < join.columns.size(); ++column) {
        const Node node = NodeOf(join, column);
        if (node.classification.identifier != 0) ++review_.identifiers;
        if (!Carries(*stream_, i, column)) continue;
        ReviewLeaf({node, kept, nullptr, KeptAt(node),
                    base::StrCat("the reference set '", join.set, "'"), true});
      }
    }
  }

  void ReviewLeaf(const Leaf& leaf) {
    const Node& node = leaf.node;
    const Classification& is = node.classification;
    if (!is.classified()) return ReviewName(leaf);
    const TreatmentKind done = engine::KindOf(leaf.output);
    const bool by_default =
        !leaf.column && done == TreatmentKind::kKeep && stream_->internal &&
        (is.identifier == contract::v1::EVENT_ID || is.quasi == contract::v1::OCCURRED_AT);
    if (!by_default && engine::ShowsIdentifier(node, leaf.output)) ++review_.kept;
    if (done == TreatmentKind::kKeep) {
      if (!by_default) WarnKept(leaf);
    } else if (done == TreatmentKind::kMask) {
      const engine::Shown shown = engine::HowMuchShows(leaf.output);
      if (engine::PointsAtFew(node, done, shown))
        Warn(leaf.Name("mask-shows", base::StrCat(shown.amount)), leaf.at,
             base::StrCat("the mask shows ", engine::LevelInWords(leaf.output), " of '", node.path,
                          "', and its length: with another field they find the person, and of a "
                          "value that is short, or one of few, they are all of it; show fewer, or "
                          "drop it"));
    } else if (leaf.treatment != nullptr && !stream_->internal) {
      WarnLinkable(leaf);
    }
    if (is.free_text && leaf.output.op != Op::kConstant)
      review_.texts.push_back(
          {stream_->name, node.path, leaf.column ? "keep" : stream_->treatments[node.id]});
    if (!stream_->internal) ReviewPrecision(leaf);
    Remember(leaf);
  }

  // Records of one person that can be put together, outside.
  void WarnLinkable(const Leaf& leaf) {
    const Classification& is = leaf.node.classification;
    if (is.identifier == contract::v1::EVENT_ID || is.identifier == contract::v1::SOURCE_POSITION)
      return;
    auto warn = [&](std::string_view level, std::string_view what, std::string_view instead) {
      Warn(leaf.Name("linkable", level), leaf.at,
           base::StrCat("'", leaf.node.path, "' ", what, ", which stays personal data; ", instead));
    };
    const config::v1::Pseudonymise& how = leaf.treatment->pseudonymise();
    switch (engine::KindOf(leaf.output)) {
      case TreatmentKind::kPseudonymise:
        if (how.linkage() == config::v1::Pseudonymise::period) {
          warn(PeriodOf(how),
               base::StrCat("is a pseudonym in a stream that isn't internal: all records of one "
                            "person within a ",
                            PeriodOf(how), " can be put together"),
               "drop it, or use linkage: event, unless the purpose needs that");
        } else if (how.linkage() == config::v1::Pseudonymise::domain) {
          warn("domain",
               "is a pseudonym in a stream that isn't internal: all records of one person can be "
               "put together",
               "drop it unless the purpose needs that");
        }
        break;
      case TreatmentKind::kEncrypt:
        warn("encrypt",
             "is encrypted in a stream that isn't internal: all records of one person can be put "
             "together, and its length shows",
             "drop it or use pseudonymise, unless somebody must get it back");
        break;
      case TreatmentKind::kFormatPreserve:
        warn("format_preserve",
             "is format-preserved in a stream that isn't internal: all records of one person can "
             "be put together, and it may be somebody's true one",
             "drop it or use pseudonymise, unless the receiving system takes nothing else");
        break;
      case TreatmentKind::kShift:
        warn("shift",
             "is shifted in a stream that isn't internal: the days between one person's dates are "
             "the true ones and can be known again",
             "generalise or drop it unless the purpose needs them");
        break;
      case TreatmentKind::kKeep:
      case TreatmentKind::kDrop:
      case TreatmentKind::kConstant:
      case TreatmentKind::kMask:
      case TreatmentKind::kScrub:
      case TreatmentKind::kAgeBands:
      case TreatmentKind::kYear:
      case TreatmentKind::kMonth:
      case TreatmentKind::kDay:
      case TreatmentKind::kHour:
      case TreatmentKind::kSector:
      case TreatmentKind::kDistrict:
      case TreatmentKind::kArea:
      case TreatmentKind::kGridMetres:
      case TreatmentKind::kBucket:
      case TreatmentKind::kSnap:
      case TreatmentKind::kAreaOf:
        break;
    }
  }

  void WarnKept(const Leaf& leaf) {
    const Classification& is = leaf.node.classification;
    std::string_view what = is.identifier != 0  ? "identifies a person on its own"
                            : is.free_text      ? "is free text, in which anything may stand"
                            : is.sensitive != 0 ? "is special category or sensitive data"
                                                : "identifies together with others";
    std::string_view instead = is.identifier != 0 ? "pseudonymise or drop it"
                               : is.free_text     ? "drop it"
                                                  : "generalise or drop it";
    Warn(leaf.Name("kept"), leaf.at,
         base::StrCat("'", leaf.node.path, "' is kept as it stands and ", what, "; ", instead,
                      ", or accept the warning with a reason"));
  }

  // What an audience outside may still find people by.
  void ReviewPrecision(const Leaf& leaf) {
    const Node& node = leaf.node;
    const TreatmentKind done = engine::KindOf(leaf.output);
    if (!engine::PointsAtFew(node, done, engine::HowMuchShows(leaf.output))) return;
    std::string_view instead;
    switch (done) {
      case TreatmentKind::kAgeBands:
        instead = "make every band 5 years or more";
        break;
      case TreatmentKind::kYear:
      case TreatmentKind::kMonth:
      case TreatmentKind::kDay:
      case TreatmentKind::kHour:
        instead = IsTime(node) ? "use month or year" : "use year, or age_bands";
        break;
      case TreatmentKind::kSector:
      case TreatmentKind::kDistrict:
      case TreatmentKind::kArea:
        instead = "use district or area";
        break;
      case TreatmentKind::kGridMetres:
        instead = "use 1000 metres or more";
        break;
      case TreatmentKind::kBucket:
        instead =
            "make sure that each bucket has many people in it, and accept the warning with that "
            "reason; or use a wider one";
        break;
      case TreatmentKind::kSnap:
        instead =
            "make sure that each point stands for eight addresses or more, or none, and accept the "
            "warning with that reason; or use area_of";
        break;
      case TreatmentKind::kKeep:
      case TreatmentKind::kMask:
        return;  // has its own warning
      case TreatmentKind::kDrop:
      case TreatmentKind::kConstant:
      case TreatmentKind::kPseudonymise:
      case TreatmentKind::kEncrypt:
      case TreatmentKind::kFormatPreserve:
      case TreatmentKind::kShift:
      case TreatmentKind::kScrub:
        return;
      case TreatmentKind::kAreaOf:
        instead =
            "use a set whose smallest area is a square kilometre or more, or grid_metres 1000";
        break;
    }
    const std::string level = engine::LevelInWords(leaf.output);
    Warn(leaf.Name("precise", level), leaf.at,
         base::StrCat("'", node.path, "' is made coarser only to ", level,
                      " in a stream that isn't internal; ", instead));
  }

  // What the field adds to what can be put together.
  void Remember(const Leaf& leaf) {
    const Node& node = leaf.node;
    const OutputNode& output = leaf.output;
    const Classification& is = node.classification;
    const TreatmentKind done = engine::KindOf(output);
    const bool kept = done == TreatmentKind::kKeep;
    const double metres = engine::HowMuchShows(output).amount;
    if (is.quasi == contract::v1::DATE_OF_BIRTH)
      exact_birth_ |= kept || (output.op == Op::kDatePart && output.part != engine::Part::kYear);
    if (is.identifier == contract::v1::POSTCODE)
      fine_postcode_ |= kept || done == TreatmentKind::kSector;
    if (IsTime(node)) exact_time_ |= kept || done == TreatmentKind::kHour;
    const bool grid = done == TreatmentKind::kGridMetres || done == TreatmentKind::kAreaOf;
    if (IsPlace(is)) exact_place_ |= kept || (grid && metres < 100);
    const bool attribute = (is.quasi != 0 && is.quasi != contract::v1::OCCURRED_AT &&
                            is.quasi != contract::v1::EVENT_TIME) ||
                           is.sensitive != 0 || is.identifier == contract::v1::POSTCODE;
    if (!attribute || done == TreatmentKind::kConstant) return;
    const bool point =
        !leaf.column && (is.quasi == contract::v1::LATITUDE || is.quasi == contract::v1::LONGITUDE);
    const bool place = IsPlace(is) || is.identifier == contract::v1::POSTCODE;
    // A point is one place, though it has two numbers.
    attributes_[place ? "PLACE" : std::string(is.name())].emplace(
        point ? plan_.node(node.parent).path : node.path,
        kept ? "keep" : engine::LevelInWords(output));
  }

  // What is put together, and how much of each: GENDER, DATE_OF_BIRTH(bands 18,25), of two fields
  // NATIONALITY(keep;keep).
  std::string Attributes() const {
    return absl::StrJoin(attributes_, "+", [](std::string* out, const auto& attribute) {
      std::vector<std::string> levels;
      for (const auto& [path, level] : attribute.second) levels.push_back(level);
      std::sort(levels.begin(), levels.end());
      base::StrAppend(*out, attribute.first);
      if (levels.size() > 1 || levels[0] != "keep")
        base::StrAppend(*out, "(", absl::StrJoin(levels, ";"), ")");
    });
  }

  void ReviewTogether() {
    if (exact_birth_ && fine_postcode_) {
      Warn("together:DATE_OF_BIRTH+POSTCODE", ".treat",
           "a date of birth and a postcode together identify almost everyone; generalise one "
           "to age_bands or district");
    }
    if (stream_->internal) return;
    if (exact_time_ && exact_place_) {
      Warn("together:TIME+PLACE", ".treat",
           "an exact time and an exact place together say which event it was, and who knows of it "
           "knows the person; generalise the time to month or the place to grid_metres 1000");
    }
    if (attributes_.size() > kAttributesMax) {
      Warn(base::StrCat("together:", Attributes()), ".treat",
           base::StrCat(attributes_.size(),
                        " attributes of a person together single people out; "
                        "drop or generalise some, and check that no combination is rare"));
    }
  }

  // Streams whose domains are one, or may be after a rotation.
  void ReviewDomains() {
    for (index_ = 0; index_ < pipeline_.streams().size(); ++index_) {
      const std::string& domain = config().domain();
      if (domain.empty()) continue;
      for (size_t i = 0; i < index_; ++i) {
        const config::v1::Stream& other = pipeline_.config().streams(static_cast<int>(i));
        if (!privacy::MayBeOne(privacy::DomainName::Of(domain),
                               privacy::DomainName::Of(other.domain())))
          continue;
        Warn(base::StrCat("shared-domain:", domain, "=", other.name()), ".domain",
             base::StrCat("'", other.name(), "' pseudonymises in the domain '", other.domain(), "'",
                          domain == other.domain() ? " too" : ", which may be the same epoch",
                          ": who has both streams can join their people; give each audience its "
                          "own domain"));
      }
    }
  }

  void ReviewMasks() {
    for (const engine::AudienceLink& link : engine::LinksByMask(plan_, pipeline_.streams())) {
      index_ = link.stream;
      const Node& node = plan_.node(link.node);
      std::string at;
      TreatmentOf(config(), pipeline_.streams()[index_], node, at);
      Warn(link.Name("mask", plan_, pipeline_.streams()), at,
           base::StrCat("'", node.path, "' is masked here or in '",
                        pipeline_.streams()[link.other].name,
                        "': its length and what the mask shows are the same in both, and link "
                        "their records; drop it in one of them"));
    }
  }

  // What two streams that aren't internal are both meant to have links them as far as it is rare.
  void NoteShared() {
    const auto& streams = pipeline_.streams();
    for (size_t i = 0; i < streams.size(); ++i) {
      for (size_t j = i + 1; j < streams.size(); ++j) {
        if (streams[i].internal || streams[j].internal) continue;
        const std::vector<std::string> shared = SharedBy(streams[i], streams[j]);
        if (shared.empty()) continue;
        review_.notes.push_back(
            base::StrCat("'", streams[i].name, "' and '", streams[j].name,
                         "' both tell of an event: ", absl::StrJoin(shared, ", "),
                         ": who has both can link records as far as a combination is rare"));
      }
    }
  }

  std::vector<std::string> SharedBy(const StreamPlan& one, const StreamPlan& other) const {
    std::vector<std::string> shared;
    const auto outputs = OutputsOf(one), others = OutputsOf(other);
    for (const Node& node : plan_.nodes()) {
      auto a = outputs.find(node.id), b = others.find(node.id);
      if (node.is_message() || a == outputs.end() || b == others.end()) continue;
      if (TellsOfValue(*a->second) && TellsOfValue(*b->second)) shared.push_back(node.path);
    }
    for (size_t i = 0; i < pipeline_.joins().size(); ++i) {
      const engine::JoinPlan& join = pipeline_.joins()[i];
      for (size_t column = 0; column < join.columns.size(); ++column) {
        if (Carries(one, i, column) && Carries(other, i, column))
          shared.push_back(base::StrCat(join.field.name, ".", join.columns[column].name));
      }
    }
    return shared;
  }

  // Something of the value shows that isn't the domain's own.
  static bool TellsOfValue(const OutputNode& output) {
    switch (engine::HowMuchShows(output).measure) {
      case engine::Measure::kNothing:
      case engine::Measure::kEquality:
      case engine::Measure::kLength:
      case engine::Measure::kFormat:
        return false;
      case engine::Measure::kSpans:
      case engine::Measure::kCharacters:
      case engine::Measure::kDays:
      case engine::Measure::kMetres:
      case engine::Measure::kWidth:
      case engine::Measure::kAddresses:
      case engine::Measure::kPlaces:
      case engine::Measure::kProse:
      case engine::Measure::kEverything:
        return true;
    }
    return true;
  }

  // What is called not personal and whose name says otherwise.
  void ReviewName(const Leaf& leaf) {
    const Node& node = leaf.node;
    if (node.type == contract::Type::kBool || node.type == contract::Type::kEnum) return;
    std::string option = contract::SuggestedOption(node.name);
    if (option.empty()) return;
    Warn(base::StrCat("named-personal:", node.path), leaf.column ? leaf.at : "",
         base::StrCat("'", node.path, "' is not_personal in ", leaf.declared,
                      ", so the stream gets it, and its name says that it may be personal: "
                      "classify it, such as with `",
                      option, "`, or accept the warning with a reason"));
  }

  void ReviewContract() {
    const contract::v1::EventOptions& options = plan_.options();
    auto missing = [&](std::string_view name, const std::string& value, std::string_view why) {
      if (!value.empty()) return;
      review_.warnings.push_back({base::StrCat("contract:", name), "", "pipeline.contract",
                                  base::StrCat("the contract says no `", name, "` (",
                                               plan_.root().location.ToString(), "): ", why)});
    };
    missing("owner", options.owner(), "name the team that answers for it");
    missing("purpose", options.purpose(), "say why the data is processed");
    missing("lawful_basis", options.lawful_basis(), "say on what basis");
    missing("retention", options.retention(), "say for how long it is kept");
  }

  void TakeAccepted() {
    for (int i = 0; i < pipeline_.config().streams_size(); ++i) {
      index_ = static_cast<size_t>(i);
      for (const auto& [name, reason] : config().accept()) {
        auto found = std::find_if(
            review_.warnings.begin(), review_.warnings.end(), [&](const Warning& warning) {
              return warning.name == name && warning.stream == config().name();
            });
        std::string at = base::StrCat(".accept[", name, "]");
        if (found == review_.warnings.end()) {
          Warn(base::StrCat("accepts-nothing:", name), at,
               base::StrCat("there is no warning '", name, "' in this stream: remove the line"));
        } else if (!engine::IsReason(reason)) {
          Warn(base::StrCat("accepts-without-reason:", name), at, "say why it is accepted");
        } else {
          review_.accepted.push_back({name, config().name(), reason});
          review_.warnings.erase(found);
        }
      }
    }
    std::sort(review_.accepted.begin(), review_.accepted.end(),
              [](const Accepted& a, const Accepted& b) {
                return std::tie(a.stream, a.name) < std::tie(b.stream, b.name);
              });
  }

  const engine::Pipeline& pipeline_;
  const contract::Plan& plan_;
  Review review_;
  // The stream at hand.
  size_t index_ = 0;
  const StreamPlan* stream_ = nullptr;
  std::map<std::string, std::set<std::pair<std::string, std::string>>> attributes_;
  bool exact_birth_ = false, fine_postcode_ = false, exact_time_ = false, exact_place_ = false;
};

const OutputNode* OutputOf(const engine::Pipeline& pipeline, const StreamPlan& stream,
                           const std::string& path) {
  for (const OutputNode& output : stream.nodes) {
    if (output.node != contract::kNoNode && output.op != Op::kMessage &&
        pipeline.contract().node(output.node).path == path)
      return &output;
  }
  return nullptr;
}

// By what two versions are compared: a field of the contract by its path there, whatever a stream
// calls it; a joined column, the key and the headers by their own.
std::map<std::string, engine::OutputLeaf> LeavesOf(const engine::Pipeline& pipeline,
                                                   const StreamPlan& stream) {
  std::map<std::string, engine::OutputLeaf> leaves;
  for (engine::OutputLeaf& leaf : engine::OutputLeaves(pipeline, stream)) {
    std::string path = leaf.output == 0
                           ? leaf.path
                           : pipeline.contract().node(stream.nodes[leaf.output].node).path;
    leaves.emplace(std::move(path), std::move(leaf));
  }
  return leaves;
}

// Where a field's value stands in the raw event: its keys in JSON, each of its spellings; its
// numbers in protobuf.
std::vector<std::string> PlacesOf(const engine::Pipeline& pipeline, contract::NodeId id) {
  const Node& node = pipeline.contract().node(id);
  if (id == 0) return {""};
  std::vector<std::string> names;
  if (pipeline.config().input().format() == config::v1::protobuf) {
    names = {base::StrCat("#", node.number)};
  } else if (!node.read.source.empty()) {
    names = {absl::StrJoin(node.read.source, ".")};
  } else {
    names = {node.name};
    if (node.json_name != node.name) names.push_back(node.json_name);
  }
  std::vector<std::string> places;
  for (const std::string& parent : PlacesOf(pipeline, node.parent)) {
    for (const std::string& name : names)
      places.push_back(base::StrCat(parent, parent.empty() ? "" : ".", name));
  }
  return places;
}

// Where a flow begins, so that two versions of a contract can be compared. `by_place`: both are
// read in one format.
std::vector<std::string> OriginsOf(const engine::Pipeline& pipeline,
                                   const engine::FlowSource& source, bool by_place) {
  if (source.kind == engine::FlowSource::Kind::kField && by_place)
    return PlacesOf(pipeline, source.node);
  if (source.kind == engine::FlowSource::Kind::kCell) {
    // The set's, whatever row it is joined as.
    const engine::JoinPlan& join = pipeline.joins()[source.join];
    return {
        base::StrCat("set:", join.set, ".", join.table->schema().columns()[source.column].name)};
  }
  return {source.ToString(pipeline)};
}

// One stream now and before.
class Comparison {
 public:
  Comparison(const engine::Pipeline& before, size_t then, const engine::Pipeline& pipeline,
             size_t now, std::vector<Warning>& warnings)
      : before_(before),
        pipeline_(pipeline),
        then_(before.streams()[then]),
        now_(pipeline.streams()[now]),
        config_then_(before.config().streams(static_cast<int>(then))),
        config_now_(pipeline.config().streams(static_cast<int>(now))),
        at_(base::StrCat("pipeline.streams[", now, "]")),
        warnings_(warnings) {}

  void Do() {
    CompareFields();
    if (base::Planted(base::PlantedFault::kJoinsNotCompared)) return;
    CompareFlows();
    CompareStreams();
  }

 private:
  void Weaker(std::string_view what, std::string_view at, std::string text) {
    std::string name = base::StrCat("weaker:", what);
    for (const Warning& warning : warnings_)
      if (warning.name == name && warning.stream == now_.name) return;
    warnings_.push_back({std::move(name), now_.name, base::StrCat(at_, at), std::move(text)});
  }

  void CompareFields() {
    for (const Node& node : pipeline_.contract().nodes()) {
      if (node.is_message()) continue;
      const contract::NodeId earlier_id = before_.contract().Find(node.path);
      const bool known = earlier_id != contract::kNoNode;
      const OutputNode* output = OutputOf(pipeline_, now_, node.path);
      const OutputNode* earlier = OutputOf(before_, then_, node.path);
      std::string path, path_then;
      const Treatment* treatment = TreatmentOf(config_now_, now_, node, path);
      const Treatment* treatment_then =
          known ? TreatmentOf(config_then_, then_, before_.contract().node(earlier_id), path_then)
                : nullptr;
      if (engine::HidesAsMuch({earlier, treatment_then}, {output, treatment})) continue;
      std::string was = earlier == nullptr ? "drop" : then_.treatments[earlier_id];
      Weaker(node.path, path,
             base::StrCat("'", node.path, "' was `", known ? was : "not there", "` and is `",
                          now_.treatments[node.id], "`, which shows more or can't be compared"));
    }
  }

  // What reaches a leaf that didn't reach it before, or reaches it less changed; empty: nothing.
  std::string Grown(const engine::OutputLeaf& then, const engine::OutputLeaf& now) const {
    const bool by_place = before_.config().input().format() == pipeline_.config().input().format();
    std::map<std::string, engine::FlowHow> known;
    for (const engine::Flow& flow : then.flows) {
      for (const std::string& origin : OriginsOf(before_, flow.source, by_place)) {
        auto [found, added] = known.emplace(origin, flow.how);
        if (!added) found->second = std::max(found->second, flow.how);
      }
    }
    std::set<std::string> grown;
    for (const engine::Flow& flow : now.flows) {
      const std::vector<std::string> origins = OriginsOf(pipeline_, flow.source, by_place);
      const bool was = std::any_of(origins.begin(), origins.end(), [&](const std::string& origin) {
        auto found = known.find(origin);
        return found != known.end() && found->second >= flow.how;
      });
      if (was) continue;
      const std::string name = flow.source.ToString(pipeline_);
      const bool elsewhere = flow.source.kind == engine::FlowSource::Kind::kField && by_place &&
                             origins[0] != absl::StrReplaceAll(name, {{"[]", ""}});
      grown.insert(elsewhere ? base::StrCat(name, " (read from `", origins[0], "`)") : name);
    }
    return absl::StrJoin(grown, ", ");
  }

  void CompareFlows() {
    const auto earlier = LeavesOf(before_, then_);
    for (const auto& [path, leaf] : LeavesOf(pipeline_, now_)) {
      auto found = earlier.find(path);
      const bool record = path.starts_with('(');
      const std::string what = record
                                   ? base::StrCat("the record's ", path.substr(1, path.size() - 2))
                                   : base::StrCat("'", path, "'");
      const std::string_view at = path == "(key)" ? ".key" : "";
      if (found == earlier.end()) {
        // Of a field, what is done with it was compared.
        if (leaf.output == 0) Weaker(path, at, base::StrCat(what, " wasn't there before"));
      } else if (!record && leaf.output == 0 && found->second.through != leaf.through) {
        Weaker(
            path, at,
            base::StrCat(what, " was `", found->second.through, "` and is `", leaf.through, "`"));
      } else if (std::string grown = Grown(found->second, leaf); !grown.empty()) {
        Weaker(path, at, base::StrCat(what, " now also depends on ", grown));
      }
    }
  }

  // What isn't a value.
  void CompareStreams() {
    if (now_.internal && !then_.internal)
      Weaker("internal", ".internal",
             "the stream has become internal: it shows event ids, positions and times");
    if (!now_.internal && then_.internal)
      Weaker(
          "internal", ".internal",
          "the stream isn't internal any more: what it keeps was decided for an audience inside");
    if (config_now_.domain() != config_then_.domain())
      Weaker("domain", ".domain",
             base::StrCat("the domain was '", config_then_.domain(), "' and is '",
                          config_now_.domain(),
                          "': records can be put together with those of whatever else has that "
                          "domain"));
    if (now_.topic != then_.topic)
      Weaker("topic", ".topic",
             base::StrCat("the topic was '", then_.topic, "' and is '", now_.topic,
                          "': whoever may read that one gets the stream"));
    if (!now_.internal && !then_.internal && now_.timestamp_grid_ms < then_.timestamp_grid_ms)
      Weaker("timestamp_grid_seconds", ".timestamp_grid_seconds",
             base::StrCat("records' timestamps were on a grid of ", then_.timestamp_grid_ms / 1000,
                          " s and are on one of ", now_.timestamp_grid_ms / 1000,
                          " s: finer ones link audiences better"));
  }

  const engine::Pipeline& before_;
  const engine::Pipeline& pipeline_;
  const StreamPlan& then_;
  const StreamPlan& now_;
  const config::v1::Stream& config_then_;
  const config::v1::Stream& config_now_;
  const std::string at_;
  std::vector<Warning>& warnings_;
};

// Where events come from: another source fills the same fields with other values.
void CompareInputs(const engine::Pipeline& before, const engine::Pipeline& pipeline,
                   std::vector<Warning>& warnings) {
  auto changed = [&](std::string_view what, const std::string& at, const std::string& was,
                     const std::string& is) {
    if (was == is) return;
    warnings.push_back({base::StrCat("weaker:", what), "", at,
                        base::StrCat("the ", what, " was '", was, "' and is '", is,
                                     "': what its fields are can't be compared with before")});
  };
  const auto& then = before.config().input();
  const auto& now = pipeline.config().input();
  changed("contract", "pipeline.contract", before.contract().name(), pipeline.contract().name());
  changed("input-topic", "pipeline.input.topic", then.topic(), now.topic());
  changed("input-format", "pipeline.input.format", config::v1::Format_Name(then.format()),
          config::v1::Format_Name(now.format()));
}

}  // namespace

Review ReviewPipeline(const engine::Pipeline& pipeline) { return Reviewer(pipeline).Do(); }

std::vector<Warning> CompareStrength(const engine::Pipeline& before,
                                     const engine::Pipeline& pipeline) {
  std::vector<Warning> warnings;
  CompareInputs(before, pipeline, warnings);
  for (size_t now = 0; now < pipeline.streams().size(); ++now) {
    const std::string& name = pipeline.streams()[now].name;
    auto then = std::find_if(before.streams().begin(), before.streams().end(),
                             [&](const StreamPlan& stream) { return stream.name == name; });
    if (then == before.streams().end()) {
      warnings.push_back({"new-stream", name, base::StrCat("pipeline.streams[", now, "]"),
                          "this audience is new"});
      continue;
    }
    Comparison(before, static_cast<size_t>(then - before.streams().begin()), pipeline, now,
               warnings)
        .Do();
  }
  return warnings;
}

}  // namespace sluice::ctl
