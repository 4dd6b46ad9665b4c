#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/planted_fault.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/engine/output_schema.h"
#include "common/engine/pipeline.h"
#include "common/engine/treatment_table.h"
#include "common/privacy/domain_name.h"
#include "common/privacy/identifier.h"
#include "common/privacy/scrub.h"
#include "common/privacy/visible.h"

namespace sluice::engine {

namespace {

using config::v1::Generalise;
using config::v1::Treatment;
using contract::Cardinality;
using contract::Classification;
using contract::kNoNode;
using contract::Node;
using contract::NodeId;
using contract::Type;

constexpr std::string_view kLocation = "LOCATION";
constexpr int32_t kShiftDaysDefault = 183;
constexpr size_t kNameBytesMax = 128;

bool IsLocation(const Classification& classification) {
  return classification.quasi == contract::v1::LATITUDE ||
         classification.quasi == contract::v1::LONGITUDE ||
         classification.quasi == contract::v1::LOCATION_TEXT;
}

// A map of the configuration in its keys' order: protobuf's own differs from process to process.
template <typename Map>
std::map<std::string, typename Map::mapped_type> Sorted(const Map& map) {
  return {map.begin(), map.end()};
}

// Every name that `treat` may have as a key.
bool IsClassificationName(const std::string& name) {
  contract::v1::IdentifierKind identifier;
  contract::v1::QuasiKind quasi;
  contract::v1::SensitiveKind sensitive;
  return name == kLocation || name == "FREE_TEXT" ||
         (contract::v1::IdentifierKind_Parse(name, &identifier) && identifier != 0) ||
         (contract::v1::QuasiKind_Parse(name, &quasi) && quasi != 0) ||
         (contract::v1::SensitiveKind_Parse(name, &sensitive) && sensitive != 0);
}

std::string GeneraliseInWords(const Generalise& generalise) {
  switch (generalise.to_case()) {
    case Generalise::kAgeBands:
      return base::StrCat("generalise: age_bands ",
                          absl::StrJoin(generalise.age_bands().from(), ","));
    case Generalise::kYear:
      return "generalise: year";
    case Generalise::kMonth:
      return "generalise: month";
    case Generalise::kDay:
      return "generalise: day";
    case Generalise::kHour:
      return "generalise: hour";
    case Generalise::kSector:
      return "generalise: sector";
    case Generalise::kDistrict:
      return "generalise: district";
    case Generalise::kArea:
      return "generalise: area";
    case Generalise::kGridMetres:
      return base::StrCat("generalise: grid_metres ", generalise.grid_metres());
    case Generalise::kBucket:
      return base::StrCat("generalise: bucket ", generalise.bucket());
    case Generalise::kSnap:
      return base::StrCat("generalise: snap ", generalise.snap());
    case Generalise::kAreaOf:
      return base::StrCat("generalise: area_of ", generalise.area_of().set(),
                          generalise.area_of().column().empty() ? "" : ".",
                          generalise.area_of().column());
    case Generalise::TO_NOT_SET:
      break;
  }
  return "generalise";
}

std::string PseudonymiseInWords(const config::v1::Pseudonymise& how) {
  using config::v1::Pseudonymise;
  if (how.linkage() == Pseudonymise::domain) return "pseudonymise";
  return base::StrCat(
      "pseudonymise: linkage ", Pseudonymise::Linkage_Name(how.linkage()),
      how.linkage() == Pseudonymise::period ? " " + Pseudonymise::Calendar_Name(how.every()) : "");
}

Scope ScopeOf(const config::v1::Pseudonymise& how) {
  using config::v1::Pseudonymise;
  switch (how.linkage()) {
    case Pseudonymise::period:
      return how.every() == Pseudonymise::quarter ? Scope::kQuarter
             : how.every() == Pseudonymise::year  ? Scope::kYear
                                                  : Scope::kMonth;
    case Pseudonymise::event:
      return Scope::kEvent;
    case Pseudonymise::none:
      return Scope::kValue;
    default:
      return Scope::kDomain;
  }
}

std::string InWords(const Treatment& treatment) {
  switch (treatment.how_case()) {
    case Treatment::kKeep:
      return "keep";
    case Treatment::kDrop:
      return "drop";
    case Treatment::kConstant:
      return "constant";
    case Treatment::kMask:
      return "mask";
    case Treatment::kPseudonymise:
      return PseudonymiseInWords(treatment.pseudonymise());
    case Treatment::kEncrypt:
      return "encrypt";
    case Treatment::kFormatPreserve:
      return "format_preserve";
    case Treatment::kShift:
      return base::StrCat("shift: by ", treatment.shift().person());
    case Treatment::kScrub:
      return base::StrCat("scrub: ", config::v1::Scrub::Replace_Name(treatment.scrub().replace()));
    case Treatment::kGeneralise:
      return GeneraliseInWords(treatment.generalise());
    case Treatment::HOW_NOT_SET:
      break;
  }
  return "";
}

Treatment Keep() {
  Treatment treatment;
  treatment.mutable_keep();
  return treatment;
}

Treatment Pseudonymise() {
  Treatment treatment;
  treatment.mutable_pseudonymise();
  return treatment;
}

// The configuration as bytes that are the same whenever its meaning is: map entries in order, and
// without what changes no record: its name, where this site keeps its files, which warnings it
// accepts.
std::string CanonicalBytes(config::v1::Pipeline config) {
  config.clear_name();
  config.mutable_quarantine()->clear_public_key();
  for (config::v1::Stream& stream : *config.mutable_streams()) stream.clear_accept();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    config.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace

class PipelineCompiler {
 public:
  explicit PipelineCompiler(Pipeline::Options options)
      : options_(std::move(options)), plan_(*options_.contract), config_(options_.config) {}

  absl::StatusOr<std::shared_ptr<const Pipeline>> Compile() {
    pipeline_ = std::shared_ptr<Pipeline>(new Pipeline());
    absl::StatusOr<std::unique_ptr<const validation::Validator>> validator =
        validation::Validator::Compile(plan_);
    if (validator.ok()) {
      pipeline_->validator_ = *std::move(validator);
    } else {
      failed_ = true;
      errors_.push_back(std::string(base::View(validator.status().message())));
    }
    if (auto positions = Positions(plan_.time_node())) pipeline_->time_positions_ = *positions;
    if (auto positions = Positions(plan_.id_node())) pipeline_->id_positions_ = *positions;

    CompileInput();
    pipeline_->joins_ =
        CompileJoins(plan_, config_, options_.tables,
                     [&](std::string_view path, std::string_view what) { Error(path, what); });
    for (const JoinPlan& join : pipeline_->joins_) Depend(join.table);
    if (config_.streams().empty()) Error("pipeline.streams", "there are none; name at least one");
    for (int i = 0; i < config_.streams_size(); ++i) CompileStream(i);
    CompileIdentifiers();
    CheckTopics();
    CheckShifts();

    if (failed_) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
    base::Sha256 hash;
    hash.AddPart(plan_.fingerprint());
    hash.AddPart(CanonicalBytes(config_));
    pipeline_->fingerprint_ = hash.Hex(32);
    pipeline_->config_ = std::move(options_.config);
    pipeline_->contract_ = std::move(options_.contract);
    for (size_t i = 0; i < pipeline_->streams_.size(); ++i) {
      absl::Status schema = CheckOutputSchema(*pipeline_, pipeline_->streams_[i]);
      if (!schema.ok())
        Error(base::StrCat("pipeline.streams[", i, "]"), base::View(schema.message()));
    }
    if (failed_) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
    return pipeline_;
  }

 private:
  void Error(std::string_view path, std::string_view what) {
    failed_ = true;
    if (options_.follows && options_.follows(path)) return;
    std::string where = options_.locate ? options_.locate(path) : "";
    errors_.push_back(base::StrCat(where, where.empty() ? "" : ": ", path, ": ", what));
  }

  std::optional<std::vector<uint32_t>> Positions(NodeId id) const { return PositionsOf(plan_, id); }

  void CompileInput() {
    int32_t bytes = config_.input().event_bytes_max();
    if (bytes < 0 || bytes > 64 * 1024 * 1024) {
      Error("pipeline.input.event_bytes_max", "must be 1 to 67,108,864");
    }
    int32_t parsed = config_.input().parsed_bytes_max();
    if (parsed != 0 && (parsed < 65'536 || parsed > 1'073'741'824)) {
      Error("pipeline.input.parsed_bytes_max", "must be 65,536 to 1,073,741,824");
    }
  }

  // The names that Kafka takes for topics (org.apache.kafka.common.internals.Topic).
  static bool IsTopicName(std::string_view name) {
    constexpr size_t kBytesMax = 249;
    if (name.empty() || name.size() > kBytesMax || name == "." || name == "..") return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '_' || c == '-';
    });
  }

