#include "common/event/output_field.h"

#include <algorithm>

namespace sluice::event {

OutputField OutputField::Make(std::string_view name, uint32_t number, contract::Type type) {
  OutputField field;
  field.number = number;
  field.type = type;
  field.Rename(name);
  return field;
}

OutputField OutputField::FromNode(const contract::Node& node) {
  OutputField field = Make(node.name, static_cast<uint32_t>(node.number), node.type);
  field.cardinality = node.cardinality;
  field.presence = node.presence;
  field.enum_values = node.enum_values;
  for (const contract::EnumValue& value : node.enum_values) {
    field.enum_name_bytes_max = std::max(field.enum_name_bytes_max, value.name.size());
  }
  using Field = google::protobuf::FieldDescriptor;
  switch (node.descriptor->type()) {
    case Field::TYPE_SINT32:
    case Field::TYPE_SINT64:
      field.encoding = Encoding::kZigzag;
      break;
    case Field::TYPE_FIXED32:
    case Field::TYPE_FIXED64:
    case Field::TYPE_SFIXED32:
    case Field::TYPE_SFIXED64:
      field.encoding = Encoding::kFixed;
      break;
    default:
      break;
  }
  return field;
}

// Names are protobuf's or columns of a table; what JSON would have to escape is left out by their
// owners' checks, and a quote or control character here would be a defect of ours.
void OutputField::Rename(std::string_view new_name) {
  name = std::string(new_name);
  json_prefix = ",\"";
  for (char c : new_name) {
    if (c == '"' || c == '\\') json_prefix.push_back('\\');
    json_prefix.push_back(static_cast<unsigned char>(c) < 0x20 ? '_' : c);
  }
  json_prefix += "\":";
}

void OutputField::SetType(contract::Type new_type) {
  type = new_type;
  encoding = Encoding::kVarint;
  enum_values.clear();
  enum_name_bytes_max = 0;
}

}  // namespace sluice::event
