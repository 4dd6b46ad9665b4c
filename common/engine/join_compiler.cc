#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "common/base/planted_fault.h"
#include "common/base/strings.h"
#include "common/engine/join.h"

namespace sluice::engine {
namespace {

using config::v1::Enrichment;
using contract::kNoNode;
using contract::Node;
using contract::Type;
using SchemaProto = reference::v1::Schema;
using ColumnProto = reference::v1::Column;

constexpr int32_t kWaitMsDefault = 60'000;
constexpr int32_t kWaitMsMax = 3'600'000;

bool IsInteger(Type type) {
  return type == Type::kInt32 || type == Type::kInt64 || type == Type::kUint32 ||
         type == Type::kUint64;
}

bool IsNumber(Type type) {
  return IsInteger(type) || type == Type::kFloat || type == Type::kDouble;
}

// Whether a field of this type can be compared with a column's values.
bool Compares(Type type, enrichment::ColumnType column) {
  switch (column) {
    case ColumnProto::text:
    case ColumnProto::date:
      return type == Type::kString;
    case ColumnProto::integer:
      return IsInteger(type);
    case ColumnProto::number:
      return IsNumber(type);
    case ColumnProto::boolean:
      return type == Type::kBool;
    case ColumnProto::time:
      return type == Type::kTimestamp;
    default:
      return false;
  }
}

// With its article, for errors.
std::string NameOf(enrichment::ColumnType type) {
  return base::StrCat(type == ColumnProto::integer ? "an " : "a ", ColumnProto::Type_Name(type));
}

class JoinCompiler {
 public:
  JoinCompiler(const contract::Plan& plan, const config::v1::Pipeline& config, const Tables& tables,
               const std::function<void(std::string_view, std::string_view)>& error)
      : plan_(plan), config_(config), tables_(tables), report_(error) {
    for (const Node& field : plan_.children(plan_.root())) names_.insert(field.name);
  }

  std::vector<JoinPlan> Compile() {
    for (index_ = 0; index_ < config_.enrich_size(); ++index_) CompileOne(config_.enrich(index_));
    return std::move(joins_);
  }

 private:
  void Error(std::string_view key, std::string_view what) {
    report_(base::StrCat("pipeline.enrich[", index_, "]", key.empty() ? "" : ".", key), what);
  }

  void CompileOne(const Enrichment& enrich) {
    JoinPlan join;
    join.set = enrich.set();
    if (!names_.insert(enrich.into()).second)
      Error("into", base::StrCat("the event has a field '", enrich.into(), "' already"));
    auto table = std::find_if(tables_.begin(), tables_.end(),
                              [&](const auto& t) { return t->set() == enrich.set(); });
    if (table == tables_.end()) {
      Error("set", base::StrCat("there is no reference set '", enrich.set(),
                                "'; `reference` names those there are"));
      // What can be said without it.
      for (auto [key, path] : {std::pair("key", &enrich.key()),
                               {"value", &enrich.value()},
                               {"area", &enrich.area()},
                               {"nearest", &enrich.nearest()},
                               {"latitude", &enrich.latitude()},
                               {"longitude", &enrich.longitude()},
                               {"at", &enrich.at()}}) {
        if (!path->empty() && !IsJoined(*path)) Exists(key, *path);
      }
      return;
    }
    join.table = *table;
    CompileMissing(enrich, join);
    CompileQuestion(enrich, join);
    // Numbers far above a contract's own, by the enrichment's place: adding one at the end changes
    // no other.
    join.field = event::OutputField::Make(enrich.into(), 15000 + static_cast<uint32_t>(index_),
                                          Type::kMessage);
    CompileColumns(enrich, join);
    joins_.push_back(std::move(join));
  }

  void CompileMissing(const Enrichment& enrich, JoinPlan& join) {
    join.on_missing = enrich.on_missing();
    if (enrich.on_missing() != Enrichment::wait) {
      if (enrich.wait_ms() != 0) Error("wait_ms", "has a meaning for `on_missing: wait` only");
      if (enrich.has_then()) Error("then", "has a meaning for `on_missing: wait` only");
      return;
    }
    join.wait_ms = enrich.wait_ms() == 0 ? kWaitMsDefault : enrich.wait_ms();
    if (*join.wait_ms < 1 || *join.wait_ms > kWaitMsMax)
      Error("wait_ms", base::StrCat("must be 1 to ", kWaitMsMax));
    join.on_missing = enrich.has_then() ? enrich.then() : Enrichment::quarantine;
    if (join.on_missing == Enrichment::wait)
      Error("then", "must be keep, null or quarantine: the wait has to end");
  }

