// A contract, compiled: every field at every path of an event, in flat tables.
//
// Nothing on the hot path asks protobuf's reflection or looks a name up: readers, checks, joins and
// treatments all address a field by its node number, and a message's values by their position in
// it.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::contract {

using NodeId = uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

// A contract with more is a mistake, and readers' tables have these sizes.
inline constexpr size_t kNodesMax = 4096;
inline constexpr uint32_t kFieldsPerMessageMax = 1024;

// What one value of a field is.
enum class Type : uint8_t {
  kBool,
  kInt32,
  kInt64,
  kUint32,
  kUint64,
  kFloat,
  kDouble,
  kString,
  kBytes,
  kEnum,
  kTimestamp,
  kDuration,
  kMessage,
};

enum class Cardinality : uint8_t { kSingular, kRepeated, kMap };

// What a field is about a person. Exactly one is set for every field of a plan that isn't a
// message.
struct Classification {
  v1::IdentifierKind identifier = v1::IDENTIFIER_KIND_UNSPECIFIED;
  v1::QuasiKind quasi = v1::QUASI_KIND_UNSPECIFIED;
  v1::SensitiveKind sensitive = v1::SENSITIVE_KIND_UNSPECIFIED;
  bool free_text = false;
  bool not_personal = false;

  // It is about a person.
  bool classified() const { return identifier != 0 || quasi != 0 || sensitive != 0 || free_text; }
  bool decided() const { return classified() || not_personal; }
  // The name by which a pipeline's `treat` knows it: PERSON_NAME, LATITUDE, FREE_TEXT ...; empty:
  // none.
  std::string_view name() const;
};

// How a field is read from JSON (sluice.contract.v1.Read, with the zone loaded).
struct ReadRules {
  std::vector<std::string>
      source;  // keys from the containing message's object; empty: the field's names
  std::vector<std::string> null_values;
  std::vector<std::string> true_values;
  std::vector<std::string> false_values;
  bool number_in_string = false;
  bool trim = false;
  std::optional<absl::TimeZone> time_zone;
};

struct EnumValue {
  std::string name;
  int32_t number = 0;
  std::vector<std::string> spellings;
};

// Where something is said: for errors that name file and line.
struct SourceLocation {
  std::string file;
  int line = 0;  // from 1; 0: unknown (a descriptor set without source information)
  std::string ToString() const;
};

// A field whose content no contract can classify (google.protobuf.Any, Struct, Value, ListValue).
// It has no node: readers pass over it as they pass over unknown fields, so no stream can get it.
struct OpaqueField {
  std::string path;
  std::string type;  // full name
};

// One field at one path. The fields of one message are neighbours: the record of a message value
// holds the value of node `first_child + i` at position i.
//
// A map field has the type kMessage and two children, key and value, as its entries have.
struct Node {
  const google::protobuf::FieldDescriptor* descriptor = nullptr;
  std::string name;       // the field's own
  std::string json_name;  // lowerCamelCase
  std::string path;       // from the event: subject.name; people[].name inside a list
  int32_t number = 0;
  Type type = Type::kString;
  Cardinality cardinality = Cardinality::kSingular;
  // Absence can be told from the default value: optional, in a oneof, or a message.
  bool presence = false;
  // Inside a repeated or map field, so that an event has many values of it.
  bool repeated_path = false;
  NodeId id = kNoNode;
  NodeId parent = kNoNode;
  NodeId first_child = 0;
  uint32_t child_count = 0;
  // Real oneof that the field is in, as an index into its message's oneofs; -1: none.
  int32_t oneof = -1;
  Classification classification;
  bool check_identifier = false;
  bool check_date = false;
  ReadRules read;
  std::vector<std::string> placeholders;  // spellings of "not known", as the contract lists them
  std::vector<EnumValue> enum_values;
  SourceLocation location;

  bool is_message() const { return type == Type::kMessage; }
};

// Immutable, shared by all threads. Owns the descriptors it was made from.
class Plan {
 public:
  // The event itself: type kMessage, its children are the top-level fields. Always node 0.
  const Node& root() const { return nodes_[0]; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  absl::Span<const Node> nodes() const { return nodes_; }
  absl::Span<const Node> children(const Node& node) const {
    return absl::MakeConstSpan(nodes_).subspan(node.first_child, node.child_count);
  }
  // The position of a field's value in its message's record.
  uint32_t position(const Node& node) const { return node.id - nodes_[node.parent].first_child; }
  // The node at a path such as `officer.borough` (list markers `[]` may be left out); kNoNode:
  // none.
  NodeId Find(std::string_view path) const;

  const std::vector<OpaqueField>& opaque_fields() const { return opaque_fields_; }

  NodeId id_node() const { return id_node_; }
  NodeId time_node() const { return time_node_; }

  // Whose calendar the event's dates, ages and periods follow: of the field with its time, of the
  // event's options; not set: UTC.
  const std::optional<absl::TimeZone>& civil_zone() const { return civil_zone_; }

  const google::protobuf::Descriptor& descriptor() const { return *descriptor_; }
  const v1::EventOptions& options() const { return options_; }
  const std::string& name() const { return name_; }  // full name of the event's message
  // SHA-256 of the contract's descriptors (this message's file and what it imports, without
  // comments and positions), lower-case hex.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  friend class PlanCompiler;
  std::shared_ptr<const void> owner_;  // keeps the descriptor pool alive
  const google::protobuf::Descriptor* descriptor_ = nullptr;
  std::vector<Node> nodes_;
  std::vector<OpaqueField> opaque_fields_;
  NodeId id_node_ = kNoNode;
  NodeId time_node_ = kNoNode;
  v1::EventOptions options_;
  std::optional<absl::TimeZone> civil_zone_;
  std::string name_;
  std::string fingerprint_;
};

}  // namespace sluice::contract
