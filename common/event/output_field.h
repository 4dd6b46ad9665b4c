// A field as writers need it: its name ready to be written, its number, its type.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/contract/plan.h"

namespace sluice::event {

struct OutputField {
  std::string name;
  std::string json_prefix;  // `,"name":`
  uint32_t number = 0;      // in protobuf
  contract::Type type = contract::Type::kString;
  contract::Cardinality cardinality = contract::Cardinality::kSingular;
  // Readers can tell absence from zero: `optional` in a schema.
  bool presence = false;
  // The wire type of protobuf integers: sint is zigzag, fixed has its own width.
  enum class Encoding : uint8_t { kVarint, kZigzag, kFixed } encoding = Encoding::kVarint;
  std::vector<contract::EnumValue> enum_values;  // in the order of declaration
  size_t enum_name_bytes_max = 0;
  // Of a map: its entries' key and value.
  std::vector<OutputField> entry;

  static OutputField Make(std::string_view name, uint32_t number, contract::Type type);
  // As the contract has it. A map's key and value fields are its node's children, which the caller
  // adds to `entry`.
  static OutputField FromNode(const contract::Node& node);
  void Rename(std::string_view name);
  // Another type than the contract's, as treatments make.
  void SetType(contract::Type type);
};

}  // namespace sluice::event
