// From a message's descriptor to a Plan, or to everything that is wrong with it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/contract/plan.h"

namespace sluice::contract {

class PlanCompiler {
 public:
  // An event deeper than this can't be read: readers have the same limit.
  static constexpr int kDepthMax = 32;

  // `owner` keeps the descriptor alive; the plan holds on to it.
  PlanCompiler(const google::protobuf::Descriptor& descriptor, std::shared_ptr<const void> owner);

  absl::StatusOr<std::shared_ptr<const Plan>> Compile();

 private:
  using Field = google::protobuf::FieldDescriptor;

  void Error(const Node& node, std::string_view what);
  void ErrorAt(const SourceLocation& where, std::string_view what);
  void CompileEventOptions();
  void CompileChildren(NodeId parent);
  Node CompileField(const Field& field, const Node& parent);
  bool CompileType(const Field& field, Node& node);
  bool IsRecursive(const google::protobuf::Descriptor& message, const Node& parent) const;
  bool PassOver(const Field& field, const Node& parent);
  void CompileOptions(Node& node);
  void Classify(Node& node);
  void CheckMap(const Node& node, const v1::FieldOptions& options);
  void CheckClassification(const Node& node);
  const std::set<std::string>& NotPersonalOf(const google::protobuf::Descriptor& message);
  void CheckEntry(const google::protobuf::Descriptor& message, const std::string& entry);
  void CheckDecided();
  void CheckRead(const Node& node, const v1::Read& read);
  void CompileEnum(Node& node);
  void CheckSources(const Node& parent);
  void CheckPoints(const Node& parent);
  void CompileIdAndTime();
  // Once the whole plan is there.
  void CompileZone();
  void CheckPlaceholders();

  const google::protobuf::Descriptor& descriptor_;
  std::shared_ptr<Plan> plan_;
  std::deque<NodeId> pending_;  // messages whose fields are still to be compiled
  // By message: what its short form `not_personal` names.
  std::map<const google::protobuf::Descriptor*, std::set<std::string>> not_personal_;
  std::vector<std::string> errors_;
};

}  // namespace sluice::contract