  void CheckTopics() {
    std::set<std::string> topics;
    auto add = [&](const std::string& path, const std::string& topic) {
      if (!IsTopicName(topic) && !base::Planted(base::PlantedFault::kTopicNames)) {
        Error(path, base::StrCat("'", topic,
                                 "' is no name for a topic: Kafka takes letters (a to z), "
                                 "digits, '.', '_' and '-', 249 at most"));
      } else if (!topics.insert(topic).second) {
        Error(path, base::StrCat("the topic '", topic, "' is used twice; each needs its own"));
      }
    };
    add("pipeline.input.topic", config_.input().topic());
    add("pipeline.quarantine.topic", config_.quarantine().topic());
    for (int i = 0; i < config_.streams_size(); ++i) {
      add(base::StrCat("pipeline.streams[", i, "].topic"), config_.streams(i).topic());
    }
  }

  // Notes that outputs depend on the set, and on what it depends on itself.
  void Depend(const std::shared_ptr<const enrichment::Table>& table) {
    auto& tables = pipeline_->tables_;
    if (std::find(tables.begin(), tables.end(), table) != tables.end()) return;
    tables.push_back(table);
    if (table->within() != nullptr) Depend({table, table->within()});
  }

  std::shared_ptr<const enrichment::Table> FindSet(const std::string& name) const {
    for (const auto& table : options_.tables)
      if (table->set() == name) return table;
    return nullptr;
  }

  uint32_t DomainIndex(const std::string& name) {
    auto& domains = pipeline_->domains_;
    auto found = std::find(domains.begin(), domains.end(), name);
    if (found == domains.end()) found = domains.insert(found, name);
    return static_cast<uint32_t>(found - domains.begin());
  }

