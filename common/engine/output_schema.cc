#include "common/engine/output_schema.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "common/base/planted_fault.h"
#include "common/base/strings.h"

namespace sluice::engine {
namespace {

using contract::Cardinality;
using contract::Type;
using event::OutputField;
using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;

// As protobuf names the entries of a map: age_band -> AgeBand.
std::string UpperCamel(std::string_view name) {
  std::string out;
  bool upper = true;
  for (char c : name) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out.push_back(upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    upper = false;
  }
  return out;
}

FieldDescriptorProto::Type WireType(const OutputField& field) {
  bool zigzag = field.encoding == OutputField::Encoding::kZigzag;
  bool fixed = field.encoding == OutputField::Encoding::kFixed;
  switch (field.type) {
    case Type::kBool:
      return FieldDescriptorProto::TYPE_BOOL;
    case Type::kInt32:
      return zigzag  ? FieldDescriptorProto::TYPE_SINT32
             : fixed ? FieldDescriptorProto::TYPE_SFIXED32
                     : FieldDescriptorProto::TYPE_INT32;
    case Type::kInt64:
      return zigzag  ? FieldDescriptorProto::TYPE_SINT64
             : fixed ? FieldDescriptorProto::TYPE_SFIXED64
                     : FieldDescriptorProto::TYPE_INT64;
    case Type::kUint32:
      return fixed ? FieldDescriptorProto::TYPE_FIXED32 : FieldDescriptorProto::TYPE_UINT32;
    case Type::kUint64:
      return fixed ? FieldDescriptorProto::TYPE_FIXED64 : FieldDescriptorProto::TYPE_UINT64;
    case Type::kFloat:
      return FieldDescriptorProto::TYPE_FLOAT;
    case Type::kDouble:
      return FieldDescriptorProto::TYPE_DOUBLE;
    case Type::kString:
      return FieldDescriptorProto::TYPE_STRING;
    case Type::kBytes:
      return FieldDescriptorProto::TYPE_BYTES;
    case Type::kEnum:
      return FieldDescriptorProto::TYPE_ENUM;
    case Type::kTimestamp:
    case Type::kDuration:
    case Type::kMessage:
      return FieldDescriptorProto::TYPE_MESSAGE;
  }
  return FieldDescriptorProto::TYPE_STRING;
}

// Whether lists of the type are packed, as the writer has them.
bool IsPacked(Type type) {
  return type != Type::kString && type != Type::kBytes && type != Type::kMessage &&
         type != Type::kTimestamp && type != Type::kDuration;
}

// What protobuf says against a file.
class Complaints : public google::protobuf::DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string&, const std::string& element, const google::protobuf::Message*,
                ErrorLocation, const std::string& message) override {
    base::StrAppend(text_, text_.empty() ? "" : "; ", element, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// protobuf's own check lets a name begin with a digit, which its compiler doesn't.
const std::string* MisnamedIn(const DescriptorProto& message) {
  for (const FieldDescriptorProto& field : message.field()) {
    const std::string& name = field.name();
    bool good = !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0]));
    for (char c : name) good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '_');
    if (!good) return &name;
  }
  for (const DescriptorProto& nested : message.nested_type()) {
    if (const std::string* name = MisnamedIn(nested)) return name;
  }
  return nullptr;
}

class SchemaBuilder {
 public:
  SchemaBuilder(const Pipeline& pipeline, const StreamPlan& stream)
      : pipeline_(pipeline), stream_(stream) {}

  google::protobuf::FileDescriptorProto Build() {
    const google::protobuf::Descriptor& event = pipeline_.contract().descriptor();
    std::string name = stream_.name;
    for (char& c : name) {
      if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    }
    if (std::isdigit(static_cast<unsigned char>(name[0]))) name.insert(0, "s");
    std::string package = event.file()->package();
    if (!package.empty()) package += '.';
    package += name;

    google::protobuf::FileDescriptorProto file;
    // Of its contract's syntax: a proto2 enum needn't have a zero, which a proto3 file's must.
    proto3_ = event.file()->syntax() != google::protobuf::FileDescriptor::SYNTAX_PROTO2;
    file.set_syntax(proto3_ ? "proto3" : "proto2");
    file.set_package(package);
    file.set_name(base::StrCat(event.name(), ".", name, ".proto"));
    DescriptorProto& message = *file.add_message_type();
    message.set_name(event.name());
    std::string path = base::StrCat(".", package, ".", event.name());
    for (const StreamJoin& carried : stream_.joins)
      names_[path].insert(pipeline_.joins()[carried.join].field.name);
    AddFields(stream_.nodes[0], message, path);
    for (const StreamJoin& carried : stream_.joins) {
      const JoinPlan& join = pipeline_.joins()[carried.join];
      std::string nested_path;
      AddField(join.field, message, path);
      DescriptorProto& row = AddNested(message, path, UpperCamel(join.field.name), nested_path);
      message.mutable_field(message.field_size() - 1)->set_type_name(nested_path);
      for (size_t column : carried.columns) names_[nested_path].insert(join.columns[column].name);
      for (size_t column : carried.columns) AddField(join.columns[column], row, nested_path);
    }
    if (timestamps_) file.add_dependency("google/protobuf/timestamp.proto");
    if (durations_) file.add_dependency("google/protobuf/duration.proto");
    return file;
  }

