#include "common/engine/flow.h"

#include <algorithm>
#include <map>

#include "common/base/strings.h"

namespace sluice::engine {
namespace {

using contract::kNoNode;
using contract::Node;
using contract::NodeId;

class FlowBuilder {
 public:
  FlowBuilder(const Pipeline& pipeline, const StreamPlan& stream)
      : pipeline_(pipeline), plan_(pipeline.contract()), stream_(stream) {}

  std::vector<OutputLeaf> Build() {
    AddFields(stream_.nodes[0], "");
    for (const StreamJoin& carried : stream_.joins) AddJoin(carried);
    AddKeyAndHeaders();
    return std::move(leaves_);
  }

 private:
  // The strongest flow of each source.
  class Flows {
   public:
    void Add(const FlowSource& source, FlowHow how) {
      auto [found, added] = flows_.emplace(source, how);
      if (!added) found->second = std::max(found->second, how);
    }
    void Field(NodeId node, FlowHow how) {
      if (node != kNoNode) Add({.kind = FlowSource::Kind::kField, .node = node}, how);
    }
    std::vector<Flow> Take() const {
      std::vector<Flow> all;
      for (const auto& [source, how] : flows_) all.push_back({source, how});
      return all;
    }

   private:
    std::map<FlowSource, FlowHow> flows_;
  };

  void AddFields(const OutputNode& message, const std::string& prefix) {
    for (uint32_t i = message.first_child; i < message.first_child + message.child_count; ++i) {
      const OutputNode& node = stream_.nodes[i];
      std::string path = base::StrCat(prefix, node.field.name);
      if (node.op == Op::kMessage) {
        AddFields(node, base::StrCat(path, "."));
        continue;
      }
      Flows flows;
      AddTreated(node, flows);
      leaves_.push_back({std::move(path), i, stream_.treatments[node.node], flows.Take()});
    }
  }

  void AddTreated(const OutputNode& node, Flows& flows) const {
    const auto through = FlowHow::kThrough;
    switch (node.op) {
      case Op::kMessage:
      case Op::kConstant:
        return;
      case Op::kKeep:
        return flows.Field(node.node, FlowHow::kWhole);
      case Op::kMask:
      case Op::kDatePart:
      case Op::kTimePart:
      case Op::kPostcodePart:
      case Op::kBucket:
        return flows.Field(node.node, through);
      case Op::kPseudonymise:
      case Op::kEncrypt:
      case Op::kFormatPreserve:
        flows.Field(node.node, through);
        return AddScope(ScopeOf(node.node, node.request), flows);
      case Op::kShiftDate:
      case Op::kShiftTime:
        flows.Field(node.node, through);
        return flows.Field(node.person, FlowHow::kChosenBy);
      case Op::kScrub:
        return AddScrub(node, flows);
      case Op::kAgeBand:
        flows.Field(node.node, through);
        return flows.Field(plan_.time_node(), FlowHow::kChosenBy);
      case Op::kGridLatitude:
      case Op::kGridLongitude:
      case Op::kSnapLatitude:
      case Op::kSnapLongitude:
      case Op::kAreaOf:
        flows.Field(node.node, through);
        flows.Field(OtherOf(node), through);
        if (node.table != nullptr) AddTable(*node.table, flows);
        return;
    }
  }

  // The point's other number, beside the one that the node is.
  NodeId OtherOf(const OutputNode& node) const {
    return plan_.node(plan_.node(node.node).parent).first_child + node.other_position;
  }

  void AddTable(const enrichment::Table& table, Flows& flows) const {
    for (size_t set = 0; set < pipeline_.tables().size(); ++set) {
      const enrichment::Table& other = *pipeline_.tables()[set];
      if (&other == &table || &other == table.within())
        flows.Add({.kind = FlowSource::Kind::kMap, .set = set}, FlowHow::kThrough);
    }
    if (table.schema().has_interval()) flows.Field(plan_.time_node(), FlowHow::kChosenBy);
  }

  Scope ScopeOf(NodeId node, uint32_t request) const {
    for (const IdentifierNode& identifier : pipeline_.identifiers()) {
      if (identifier.node == node && request < identifier.requests.size())
        return identifier.requests[request].scope;
    }
    return Scope::kDomain;
  }

  void AddScope(Scope scope, Flows& flows) const {
    switch (scope) {
      case Scope::kDomain:
      case Scope::kShift:
        return;
      case Scope::kMonth:
      case Scope::kQuarter:
      case Scope::kYear:
        return flows.Field(plan_.time_node(), FlowHow::kChosenBy);
      case Scope::kEvent:
      case Scope::kValue:
        return flows.Add({.kind = FlowSource::Kind::kRecord}, FlowHow::kChosenBy);
    }
  }

