#include "services/ctl/privacy_review.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "common/base/planted_fault.h"
#include "common/base/strings.h"
#include "common/contract/suggestion.h"
#include "common/engine/flow.h"
#include "common/engine/treatment_table.h"

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

std::string_view PlaceName(const Classification& is) {
  bool place = is.quasi == contract::v1::LATITUDE || is.quasi == contract::v1::LONGITUDE;
  return place ? "LOCATION" : is.name();
}

bool IsPlace(const Classification& is) {
  return is.quasi == contract::v1::LATITUDE || is.quasi == contract::v1::LONGITUDE ||
         is.quasi == contract::v1::LOCATION_TEXT;
}

bool IsTime(const Classification& is) {
  return is.quasi == contract::v1::OCCURRED_AT || is.quasi == contract::v1::EVENT_TIME;
}

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
    ReviewDomains();
    ReviewShifts();
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
    // One for each name: the fields of one classification are decided about in one place.
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
      if (found != outputs.end()) ReviewField(node, *found->second);
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

  // A joined column that identifies is one more identifier, and it is kept.
  void ReviewJoins() {
    for (size_t i = 0; i < pipeline_.joins().size(); ++i) {
      const engine::JoinPlan& join = pipeline_.joins()[i];
      for (size_t column = 0; column < join.columns.size(); ++column) {
        const Classification& is = join.column(column).classification;
        if (!is.classified()) continue;
        if (is.identifier != 0) ++review_.identifiers;
        if (!Carries(*stream_, i, column)) continue;
        if (is.identifier != 0) ++review_.kept;
        const std::string path = base::StrCat(join.field.name, ".", join.columns[column].name);
        WarnKept(path, is, std::string(PlaceName(is)), "");
      }
    }
  }

  void ReviewField(const Node& node, const OutputNode& output) {
    const Classification& is = node.classification;
    if (!is.classified()) return ReviewName(node);
    std::string at;
    const Treatment* treatment = TreatmentOf(config(), *stream_, node, at);
    std::string kind(PlaceName(is));
    const TreatmentKind done = engine::KindOf(output);
    const bool by_default =
        done == TreatmentKind::kKeep && stream_->internal &&
        (is.identifier == contract::v1::EVENT_ID || is.quasi == contract::v1::OCCURRED_AT);
    if (!by_default && engine::ShowsIdentifier(node, output)) ++review_.kept;
    if (done == TreatmentKind::kKeep) {
      if (!by_default) WarnKept(node.path, is, kind, at);
    } else if (done == TreatmentKind::kMask) {
      if (engine::PointsAtFew(node, done, engine::HowMuchShows(output)))
        Warn(base::StrCat("mask-shows:", kind), at,
             base::StrCat("the mask shows ", engine::LevelInWords(output), " of '", node.path,
                          "': with another field they find the person; show fewer"));
    } else if (treatment != nullptr && !stream_->internal) {
      WarnLinkable(node, output, *treatment, kind, at);
    }
    if (is.free_text && output.op != Op::kConstant)
      review_.texts.push_back({stream_->name, node.path, stream_->treatments[node.id]});
    if (!stream_->internal) ReviewPrecision(node, output, kind, at);
    Remember(node, output);
  }

  // Records of one person that can be put together, outside.
  void WarnLinkable(const Node& node, const OutputNode& output, const Treatment& treatment,
                    const std::string& kind, const std::string& at) {
    const Classification& is = node.classification;
    if (is.identifier == contract::v1::EVENT_ID || is.identifier == contract::v1::SOURCE_POSITION)
      return;
    // The period is part of the name: who has accepted a month hasn't accepted a year.
    std::string period;
    auto warn = [&](std::string_view what, std::string_view instead) {
      Warn(base::StrCat("linkable:", kind, period.empty() ? "" : "=", period), at,
           base::StrCat("'", node.path, "' ", what, ", which stays personal data; ", instead));
    };
    switch (engine::KindOf(output)) {
      case TreatmentKind::kPseudonymise:
        if (treatment.pseudonymise().linkage() == config::v1::Pseudonymise::period) {
          period = PeriodOf(treatment.pseudonymise());
          warn(base::StrCat("is a pseudonym in a stream that isn't internal: all records of one "
                            "person within a ",
                            period, " can be put together"),
               "drop it, or use linkage: event, unless the purpose needs that");
        } else if (treatment.pseudonymise().linkage() == config::v1::Pseudonymise::domain) {
          warn(
              "is a pseudonym in a stream that isn't internal: all records of one person can be "
              "put "
              "together",
              "drop it unless the purpose needs that");
        }
        break;
      case TreatmentKind::kEncrypt:
        warn(
            "is encrypted in a stream that isn't internal: all records of one person can be put "
            "together, and its length shows",
            "drop it or use pseudonymise, unless somebody must get it back");
        break;
      case TreatmentKind::kFormatPreserve:
        warn(
            "is format-preserved in a stream that isn't internal: all records of one person can be "
            "put together, and it may be somebody's true one",
            "drop it or use pseudonymise, unless the receiving system takes nothing else");
        break;
      case TreatmentKind::kShift:
        warn(
            "is shifted in a stream that isn't internal: the days between one person's dates are "
            "the "
            "true ones and can be known again",
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

  void WarnKept(const std::string& path, const Classification& is, const std::string& kind,
                const std::string& at) {
    std::string_view what = is.identifier != 0  ? "identifies a person on its own"
                            : is.free_text      ? "is free text, in which anything may stand"
                            : is.sensitive != 0 ? "is special category or sensitive data"
                                                : "identifies together with others";
    std::string_view instead = is.identifier != 0 ? "pseudonymise or drop it"
                               : is.free_text     ? "drop it"
                                                  : "generalise or drop it";
    Warn(base::StrCat("kept:", kind), at,
         base::StrCat("'", path, "' is kept as it stands and ", what, "; ", instead,
                      ", or accept the warning with a reason"));
  }

  // What an audience outside may still find people by.
  void ReviewPrecision(const Node& node, const OutputNode& output, const std::string& kind,
                       const std::string& at) {
    const TreatmentKind done = engine::KindOf(output);
    if (!engine::PointsAtFew(node, done, engine::HowMuchShows(output))) return;
    std::string_view instead;
    switch (done) {
      case TreatmentKind::kAgeBands:
        instead = "make every band 5 years or more";
        break;
      case TreatmentKind::kYear:
      case TreatmentKind::kMonth:
      case TreatmentKind::kDay:
      case TreatmentKind::kHour:
        instead = IsTime(node.classification) ? "use month or year" : "use year, or age_bands";
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
        instead = "use a wider one";
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
      case TreatmentKind::kAreaOf:
        return;
    }
    const std::string level = engine::LevelInWords(output);
    Warn(base::StrCat("precise:", kind, "=", level), at,
         base::StrCat("'", node.path, "' is made coarser only to ", level,
                      " in a stream that isn't internal; ", instead));
  }

  // What the field adds to what can be put together.
  void Remember(const Node& node, const OutputNode& output) {
    const Classification& is = node.classification;
    bool kept = output.op == Op::kKeep;
    if (is.quasi == contract::v1::DATE_OF_BIRTH)
      exact_birth_ |= kept || (output.op == Op::kDatePart && output.part != engine::Part::kYear);
    if (is.identifier == contract::v1::POSTCODE)
      fine_postcode_ |=
          kept || (output.op == Op::kPostcodePart && output.part == engine::Part::kSector);
    if (IsTime(is))
      exact_time_ |= kept || (output.op == Op::kTimePart && output.part == engine::Part::kHour);
    bool grid = output.op == Op::kGridLatitude || output.op == Op::kGridLongitude;
    if (IsPlace(is)) exact_place_ |= kept || (grid && output.grid_metres < 100);
    bool attribute = (is.quasi != 0 && !IsTime(is)) || is.sensitive != 0 ||
                     is.identifier == contract::v1::POSTCODE;
    if (attribute && output.op != Op::kConstant) {
      bool place = IsPlace(is) || is.identifier == contract::v1::POSTCODE;
      attributes_.insert(place ? "PLACE" : std::string(is.name()));
    }
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
      Warn(base::StrCat("together:", absl::StrJoin(attributes_, "+")), ".treat",
           base::StrCat(attributes_.size(),
                        " attributes of a person together single people out; "
                        "drop or generalise some, and check that no combination is rare"));
    }
  }

  void ReviewDomains() {
    std::map<std::string, std::string> streams;
    for (index_ = 0; index_ < pipeline_.streams().size(); ++index_) {
      const std::string& domain = config().domain();
      if (domain.empty()) continue;
      auto [first, added] = streams.emplace(domain, config().name());
      if (added) continue;
      Warn(base::StrCat("shared-domain:", domain), ".domain",
           base::StrCat("'", first->second, "' pseudonymises in the domain '", domain,
                        "' too: who has both streams can join their people; give each audience its "
                        "own domain"));
    }
  }

  // The compiler has seen to it that the streams accept it.
  void ReviewShifts() {
    for (size_t i : engine::LinkedByShift(pipeline_.streams())) {
      index_ = i;
      Warn(engine::kLinksByShift, "",
           "shifted times are another stream's too: who has both can link their records");
    }
  }

  // A field that the contract calls not personal and whose name says otherwise.
  void ReviewName(const Node& node) {
    if (node.type == contract::Type::kBool || node.type == contract::Type::kEnum) return;
    std::string option = contract::SuggestedOption(node.name);
    if (option.empty()) return;
    Warn(base::StrCat("named-personal:", node.path), "",
         base::StrCat("'", node.path,
                      "' is not_personal in the contract, so the stream gets it, and its name says "
                      "that it may be personal (",
                      node.location.ToString(), "): classify it, such as with `", option,
                      "`, or accept the warning with a reason"));
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
        } else if (reason.empty()) {
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
  std::set<std::string> attributes_;
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

std::string DomainOf(const engine::Pipeline& pipeline, const StreamPlan& stream) {
  return stream.has_domain ? pipeline.domains()[stream.domain] : "";
}

// The leaves of an output that aren't the contract's own fields, by their path.
std::map<std::string, engine::OutputLeaf> OthersOf(const engine::Pipeline& pipeline,
                                                   const StreamPlan& stream) {
  std::map<std::string, engine::OutputLeaf> leaves;
  for (engine::OutputLeaf& leaf : engine::OutputLeaves(pipeline, stream)) {
    std::string path = leaf.path;
    if (leaf.output == 0) leaves.emplace(std::move(path), std::move(leaf));
  }
  return leaves;
}

// What reaches a leaf that didn't reach it before, or reaches it less changed; empty: nothing.
std::string Grown(const engine::Pipeline& before, const engine::OutputLeaf& then,
                  const engine::Pipeline& pipeline, const engine::OutputLeaf& now) {
  std::map<std::string, engine::FlowHow> known;
  for (const engine::Flow& flow : then.flows) known[flow.source.ToString(before)] = flow.how;
  std::set<std::string> grown;
  for (const engine::Flow& flow : now.flows) {
    std::string source = flow.source.ToString(pipeline);
    auto found = known.find(source);
    if (found == known.end() || found->second < flow.how) grown.insert(std::move(source));
  }
  return absl::StrJoin(grown, ", ");
}

// Joined columns.
void CompareJoins(const engine::Pipeline& before, const StreamPlan& then,
                  const engine::Pipeline& pipeline, const StreamPlan& now, const std::string& at,
                  std::vector<Warning>& warnings) {
  auto earlier = OthersOf(before, then);
  for (const auto& [path, leaf] : OthersOf(pipeline, now)) {
    if (path.starts_with('(')) continue;
    auto found = earlier.find(path);
    std::string text;
    if (found == earlier.end()) {
      text = base::StrCat("the joined column '", path, "' wasn't there before");
    } else if (found->second.through != leaf.through) {
      text = base::StrCat("'", path, "' was `", found->second.through, "` and is `", leaf.through,
                          "`");
    } else if (std::string grown = Grown(before, found->second, pipeline, leaf); !grown.empty()) {
      text = base::StrCat("'", path, "' now also depends on ", grown);
    }
    if (!text.empty())
      warnings.push_back({base::StrCat("weaker:", path), now.name, at, std::move(text)});
  }
}

// The record's key and headers.
void CompareKeys(const engine::Pipeline& before, const StreamPlan& then,
                 const engine::Pipeline& pipeline, const StreamPlan& now, const std::string& at,
                 std::vector<Warning>& warnings) {
  auto earlier = OthersOf(before, then);
  for (const auto& [path, leaf] : OthersOf(pipeline, now)) {
    if (!path.starts_with('(')) continue;
    auto found = earlier.find(path);
    std::string grown = found == earlier.end() ? std::string("was not there before")
                                               : Grown(before, found->second, pipeline, leaf);
    if (grown.empty()) continue;
    if (found != earlier.end()) grown = base::StrCat("now also depends on ", grown);
    warnings.push_back(
        {base::StrCat("weaker:", path), now.name, path == "(key)" ? at + ".key" : at,
         base::StrCat("the record's ", path.substr(1, path.size() - 2), " ", grown)});
  }
}

}  // namespace

Review ReviewPipeline(const engine::Pipeline& pipeline) { return Reviewer(pipeline).Do(); }

std::vector<Warning> CompareStrength(const engine::Pipeline& before,
                                     const engine::Pipeline& pipeline) {
  std::vector<Warning> warnings;
  for (size_t i = 0; i < pipeline.streams().size(); ++i) {
    const StreamPlan& now = pipeline.streams()[i];
    std::string at = base::StrCat("pipeline.streams[", i, "]");
    auto then = std::find_if(before.streams().begin(), before.streams().end(),
                             [&](const StreamPlan& stream) { return stream.name == now.name; });
    if (then == before.streams().end()) {
      warnings.push_back({"new-stream", now.name, at, "this audience is new"});
      continue;
    }
    if (now.internal && !then->internal)
      warnings.push_back(
          {"weaker:internal", now.name, at + ".internal",
           "the stream has become internal: it shows event ids, positions and times"});
    for (const Node& node : pipeline.contract().nodes()) {
      if (node.is_message()) continue;
      bool known = before.contract().Find(node.path) != contract::kNoNode;
      const OutputNode* output = OutputOf(pipeline, now, node.path);
      const OutputNode* earlier = OutputOf(before, *then, node.path);
      std::string path, path_then;
      const Treatment* treatment =
          TreatmentOf(pipeline.config().streams(static_cast<int>(i)), now, node, path);
      const Treatment* treatment_then =
          !known ? nullptr
                 : TreatmentOf(
                       before.config().streams(static_cast<int>(then - before.streams().begin())),
                       *then, before.contract().node(before.contract().Find(node.path)), path_then);
      if (engine::HidesAsMuch({earlier, treatment_then}, {output, treatment})) continue;
      std::string was =
          earlier == nullptr ? "drop" : then->treatments[before.contract().Find(node.path)];
      warnings.push_back(
          {base::StrCat("weaker:", node.path), now.name, at + path,
           base::StrCat("'", node.path, "' was `", known ? was : "not there", "` and is `",
                        now.treatments[node.id], "`, which shows more or can't be compared")});
    }
    if (base::Planted(base::PlantedFault::kJoinsNotCompared)) continue;
    CompareJoins(before, *then, pipeline, now, at, warnings);
    const std::string domain = DomainOf(pipeline, now), earlier_domain = DomainOf(before, *then);
    if (domain != earlier_domain)
      warnings.push_back({"weaker:domain", now.name, at + ".domain",
                          base::StrCat("the domain was '", earlier_domain, "' and is '", domain,
                                       "': records can be put together with those of whatever else "
                                       "has that domain")});
    CompareKeys(before, *then, pipeline, now, at, warnings);
  }
  return warnings;
}

}  // namespace sluice::ctl
