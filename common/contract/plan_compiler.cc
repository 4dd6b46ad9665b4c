#include "common/contract/plan_compiler.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "buf/validate/validate.pb.h"
#include "common/base/planted_fault.h"
#include "common/base/sha256.h"
#include "common/base/strings.h"
#include "common/contract/suggestion.h"
#include "re2/re2.h"

namespace sluice::contract {
namespace {

namespace pb = google::protobuf;

template <typename D>
SourceLocation LocationOf(const D& descriptor, const std::string& file) {
  pb::SourceLocation location;
  if (!descriptor.GetSourceLocation(&location)) return {file, 0};
  return {file, location.start_line + 1};
}

// The file and everything it imports, by name.
void CollectFiles(const pb::FileDescriptor& file,
                  std::map<std::string, const pb::FileDescriptor*>& files) {
  if (!files.emplace(file.name(), &file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) CollectFiles(*file.dependency(i), files);
}

std::string Fingerprint(const pb::Descriptor& message) {
  std::map<std::string, const pb::FileDescriptor*> files;
  CollectFiles(*message.file(), files);
  base::Sha256 hash;
  hash.AddPart(message.full_name());
  for (const auto& [name, file] : files) {
    pb::FileDescriptorProto proto;  // CopyTo leaves comments and positions out
    file->CopyTo(&proto);
    std::string bytes;
    {
      pb::io::StringOutputStream stream(&bytes);
      pb::io::CodedOutputStream coded(&stream);
      coded.SetSerializationDeterministic(true);
      proto.SerializeToCodedStream(&coded);
    }
    hash.AddPart(bytes);
  }
  return hash.Hex();
}

bool IsText(const Node& node) { return node.type == Type::kString; }

bool IsInteger(const Node& node) {
  return node.type == Type::kInt32 || node.type == Type::kInt64 || node.type == Type::kUint32 ||
         node.type == Type::kUint64;
}

bool IsNumber(const Node& node) {
  return IsInteger(node) || node.type == Type::kFloat || node.type == Type::kDouble;
}

bool IsOpaque(const pb::Descriptor& type) {
  const std::string& name = type.full_name();
  return name == "google.protobuf.Any" || name == "google.protobuf.Struct" ||
         name == "google.protobuf.Value" || name == "google.protobuf.ListValue";
}

// The opaque type of a field, of its items or of its map's values; nullptr: it has none.
const pb::Descriptor* OpaqueTypeOf(const pb::FieldDescriptor& field) {
  if (field.type() != pb::FieldDescriptor::TYPE_MESSAGE) return nullptr;
  if (field.is_map()) return OpaqueTypeOf(*field.message_type()->map_value());
  return IsOpaque(*field.message_type()) ? field.message_type() : nullptr;
}

// It has fields of its own, which decide alone.
bool CompilesToMessage(const pb::FieldDescriptor& field) {
  const pb::Descriptor* type = field.message_type();
  return type != nullptr && type->full_name() != "google.protobuf.Timestamp" &&
         type->full_name() != "google.protobuf.Duration";
}

// The options that decide about a map's key or value stand on the map.
const pb::FieldDescriptor& MapOf(const pb::FieldDescriptor& part) {
  const pb::Descriptor& entry = *part.containing_type();
  const pb::Descriptor& message = *entry.containing_type();
  for (int i = 0; i < message.field_count(); ++i) {
    if (message.field(i)->message_type() == &entry) return *message.field(i);
  }
  return part;  // never: protobuf makes an entry for the field that has it
}

bool IsMapPart(const pb::FieldDescriptor& field) {
  return field.containing_type()->options().map_entry();
}

// What a field can be, for somebody who has to decide.
std::string DecisionFor(const Node& node) {
  std::string known = node.type == Type::kTimestamp ? "quasi = EVENT_TIME"
                                                    : SuggestedOption(node.descriptor->name());
  const bool part = IsMapPart(*node.descriptor);
  if (part && known.empty()) known = SuggestedOption(MapOf(*node.descriptor).name());
  auto option = [&](std::string_view decision) {
    if (!part) return base::StrCat("[(sluice.contract.v1.field).", decision, "]");
    std::string inside(decision);
    inside.replace(inside.find(" = "), 3, ": ");
    return base::StrCat("[(sluice.contract.v1.field).", node.name, " = {", inside, "}]");
  };
  std::string text = known.empty() ? "" : option(known) + " or ";
  for (std::string_view other :
       {"identifier = KIND", "quasi = KIND", "sensitive = KIND", "free_text = true"})
    base::StrAppend(text, option(other), ", ");
  if (node.type == Type::kTimestamp || node.check_date) return text.substr(0, text.size() - 2);
  return base::StrCat(text, "or, only if it says nothing about a person, ",
                      option("not_personal = true"));
}

// The keys that a field is read from, from the containing message's object.
std::vector<std::vector<std::string>> SourcesOf(const Node& node) {
  if (!node.read.source.empty()) return {node.read.source};
  if (node.json_name == node.name) return {{node.name}};
  return {{node.name}, {node.json_name}};
}

}  // namespace

PlanCompiler::PlanCompiler(const pb::Descriptor& descriptor, std::shared_ptr<const void> owner)
    : descriptor_(descriptor), plan_(std::make_shared<Plan>()) {
  plan_->owner_ = std::move(owner);
  plan_->descriptor_ = &descriptor;
  plan_->name_ = descriptor.full_name();
}

absl::StatusOr<std::shared_ptr<const Plan>> PlanCompiler::Compile() {
  Node root;
  root.id = 0;
  root.type = Type::kMessage;
  root.presence = true;
  root.location = LocationOf(descriptor_, descriptor_.file()->name());
  root.name = descriptor_.name();
  plan_->nodes_.push_back(std::move(root));
  pending_.push_back(0);
  CompileEventOptions();
  while (!pending_.empty() && plan_->nodes_.size() <= kNodesMax) {
    NodeId next = pending_.front();
    pending_.pop_front();
    CompileChildren(next);
  }
  if (plan_->nodes_.size() > kNodesMax) {
    ErrorAt(plan_->root().location,
            base::StrCat("the event has more than ", kNodesMax, " fields; split it"));
  }
  CompileIdAndTime();
  CheckDecided();
  CompileZone();
  CheckPlaceholders();
  if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  plan_->fingerprint_ = Fingerprint(descriptor_);
  return plan_;
}

void PlanCompiler::Error(const Node& node, std::string_view what) {
  ErrorAt(node.location, base::StrCat(node.path.empty() ? node.name : node.path, ": ", what));
}

void PlanCompiler::ErrorAt(const SourceLocation& where, std::string_view what) {
  errors_.push_back(base::StrCat(where.ToString(), ": ", what));
}

void PlanCompiler::CompileEventOptions() {
  const Node& root = plan_->root();
  if (!descriptor_.options().HasExtension(v1::event)) {
    Error(root, "isn't an event; add option (sluice.contract.v1.event)");
    return;
  }
  plan_->options_ = descriptor_.options().GetExtension(v1::event);
  static const RE2 kDuration(
      "P(?:\\d+Y)?(?:\\d+M)?(?:\\d+W)?(?:\\d+D)?(?:T(?:\\d+H)?(?:\\d+M)?(?:\\d+S)?)?");
  const std::string& retention = plan_->options_.retention();
  if (!retention.empty() && (!RE2::FullMatch(retention, kDuration) || retention.size() < 3)) {
    Error(root, "retention isn't an ISO 8601 duration such as P6Y");
  }
}

void PlanCompiler::CompileChildren(NodeId parent_id) {
  const pb::Descriptor& message =
      parent_id == 0 ? descriptor_ : *plan_->nodes_[parent_id].descriptor->message_type();
  NodeId first = static_cast<NodeId>(plan_->nodes_.size());
  if (message.extension_range_count() > 0) {
    Error(plan_->nodes_[parent_id], "has extension ranges, which contracts can't have");
  }
  if (message.field_count() > static_cast<int>(kFieldsPerMessageMax)) {
    Error(plan_->nodes_[parent_id],
          base::StrCat("has more than ", kFieldsPerMessageMax, " fields; split it"));
    return;
  }
  NotPersonalOf(message);
  std::vector<Node> children;
  for (int i = 0; i < message.field_count(); ++i) {
    if (PassOver(*message.field(i), plan_->nodes_[parent_id])) continue;
    Node node = CompileField(*message.field(i), plan_->nodes_[parent_id]);
    node.id = first + static_cast<NodeId>(children.size());
    node.parent = parent_id;
    children.push_back(std::move(node));
  }
  plan_->nodes_[parent_id].first_child = first;
  plan_->nodes_[parent_id].child_count = static_cast<uint32_t>(children.size());
  for (Node& node : children) {
    if (node.is_message()) pending_.push_back(node.id);
    plan_->nodes_.push_back(std::move(node));
  }
  CheckSources(plan_->nodes_[parent_id]);
  CheckPoints(plan_->nodes_[parent_id]);
}

bool PlanCompiler::PassOver(const Field& field, const Node& parent) {
  const pb::Descriptor* type = OpaqueTypeOf(field);
  if (type == nullptr) return false;
  std::string path =
      parent.path.empty()
          ? field.name()
          : base::StrCat(parent.path, parent.cardinality != Cardinality::kSingular ? "[]." : ".",
                         field.name());
  const pb::OneofDescriptor* oneof = field.real_containing_oneof();
  if (field.options().HasExtension(v1::field) ||
      field.options().HasExtension(buf::validate::field) ||
      (oneof != nullptr && oneof->options().GetExtension(buf::validate::oneof).required())) {
    ErrorAt(LocationOf(field, field.file()->name()),
            base::StrCat(path, ": is a ", type->full_name(),
                         ", which is always dropped: it has no options and no rules"));
  }
  plan_->opaque_fields_.push_back({std::move(path), type->full_name()});
  return true;
}

Node PlanCompiler::CompileField(const Field& field, const Node& parent) {
  Node node;
  node.descriptor = &field;
  node.name = field.name();
  node.json_name = field.json_name();
  node.number = field.number();
  node.location = parent.cardinality == Cardinality::kMap ? parent.location
                                                          : LocationOf(field, field.file()->name());
  bool in_list = parent.cardinality != Cardinality::kSingular;
  node.path =
      parent.path.empty() ? node.name : base::StrCat(parent.path, in_list ? "[]." : ".", node.name);
  node.repeated_path = parent.repeated_path || in_list;
  node.cardinality = field.is_map()        ? Cardinality::kMap
                     : field.is_repeated() ? Cardinality::kRepeated
                                           : Cardinality::kSingular;
  node.presence = field.has_presence();
  node.oneof = field.real_containing_oneof() ? field.real_containing_oneof()->index() : -1;
  if (field.is_required())
    Error(node, "is `required` of proto2; use (buf.validate.field).required");
  bool readable = CompileType(field, node);
  if (readable && node.is_message() && IsRecursive(*field.message_type(), parent)) {
    Error(node, "contains itself; a contract's messages can't be recursive");
    readable = false;
  }
  if (readable) {
    CompileOptions(node);
  } else {
    node.type = Type::kString;  // an error has been reported; nothing below it is looked at
    node.classification.not_personal = true;
  }
  return node;
}

bool PlanCompiler::CompileType(const Field& field, Node& node) {
  switch (field.type()) {
    case Field::TYPE_BOOL:
      node.type = Type::kBool;
      return true;
    case Field::TYPE_INT32:
    case Field::TYPE_SINT32:
    case Field::TYPE_SFIXED32:
      node.type = Type::kInt32;
      return true;
    case Field::TYPE_INT64:
    case Field::TYPE_SINT64:
    case Field::TYPE_SFIXED64:
      node.type = Type::kInt64;
      return true;
    case Field::TYPE_UINT32:
    case Field::TYPE_FIXED32:
      node.type = Type::kUint32;
      return true;
    case Field::TYPE_UINT64:
    case Field::TYPE_FIXED64:
      node.type = Type::kUint64;
      return true;
    case Field::TYPE_FLOAT:
      node.type = Type::kFloat;
      return true;
    case Field::TYPE_DOUBLE:
      node.type = Type::kDouble;
      return true;
    case Field::TYPE_STRING:
      node.type = Type::kString;
      return true;
    case Field::TYPE_BYTES:
      node.type = Type::kBytes;
      return true;
    case Field::TYPE_ENUM:
      node.type = Type::kEnum;
      CompileEnum(node);
      return true;
    case Field::TYPE_GROUP:
      Error(node, "is a group of proto2; use a message");
      return false;
    case Field::TYPE_MESSAGE:
      break;
  }
  const std::string& name = field.message_type()->full_name();
  node.type = Type::kMessage;
  if (name == "google.protobuf.Timestamp") {
    node.type = Type::kTimestamp;
  } else if (name == "google.protobuf.Duration") {
    node.type = Type::kDuration;
  } else if (name.starts_with("google.protobuf.")) {
    Error(node,
          base::StrCat("has the type ", name, ", whose content no contract can classify; use ",
                       name.ends_with("Value") ? "an optional field" : "a message of your own"));
    return false;
  }
  return true;
}

bool PlanCompiler::IsRecursive(const pb::Descriptor& message, const Node& parent) const {
  int depth = 1;
  for (const Node* at = &parent; at->id != 0; at = &plan_->nodes_[at->parent], ++depth) {
    if (at->descriptor->message_type() == &message || depth > kDepthMax) return true;
  }
  return &message == &descriptor_;
}

void PlanCompiler::CompileOptions(Node& node) {
  const v1::FieldOptions& options = node.descriptor->options().GetExtension(v1::field);
  node.check_date = options.date();
  Classify(node);
  if (!node.descriptor->options().HasExtension(v1::field)) return;
  node.check_identifier = options.check();
  if (options.check() && node.classification.identifier == 0) {
    Error(node, "`check` is for identifiers; say which kind it is");
  }
  if (node.check_date && !node.classification.decided() && !IsText(node))
    Error(node, "a date is a text, YYYY-MM-DD; make it a string");
  node.placeholders.assign(options.placeholders().begin(), options.placeholders().end());
  if (options.has_read()) CheckRead(node, options.read());
  const v1::Read& read = options.read();
  if (!read.source().empty()) node.read.source = absl::StrSplit(read.source(), '.');
  node.read.null_values.assign(read.null_values().begin(), read.null_values().end());
  node.read.true_values.assign(read.true_values().begin(), read.true_values().end());
  node.read.false_values.assign(read.false_values().begin(), read.false_values().end());
  node.read.number_in_string = read.number_in_string();
  node.read.trim = read.trim();
  if (!read.time_zone().empty()) {
    absl::TimeZone zone;
    if (absl::LoadTimeZone(read.time_zone(), &zone)) {
      node.read.time_zone = zone;
    } else {
      Error(node, base::StrCat("there is no time zone '", read.time_zone(),
                               "'; name one of IANA's, such as Europe/London"));
    }
  }
}

// From the field's own options or its message's short form; a map's key and value have both from
// the map.
void PlanCompiler::Classify(Node& node) {
  const bool part = IsMapPart(*node.descriptor);
  const Field& field = part ? MapOf(*node.descriptor) : *node.descriptor;
  const v1::FieldOptions& of_field = field.options().GetExtension(v1::field);
  const v1::FieldOptions& options = !part                            ? of_field
                                    : node.descriptor->number() == 1 ? of_field.key()
                                                                     : of_field.value();
  using Options = v1::FieldOptions;
  Classification& is = node.classification;
  bool says_nothing = false;
  switch (options.classification_case()) {
    case Options::kIdentifier:
      is.identifier = options.identifier();
      says_nothing = is.identifier == 0;
      break;
    case Options::kQuasi:
      is.quasi = options.quasi();
      says_nothing = is.quasi == 0;
      break;
    case Options::kSensitive:
      is.sensitive = options.sensitive();
      says_nothing = is.sensitive == 0;
      break;
    case Options::kFreeText:
      is.free_text = options.free_text();
      says_nothing = !is.free_text;
      break;
    case Options::kNotPersonal:
      is.not_personal = options.not_personal();
      says_nothing = !is.not_personal;
      break;
    case Options::CLASSIFICATION_NOT_SET:
      break;
  }
  if (says_nothing) {
    Error(node,
          "its classification is a kind that is unspecified or a `false`, which decides nothing");
    is.not_personal = true;  // one error is enough
  }
  const std::string entry = part ? base::StrCat(field.name(), ".", node.name) : field.name();
  if (NotPersonalOf(*field.containing_type()).contains(entry)) {
    if (options.classification_case() != Options::CLASSIFICATION_NOT_SET) {
      Error(node, "is classified here and named in its message's `not_personal`; keep one of them");
    } else if (!CompilesToMessage(field) || field.is_map()) {
      is.not_personal = true;  // a message in it has had its error
    }
  }
  node.check_date = node.check_date || is.quasi == v1::DATE_OF_BIRTH;
  if (node.cardinality == Cardinality::kMap || of_field.has_key() || of_field.has_value())
    CheckMap(node, of_field);
  CheckClassification(node);
}

void PlanCompiler::CheckMap(const Node& node, const v1::FieldOptions& options) {
  if (IsMapPart(*node.descriptor)) return;  // reported of the map
  if (node.cardinality != Cardinality::kMap) {
    Error(node, "`key` and `value` are for maps");
    return;
  }
  for (const v1::FieldOptions* part : {&options.key(), &options.value()}) {
    v1::FieldOptions rest = *part;
    rest.clear_classification();
    if (rest.ByteSizeLong() > 0)
      Error(node, "a map's key and value only have a classification in their options");
  }
}

// The names that the message's short form has; mistakes in it are reported the first time.
const std::set<std::string>& PlanCompiler::NotPersonalOf(const pb::Descriptor& message) {
  auto [found, added] = not_personal_.try_emplace(&message);
  if (!added) return found->second;
  for (const std::string& entry : message.options().GetExtension(v1::not_personal).fields()) {
    if (!found->second.insert(entry).second) {
      ErrorAt(LocationOf(message, message.file()->name()),
              base::StrCat(message.full_name(), ": `not_personal` names '", entry, "' twice"));
      continue;
    }
    CheckEntry(message, entry);
  }
  return found->second;
}

void PlanCompiler::CheckEntry(const pb::Descriptor& message, const std::string& entry) {
  const size_t dot = entry.find('.');
  const std::string name = entry.substr(0, dot);
  const Field* field = message.FindFieldByName(name);
  auto wrong = [&](std::string_view what) {
    SourceLocation where = field == nullptr ? LocationOf(message, message.file()->name())
                                            : LocationOf(*field, message.file()->name());
    ErrorAt(where,
            base::StrCat(message.full_name(), ": `not_personal` names '", entry, "', ", what));
  };
  if (field == nullptr) {
    bool oneof = message.FindOneofByName(name) != nullptr;
    return wrong(oneof ? "which is a oneof: each of its members decides alone"
                       : "which is no field of this message");
  }
  if (OpaqueTypeOf(*field) != nullptr)
    return wrong("whose type no contract can classify: it is always dropped");
  if (field->is_map()) {
    const std::string part = dot == std::string::npos ? "" : entry.substr(dot + 1);
    if (part != "key" && part != "value")
      return wrong(base::StrCat("which is a map: name '", name, ".key' and '", name, ".value'"));
    if (part == "value" && CompilesToMessage(*field->message_type()->map_value()))
      return wrong("which is a message: its fields decide in their own file");
    return;
  }
  if (dot != std::string::npos)
    return wrong("which is a path: a message's fields decide in their own message");
  if (CompilesToMessage(*field))
    return wrong("which is a message: its fields decide in their own message");
}

void PlanCompiler::CheckClassification(const Node& node) {
  const Classification& is = node.classification;
  if (!is.decided()) return;
  if (node.cardinality == Cardinality::kMap) {
    Error(
        node,
        "is a map, whose key and value are classified apart: write (sluice.contract.v1.field).key "
        "and .value");
    return;
  }
  if (is.not_personal) {
    if (node.is_message())
      Error(node, "is a message and can't be not_personal; its fields decide in their own message");
    if (base::Planted(base::PlantedFault::kSecondTimes)) return;
    if (node.type == Type::kTimestamp || node.check_date)
      Error(node,
            "can't be not_personal: a second time beside the event's own links audiences; write "
            "quasi = EVENT_TIME");
    return;
  }
  if (node.is_message()) {
    Error(node, base::StrCat("is a message and can't be a ", is.name(), "; classify its fields"));
    return;
  }
  if (is.identifier == v1::SOURCE_POSITION) {
    Error(node, "no field is a SOURCE_POSITION; it is where the raw record stood");
  }
  if (is.identifier != 0 && !IsText(node) && !IsInteger(node)) {
    Error(node, base::StrCat("a ", is.name(), " is a string or an integer"));
  }
  if (is.free_text && !IsText(node)) Error(node, "free text is a string");
  bool point = is.quasi == v1::LATITUDE || is.quasi == v1::LONGITUDE;
  if (point && (!IsNumber(node) || node.cardinality != Cardinality::kSingular)) {
    Error(node, base::StrCat("a ", is.name(), " is one number"));
  }
  bool time = is.quasi == v1::OCCURRED_AT || is.quasi == v1::EVENT_TIME;
  bool date = is.quasi == v1::EVENT_TIME && node.check_date;
  if (time && node.type != Type::kTimestamp && !date) {
    Error(node, base::StrCat("a ", is.name(), " is a google.protobuf.Timestamp",
                             is.quasi == v1::EVENT_TIME ? ", or a text with `date`" : ""));
  }
  if (node.check_date && !IsText(node))
    Error(node, "a date is a text, YYYY-MM-DD; make it a string");
}

// Nothing is published that nobody decided about: each field once, wherever its message stands.
void PlanCompiler::CheckDecided() {
  std::set<const Field*> reported;
  for (const Node& node : plan_->nodes_) {
    if (node.is_message() || node.classification.decided()) continue;
    if (base::Planted(IsMapPart(*node.descriptor) ? base::PlantedFault::kMapsUndecided
                                                  : base::PlantedFault::kFieldsUndecided))
      continue;
    if (!reported.insert(node.descriptor).second) continue;
    Error(node, base::StrCat("nobody has decided what it is; write ", DecisionFor(node)));
  }
}

void PlanCompiler::CheckRead(const Node& node, const v1::Read& read) {
  if (node.is_message() && (read.null_values_size() > 0 || read.trim())) {
    Error(node, "a message has only `source` to be read by");
  }
  if (node.type != Type::kBool && (read.true_values_size() > 0 || read.false_values_size() > 0)) {
    Error(node, "true_values and false_values are for bool fields");
  }
  if (read.number_in_string() && !IsNumber(node)) Error(node, "number_in_string is for numbers");
  if (!read.time_zone().empty() && node.type != Type::kTimestamp) {
    Error(node, "time_zone is for google.protobuf.Timestamp fields");
  }
  if (read.source().starts_with('.') || read.source().ends_with('.') ||
      read.source().find("..") != std::string::npos) {
    Error(node, "source is a key, or keys joined by single dots");
  }
  std::set<std::string> spellings;
  for (const auto* list : {&read.null_values(), &read.true_values(), &read.false_values()}) {
    for (const std::string& spelling : *list) {
      if (!spellings.insert(spelling).second) {
        Error(node, base::StrCat("the spelling '", spelling, "' means two things"));
      }
    }
  }
}

void PlanCompiler::CompileEnum(Node& node) {
  const pb::EnumDescriptor& type = *node.descriptor->enum_type();
  std::set<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.insert(type.value(i)->name());
  std::map<std::string, std::string> spelled;
  for (int i = 0; i < type.value_count(); ++i) {
    const pb::EnumValueDescriptor& descriptor = *type.value(i);
    EnumValue value{descriptor.name(), descriptor.number(), {}};
    const v1::EnumValueOptions& options = descriptor.options().GetExtension(v1::value);
    for (const std::string& spelling : options.spellings()) {
      auto [other, added] = spelled.emplace(spelling, descriptor.name());
      if (!added || (names.contains(spelling) && spelling != descriptor.name())) {
        ErrorAt(LocationOf(descriptor, type.file()->name()),
                base::StrCat(descriptor.full_name(), ": the spelling '", spelling,
                             "' stands for another value too"));
      }
      value.spellings.push_back(spelling);
    }
    node.enum_values.push_back(std::move(value));
  }
}

// No key may feed two fields, and no path may lead through a key that is a field itself.
void PlanCompiler::CheckSources(const Node& parent) {
  if (parent.cardinality == Cardinality::kMap) return;
  std::map<std::vector<std::string>, const Node*> seen;
  for (const Node& node : plan_->children(parent)) {
    for (std::vector<std::string>& source : SourcesOf(node)) {
      std::string text = absl::StrJoin(source, ".");
      auto [other, added] = seen.emplace(std::move(source), &node);
      if (!added && other->second != &node) {
        Error(node, base::StrCat("'", text, "' is read into '", other->second->name,
                                 "' already; give one of them another `source`"));
      }
    }
  }
  for (auto at = seen.begin(); at != seen.end(); ++at) {
    auto next = std::next(at);
    if (next == seen.end() || next->first.size() <= at->first.size()) continue;
    if (std::equal(at->first.begin(), at->first.end(), next->first.begin())) {
      Error(*next->second, base::StrCat("its source leads through '", absl::StrJoin(at->first, "."),
                                        "', which is read into '", at->second->name, "'"));
    }
  }
}

void PlanCompiler::CheckPoints(const Node& parent) {
  int latitudes = 0, longitudes = 0;
  const Node* point = nullptr;
  for (const Node& node : plan_->children(parent)) {
    if (node.classification.quasi == v1::LATITUDE) ++latitudes, point = &node;
    if (node.classification.quasi == v1::LONGITUDE) ++longitudes, point = &node;
  }
  if (point != nullptr && (latitudes != 1 || longitudes != 1)) {
    Error(*point, "a point is one LATITUDE and one LONGITUDE in the same message");
  }
}

void PlanCompiler::CompileIdAndTime() {
  const v1::EventOptions& options = plan_->options_;
  auto find = [&](const std::string& path, std::string_view what) -> Node* {
    if (path.empty()) return nullptr;
    NodeId id = plan_->Find(path);
    if (id == kNoNode) {
      Error(plan_->root(),
            base::StrCat("its `", what, "` names the field '", path, "', which isn't there"));
      return nullptr;
    }
    Node* node = &plan_->nodes_[id];
    if (node->repeated_path || node->cardinality != Cardinality::kSingular) {
      Error(*node, base::StrCat("has many values; the event's ", what, " has one"));
      return nullptr;
    }
    return node;
  };
  if (Node* id = find(options.id(), "id")) {
    if (!IsText(*id)) Error(*id, "the event's id is a string");
    if (id->classification.not_personal)
      Error(*id, "is the event's id, which links audiences: it can't be not_personal");
    if (!id->classification.decided()) id->classification.identifier = v1::EVENT_ID;
    plan_->id_node_ = id->id;
  }
  if (Node* time = find(options.time(), "time")) {
    if (time->type != Type::kTimestamp)
      Error(*time, "the event's time is a google.protobuf.Timestamp");
    if (!time->classification.decided()) time->classification.quasi = v1::OCCURRED_AT;
    plan_->time_node_ = time->id;
  } else if (options.time().empty() && descriptor_.options().HasExtension(v1::event)) {
    Error(plan_->root(),
          "its option says no `time`; name the field that says when the event happened");
  }
}

void PlanCompiler::CompileZone() {
  const std::string& name = plan_->options_.time_zone();
  if (!name.empty()) {
    absl::TimeZone zone;
    if (!absl::LoadTimeZone(name, &zone)) {
      Error(plan_->root(), base::StrCat("its `time_zone` is '", name,
                                        "', which is no zone; name one of IANA's, such as "
                                        "Europe/London"));
      return;
    }
    plan_->civil_zone_ = zone;
  } else if (plan_->time_node_ != kNoNode) {
    plan_->civil_zone_ = plan_->node(plan_->time_node_).read.time_zone;
  }
}

void PlanCompiler::CheckPlaceholders() {
  for (const Node& node : plan_->nodes_) {
    if (node.placeholders.empty()) continue;
    if (node.id == plan_->id_node_ || node.id == plan_->time_node_) {
      Error(node, "has placeholders: the event's id and time have none; make the field optional");
      continue;
    }
    bool single = node.cardinality == Cardinality::kSingular;
    if (!IsText(node) && !(node.type == Type::kTimestamp && single) &&
        !(IsInteger(node) && node.presence && single)) {
      Error(node,
            "has placeholders, which are for strings, single Timestamps, and single integers that "
            "are `optional`: of others, absent is zero");
      continue;
    }
    std::set<std::string> seen;
    for (const std::string& text : node.placeholders) {
      if (text.empty() || !seen.insert(text).second)
        Error(node, "has an empty placeholder, or one twice; remove it");
      bool readable = !IsInteger(node) ||
                      (text.size() <= 20 && text.find_first_not_of("-0123456789") == text.npos);
      if (node.type == Type::kTimestamp) {
        const auto& zone = node.read.time_zone;
        absl::Time time;
        readable =
            absl::ParseTime("%Y-%m-%d", text, zone ? *zone : absl::UTCTimeZone(), &time, nullptr) ||
            absl::ParseTime(absl::RFC3339_full, text, &time, nullptr);
      }
      if (!readable)
        Error(node,
              "has a placeholder that isn't a value of its type: a date or an RFC 3339 time "
              "for a Timestamp, digits for an integer");
    }
  }
}

}  // namespace sluice::contract