 private:
  // A type of its own inside `parent`, named like no field or type beside it; `path` becomes its
  // full name.
  DescriptorProto& AddNested(DescriptorProto& parent, const std::string& parent_path,
                             std::string name, std::string& path) {
    auto taken = [&](const std::string& wanted) {
      for (const DescriptorProto& nested : parent.nested_type())
        if (nested.name() == wanted) return true;
      return names_[parent_path].contains(wanted);
    };
    while (taken(name)) name += "_";
    path = base::StrCat(parent_path, ".", name);
    DescriptorProto& nested = *parent.add_nested_type();
    nested.set_name(name);
    return nested;
  }

  void AddFields(const OutputNode& node, DescriptorProto& message, const std::string& path) {
    for (uint32_t i = node.first_child; i < node.first_child + node.child_count; ++i)
      Reserve(stream_.nodes[i].field, path);
    for (uint32_t i = node.first_child; i < node.first_child + node.child_count; ++i) {
      const OutputNode& child = stream_.nodes[i];
      FieldDescriptorProto& field = AddField(child.field, message, path);
      std::string nested_path;
      if (child.field.cardinality == Cardinality::kMap) {
        AddMap(child, message, path, field);
      } else if (child.field.type == Type::kMessage) {
        DescriptorProto& nested =
            AddNested(message, path, UpperCamel(child.field.name), nested_path);
        field.set_type_name(nested_path);
        AddFields(child, nested, nested_path);
      }
    }
  }

  // No nested type may have the field's name, or a map's entries' type's.
  void Reserve(const OutputField& field, const std::string& path) {
    names_[path].insert(field.name);
    if (field.cardinality == Cardinality::kMap)
      names_[path].insert(UpperCamel(field.name) + "Entry");
  }

  FieldDescriptorProto& AddField(const OutputField& field, DescriptorProto& message,
                                 const std::string& path) {
    FieldDescriptorProto& out = *message.add_field();
    out.set_name(field.name);
    out.set_json_name(field.name);
    out.set_number(static_cast<int32_t>(field.number));
    out.set_label(field.cardinality == Cardinality::kSingular
                      ? FieldDescriptorProto::LABEL_OPTIONAL
                      : FieldDescriptorProto::LABEL_REPEATED);
    out.set_type(WireType(field));
    if (field.cardinality == Cardinality::kSingular && field.presence && proto3_ &&
        field.type != Type::kMessage && field.type != Type::kTimestamp &&
        field.type != Type::kDuration) {
      // As protoc writes `optional`: the field is alone in a oneof.
      std::string oneof = base::StrCat("_", field.name);
      while (names_[path].contains(oneof)) oneof.insert(0, "X");
      out.set_proto3_optional(true);
      out.set_oneof_index(message.oneof_decl_size());
      message.add_oneof_decl()->set_name(oneof);
    }
    if (field.cardinality == Cardinality::kRepeated && !proto3_ && IsPacked(field.type))
      out.mutable_options()->set_packed(true);
    if (field.type == Type::kTimestamp) {
      timestamps_ = true;
      out.set_type_name(".google.protobuf.Timestamp");
    } else if (field.type == Type::kDuration) {
      durations_ = true;
      out.set_type_name(".google.protobuf.Duration");
    } else if (field.type == Type::kEnum) {
      // In a message of its own: the values of two enums of one scope may have one name.
      std::string scope_path;
      DescriptorProto& scope =
          AddNested(message, path, UpperCamel(field.name) + "Values", scope_path);
      google::protobuf::EnumDescriptorProto& values = *scope.add_enum_type();
      // Values are named beside their type.
      std::string name = "Value";
      auto taken = [&] {
        return std::any_of(field.enum_values.begin(), field.enum_values.end(),
                           [&](const contract::EnumValue& value) { return value.name == name; });
      };
      while (taken()) name += "_";
      values.set_name(name);
      for (const contract::EnumValue& value : field.enum_values) {
        google::protobuf::EnumValueDescriptorProto& named = *values.add_value();
        named.set_name(value.name);
        named.set_number(value.number);
        for (int i = 0; i + 1 < values.value_size(); ++i) {
          if (values.value(i).number() == value.number)
            values.mutable_options()->set_allow_alias(true);
        }
      }
      out.set_type_name(base::StrCat(scope_path, ".", name));
    }
    return out;
  }