  // What the set is asked with, by its kind.
  void CompileQuestion(const Enrichment& enrich, JoinPlan& join) {
    const enrichment::Schema& schema = join.table->schema();
    const std::string kind = SchemaProto::Kind_Name(schema.kind());
    auto unasked = [&](bool given, std::string_view key) {
      if (given)
        Error(key, base::StrCat("'", enrich.set(), "' is a set of the kind ", kind,
                                ", which isn't asked with it"));
    };
    const bool area = schema.kind() == SchemaProto::area;
    const bool on_the_map = area || schema.kind() == SchemaProto::nearest;
    if (on_the_map) {
      unasked(!enrich.key().empty(), "key");
      unasked(!enrich.keys().empty(), "keys");
      unasked(!(area ? enrich.nearest() : enrich.area()).empty(), area ? "nearest" : "area");
      CompilePoint(enrich, area ? enrich.area() : enrich.nearest(), area ? "area" : "nearest",
                   join);
    } else {
      unasked(!enrich.area().empty(), "area");
      unasked(!enrich.nearest().empty(), "nearest");
      unasked(!enrich.latitude().empty(), "latitude");
      unasked(!enrich.longitude().empty(), "longitude");
      CompileKeys(enrich, join);
    }
    if (schema.kind() == SchemaProto::range) {
      if (enrich.value().empty()) {
        Error("value", base::StrCat("is needed: '", enrich.set(), "' is a set of ranges"));
      } else {
        join.value = Resolve("value", enrich.value(), schema.columns()[schema.low()].type, join);
      }
    } else {
      unasked(!enrich.value().empty(), "value");
    }
    join.timed = schema.has_interval() && schema.kind() != SchemaProto::range;
    if (!join.timed) return unasked(!enrich.at().empty(), "at");
    if (!enrich.at().empty()) {
      join.at = Resolve("at", enrich.at(), ColumnProto::time, join);
    } else if (!PositionsOf(plan_, plan_.time_node())) {
      Error("at", base::StrCat("is needed: the rows of '", enrich.set(),
                               "' have their times, and the contract's events have none with one "
                               "value"));
    }
  }

  void CompileKeys(const Enrichment& enrich, JoinPlan& join) {
    const auto& parts = join.table->schema().key();
    if (!enrich.key().empty() && !enrich.keys().empty())
      return Error("keys", "give `key` or `keys`, not both");
    std::vector<std::string> paths(enrich.keys().begin(), enrich.keys().end());
    if (!enrich.key().empty()) paths.push_back(enrich.key());
    if (paths.size() != parts.size()) {
      std::vector<std::string> names;
      for (const enrichment::KeyPart& part : parts)
        names.push_back(join.table->schema().columns()[part.column].name);
      return Error(paths.size() == 1 || (paths.empty() && parts.size() == 1) ? "key" : "keys",
                   names.empty() ? base::StrCat("'", enrich.set(), "' has no key")
                                 : base::StrCat("must name one field for each part of the set's "
                                                "key: ",
                                                absl::StrJoin(names, ", ")));
    }
    for (size_t i = 0; i < paths.size(); ++i) {
      std::string key = enrich.keys().empty() ? "key" : base::StrCat("keys[", i, "]");
      join.keys.push_back(Resolve(key, paths[i], parts[i].type, join));
    }
  }

  void CompilePoint(const Enrichment& enrich, const std::string& message, std::string_view key,
                    JoinPlan& join) {
    if (message.empty()) {
      if (enrich.latitude().empty() || enrich.longitude().empty()) {
        return Error(key,
                     "is needed: the path of the message that is a point; or else latitude "
                     "and longitude");
      }
      join.latitude = Resolve("latitude", enrich.latitude(), ColumnProto::number, join);
      join.longitude = Resolve("longitude", enrich.longitude(), ColumnProto::number, join);
      return;
    }
    if (!enrich.latitude().empty() || !enrich.longitude().empty())
      Error(key, "give it, or latitude and longitude, not both");
    contract::NodeId id = plan_.Find(message);
    if (id == kNoNode) return Error(key, base::StrCat("the contract has no field '", message, "'"));
    const Node *latitude = nullptr, *longitude = nullptr;
    if (plan_.node(id).is_message()) {
      for (const Node& child : plan_.children(plan_.node(id))) {
        if (child.classification.quasi == contract::v1::LATITUDE) latitude = &child;
        if (child.classification.quasi == contract::v1::LONGITUDE) longitude = &child;
      }
    }
    if (latitude == nullptr || longitude == nullptr) {
      return Error(key, base::StrCat("'", message,
                                     "' isn't a message with a LATITUDE and a LONGITUDE; or else "
                                     "give latitude and longitude"));
    }
    join.latitude = Resolve(key, latitude->path, ColumnProto::number, join);
    join.longitude = Resolve(key, longitude->path, ColumnProto::number, join);
  }

  // Whether it is a column of a joined row.
  bool IsJoined(const std::string& path) const {
    return std::any_of(
        config_.enrich().begin(), config_.enrich().end(),
        [&](const Enrichment& other) { return path.starts_with(other.into() + "."); });
  }

  bool Exists(std::string_view key, const std::string& path) {
    if (plan_.Find(path) != kNoNode) return true;
    Error(key, base::StrCat("the contract has no field '", path, "'"));
    return false;
  }

