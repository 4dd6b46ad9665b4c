// Whatever lint calls proven is: random contracts, reference sets, pipelines and events, judged by
// what comes out.
//
// SLUICE_SOUNDNESS_PIPELINES sets how many pipelines are made (`./run soundness --pipelines N`),
// SLUICE_SOUNDNESS_SEED where they begin. A failure names the seed of its one pipeline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "common/base/planted_fault.h"
#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/engine.h"
#include "common/engine/flow.h"
#include "common/engine/treatment_table.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/ctl/privacy_review.h"
#include "tests/soundness/json.h"
#include "tests/soundness/site.h"

namespace sluice::base::planted {
PlantedFault planted_fault = PlantedFault::kNone;
}

namespace sluice::soundness {
namespace {

using base::PlantedFault;
using config::v1::Stream;
using config::v1::Treatment;
using engine::OutputNode;
using engine::Pipeline;
using engine::StreamPlan;

constexpr size_t kPipelinesDefault = 400;
// So many have every combination often enough.
constexpr size_t kPipelinesForCoverage = 10'000;
constexpr size_t kCoverageMin = 20;

size_t FromEnvironment(const char* name, size_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Keys and sealer, made once.
class Keys {
 public:
  static Keys& Get() {
    static Keys keys;
    return keys;
  }
  privacy::Pseudonymiser& pseudonymiser() { return *pseudonymiser_; }
  privacy::Sealer& sealer() { return *sealer_; }

 private:
  Keys() {
    auto keyring = privacy::Keyring::Create({{"d0", "dza"}, {"d1", "dzb"}}, random_);
    pseudonymiser_ = *privacy::LocalPseudonymiser::Create(*keyring);
    sealer_ = *privacy::Sealer::Create(privacy::NewSealingKeys(random_)->public_pem, random_);
  }
  base::CountingRandom random_;
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser_;
  std::unique_ptr<privacy::Sealer> sealer_;
};

// A record of one stream.
struct Record {
  std::string value, key, headers, id, time;
  std::string sets;  // the header that names the versions of the reference sets
  // But for `sets`: another row anywhere makes another version.
  bool operator==(const Record& other) const {
    return value == other.value && key == other.key && headers == other.headers && id == other.id &&
           time == other.time;
  }
};

class Runner final : public engine::OutcomeSink {
 public:
  explicit Runner(std::shared_ptr<const Pipeline> pipeline)
      : engine_(engine::Engine::Create(std::move(pipeline), Keys::Get().pseudonymiser(),
                                       Keys::Get().sealer())) {}

  // By stream; empty: the event went to quarantine.
  std::vector<Record> Run(const std::string& json) {
    records_.clear();
    if (!engine_.ok()) return {};
    base::InputRecord record;
    record.topic = "raw";
    record.value = json;
    record.timestamp_ms = 1'000;
    EXPECT_TRUE((*engine_)->Process({&record, 1}, *this).ok());
    return std::move(records_);
  }

 private:
  absl::Status Clean(const base::InputRecord&, const engine::CleanRecord& clean) override {
    Record& record = records_.emplace_back();
    record.value = clean.value;
    if (clean.key) record.key = *clean.key;
    for (const base::Header& header : clean.headers) {
      if (header.name == "ce_id") record.id = header.value;
      if (header.name == "ce_time") record.time = header.value;
      base::StrAppend(header.name == "sluice-ref" ? record.sets : record.headers, header.name, ": ",
                      header.value, "\n");
    }
    return absl::OkStatus();
  }
  absl::Status Quarantined(const base::InputRecord&, const engine::QuarantineRecord&) override {
    return absl::OkStatus();
  }
  void Suppressed(const base::InputRecord&) override {}

  absl::StatusOr<std::unique_ptr<engine::Engine>> engine_;
  std::vector<Record> records_;
};

// --- The oracle: how much of a leaf a stream may show, from the configuration alone.

std::string WithoutBrackets(std::string path) { return absl::StrReplaceAll(path, {{"[]", ""}}); }

// What a stream does with a leaf; nullptr: nothing is said of it.
const Treatment* Stated(const Stream& stream, const Leaf& leaf) {
  for (const auto& [path, treatment] : stream.fields()) {
    if (WithoutBrackets(path) == leaf.path) return &treatment;
  }
  auto found = stream.treat().find(leaf.of_class);
  if (found == stream.treat().end() && leaf.truth == Truth::kPoint)
    found = stream.treat().find("LOCATION");
  return found == stream.treat().end() ? nullptr : &found->second;
}

// So much of an identifier is no mask any more.
constexpr size_t kMaskMax = 3;

// Characters of the beginning or the end that may show; nullopt: all of it.
std::optional<size_t> Allowed(const Stream& stream, const Leaf& leaf) {
  if (leaf.truth == Truth::kPlain) return std::nullopt;
  if (leaf.undecided) return 0;
  if (leaf.called_plain) return stream.internal() ? std::nullopt : std::optional<size_t>(0);
  const Treatment* treatment = Stated(stream, leaf);
  if (treatment == nullptr) {
    bool by_default = stream.internal() && (leaf.path == "id" || leaf.path == "at");
    return by_default ? std::nullopt : std::optional<size_t>(0);
  }
  switch (treatment->how_case()) {
    case Treatment::kKeep:
      if (!stream.internal() && (leaf.truth == Truth::kId || leaf.IsTime())) return 0;
      return std::nullopt;
    case Treatment::kMask:
      if (leaf.IsDate()) return 4;
      if (leaf.truth == Truth::kId && !stream.internal()) return 0;
      return std::min<size_t>(
          leaf.identifier ? kMaskMax : SIZE_MAX,
          static_cast<size_t>(treatment->mask().keep_first() + treatment->mask().keep_last()));
    case Treatment::kGeneralise: {
      const auto& generalise = treatment->generalise();
      if (!leaf.IsDate()) return 0;
      if (generalise.has_day()) return std::nullopt;
      return generalise.has_month() ? 7 : generalise.has_year() ? 4 : 0;
    }
    case Treatment::kShift:
      // The time of day stays.
      if (leaf.truth == Truth::kTime) return std::nullopt;
      return 0;
    case Treatment::kDrop:
    case Treatment::kConstant:
    case Treatment::kPseudonymise:
    case Treatment::kEncrypt:
    case Treatment::kFormatPreserve:
    case Treatment::kScrub:
    case Treatment::HOW_NOT_SET:
      break;
  }
  return 0;
}

// Parts of a value of which none may be found where `allowed` characters may be.
std::vector<std::string> Pieces(const Leaf& leaf, const std::string& value, size_t allowed) {
  constexpr size_t kMore = 8;  // characters that nothing else has by chance
  switch (leaf.truth) {
    case Truth::kSecret:
    case Truth::kId: {
      if (value.size() < kMore) return {};
      std::vector<std::string> pieces;
      const size_t length = allowed + kMore;
      for (size_t at = 0; at + length <= value.size(); ++at)
        pieces.push_back(value.substr(at, length));
      return pieces;
    }
    case Truth::kPhone:
      return {value.substr(5 - std::min<size_t>(allowed, 5)),
              value.substr(0, 5) + " " + value.substr(5)};
    case Truth::kText:
      return {MarkerIn(value)};
    case Truth::kTime:
      return {value.substr(10, 9)};
    case Truth::kPoint:
    case Truth::kPostcode:
      return {value};
    case Truth::kBirth:
    case Truth::kDate:
      return {value.substr(0, allowed == 0 ? 10 : allowed + 3)};
    case Truth::kShort:
    case Truth::kPlain:
      break;
  }
  return {};
}

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// How it was found; empty: it wasn't. `haystack` is in small letters, `exact` as it is.
std::string FoundAs(const std::string& piece, const std::string& haystack,
                    const std::string& exact) {
  if (haystack.find(Lower(piece)) != std::string::npos) return "as it stands";
  if (haystack.find(Lower(absl::BytesToHexString(piece))) != std::string::npos) return "in hex";
  std::string percent;
  for (char c : piece) base::StrAppend(percent, "%", absl::BytesToHexString({&c, 1}));
  if (haystack.find(Lower(percent)) != std::string::npos) return "percent-encoded";
  for (size_t skip = 0; skip < 3; ++skip) {
    // What base64 makes of whole groups of three, wherever the piece begins.
    if (piece.size() < skip + 6) continue;
    std::string group = piece.substr(skip, (piece.size() - skip) / 3 * 3);
    std::string encoded;
    absl::Base64Escape(group, &encoded);
    if (exact.find(encoded) != std::string::npos) return "in base64";
  }
  return "";
}

// --- One random site, judged.

struct Judged {
  bool proven = false, joins = false, published = false;
  std::string violation;  // empty: sound
};

class Judge {
 public:
  explicit Judge(uint64_t seed) : random_(seed), site_(MakeSite(random_, seed)) {}

  Judged Do(std::map<std::string, size_t>* coverage = nullptr) {
    first_ = MakeValues(site_, random_);
    PrepareChanges();
    std::vector<Values> events = {first_};
    for (const auto& [leaf, values] : changed_) events.push_back(values);
    for (const Alike& alike : alikes_) events.push_back(alike.values);
    tables_ = MakeTables(site_, events);
    pipeline_ = Compile(site_.config, tables_);
    if (pipeline_ == nullptr) return judged_;
    ctl::Review review = ctl::ReviewPipeline(*pipeline_);
    if (!review.proven()) return judged_;
    judged_.proven = true;
    judged_.joins = !site_.joins.empty();
    if (coverage != nullptr) Count(*coverage);
    CheckTopics();
    CheckOrder();
    records_ = Runner(pipeline_).Run(JsonOf(site_, first_));
    judged_.published = !records_.empty();
    if (!records_.empty()) {
      CheckMarkers();
      CheckMembers(records_);
      CheckTwins();
      for (const auto& [leaf, values] : changed_) CheckLeaf(*leaf, values);
      for (const Alike& alike : alikes_) CheckAlike(alike);
      CheckColumns(events);
    }
    CheckAgainst();
    CheckAgainstChain();
    return judged_;
  }

 private:
  void Violation(const std::string& text) {
    if (judged_.violation.empty()) judged_.violation = text;
  }

  std::shared_ptr<const Pipeline> Compile(
      const config::v1::Pipeline& config,
      const std::vector<std::shared_ptr<const enrichment::Table>>& tables) {
    if (tables.size() != site_.sets.size()) return nullptr;
    if (plan_ == nullptr) {
      auto plan = contract::TryPlanFromProto(site_.contract, "E");
      if (!plan.ok()) return nullptr;
      plan_ = *std::move(plan);
    }
    Pipeline::Options options;
    options.contract = plan_;
    options.config = config;
    options.tables = tables;
    auto pipeline = Pipeline::Compile(std::move(options));
    return pipeline.ok() ? *std::move(pipeline) : nullptr;
  }

  // An event that differs in one leaf, of which the stream's treatment shows the same.
  struct Alike {
    const Leaf* leaf;
    size_t stream;
    Values values;
  };

  void PrepareChanges() {
    for (int i = 0; i < 3; ++i) {
      const Leaf& leaf = Any(site_.leaves, random_);
      Values values = first_;
      values[leaf.path] = ValuesOf(leaf, random_);
      changed_.emplace_back(&leaf, std::move(values));
    }
    for (int i = 0; i < 4; ++i) {
      const Leaf& leaf = Any(site_.leaves, random_);
      const auto stream = Below(random_, static_cast<size_t>(site_.config.streams_size()));
      const Treatment* treatment = Stated(site_.config.streams(static_cast<int>(stream)), leaf);
      if (treatment == nullptr || leaf.undecided || leaf.path == "at") continue;
      Values values = first_;
      bool all = true;
      for (std::string& value : values[leaf.path]) {
        auto alike = AlikeOf(leaf, value, *treatment, first_.at("at")[0], random_);
        all &= alike.has_value();
        if (alike) value = *alike;
      }
      if (!all || (leaf.shape == Shape::kMapKey && values[leaf.path][0] == values[leaf.path][1]))
        continue;
      alikes_.push_back({&leaf, stream, std::move(values)});
    }
  }

  void Count(std::map<std::string, size_t>& coverage) const {
    Treatment keep;
    keep.mutable_keep();
    for (const Stream& stream : site_.config.streams()) {
      for (size_t i = 0; i < site_.leaves.size(); ++i) {
        const Leaf& leaf = site_.leaves[i];
        const Treatment* treatment = Stated(stream, leaf);
        if (treatment == nullptr && leaf.of_class.empty()) treatment = &keep;
        if (treatment == nullptr || leaf.of_class == "LONGITUDE" || leaf.called_plain) continue;
        // Whoever doesn't get a map's one part doesn't get the other.
        const bool key = leaf.shape == Shape::kMapKey;
        if (key || leaf.shape == Shape::kMapValue) {
          const Treatment* other = Stated(stream, site_.leaves[key ? i + 1 : i - 1]);
          if (other != nullptr && other->has_drop() && !treatment->has_drop()) continue;
        }
        for (const Kind& kind : Kinds()) {
          if (kind.of_class == leaf.of_class && kind.type == leaf.type && kind.truth == leaf.truth)
            ++coverage[Combination{&kind, leaf.shape, WayOf(*treatment)}.ToString()];
        }
      }
    }
  }

  // Names that Kafka takes.
  void CheckTopics() {
    for (const Stream& stream : site_.config.streams()) {
      if (stream.topic().find(' ') != std::string::npos)
        Violation(base::StrCat("the topic '", stream.topic(), "'"));
    }
  }

  // The same configuration always means the same: a map's order differs from copy to copy.
  void CheckOrder() {
    const std::string json = JsonOf(site_, first_);
    const std::vector<Record> once = Runner(pipeline_).Run(json);
    for (int copy = 0; copy < 3; ++copy) {
      config::v1::Pipeline config;
      config.ParseFromString(site_.config.SerializeAsString());
      // Other sizes on the way make other orders.
      for (Stream& stream : *config.mutable_streams()) {
        auto& fields = *stream.mutable_fields();
        for (int i = 0; i < 5 * copy; ++i) fields[base::StrCat("way", i)];
        for (int i = 0; i < 5 * copy; ++i) fields.erase(base::StrCat("way", i));
      }
      auto again = Compile(config, tables_);
      if (again == nullptr) return Violation("the same configuration is refused when read again");
      if (Runner(again).Run(json) != once)
        return Violation("the same configuration read again gives another output");
    }
  }

  void CheckMarkers() {
    for (size_t s = 0; s < records_.size(); ++s) {
      const Stream& stream = site_.config.streams(static_cast<int>(s));
      const Record& record = records_[s];
      const std::string exact =
          base::StrCat(record.value, "\n", record.key, "\n", record.headers, record.sets);
      const std::string haystack = Lower(exact);
      auto hunt = [&](const std::string& piece, const std::string& what) {
        std::string how = FoundAs(piece, haystack, exact);
        if (!how.empty())
          Violation(base::StrCat(stream.name(), " shows '", piece, "' of ", what, " ", how, ": ",
                                 record.value));
      };
      for (const Leaf& leaf : site_.leaves) {
        std::optional<size_t> allowed = Allowed(stream, leaf);
        if (!allowed) continue;
        for (const std::string& value : first_.at(leaf.path)) {
          if (MayStandElsewhere(stream, leaf, value)) continue;
          for (const std::string& piece : Pieces(leaf, value, *allowed)) hunt(piece, leaf.path);
        }
      }
      for (const Set& set : site_.sets) {
        for (const Column& column : set.columns) {
          bool secret = column.undecided || !column.of_class.empty();
          if (secret && !ColumnMayShow(stream, column))
            for (const std::string& piece :
                 Pieces({.truth = Truth::kSecret}, CellText(set, column, false), 0))
              hunt(piece, base::StrCat(set.name, ".", column.name));
        }
      }
    }
  }

  // Another leaf that may show has the same value by chance.
  bool MayStandElsewhere(const Stream& stream, const Leaf& leaf, const std::string& value) const {
    if (leaf.truth != Truth::kTime && !leaf.IsDate()) return false;
    for (const Leaf& other : site_.leaves) {
      const bool same = other.truth == leaf.truth || (other.IsDate() && leaf.IsDate());
      if (other.path == leaf.path || !same || Allowed(stream, other) == 0) continue;
      for (const std::string& text : first_.at(other.path)) {
        const bool alike = leaf.truth == Truth::kTime ? text.substr(10) == value.substr(10)
                                                      : text.substr(0, 7) == value.substr(0, 7);
        if (alike) return true;
      }
    }
    // A date that is moved may become any other.
    return leaf.IsDate() && std::any_of(site_.leaves.begin(), site_.leaves.end(), [&](auto& other) {
             const Treatment* treatment = other.IsDate() ? Stated(stream, other) : nullptr;
             return treatment != nullptr && treatment->has_shift();
           });
  }

  static bool ColumnMayShow(const Stream& stream, const Column& column) {
    if (column.undecided) return false;
    auto treated = stream.treat().find(column.of_class);
    return treated != stream.treat().end() && treated->second.has_keep();
  }

  void CheckMembers(const std::vector<Record>& records) {
    for (size_t s = 0; s < records.size(); ++s) {
      if (pipeline_->streams()[s].format != config::v1::json) continue;
      Json json;
      std::string error = ParseJson(records[s].value, json);
      if (!error.empty()) Violation(base::StrCat(error, ": ", records[s].value));
    }
  }

  // Two keys of a map that are two spellings of one identifier.
  void CheckTwins() {
    for (const Leaf& leaf : site_.leaves) {
      if (leaf.shape != Shape::kMapKey) continue;
      Values values = first_;
      std::vector<std::string>& keys = values[leaf.path];
      auto other = RespellingOf(leaf, keys[0]);
      if (!other || *other == keys[0]) continue;
      keys[1] = *other;
      CheckMembers(Runner(pipeline_).Run(JsonOf(site_, values)));
    }
  }

  // What each leaf of the output holds, by its path: all values that it has, in order.
  std::map<std::string, std::string> LeavesOf(size_t s, const Record& record) const {
    const StreamPlan& stream = pipeline_->streams()[s];
    std::map<std::string, std::string> leaves = {
        {"(key)", record.key}, {"(ce_id)", record.id}, {"(ce_time)", record.time}};
    Json json;
    if (stream.format != config::v1::json || !ParseJson(record.value, json).empty()) return leaves;
    Walk(stream, stream.nodes[0], json, "", leaves);
    for (const engine::StreamJoin& carried : stream.joins) {
      const std::string& into = pipeline_->joins()[carried.join].field.name;
      const Json* row = json.Member(into);
      for (const auto& [name, cell] : row == nullptr ? Json().members : row->members)
        leaves[base::StrCat(into, ".", name)] = cell.text;
    }
    return leaves;
  }

  static void Walk(const StreamPlan& stream, const OutputNode& message, const Json& json,
                   const std::string& prefix, std::map<std::string, std::string>& leaves) {
    for (uint32_t i = message.first_child; i < message.first_child + message.child_count; ++i) {
      const OutputNode& node = stream.nodes[i];
      const Json* member = json.Member(node.field.name);
      if (member == nullptr) continue;
      const std::string path = base::StrCat(prefix, node.field.name);
      auto one = [&](const OutputNode& of, const Json& value, const std::string& at) {
        if (of.op == engine::Op::kMessage) {
          Walk(stream, of, value, base::StrCat(at, "."), leaves);
        } else {
          base::StrAppend(leaves[at], value.text, "\n");
        }
      };
      switch (node.field.cardinality) {
        case contract::Cardinality::kSingular:
          one(node, *member, path);
          break;
        case contract::Cardinality::kRepeated:
          for (const Json& item : member->items) one(node, item, path);
          break;
        case contract::Cardinality::kMap:
          for (const auto& [key, value] : member->members) {
            base::StrAppend(leaves[path + ".key"], key, "\n");
            one(stream.nodes[node.first_child + 1], value, path + ".value");
          }
          break;
      }
    }
  }

  // Two events that differ in one leaf are equal wherever it doesn't flow.
  void CheckLeaf(const Leaf& leaf, const Values& values) {
    std::vector<Record> others = Runner(pipeline_).Run(JsonOf(site_, values));
    if (others.empty()) return;
    engine::FlowSource source{.kind = engine::FlowSource::Kind::kField,
                              .node = pipeline_->contract().Find(leaf.path)};
    Compare(source, others, leaf.path);
    for (size_t s = 0; s < records_.size(); ++s) {
      const Stream& stream = site_.config.streams(static_cast<int>(s));
      if (IsHidden(stream, leaf) && others[s] != records_[s])
        Violation(base::StrCat(stream.name(), " tells something of ", leaf.path,
                               ", which it drops: ", records_[s].value, " / ", others[s].value));
    }
  }

  // The stream drops the leaf, and accepts nothing that depends on it.
  bool IsHidden(const Stream& stream, const Leaf& leaf) const {
    const Treatment* treatment = Stated(stream, leaf);
    if (leaf.of_class.empty() || treatment == nullptr || !treatment->has_drop()) return false;
    if (leaf.path == "at" || leaf.path == "id") return false;
    for (const auto& [name, reason] : stream.accept()) {
      if (name.starts_with("join-key:")) return false;
    }
    // What scrubbing looks for, it looks for in other leaves; dates are moved by a person's number.
    return std::none_of(site_.leaves.begin(), site_.leaves.end(), [&](const Leaf& other) {
      const Treatment* of_other = Stated(stream, other);
      return of_other != nullptr &&
             (of_other->has_scrub() || (of_other->has_shift() && leaf.path == "who"));
    });
  }

  // What reaches an output only as a class, month, area or band, and is of the same, is the same.
  void CheckAlike(const Alike& alike) {
    std::vector<Record> others = Runner(pipeline_).Run(JsonOf(site_, alike.values));
    if (others.empty()) return;
    const StreamPlan& stream = pipeline_->streams()[alike.stream];
    const contract::NodeId node = pipeline_->contract().Find(alike.leaf->path);
    auto before = LeavesOf(alike.stream, records_[alike.stream]),
         after = LeavesOf(alike.stream, others[alike.stream]);
    for (const engine::OutputLeaf& leaf : engine::OutputLeaves(*pipeline_, stream)) {
      if (leaf.output == 0 || stream.nodes[leaf.output].node != node) continue;
      if (before[leaf.path] != after[leaf.path])
        Violation(base::StrCat(stream.name, ": ", leaf.path, " (", leaf.through,
                               ") tells two values apart that are the same through it: '",
                               before[leaf.path], "' / '", after[leaf.path], "'"));
    }
  }

  void Compare(const engine::FlowSource& source, const std::vector<Record>& others,
               const std::string& what) {
    for (size_t s = 0; s < records_.size(); ++s) {
      auto before = LeavesOf(s, records_[s]), after = LeavesOf(s, others[s]);
      const auto leaves = engine::OutputLeaves(*pipeline_, pipeline_->streams()[s]);
      const bool reached = std::any_of(leaves.begin(), leaves.end(), [&](const auto& leaf) {
        return leaf.Find(source) != nullptr;
      });
      if (!reached && records_[s] != others[s])
        Violation(base::StrCat(pipeline_->streams()[s].name, ": a record depends on ", what,
                               ", which no flow says: ", records_[s].value, " / ",
                               others[s].value));
      for (const engine::OutputLeaf& leaf : leaves) {
        if (leaf.Find(source) != nullptr || before[leaf.path] == after[leaf.path]) continue;
        Violation(base::StrCat(pipeline_->streams()[s].name, ": ", leaf.path, " depends on ", what,
                               ", which no flow says: '", before[leaf.path], "' / '",
                               after[leaf.path], "'"));
      }
    }
  }

  // Two versions of the sets that differ in one column.
  void CheckColumns(const std::vector<Values>& events) {
    if (site_.joins.empty()) return;
    const Join& join = site_.joins[random_() % site_.joins.size()];
    const Set& set = site_.sets[join.set];
    const Column& column = set.columns[random_() % set.columns.size()];
    const std::string name = base::StrCat(set.name, ".", column.name);
    // A next join would find no row.
    for (const Join& other : site_.joins) {
      if (join.set == site_.joins[0].set && other.cell == column.name) return;
    }
    auto pipeline = Compile(site_.config, MakeTables(site_, events, name));
    if (pipeline == nullptr) return;
    std::vector<Record> others = Runner(pipeline).Run(JsonOf(site_, first_));
    if (others.empty()) return;
    engine::FlowSource source{.kind = engine::FlowSource::Kind::kCell};
    source.join = static_cast<size_t>(&join - site_.joins.data());
    source.column = *pipeline_->joins()[source.join].table->schema().Find(column.name);
    Compare(source, others, name);
  }

  // A change by which a stream shows more is noticed.
  void CheckAgainst() {
    config::v1::Pipeline config = site_.config;
    Stream& stream = *config.mutable_streams(
        static_cast<int>(random_() % static_cast<uint64_t>(config.streams_size())));
    std::string change;
    switch (random_() % 3) {
      case 0: {  // a class is kept, that was dropped
        for (auto& [name, treatment] : *stream.mutable_treat()) {
          if (!treatment.has_drop() || name == "EVENT_ID" || name == "OCCURRED_AT") continue;
          if (change.empty() || name < change) change = name;
        }
        if (change.empty()) return;
        bool used = false;
        for (const Leaf& leaf : site_.leaves) {
          used |= leaf.of_class == change && stream.fields().count(leaf.path) == 0 &&
                  leaf.shape == Shape::kField;
        }
        if (!used) return;
        (*stream.mutable_treat())[change].mutable_keep();
        (*stream.mutable_accept())["free-text:"] = "";
        break;
      }
      case 1: {  // another domain
        if (stream.domain() != "d0") return;
        stream.set_domain("d1");
        change = "domain";
        break;
      }
      default: {  // a row that was dropped, or wasn't there
        for (const Join& join : site_.joins) {
          auto found = stream.fields().find(join.into);
          if (found != stream.fields().end() && found->second.has_drop()) change = join.into;
        }
        if (change.empty()) return;
        (*stream.mutable_fields())[change].mutable_keep();
        (*stream.mutable_accept())["join-key:" + change] = "a change";
      }
    }
    auto weaker = Compile(config, tables_);
    if (weaker == nullptr) return;
    bool carried = change != "domain";
    for (const StreamPlan& now : weaker->streams()) {
      if (now.name != stream.name() || !change.starts_with("row")) continue;
      carried = std::any_of(now.joins.begin(), now.joins.end(), [&](const auto& join) {
        return weaker->joins()[join.join].field.name == change;
      });
    }
    if (change.starts_with("row") && !carried) return;
    if (ctl::CompareStrength(*pipeline_, *weaker).empty())
      Violation(base::StrCat("nothing is said of a change that shows more: ", change));
  }

  // A class's treatment goes one step or more up: what shows more, or something else, is told.
  void CheckAgainstChain() {
    config::v1::Pipeline less = site_.config, more = site_.config;
    const auto index =
        static_cast<int>(Below(random_, static_cast<size_t>(site_.config.streams_size())));
    Stream& before = *less.mutable_streams(index);
    Stream& after = *more.mutable_streams(index);
    const Leaf& leaf = Any(site_.leaves, random_);
    if (leaf.of_class.empty() || leaf.path == "at" || leaf.path == "id") return;
    const bool part = leaf.shape == Shape::kMapKey || leaf.shape == Shape::kMapValue;
    std::vector<Treatment> chain = Chain(leaf, random_);
    if (chain.size() < 2) return;
    const size_t low = Below(random_, chain.size() - 1);
    const size_t high = low + 1 + Below(random_, chain.size() - low - 1);
    for (const Leaf& other : site_.leaves) {
      const bool point =
          leaf.truth == Truth::kPoint && other.truth == Truth::kPoint && other.shape == leaf.shape;
      if (other.path != leaf.path && !point) continue;
      (*before.mutable_fields())[other.path] = chain[low];
      (*after.mutable_fields())[other.path] = chain[high];
    }
    for (Stream* stream : {&before, &after}) {
      (*stream->mutable_accept())["free-text:" + leaf.Written()] = "a change";
      stream->clear_key();
    }
    auto weak = Compile(less, tables_), strong = Compile(more, tables_);
    if (weak == nullptr || strong == nullptr) return;
    const StreamPlan& now = strong->streams()[static_cast<size_t>(index)];
    const contract::NodeId node = strong->contract().Find(leaf.path);
    // A map's other part may be dropped, and the map with it.
    if (part && std::none_of(now.nodes.begin(), now.nodes.end(),
                             [&](const OutputNode& out) { return out.node == node; }))
      return;
    const std::string name = "weaker:" + strong->contract().node(node).path;
    const auto told = ctl::CompareStrength(*weak, *strong);
    const bool found = std::any_of(told.begin(), told.end(), [&](const ctl::Warning& warning) {
      return warning.name == name && warning.stream == now.name;
    });
    if (!found)
      Violation(base::StrCat("nothing is said of a change that shows more: ", leaf.path, " was ",
                             chain[low].ShortDebugString(), ", is ",
                             chain[high].ShortDebugString()));
    if (!ctl::CompareStrength(*weak, *weak).empty())
      Violation("a configuration is said to show more than itself");
  }

  Random random_;
  Site site_;
  Values first_;
  std::vector<std::pair<const Leaf*, Values>> changed_;
  std::vector<Alike> alikes_;
  std::vector<std::shared_ptr<const enrichment::Table>> tables_;
  std::shared_ptr<const contract::Plan> plan_;
  std::shared_ptr<const Pipeline> pipeline_;
  std::vector<Record> records_;
  Judged judged_;
};

TEST(Soundness, WhatIsProvenShowsNoMoreThanItSays) {
  const size_t pipelines = FromEnvironment("SLUICE_SOUNDNESS_PIPELINES", kPipelinesDefault);
  const uint64_t first = FromEnvironment("SLUICE_SOUNDNESS_SEED", 1);
  size_t proven = 0, with_joins = 0, published = 0;
  std::map<std::string, size_t> coverage;
  for (uint64_t seed = first; seed < first + pipelines; ++seed) {
    Judged judged = Judge(seed).Do(&coverage);
    proven += judged.proven;
    with_joins += judged.joins;
    published += judged.published;
    ASSERT_EQ(judged.violation, "") << "seed " << seed;
  }
  std::cout << pipelines << " pipelines, " << proven << " proven, " << with_joins
            << " of them with joins, " << published << " published their event\n";
  EXPECT_GE(proven * 100, pipelines * 40);
  EXPECT_GE(with_joins * 100, proven * 30);
  EXPECT_GE(published * 100, proven * 95) << "what is quarantined shows nothing";
  if (pipelines < kPipelinesForCoverage) return;
  size_t fewest = pipelines;
  for (const Combination& combination : Combinations()) {
    const size_t count = coverage[combination.ToString()];
    EXPECT_GE(count, kCoverageMin) << combination.ToString();
    fewest = std::min(fewest, count);
  }
  std::cout << Combinations().size() << " combinations of kind, shape and treatment, each in "
            << fewest << " proven streams or more\n";
}

// A treatment that the engine has and the generator doesn't know is one that nobody judges.
TEST(Soundness, TheGeneratorKnowsEveryTreatment) {
  std::vector<std::string_view> names;
  for (const engine::TreatmentRow& row : engine::Treatments()) names.push_back(row.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAreArray(Ways()));
  std::set<std::string_view> known;
  for (const Kind& kind : Kinds()) known.insert(kind.of_class);
  auto knows = [&](const google::protobuf::EnumDescriptor& kinds) {
    for (int i = 1; i < kinds.value_count(); ++i) {
      const std::string& name = kinds.value(i)->name();
      // The event's own time, the point's other number, and what no field is.
      if (name == "OCCURRED_AT" || name == "LONGITUDE" || name == "SOURCE_POSITION") continue;
      EXPECT_TRUE(known.contains(name)) << name;
    }
  };
  knows(*contract::v1::IdentifierKind_descriptor());
  knows(*contract::v1::QuasiKind_descriptor());
  knows(*contract::v1::SensitiveKind_descriptor());
}

class Planted : public ::testing::TestWithParam<PlantedFault> {
 protected:
  void TearDown() override { base::planted_fault = PlantedFault::kNone; }
};

TEST_P(Planted, FaultIsFound) {
  constexpr uint64_t kSeedsMax = 1'000;
  base::planted_fault = GetParam();
  for (uint64_t seed = 1; seed < kSeedsMax; ++seed) {
    Judged judged = Judge(seed).Do();
    if (judged.violation.empty()) continue;
    std::cout << "found by pipeline " << seed << ": " << judged.violation.substr(0, 160) << "\n";
    return;
  }
  FAIL() << "none of " << kSeedsMax << " pipelines shows it";
}

INSTANTIATE_TEST_SUITE_P(
    Each, Planted,
    ::testing::Values(PlantedFault::kTwoOverrides, PlantedFault::kColumnsUndecided,
                      PlantedFault::kMapsUndecided, PlantedFault::kWeakTreatments,
                      PlantedFault::kMaskedEventId, PlantedFault::kEqualMembers,
                      PlantedFault::kHiddenJoinKeys, PlantedFault::kTopicNames,
                      PlantedFault::kSecondTimes, PlantedFault::kFieldsUndecided,
                      PlantedFault::kJoinsNotCompared, PlantedFault::kUnknownNotWeaker),
    [](const auto& info) { return base::StrCat("Fault", static_cast<int>(info.param)); });

}  // namespace
}  // namespace sluice::soundness