  void AddMap(const OutputNode& map, DescriptorProto& message, const std::string& path,
              FieldDescriptorProto& field) {
    std::string entry_path = base::StrCat(path, ".", UpperCamel(map.field.name), "Entry");
    DescriptorProto& entry = *message.add_nested_type();
    entry.set_name(UpperCamel(map.field.name) + "Entry");
    entry.mutable_options()->set_map_entry(true);
    field.set_type(FieldDescriptorProto::TYPE_MESSAGE);
    field.set_type_name(entry_path);
    const OutputField& key = map.field.entry[0];
    const OutputField& value = map.field.entry[1];
    // What an entry's value is stands beside the entry: protobuf allows nothing else in it.
    for (const OutputField* part : {&key, &value}) {
      DescriptorProto scratch;
      OutputField plain = *part;
      plain.presence = false;  // an entry has both
      FieldDescriptorProto& out = AddField(plain, scratch, path);
      for (const DescriptorProto& nested : scratch.nested_type()) {
        std::string nested_path;
        DescriptorProto& moved =
            AddNested(message, path, UpperCamel(map.field.name) + nested.name(), nested_path);
        std::string name = moved.name();
        moved = nested;
        moved.set_name(name);
        if (moved.enum_type_size() > 0)
          out.set_type_name(base::StrCat(nested_path, ".", moved.enum_type(0).name()));
      }
      if (part == &value && value.type == Type::kMessage) {
        std::string nested_path;
        DescriptorProto& nested =
            AddNested(message, path, UpperCamel(map.field.name) + "Value", nested_path);
        out.set_type_name(nested_path);
        AddFields(stream_.nodes[map.first_child + 1], nested, nested_path);
      }
      out.set_name(part == &key ? "key" : "value");
      out.set_json_name(out.name());
      out.set_number(part == &key ? 1 : 2);
      // By index: adding siblings may have moved the entry.
      for (DescriptorProto& nested : *message.mutable_nested_type()) {
        if (nested.name() == UpperCamel(map.field.name) + "Entry") *nested.add_field() = out;
      }
    }
  }

  const Pipeline& pipeline_;
  const StreamPlan& stream_;
  // By the full name of a message: its fields' names, which its nested types can't have.
  std::map<std::string, std::set<std::string>> names_;
  bool proto3_ = true;
  bool timestamps_ = false;
  bool durations_ = false;
};

}  // namespace

google::protobuf::FileDescriptorProto OutputSchema(const Pipeline& pipeline,
                                                   const StreamPlan& stream) {
  return SchemaBuilder(pipeline, stream).Build();
}

absl::Status CheckOutputSchema(const Pipeline& pipeline, const StreamPlan& stream) {
  if (base::Planted(base::PlantedFault::kEqualMembers)) return absl::OkStatus();
  const google::protobuf::FileDescriptorProto schema = OutputSchema(pipeline, stream);
  for (const DescriptorProto& message : schema.message_type()) {
    if (const std::string* name = MisnamedIn(message))
      return absl::InvalidArgumentError(
          base::StrCat("the field '", *name,
                       "' has a name that no schema can have: a name is a letter or _, then "
                       "letters, digits and _; give it another by `as`, or by `fields` of its "
                       "enrichment"));
  }
  google::protobuf::DescriptorPool pool(google::protobuf::DescriptorPool::generated_pool());
  google::protobuf::Timestamp::descriptor();
  google::protobuf::Duration::descriptor();
  Complaints complaints;
  if (pool.BuildFileCollectingErrors(schema, &complaints) != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat("its output has no valid schema (", complaints.text(),
                   "); give the field another name by `as`, or by `fields` of its enrichment"));
}

absl::StatusOr<std::string> OutputSchemaText(const Pipeline& pipeline, const StreamPlan& stream) {
  google::protobuf::DescriptorPool pool(google::protobuf::DescriptorPool::generated_pool());
  // Links what the schema may import.
  google::protobuf::Timestamp::descriptor();
  google::protobuf::Duration::descriptor();
  const google::protobuf::FileDescriptor* file = pool.BuildFile(OutputSchema(pipeline, stream));
  if (file == nullptr) {
    return absl::InternalError(
        base::StrCat("stream '", stream.name, "': its output schema isn't valid protobuf"));
  }
  return file->DebugString();
}

}  // namespace sluice::engine