  // A text is searched for the event's own names, numbers and dates of birth, and two figures of a
  // year are read by the event's time.
  void AddScrub(const OutputNode& node, Flows& flows) const {
    flows.Field(node.node, FlowHow::kThrough);
    for (const IdentifierNode& identifier : pipeline_.identifiers()) {
      using Role = IdentifierNode::Role;
      if (identifier.role == Role::kName || identifier.role == Role::kNumber ||
          identifier.role == Role::kBirth)
        flows.Field(identifier.node, FlowHow::kChosenBy);
    }
    flows.Field(plan_.time_node(), FlowHow::kChosenBy);
    for (size_t kind = 0; kind < node.scrub_requests.size(); ++kind) {
      if (node.scrub_requests[kind] < 0) continue;
      AddScope(
          pipeline_.scrub_requests()[kind][static_cast<size_t>(node.scrub_requests[kind])].scope,
          flows);
    }
  }

  // What decides which row an event gets: what it is asked with, and how the row before it in a
  // chain was found.
  void AddChoice(size_t index, Flows& flows) const {
    const JoinPlan& join = pipeline_.joins()[index];
    auto asked = [&](const JoinValue& value) {
      if (value.join) {
        flows.Add({.kind = FlowSource::Kind::kCell, .join = *value.join, .column = value.column},
                  FlowHow::kChosenBy);
        AddChoice(*value.join, flows);
      } else {
        flows.Field(value.node, FlowHow::kChosenBy);
      }
    };
    for (const JoinValue& key : join.keys) asked(key);
    for (const JoinValue* value : {&join.value, &join.latitude, &join.longitude, &join.at})
      asked(*value);
    if (join.timed && !join.at.given()) flows.Field(plan_.time_node(), FlowHow::kChosenBy);
    // The row's own key and bounds: another one may be the row, then.
    const enrichment::Schema& schema = join.table->schema();
    auto cell = [&](size_t column) {
      flows.Add({.kind = FlowSource::Kind::kCell, .join = index, .column = column},
                FlowHow::kChosenBy);
    };
    for (const enrichment::KeyPart& part : schema.key()) cell(part.column);
    if (schema.has_interval()) cell(schema.low()), cell(schema.high());
    if (schema.kind() == reference::v1::Schema::area) cell(schema.area());
    if (schema.kind() == reference::v1::Schema::nearest)
      cell(schema.latitude()), cell(schema.longitude());
    if (join.table->within() != nullptr) AddTable(*join.table->within(), flows);
  }

  void AddJoin(const StreamJoin& carried) {
    const JoinPlan& join = pipeline_.joins()[carried.join];
    for (size_t column : carried.columns) {
      Flows flows;
      flows.Add({.kind = FlowSource::Kind::kCell,
                 .join = carried.join,
                 .column = join.column_indexes[column]},
                FlowHow::kWhole);
      AddChoice(carried.join, flows);
      leaves_.push_back({base::StrCat(join.field.name, ".", join.columns[column].name), 0,
                         base::StrCat("joined: ", join.set), flows.Take()});
    }
  }

  void AddKeyAndHeaders() {
    Flows id;
    if (stream_.id_node != 0) AddTreated(stream_.nodes[stream_.id_node], id);
    // Where the id is dropped or absent, the record's position stands for it.
    id.Add({.kind = FlowSource::Kind::kRecord},
           stream_.internal ? FlowHow::kWhole : FlowHow::kThrough);
    switch (stream_.key) {
      case KeySource::kEventId:
        leaves_.push_back({"(key)", 0, "event id", id.Take()});
        break;
      case KeySource::kRaw: {
        Flows raw;
        raw.Add({.kind = FlowSource::Kind::kRecord}, FlowHow::kWhole);
        leaves_.push_back({"(key)", 0, "raw key", raw.Take()});
        break;
      }
      case KeySource::kField: {
        Flows key;
        const OutputNode& node = stream_.nodes[stream_.key_node];
        AddTreated(node, key);
        leaves_.push_back({"(key)", 0, stream_.treatments[node.node], key.Take()});
        break;
      }
    }
    leaves_.push_back({"(ce_id)", 0, "event id", id.Take()});
    if (stream_.time_node != 0) {
      Flows time;
      const OutputNode& node = stream_.nodes[stream_.time_node];
      AddTreated(node, time);
      leaves_.push_back({"(ce_time)", 0, stream_.treatments[node.node], time.Take()});
    }
  }

  const Pipeline& pipeline_;
  const contract::Plan& plan_;
  const StreamPlan& stream_;
  std::vector<OutputLeaf> leaves_;
};

}  // namespace

std::string FlowSource::ToString(const Pipeline& pipeline) const {
  switch (kind) {
    case Kind::kField:
      return pipeline.contract().node(node).path;
    case Kind::kCell: {
      const JoinPlan& from = pipeline.joins()[join];
      return base::StrCat(from.field.name, ".", from.table->schema().columns()[column].name);
    }
    case Kind::kMap:
      return base::StrCat("set:", pipeline.tables()[set]->set());
    case Kind::kRecord:
      break;
  }
  return "(record)";
}

const Flow* OutputLeaf::Find(const FlowSource& source) const {
  for (const Flow& flow : flows) {
    if (flow.source == source) return &flow;
  }
  return nullptr;
}

std::vector<OutputLeaf> OutputLeaves(const Pipeline& pipeline, const StreamPlan& stream) {
  return FlowBuilder(pipeline, stream).Build();
}

}  // namespace sluice::engine