  // A path, as a value that can be compared with a column of the type.
  JoinValue Resolve(std::string_view key, const std::string& path, enrichment::ColumnType type,
                    JoinPlan& join) {
    JoinValue value;
    size_t dot = path.find('.');
    std::string head = path.substr(0, dot);
    auto isnt = [&] {
      Error(key, base::StrCat("'", path, "' isn't ", NameOf(type), " with one value, as '",
                              join.set, "' needs"));
      return value;
    };
    for (int i = 0; dot != path.npos && i < config_.enrich_size(); ++i) {
      if (config_.enrich(i).into() != head) continue;
      auto earlier = std::find_if(joins_.begin(), joins_.end(),
                                  [&](const JoinPlan& other) { return other.field.name == head; });
      if (earlier == joins_.end()) {
        // An earlier one that isn't there has had its own error.
        if (i >= index_)
          Error(key, base::StrCat("'", head, "' is joined later: put it before this one"));
        return value;
      }
      const enrichment::Schema& schema = earlier->table->schema();
      auto column = schema.Find(path.substr(dot + 1));
      if (!column) {
        Error(key, base::StrCat("the set '", earlier->set, "' has no column '",
                                path.substr(dot + 1), "'"));
        return value;
      }
      enrichment::ColumnType given = schema.columns()[*column].type;
      if (given == ColumnProto::area || !Compares(OutputTypeOf(given), type)) return isnt();
      value.join = static_cast<size_t>(earlier - joins_.begin());
      value.column = *column;
      if (join.asked_with == kNoNode) join.asked_with = earlier->asked_with;
      return value;
    }
    if (!Exists(key, path)) return value;
    contract::NodeId id = plan_.Find(path);
    auto positions = PositionsOf(plan_, id);
    if (!positions || !Compares(plan_.node(id).type, type)) return isnt();
    value.positions = *std::move(positions);
    value.absent = AbsentValue(plan_.node(id));
    value.node = id;
    if (join.asked_with == kNoNode) join.asked_with = id;
    return value;
  }

  void CompileColumns(const Enrichment& enrich, JoinPlan& join) {
    const enrichment::Schema& schema = join.table->schema();
    const std::map<std::string, std::string> fields(enrich.fields().begin(), enrich.fields().end());
    for (const auto& [column, name] : fields) {
      std::string key = base::StrCat("fields[", column, "]");
      std::optional<size_t> found = schema.Find(column);
      if (!found) {
        std::vector<std::string> names;
        for (const enrichment::Column& other : schema.columns()) names.push_back(other.name);
        Error(key, base::StrCat("the set has no column '", column,
                                "'; it has: ", absl::StrJoin(names, ", ")));
      } else if (schema.columns()[*found].type == ColumnProto::area) {
        Error(key, "is an area, which no event carries");
      } else if (schema.IsKey(*found) && !join.keys.empty()) {
        Error(key, "is part of the key: the event has it already, treated as each stream wants it");
      } else if (!schema.columns()[*found].classification.decided()) {
        Error(key,
              "nobody has decided what the column is, so no event gets it: give it a "
              "classification in "
              "the set's schema, or name it in `not_personal` if it says nothing about a person");
      }
    }
    std::vector<size_t> published = schema.PublishedColumns();
    if (base::Planted(base::PlantedFault::kColumnsUndecided)) {
      published.clear();
      for (size_t i = 0; i < schema.columns().size(); ++i) {
        if (schema.columns()[i].type != ColumnProto::area && !schema.IsKey(i))
          published.push_back(i);
      }
    }
    if (!enrich.fields().empty()) {
      published.clear();
      for (size_t i = 0; i < schema.columns().size(); ++i) {
        if (enrich.fields().contains(schema.columns()[i].name)) published.push_back(i);
      }
    }
    if (published.empty()) {
      Error("set",
            base::StrCat("the set '", enrich.set(),
                         "' has no column that an event could get: give its columns a "
                         "classification in the set's schema, or name those that say nothing "
                         "about a person in `not_personal`"));
    }
    std::set<std::string> names;
    for (size_t i : published) {
      const enrichment::Column& column = schema.columns()[i];
      std::string name = enrich.fields().empty() ? column.name : enrich.fields().at(column.name);
      if (!names.insert(name).second)
        Error("fields", base::StrCat("two columns are named '", name, "'"));
      join.columns.push_back(
          event::OutputField::Make(name, static_cast<uint32_t>(i + 1), OutputTypeOf(column.type)));
      join.columns.back().presence = true;  // a row needn't have a value in every column
      join.column_indexes.push_back(i);
    }
  }

  const contract::Plan& plan_;
  const config::v1::Pipeline& config_;
  const Tables& tables_;
  const std::function<void(std::string_view, std::string_view)>& report_;
  std::set<std::string> names_;
  std::vector<JoinPlan> joins_;
  int index_ = 0;
};

}  // namespace

std::vector<JoinPlan> CompileJoins(
    const contract::Plan& plan, const config::v1::Pipeline& config, const Tables& tables,
    const std::function<void(std::string_view path, std::string_view what)>& error) {
  return JoinCompiler(plan, config, tables, error).Compile();
}

}  // namespace sluice::engine