  void CompileStream(int index) {
    config_stream_ = &config_.streams(index);
    path_ = base::StrCat("pipeline.streams[", index, "]");
    StreamPlan stream;
    stream.name = config_stream_->name();
    stream.topic = config_stream_->topic();
    stream.format = config_stream_->format();
    stream.internal = config_stream_->internal();
    if (int32_t seconds = config_stream_->timestamp_grid_seconds(); seconds != 0) {
      stream.timestamp_grid_ms = int64_t{1000} * seconds;
      if (seconds < 60 || seconds > 86'400)
        Error(path_ + ".timestamp_grid_seconds", "must be 60 to 86,400");
      if (stream.internal)
        Error(path_ + ".timestamp_grid_seconds",
              "has a meaning for streams that aren't internal only: an internal one has the raw "
              "records' own times");
    }
    stream.treatments.resize(plan_.nodes().size());
    stream_ = &stream;
    for (int i = 0; i < index; ++i) {
      if (config_.streams(i).name() == stream.name) {
        Error(path_ + ".name", base::StrCat("two streams are named '", stream.name, "'"));
      }
    }
    if (!config_stream_->domain().empty()) {
      stream.domain = DomainIndex(config_stream_->domain());
      stream.has_domain = true;
    } else if (!stream.internal) {
      Error(path_ + ".domain",
            "a stream that isn't internal needs one: it knows events by pseudonyms only");
    }
    if (!stream.internal && stream.has_domain) {
      auto& domains = pipeline_->position_domains_;
      if (std::find(domains.begin(), domains.end(), stream.domain) == domains.end()) {
        domains.push_back(stream.domain);
      }
    }
    for (const auto& [name, treatment] : Sorted(config_stream_->treat())) {
      if (!IsClassificationName(name)) {
        Error(base::StrCat(path_, ".treat[", name, "]"), "no such classification");
      }
    }
    FindOverrides();

    stream.nodes.emplace_back();
    stream.nodes[0].op = Op::kMessage;
    stream.nodes[0].node = 0;
    stream.nodes[0].field = event::OutputField::Make("", 0, Type::kMessage);
    CompileFields(0, plan_.root());
    CompileStreamJoins();
    CompileKey();
    if (!stream.internal) CheckLinks();
    pipeline_->streams_.push_back(std::move(stream));
  }

  // By node, each once: a path has two forms (`people.name`, `people[].name`), and no result may
  // depend on which of them a map has first.
  void FindOverrides() {
    overrides_.clear();
    if (base::Planted(base::PlantedFault::kTwoOverrides)) {
      for (const auto& [name, treatment] : config_stream_->fields()) {
        if (NodeId node = plan_.Find(name); node != kNoNode)
          overrides_.emplace(node, StreamPlan::Override{name, treatment});
      }
      return;
    }
    for (const auto& [name, treatment] : Sorted(config_stream_->fields())) {
      const std::string path = base::StrCat(path_, ".fields[", name, "]");
      if (IsJoined(name)) continue;
      NodeId node = plan_.Find(name);
      if (node == kNoNode) {
        Error(path, "the contract has no such field");
        continue;
      }
      auto [other, added] = overrides_.emplace(node, StreamPlan::Override{name, treatment});
      if (!added) {
        Error(path, base::StrCat("is the same field as '", other->second.path,
                                 "', which is decided already; keep one of them"));
      }
    }
    stream_->overrides = overrides_;
  }

  // It is a joined row or one of its columns.
  bool IsJoined(const std::string& path) const {
    for (const JoinPlan& join : pipeline_->joins_) {
      if (path == join.field.name) return true;
      for (const event::OutputField& column : join.columns) {
        if (path == base::StrCat(join.field.name, ".", column.name)) return true;
      }
    }
    return false;
  }

  // What is an error unless the stream accepts it by name. Whoever accepts says why.
  void MustAccept(std::string name, std::string path, std::string text) {
    auto found = config_stream_->accept().find(name);
    if (found == config_stream_->accept().end() || !IsReason(found->second)) {
      // In braces YAML takes these for its own.
      const bool plain = name.find_first_of("[]{},") == std::string::npos;
      base::StrAppend(text, "; or accept it by name and say why: `accept: {", plain ? "" : "\"",
                      name, plain ? "" : "\"", ": reason}`");
      Error(path, text);
      return;
    }
    // Errors name a whole path; what lint says of a stream begins at it.
    path.erase(0, path_.size());
    stream_->risks.push_back({std::move(name), std::move(path), std::move(text)});
  }

  // Rows that the stream carries: each column as its class is treated, and the whole only where the
  // stream keeps what the row was found by, or accepts that it tells something of it.
  void CompileStreamJoins() {
    std::set<std::string> names;
    std::set<uint32_t> numbers;
    const OutputNode& root = stream_->nodes[0];
    for (uint32_t i = root.first_child; i < root.first_child + root.child_count; ++i) {
      names.insert(stream_->nodes[i].field.name);
      numbers.insert(stream_->nodes[i].field.number);
    }
    for (size_t i = 0; i < pipeline_->joins_.size(); ++i) {
      const JoinPlan& join = pipeline_->joins_[i];
      const std::string& into = join.field.name;
      auto whole = config_stream_->fields().find(into);
      if (whole != config_stream_->fields().end()) {
        if (whole->second.has_drop()) continue;
        if (!whole->second.has_keep())
          Error(base::StrCat(path_, ".fields[", into, "]"), "a joined row can be kept or dropped");
      }
      StreamJoin carried{i, {}};
      for (size_t column = 0; column < join.columns.size(); ++column)
        if (KeepsColumn(join, column) && ColumnMayPass(join, column))
          carried.columns.push_back(column);
      if (carried.columns.empty()) continue;
      if (!names.insert(into).second && !base::Planted(base::PlantedFault::kEqualMembers)) {
        Error(base::StrCat("pipeline.enrich[", i, "].into"),
              base::StrCat("the stream '", stream_->name, "' names another field '", into,
                           "' (`as`): no event has two equal members"));
      }
      if (!numbers.insert(join.field.number).second) {
        Error(base::StrCat("pipeline.enrich[", i, "].into"),
              base::StrCat("the contract has a field with the number ", join.field.number,
                           ", which this row has in protobuf: give that field a lower one"));
      }
      CheckJoinKey(join);
      stream_->joins.push_back(std::move(carried));
    }
  }

  bool KeepsColumn(const JoinPlan& join, size_t field) {
    if (base::Planted(base::PlantedFault::kColumnsUndecided)) return true;
    const Classification& is = join.column(field).classification;
    const std::string path = base::StrCat(join.field.name, ".", join.columns[field].name);
    const std::string at = base::StrCat(path_, ".fields[", path, "]");
    const Treatment* stated = StatedFor(is);
    auto override_ = config_stream_->fields().find(path);
    if (override_ != config_stream_->fields().end()) {
      if (override_->second.has_drop()) return false;
      if (!override_->second.has_keep() || !override_->second.as().empty()) {
        Error(at, "a joined column can be kept or dropped");
        return false;
      }
      if (is.classified() && (stated == nullptr || !stated->has_keep())) {
        MustAccept(
            base::StrCat("joined:", is.name(), ":", path), at,
            base::StrCat("the column is a ", is.name(), ", which the stream '", stream_->name, "' ",
                         stated == nullptr ? "has no treatment for" : "doesn't keep",
                         ": the row says more than the stream may have; drop it"));
      }
      return true;
    }
    if (!is.classified()) return true;
    if (stated == nullptr) {
      Error(path_, base::StrCat("the joined column '", path, "' is a ", is.name(),
                                " and the stream '", stream_->name,
                                "' doesn't say what becomes of it; add to treat: ", is.name(),
                                ": drop, or to fields: ", path, ": drop"));
      return false;
    }
    if (stated->has_drop()) return false;
    if (stated->has_keep()) return true;
    Error(path_, base::StrCat("the joined column '", path, "' is a ", is.name(),
                              ", and a joined column can only be kept or dropped, not treated as "
                              "the fields of the stream '",
                              stream_->name, "' are; add to fields: ", path, ": drop"));
    return false;
  }

  // By the rules that a contract's leaf is kept by.
  bool ColumnMayPass(const JoinPlan& join, size_t field) {
    if (base::Planted(base::PlantedFault::kColumnsUndecided)) return true;
    const Classification& is = join.column(field).classification;
    const std::string path = base::StrCat(join.field.name, ".", join.columns[field].name);
    std::string at = base::StrCat(path_, ".fields[", path, "]");
    if (!config_stream_->fields().contains(path)) at = DecidedAt(is);
    MayBeText(path, at, is, Op::kKeep);
    if (std::string_view why = WhyNotAsItStands(is, false); !why.empty()) {
      Error(at, base::StrCat("'", stream_->name, "': the joined column '", path, "' (", is.name(),
                             ") ", why));
      return false;
    }
    return true;
  }

  // Scrubbing finds what it can: no proof covers what is left.
  void MayBeText(const std::string& path, const std::string& at, const Classification& is, Op op) {
    if (!is.free_text || stream_->internal || op == Op::kConstant) return;
    MustAccept(base::StrCat("free-text:", path), at,
               base::StrCat("'", path,
                            "' is free text in a stream that isn't internal, and nothing proves "
                            "that no person is in it; drop it"));
  }

  // Why a value of this class can't be in the stream as it stands; empty: it can. `own_time`: it is
  // a time of the event, whatever the contract calls it.
  std::string_view WhyNotAsItStands(const Classification& is, bool own_time) const {
    if (stream_->internal) return "";
    if (is.identifier == contract::v1::EVENT_ID)
      return "can't be kept: the stream isn't internal, and an event's id links audiences";
    if (own_time || is.quasi == contract::v1::OCCURRED_AT || is.quasi == contract::v1::EVENT_TIME)
      return "can't be kept: the stream isn't internal, and an exact time links audiences; "
             "generalise it to hour, day, month or year, or drop it";
    return "";
  }

  // Whether the stream has the field's value as it stands.
  bool KeepsWhole(NodeId node) const {
    return std::any_of(
        stream_->nodes.begin() + 1, stream_->nodes.end(),
        [&](const OutputNode& out) { return out.node == node && out.op == Op::kKeep; });
  }

  bool KeepsCell(size_t join, size_t column) const {
    for (const StreamJoin& carried : stream_->joins) {
      if (carried.join != join) continue;
      const auto& indexes = pipeline_->joins_[join].column_indexes;
      return std::any_of(carried.columns.begin(), carried.columns.end(),
                         [&](size_t field) { return indexes[field] == column; });
    }
    return false;
  }

  void CheckJoinKey(const JoinPlan& join) {
    std::set<std::string> hidden;
    auto asked = [&](const JoinValue& value) {
      if (value.join) {
        if (KeepsCell(*value.join, value.column)) return;
        const JoinPlan& earlier = pipeline_->joins_[*value.join];
        hidden.insert(base::StrCat(earlier.field.name, ".",
                                   earlier.table->schema().columns()[value.column].name));
      } else if (value.node != kNoNode && !KeepsWhole(value.node)) {
        hidden.insert(plan_.node(value.node).path);
      }
    };
    for (const JoinValue& key : join.keys) asked(key);
    for (const JoinValue* value : {&join.value, &join.latitude, &join.longitude, &join.at})
      asked(*value);
    if (join.timed && !join.at.given() && plan_.time_node() != kNoNode &&
        !KeepsWhole(plan_.time_node()))
      hidden.insert(plan_.node(plan_.time_node()).path);
    if (hidden.empty() || base::Planted(base::PlantedFault::kHiddenJoinKeys)) return;
    MustAccept(base::StrCat("join-key:", join.field.name), base::StrCat(path_, ".name"),
               base::StrCat("the row '", join.field.name, "' is found by ",
                            absl::StrJoin(hidden, ", "), ", which the stream '", stream_->name,
                            "' doesn't keep, so the row tells something of it; add to fields: ",
                            join.field.name, ": drop"));
  }

  const Treatment* Override(const Node& node) const {
    auto found = overrides_.find(node.id);
    return found == overrides_.end() ? nullptr : &found->second.treatment;
  }

  // What the stream's configuration says of a field, if it says anything.
  const Treatment* Stated(const Node& node) const {
    if (const Treatment* treatment = Override(node)) return treatment;
    return StatedFor(node.classification);
  }

  const Treatment* StatedFor(const Classification& classification) const {
    if (!classification.classified()) return nullptr;
    const auto& treat = config_stream_->treat();
    auto found = treat.find(std::string(classification.name()));
    if (found == treat.end() && IsLocation(classification))
      found = treat.find(std::string(kLocation));
    return found == treat.end() ? nullptr : &found->second;
  }

  // A map without its keys or its values has no form: whoever doesn't get one doesn't get the map.
  bool LosesPart(const Node& map) const {
    for (const Node& part : plan_.children(map)) {
      const Treatment* treatment = Stated(part);
      if (treatment != nullptr && treatment->has_drop()) return true;
    }
    return false;
  }

  // What the stream says of a field; nullopt after an error.
  std::optional<Treatment> Resolve(const Node& node) {
    if (const Treatment* treatment = Stated(node)) return *treatment;
    const Classification& classification = node.classification;
    if (!classification.classified()) return Keep();
    std::string name(classification.name());
    if (classification.identifier == contract::v1::EVENT_ID) {
      return stream_->internal ? Keep() : Pseudonymise();
    }
    if (classification.quasi == contract::v1::OCCURRED_AT && stream_->internal) return Keep();
    Error(path_, base::StrCat("the field '", node.path, "' is a ", name, " and the stream '",
                              stream_->name, "' doesn't say what becomes of it; add to treat: ",
                              name, ": drop, or another treatment"));
    return std::nullopt;
  }

  // Appends the output nodes of a message's fields, then those of its messages' fields.
  void CompileFields(size_t parent_index, const Node& parent) {
    std::vector<OutputNode> fields;
    std::set<std::string> names;
    for (const Node& node : plan_.children(parent)) {
      std::optional<OutputNode> field = CompileField(node);
      if (!field) continue;
      if (!names.insert(field->field.name).second &&
          !base::Planted(base::PlantedFault::kEqualMembers)) {
        Error(base::StrCat(path_, ".fields"),
              base::StrCat("two fields of '", stream_->name, "' are named '", field->field.name,
                           "'"));
      }
      fields.push_back(*std::move(field));
    }
    size_t first = stream_->nodes.size();
    stream_->nodes[parent_index].first_child = static_cast<uint32_t>(first);
    stream_->nodes[parent_index].child_count = static_cast<uint32_t>(fields.size());
    for (OutputNode& field : fields) stream_->nodes.push_back(std::move(field));
    for (size_t i = first; i < first + fields.size(); ++i) {
      if (stream_->nodes[i].op == Op::kMessage) {
        CompileFields(i, plan_.node(stream_->nodes[i].node));
      }
      if (stream_->nodes[i].field.cardinality == Cardinality::kMap) CompileEntry(i);
      if (stream_->nodes[i].node == plan_.id_node()) stream_->id_node = static_cast<uint32_t>(i);
      if (stream_->nodes[i].node == plan_.time_node())
        stream_->time_node = static_cast<uint32_t>(i);
    }
  }

  // A map's writer needs both parts of its entries.
  void CompileEntry(size_t map) {
    const OutputNode& node = stream_->nodes[map];
    if (node.child_count != 2) {
      Refuse(plan_.node(node.node),
             "is a map whose key and value can't both be treated; drop it as a whole");
      return;
    }
    event::OutputField key = stream_->nodes[node.first_child].field;
    event::OutputField value = stream_->nodes[node.first_child + 1].field;
    stream_->nodes[map].field.entry = {std::move(key), std::move(value)};
  }

  std::optional<OutputNode> CompileField(const Node& node) {
    OutputNode out;
    out.node = node.id;
    out.position = plan_.position(node);
    out.field = event::OutputField::FromNode(node);
    if (node.is_message()) {
      out.op = Op::kMessage;
      const Treatment* treatment = Override(node);
      if (treatment == nullptr || treatment->has_keep()) {
        if (node.cardinality == Cardinality::kMap && LosesPart(node)) return std::nullopt;
        return out;
      }
      if (!treatment->has_drop()) {
        Error(base::StrCat(path_, ".fields[", node.path, "]"),
              "a message can only be dropped as a whole; name its fields otherwise");
      }
      return std::nullopt;
    }
    std::optional<Treatment> treatment = Resolve(node);
    if (!treatment) return std::nullopt;
    stream_->treatments[node.id] = InWords(*treatment);
    if (treatment->has_drop()) return std::nullopt;
    if (!treatment->as().empty()) out.field.Rename(treatment->as());
    if (!treatment->as().empty()) CheckName(node, treatment->as());
    out.absent = AbsentValue(node);
    if (!Apply(node, *treatment, out)) return std::nullopt;
    out.whole_list = node.cardinality == Cardinality::kRepeated &&
                     out.field.type != Type::kString && RowOf(KindOf(out)).may_leave_out;
    // What may become nothing isn't to be read as zero.
    const TreatmentRow& row = RowOf(KindOf(out));
    out.field.presence |= row.may_leave_out && out.field.type != Type::kString;
    MayBeText(node.path, DecidedAt(node), node.classification, out.op);
    return out;
  }

  // What a field may be called: the stream's schema has to be able to.
  void CheckName(const Node& node, const std::string& name) {
    bool identifier = std::isalpha(static_cast<unsigned char>(name[0])) || name[0] == '_';
    for (char c : name)
      identifier = identifier && (std::isalnum(static_cast<unsigned char>(c)) || c == '_');
    if (!identifier || name.size() > kNameBytesMax) {
      Refuse(node, base::StrCat("can't be named as its `as` says: a name is a letter or _, then "
                                "letters, digits and _, at most ",
                                kNameBytesMax));
    }
  }

  // Where the configuration says what becomes of a field; the stream, where it doesn't.
  std::string DecidedAt(const Node& node) const {
    if (auto found = overrides_.find(node.id); found != overrides_.end())
      return base::StrCat(path_, ".fields[", found->second.path, "]");
    return DecidedAt(node.classification);
  }
  std::string DecidedAt(const Classification& is) const {
    std::string name(is.name());
    if (!config_stream_->treat().contains(name) && IsLocation(is)) name = kLocation;
    if (!config_stream_->treat().contains(name)) return path_;
    return base::StrCat(path_, ".treat[", name, "]");
  }

  bool Refuse(const Node& node, std::string_view what) {
    Error(DecidedAt(node), base::StrCat("'", stream_->name, "': the field '", node.path, "' (",
                                        TypeName(node), ") ", what));
    return false;
  }

  static std::string_view TypeName(const Node& node) {
    if (node.classification.classified()) return node.classification.name();
    return node.descriptor->type_name();
  }

  // The key of a map's entries.
  bool IsMapKey(const Node& node) const {
    return node.id != 0 && plan_.node(node.parent).cardinality == Cardinality::kMap &&
           node.number == 1;
  }

  bool Apply(const Node& node, const Treatment& treatment, OutputNode& out) {
    if (IsMapKey(node) && !treatment.has_keep() && !treatment.has_pseudonymise() &&
        !treatment.has_encrypt() && !treatment.has_format_preserve()) {
      return Refuse(
          node,
          "is a map's key: keep, pseudonymise, encrypt or format-preserve it, or drop the "
          "map; with anything else two keys become one");
    }
    const TreatmentRow& row = RowOf(KindOf(treatment));
    if (!Accepts(row, node)) return Refuse(node, RefusalOf(row, node));
    switch (treatment.how_case()) {
      case Treatment::kKeep:
        out.op = Op::kKeep;
        return true;
      case Treatment::kConstant:
        out.op = Op::kConstant;
        // As its name says, in every event.
        out.treat_absent = node.cardinality == Cardinality::kSingular && node.oneof < 0;
        out.constant = treatment.constant();
        out.field.SetType(Type::kString);
        return true;
      case Treatment::kMask:
        return ApplyMask(node, treatment.mask(), out);
      case Treatment::kPseudonymise:
        return ApplyPseudonymise(node, treatment.pseudonymise(), out);
      case Treatment::kEncrypt:
        out.op = Op::kEncrypt;
        return ApplyForm(node, "encrypted", {.form = privacy::Form::kEncrypted}, out);
      case Treatment::kFormatPreserve:
        out.op = Op::kFormatPreserve;
        return ApplyForm(node, "format-preserved", {.form = privacy::Form::kFormatPreserved}, out);
      case Treatment::kShift:
        return ApplyShift(node, treatment.shift(), out);
      case Treatment::kScrub:
        return ApplyScrub(node, treatment.scrub(), out);
      case Treatment::kGeneralise:
        return ApplyGeneralise(node, treatment.generalise(), out);
      case Treatment::kDrop:
      case Treatment::HOW_NOT_SET:
        break;
    }
    return Refuse(node, "has a treatment that says nothing; write keep, drop or another");
  }

  bool ApplyPseudonymise(const Node& node, const config::v1::Pseudonymise& how, OutputNode& out) {
    bool by_period = how.linkage() == config::v1::Pseudonymise::period;
    if (how.has_every() && !by_period)
      return Refuse(node, "has `every`, which is for linkage: period only");
    out.op = Op::kPseudonymise;
    out.scope = ScopeOf(how);
    return ApplyForm(node, "pseudonymised", {.scope = ScopeOf(how)}, out);
  }

  // What the pseudonymiser makes of an identifier. The request's domain is the stream's.
  bool ApplyForm(const Node& node, std::string_view participle, Request request, OutputNode& out) {
    if (!NeedsDomain(node, participle)) return false;
    request.domain = stream_->domain;
    out.request = RequestRank(node.id, request);
    out.field.SetType(Type::kString);
    return true;
  }

  bool ApplyScrub(const Node& node, const config::v1::Scrub& scrub, OutputNode& out) {
    pipeline_->scrubs_ = true;
    out.op = Op::kScrub;
    if (scrub.replace() == config::v1::Scrub::placeholders) return true;
    out.scrub_requests.assign(contract::v1::IdentifierKind_MAX + 1, -1);
    pipeline_->scrub_requests_.resize(contract::v1::IdentifierKind_MAX + 1);
    for (const auto& [name, treatment] : Sorted(config_stream_->treat())) {
      contract::v1::IdentifierKind kind;
      if (!contract::v1::IdentifierKind_Parse(name, &kind) || kind == 0) continue;
      Request request;
      if (treatment.has_pseudonymise()) {
        request.scope = ScopeOf(treatment.pseudonymise());
      } else if (treatment.has_encrypt()) {
        request.form = privacy::Form::kEncrypted;
      } else if (treatment.has_format_preserve()) {
        request.form = privacy::Form::kFormatPreserved;
      } else {
        continue;
      }
      if (!NeedsDomain(node, "scrubbed with pseudonyms")) return false;
      request.domain = stream_->domain;
      out.scrub_requests[kind] =
          static_cast<int32_t>(RankIn(pipeline_->scrub_requests_[kind], request));
    }
    return true;
  }

  bool NeedsDomain(const Node& node, std::string_view participle) {
    if (stream_->has_domain) return true;
    Error(path_ + ".domain", base::StrCat("is needed: '", node.path, "' is ", participle));
    return false;
  }

  bool ApplyShift(const Node& node, const config::v1::Shift& shift, OutputNode& out) {
    // Whatever the contract calls it.
    if (node.id == plan_.time_node()) {
      return Refuse(node,
                    "can't be shifted: the event's own time is known from its place in the topic; "
                    "generalise it to hour, day, month or year, or drop it");
    }
    if (shift.days_max() < 0 || shift.days_max() > 36'500)
      return Refuse(node, "has a days_max that isn't 1 to 36,500");
    if (!NeedsDomain(node, "shifted")) return false;
    const Node* person = nullptr;
    for (const Node& sibling : plan_.children(plan_.node(node.parent))) {
      if (sibling.name == shift.person() && sibling.cardinality == Cardinality::kSingular)
        person = &sibling;
    }
    if (person != nullptr) {
      out.other_position = plan_.position(*person);
    } else if (auto positions = Positions(plan_.Find(shift.person()))) {
      person = &plan_.node(plan_.Find(shift.person()));
      out.person_positions = *positions;
    }
    if (person == nullptr || person->classification.identifier == 0) {
      return Refuse(node, base::StrCat("is shifted by '", shift.person(),
                                       "', which is neither an identifier beside it nor the path "
                                       "of one with one value"));
    }
    const int32_t days_max = shift.days_max() == 0 ? kShiftDaysDefault : shift.days_max();
    const privacy::DomainName domain = privacy::DomainName::Of(config_stream_->domain());
    for (const Shifted& other : shifts_) {
      if (other.days_max == days_max || !privacy::MayBeOne(domain, other.domain)) continue;
      return Refuse(node, base::StrCat("is shifted by at most ", days_max, " days and '",
                                       other.path, "' by at most ", other.days_max,
                                       " in the same domain: a person's dates move by one number "
                                       "of days; give both one days_max"));
    }
    shifts_.push_back({domain, days_max, node.path});
    out.op = node.type == Type::kTimestamp ? Op::kShiftTime : Op::kShiftDate;
    out.person = person->id;
    out.shift_days_max = days_max;
    out.request = RequestRank(person->id, {.scope = Scope::kShift, .domain = stream_->domain});
    return true;
  }

  bool ApplyMask(const Node& node, const config::v1::Mask& mask, OutputNode& out) {
    const std::string& with = mask.with();
    if (mask.keep_first() < 0 || mask.keep_last() < 0 || with.size() > 1 ||
        (!with.empty() && (with[0] <= ' ' || with[0] > '~'))) {
      return Refuse(node,
                    "has a mask out of range: keep_first and keep_last are 0 or more, "
                    "with is one ASCII character that is seen");
    }
    out.op = Op::kMask;
    out.mask = mask;
    if (out.mask.with().empty()) out.mask.set_with("*");
    return true;
  }

  bool ApplyGeneralise(const Node& node, const Generalise& generalise, OutputNode& out) {
    switch (generalise.to_case()) {
      case Generalise::kAgeBands: {
        const auto& from = generalise.age_bands().from();
        if (pipeline_->time_positions_.empty())
          return Refuse(node, "needs the event's time for an age");
        if (from.empty() || from[0] < 1 || from[from.size() - 1] > 150 ||
            std::adjacent_find(from.begin(), from.end(), std::greater_equal<>()) != from.end()) {
          return Refuse(node, "has age_bands that aren't ascending ages from 1 to 150");
        }
        out.op = Op::kAgeBand;
        out.bands.assign(from.begin(), from.end());
        out.field.SetType(Type::kString);
        return true;
      }
      case Generalise::kYear:
        return ApplyTime(node, Part::kYear, out);
      case Generalise::kMonth:
        return ApplyTime(node, Part::kMonth, out);
      case Generalise::kDay:
        return ApplyTime(node, Part::kDay, out);
      case Generalise::kHour:
        return ApplyTime(node, Part::kHour, out);
      case Generalise::kSector:
        return ApplyPostcode(Part::kSector, out);
      case Generalise::kDistrict:
        return ApplyPostcode(Part::kDistrict, out);
      case Generalise::kArea:
        return ApplyPostcode(Part::kArea, out);
      case Generalise::kGridMetres:
        return ApplyGrid(node, generalise.grid_metres(), out);
      case Generalise::kBucket:
        if (generalise.bucket() < NarrowestBucket(node)) {
          return Refuse(node, base::StrCat("has a bucket narrower than ", NarrowestBucket(node),
                                           ", which shows as good as each value"));
        }
        if (auto buckets = privacy::Buckets::Of(generalise.bucket())) {
          out.buckets = *buckets;
        } else {
          return Refuse(node, "has a bucket whose width isn't 1e-15 or more and below 1e15");
        }
        out.op = Op::kBucket;
        out.bucket = generalise.bucket();
        out.of_float = node.type == Type::kFloat;
        out.field.SetType(Type::kDouble);
        return true;
      case Generalise::kSnap:
        return ApplySnap(node, generalise.snap(), out);
      case Generalise::kAreaOf:
        return ApplyAreaOf(node, generalise.area_of(), out);
      case Generalise::TO_NOT_SET:
        break;
    }
    return Refuse(node, "is generalised to nothing; write month, district, grid_metres or another");
  }

  bool ApplyTime(const Node& node, Part part, OutputNode& out) {
    out.part = part;
    out.field.SetType(Type::kString);
    out.op = node.type == Type::kTimestamp ? Op::kTimePart : Op::kDatePart;
    return true;
  }

  static bool ApplyPostcode(Part part, OutputNode& out) {
    out.op = Op::kPostcodePart;
    out.part = part;
    out.field.SetType(Type::kString);
    return true;
  }

  // Where the other number of the point stands that the field is one of. The contract has both or
  // neither.
  void FindPoint(const Node& node, OutputNode& out) {
    bool latitude = node.classification.quasi == contract::v1::LATITUDE;
    auto wanted = latitude ? contract::v1::LONGITUDE : contract::v1::LATITUDE;
    for (const Node& sibling : plan_.children(plan_.node(node.parent))) {
      if (sibling.classification.quasi != wanted) continue;
      out.other_position = plan_.position(sibling);
      out.other_absent_is_zero = AbsentValue(sibling).present();
    }
    out.treat_absent = out.absent.present();
  }

  bool ApplyGrid(const Node& node, int32_t metres, OutputNode& out) {
    FindPoint(node, out);
    if (metres < 10 || metres > 100'000)
      return Refuse(node, "has grid_metres that aren't 10 to 100,000");
    out.op = node.classification.quasi == contract::v1::LATITUDE ? Op::kGridLatitude
                                                                 : Op::kGridLongitude;
    out.grid_metres = metres;
    out.field.SetType(Type::kDouble);
    return true;
  }

  // The set that a point is looked up in.
  bool FindMap(const Node& node, const std::string& set, reference::v1::Schema::Kind kind,
               OutputNode& out) {
    FindPoint(node, out);
    std::shared_ptr<const enrichment::Table> table = FindSet(set);
    if (table == nullptr) {
      return Refuse(node, base::StrCat("needs the reference set '", set,
                                       "', which isn't there; "
                                       "`reference` names those there are"));
    }
    if (table->schema().kind() != kind) {
      return Refuse(node, base::StrCat("needs '", set, "' to be a set of the kind ",
                                       reference::v1::Schema::Kind_Name(kind)));
    }
    if (table->schema().has_interval() && pipeline_->time_positions_.empty()) {
      return Refuse(node,
                    base::StrCat("needs the event's time: the rows of '", set, "' have theirs"));
    }
    out.table = table.get();
    Depend(table);
    return true;
  }

  bool ApplySnap(const Node& node, const std::string& set, OutputNode& out) {
    if (!FindMap(node, set, reference::v1::Schema::nearest, out)) return false;
    bool latitude = node.classification.quasi == contract::v1::LATITUDE;
    out.op = latitude ? Op::kSnapLatitude : Op::kSnapLongitude;
    out.column = latitude ? out.table->schema().latitude() : out.table->schema().longitude();
    out.field.SetType(Type::kDouble);
    return true;
  }

  bool ApplyAreaOf(const Node& node, const config::v1::AreaOf& area_of, OutputNode& out) {
    if (!FindMap(node, area_of.set(), reference::v1::Schema::area, out)) return false;
    const enrichment::Schema& schema = out.table->schema();
    out.column = schema.key()[0].column;
    if (!area_of.column().empty()) {
      std::optional<size_t> column = schema.Find(area_of.column());
      if (!column || *column == schema.area()) {
        return Refuse(node, base::StrCat("needs a column '", area_of.column(), "' of '",
                                         area_of.set(), "' that isn't its area"));
      }
      out.column = *column;
    }
    const enrichment::Column& published = schema.columns()[out.column];
    if (!published.classification.not_personal) {
      return Refuse(node,
                    base::StrCat("needs a column that is not_personal in the set '", area_of.set(),
                                 "', and nobody has said that of '", published.name, "'"));
    }
    // One value stands for both numbers.
    if (node.classification.quasi == contract::v1::LONGITUDE) return false;
    out.op = Op::kAreaOf;
    const enrichment::Column& column = schema.columns()[out.column];
    if (out.field.name == node.name) out.field.Rename(column.name);
    out.field.SetType(OutputTypeOf(column.type));
    return true;
  }

  // The place of a request among those of an identifier, in the order in which they are found.
  uint32_t RequestRank(NodeId node, const Request& request) {
    if (requests_.empty()) requests_.resize(plan_.nodes().size());
    return RankIn(requests_[node], request);
  }

  static uint32_t RankIn(std::vector<Request>& requests, const Request& request) {
    auto found = std::find(requests.begin(), requests.end(), request);
    if (found == requests.end()) found = requests.insert(found, request);
    return static_cast<uint32_t>(found - requests.begin());
  }

  // Puts each identifier's requests in their order, in which those of one scope are neighbours.
  void SortRequests() {
    if (requests_.empty()) requests_.resize(plan_.nodes().size());
    std::vector<std::vector<Request>> sorted = requests_;
    for (auto& requests : sorted) std::sort(requests.begin(), requests.end());
    std::vector<std::vector<Request>> sorted_scrub = pipeline_->scrub_requests_;
    for (auto& requests : sorted_scrub) std::sort(requests.begin(), requests.end());
    for (StreamPlan& stream : pipeline_->streams_) {
      for (OutputNode& node : stream.nodes) {
        for (size_t kind = 0; kind < node.scrub_requests.size(); ++kind) {
          int32_t& rank = node.scrub_requests[kind];
          if (rank < 0) continue;
          Request request = pipeline_->scrub_requests_[kind][static_cast<size_t>(rank)];
          rank = static_cast<int32_t>(RankIn(sorted_scrub[kind], request));
        }
        NodeId of = node.person != kNoNode ? node.person : node.node;
        if (of == kNoNode || node.request >= requests_[of].size()) continue;
        const Request& request = requests_[of][node.request];
        node.request = RankIn(sorted[of], request);
      }
    }
    pipeline_->scrub_requests_ = std::move(sorted_scrub);
    requests_ = std::move(sorted);
  }

  void CompileKey() {
    const std::string& key = config_stream_->key();
    if (key.empty()) {
      stream_->key = KeySource::kEventId;
      return;
    }
    if (key == "raw") {
      stream_->key = KeySource::kRaw;
      if (plan_.options().raw_key() != contract::v1::RAW_KEY_NOT_PERSONAL) {
        Error(path_ + ".key",
              "the contract doesn't say that the raw key isn't personal, so it can't be passed on");
      }
      return;
    }
    NodeId node = plan_.Find(key);
    if (node == kNoNode) {
      Error(path_ + ".key", base::StrCat("the contract has no field '", key, "'"));
      return;
    }
    std::optional<std::vector<uint32_t>> positions = Positions(node);
    auto out = std::find_if(stream_->nodes.begin(), stream_->nodes.end(),
                            [&](const OutputNode& n) { return n.node == node && node != 0; });
    if (!positions || plan_.node(node).is_message() || out == stream_->nodes.end()) {
      Error(path_ + ".key", base::StrCat("'", key, "' isn't an output field with one value"));
      return;
    }
    stream_->key = KeySource::kField;
    stream_->key_node = static_cast<uint32_t>(out - stream_->nodes.begin());
    positions->pop_back();
    stream_->key_positions = *positions;
  }

  // What lies between two shifted dates of a person, and a shifted time's time of day, are the same
  // in every audience.
  void CheckShifts() {
    for (const AudienceLink& link : LinksByShift(plan_, pipeline_->streams_)) {
      const auto index = static_cast<int>(link.stream);
      config_stream_ = &config_.streams(index);
      stream_ = &pipeline_->streams_[link.stream];
      path_ = base::StrCat("pipeline.streams[", index, "]");
      overrides_ = stream_->overrides;
      const Node& node = plan_.node(link.node);
      MustAccept(link.Name("shift", plan_, pipeline_->streams_), DecidedAt(node),
                 base::StrCat("'", node.path, "' is shifted in '", stream_->name, "' or '",
                              pipeline_->streams_[link.other].name,
                              "', neither of which is internal: its time of day, and what lies "
                              "between two dates of one person, are the same in both and link them "
                              "record by record; generalise or drop it in one of them"));
    }
  }

  // What would be the same in every stream of one event undoes the domains.
  void CheckLinks() {
    for (const OutputNode& node : stream_->nodes) {
      if (node.node == 0 || (node.op != Op::kKeep && node.op != Op::kMask)) continue;
      if (node.op == Op::kMask && base::Planted(base::PlantedFault::kMaskedEventId)) continue;
      const Node& field = plan_.node(node.node);
      if (field.id == plan_.id_node() ||
          field.classification.identifier == contract::v1::EVENT_ID) {
        Refuse(field,
               base::StrCat("can't be ", node.op == Op::kKeep ? "kept" : "masked",
                            ": the stream isn't internal, and an event's id links audiences"));
        continue;  // refused once
      }
      if (node.op != Op::kKeep) continue;
      // A time is one whatever class it has; a date of birth is no time of the event.
      const bool time =
          field.id == plan_.time_node() ||
          (!base::Planted(base::PlantedFault::kSecondTimes) &&
           (field.type == Type::kTimestamp ||
            (field.check_date && field.classification.quasi != contract::v1::DATE_OF_BIRTH)));
      if (std::string_view why = WhyNotAsItStands(field.classification, time); !why.empty())
        Refuse(field, why);
    }
    if (stream_->key == KeySource::kRaw) {
      Error(path_ + ".key",
            "the raw key links audiences; a stream that isn't internal can't have it");
    }
  }

  // The tree of identifiers that are checked or pseudonymised.
  void CompileIdentifiers() {
    SortRequests();
    pipeline_->identifiers_.emplace_back();
    pipeline_->identifiers_[0].node = 0;
    CompileIdentifiers(0, plan_.root());
  }

  IdentifierNode::Role RoleOf(const Node& node) const {
    using Role = IdentifierNode::Role;
    const Classification& is = node.classification;
    const bool plain = is.identifier == 0 && !node.placeholders.empty();
    if (!pipeline_->scrubs_) return plain ? Role::kPlain : Role::kIdentifier;
    if (privacy::Scrubber::IsNumber(is.identifier)) return Role::kNumber;
    if (node.type != Type::kString) return plain ? Role::kPlain : Role::kIdentifier;
    if (is.free_text) return Role::kText;
    if (is.identifier == contract::v1::PERSON_NAME) return Role::kName;
    if (is.quasi == contract::v1::DATE_OF_BIRTH) return Role::kBirth;
    return plain ? Role::kPlain : Role::kIdentifier;
  }

  // The contract has checked them.
  static Placeholders PlaceholdersOf(const Node& node) {
    Placeholders out;
    for (const std::string& text : node.placeholders) {
      if (node.classification.identifier != 0) {
        privacy::AppendCanonical(node.classification.identifier, text, out.texts.emplace_back());
      } else if (node.type != Type::kTimestamp) {
        out.texts.push_back(text);
      } else if (absl::Time time; absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) {
        out.times.emplace_back(absl::ToUnixSeconds(time), absl::ToUnixSeconds(time) + 1);
      } else if (absl::CivilDay day; absl::ParseCivilTime(text, &day)) {
        const absl::TimeZone zone = node.read.time_zone.value_or(absl::UTCTimeZone());
        out.times.emplace_back(absl::ToUnixSeconds(absl::FromCivil(day, zone)),
                               absl::ToUnixSeconds(absl::FromCivil(day + 1, zone)));
      }
    }
    return out;
  }

  bool HasIdentifiers(const Node& node) const {
    if (!node.is_message()) {
      return node.check_identifier || !node.placeholders.empty() || !requests_[node.id].empty() ||
             RoleOf(node) != IdentifierNode::Role::kIdentifier;
    }
    for (const Node& child : plan_.children(node)) {
      if (HasIdentifiers(child)) return true;
    }
    return false;
  }

  void CompileIdentifiers(size_t parent_index, const Node& parent) {
    size_t first = pipeline_->identifiers_.size();
    for (const Node& child : plan_.children(parent)) {
      if (!HasIdentifiers(child)) continue;
      IdentifierNode identifier;
      identifier.node = child.id;
      identifier.position = plan_.position(child);
      identifier.requests = requests_[child.id];
      identifier.role = RoleOf(child);
      identifier.placeholders = PlaceholdersOf(child);
      pipeline_->identifiers_.push_back(std::move(identifier));
    }
    size_t count = pipeline_->identifiers_.size() - first;
    pipeline_->identifiers_[parent_index].first_child = static_cast<uint32_t>(first);
    pipeline_->identifiers_[parent_index].child_count = static_cast<uint32_t>(count);
    for (size_t i = first; i < first + count; ++i) {
      const Node& child = plan_.node(pipeline_->identifiers_[i].node);
      if (child.is_message()) CompileIdentifiers(i, child);
    }
  }

  Pipeline::Options options_;
  const contract::Plan& plan_;
  const config::v1::Pipeline& config_;
  std::shared_ptr<Pipeline> pipeline_;
  std::vector<std::string> errors_;
  bool failed_ = false;
  std::vector<std::vector<Request>> requests_;  // by node
  std::map<NodeId, StreamPlan::Override> overrides_;
  struct Shifted {
    privacy::DomainName domain;  // of the configuration
    int32_t days_max = 0;
    std::string path;
  };
  std::vector<Shifted> shifts_;
  // The stream that is being compiled.
  const config::v1::Stream* config_stream_ = nullptr;
  StreamPlan* stream_ = nullptr;
  std::string path_;
};

namespace {

// Of one field, in two streams.
struct Pair {
  const OutputNode* one = nullptr;
  const OutputNode* other = nullptr;
};

// The fields that one of two streams treats by `is`, and the other likewise or not at all.
template <typename Is>
std::vector<Pair> PairsOf(const StreamPlan& one, const StreamPlan& other, Is is) {
  std::vector<Pair> pairs;
  for (const OutputNode& a : one.nodes) {
    if (a.op != Op::kKeep && !is(a.op)) continue;
    for (const OutputNode& b : other.nodes) {
      if (b.node != a.node || (b.op != Op::kKeep && !is(b.op))) continue;
      if (is(a.op) || is(b.op)) pairs.push_back({&a, &b});
    }
  }
  return pairs;
}

// `visit(i, j)` for each two streams that aren't internal, both ways.
template <typename Visit>
void ForEachTwoOutside(const std::vector<StreamPlan>& streams, Visit visit) {
  for (size_t i = 0; i < streams.size(); ++i) {
    for (size_t j = 0; j < streams.size(); ++j)
      if (i != j && !streams[i].internal && !streams[j].internal) visit(i, j);
  }
}

// Whether the stream tells which of its records are of one person.
bool Follows(const StreamPlan& stream, NodeId person) {
  return std::any_of(stream.nodes.begin(), stream.nodes.end(), [&](const OutputNode& node) {
    if (node.node != person) return false;
    if (node.op == Op::kPseudonymise)
      return node.scope != Scope::kEvent && node.scope != Scope::kValue;
    return node.op == Op::kKeep || node.op == Op::kEncrypt || node.op == Op::kFormatPreserve;
  });
}

}  // namespace

std::string AudienceLink::Name(std::string_view treatment, const contract::Plan& plan,
                               const std::vector<StreamPlan>& streams) const {
  return base::StrCat("links-audiences:", treatment, ":", plan.node(node).path, "=",
                      streams[other].name);
}

std::vector<AudienceLink> LinksByShift(const contract::Plan& plan,
                                       const std::vector<StreamPlan>& streams) {
  auto shifts = [](Op op) { return op == Op::kShiftDate || op == Op::kShiftTime; };
  std::vector<AudienceLink> links;
  ForEachTwoOutside(streams, [&](size_t i, size_t j) {
    const std::vector<Pair> pairs = PairsOf(streams[i], streams[j], shifts);
    for (const Pair& pair : pairs) {
      const Node& node = plan.node(pair.one->node);
      const NodeId person = shifts(pair.one->op) ? pair.one->person : pair.other->person;
      const bool many = node.repeated_path || node.cardinality != Cardinality::kSingular;
      if (node.type == Type::kTimestamp || many || pairs.size() > 1 ||
          (Follows(streams[i], person) && Follows(streams[j], person)))
        links.push_back({i, j, node.id});
    }
  });
  return links;
}

std::vector<AudienceLink> LinksByMask(const contract::Plan& plan,
                                      const std::vector<StreamPlan>& streams) {
  std::vector<AudienceLink> links;
  ForEachTwoOutside(streams, [&](size_t i, size_t j) {
    for (const Pair& pair : PairsOf(streams[i], streams[j], [](Op op) { return op == Op::kMask; }))
      links.push_back({i, j, plan.node(pair.one->node).id});
  });
  return links;
}

bool IsReason(std::string_view text) { return !privacy::IsBlank(text); }

absl::StatusOr<std::shared_ptr<const Pipeline>> Pipeline::Compile(Options options) {
  return PipelineCompiler(std::move(options)).Compile();
}

}  // namespace sluice::engine
