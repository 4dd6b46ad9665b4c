#include "common/event/protobuf_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "common/base/strings.h"
#include "common/base/utf8.h"

namespace sluice::event {
namespace {

using contract::Cardinality;
using contract::Node;
using contract::Type;
using google::protobuf::FieldDescriptor;

// Tags and lengths are of 32 bits; protobuf's own library refuses longer forms of them.
constexpr ptrdiff_t kLengthBytesMax = 5;
constexpr uint8_t kVarintWire = 0, kFixed64Wire = 1, kBytesWire = 2, kGroupWire = 3,
                  kGroupEndWire = 4, kFixed32Wire = 5;

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Little-endian, as on the wire.
template <typename T>
bool ReadFixed(const char*& at, const char* end, T& value) {
  static_assert(std::endian::native == std::endian::little);
  if (end - at < static_cast<ptrdiff_t>(sizeof(T))) return false;
  std::memcpy(&value, at, sizeof(T));
  at += sizeof(T);
  return true;
}

}  // namespace

ProtobufReader::ProtobufReader(std::shared_ptr<const contract::Plan> plan, Limits limits)
    : plan_(std::move(plan)), limits_(limits) {
  encodings_.resize(plan_->nodes().size(), Encoding::kBytes);
  fields_.resize(plan_->nodes().size());
  for (const Node& node : plan_->nodes()) {
    if (node.is_message()) {
      for (const Node& child : plan_->children(node))
        fields_[node.id].push_back({child.number, child.id});
      std::sort(fields_[node.id].begin(), fields_[node.id].end(),
                [](const Field& a, const Field& b) { return a.number < b.number; });
    }
    if (node.descriptor == nullptr) continue;
    switch (node.descriptor->type()) {
      case FieldDescriptor::TYPE_SINT32:
      case FieldDescriptor::TYPE_SINT64:
        encodings_[node.id] = Encoding::kZigzag;
        break;
      case FieldDescriptor::TYPE_FIXED32:
      case FieldDescriptor::TYPE_SFIXED32:
      case FieldDescriptor::TYPE_FLOAT:
        encodings_[node.id] = Encoding::kFixed32;
        break;
      case FieldDescriptor::TYPE_FIXED64:
      case FieldDescriptor::TYPE_SFIXED64:
      case FieldDescriptor::TYPE_DOUBLE:
        encodings_[node.id] = Encoding::kFixed64;
        break;
      case FieldDescriptor::TYPE_STRING:
      case FieldDescriptor::TYPE_BYTES:
      case FieldDescriptor::TYPE_MESSAGE:
      case FieldDescriptor::TYPE_GROUP:
        break;
      default:
        encodings_[node.id] = Encoding::kVarint;
    }
  }
}

void ProtobufReader::Read(std::string_view bytes, base::Arena& arena, Event& event) {
  arena_ = &arena;
  event_ = &event;
  indexes_.clear();
  if (bytes.empty()) return event.violations.push_back({"event.empty", ""});
  if (bytes.size() > limits_.event_bytes_max)
    return event.violations.push_back({"event.too_large", ""});
  used_before_ = arena.used();
  Value* record = NewRecord(plan_->root());
  if (ReadMessage(plan_->root(), bytes, record, 1)) {
    event.fields = record;
  } else {
    event.unknown_fields = 0;
    event.repairs.clear();
    event.violations.clear();
    event.violations.push_back({failure_, ""});
  }
}

bool ProtobufReader::ReadMessage(const Node& message, std::string_view bytes, Value* record,
                                 int depth) {
  if (depth > kDepthMax) return Malformed("protobuf.depth");
  if (arena_->used() - used_before_ > limits_.parsed_bytes_max)
    return Malformed("event.too_large_parsed");
  // A list's items may stand anywhere in the message: they are counted before they are read.
  auto* counts = arena_->AllocateArray<uint32_t>(message.child_count);
  std::fill_n(counts, message.child_count, 0);
  if (!Count(message, bytes, counts)) return false;
  for (uint32_t i = 0; i < message.child_count; ++i) {
    const Node& child = plan_->node(message.first_child + i);
    uint32_t count = std::exchange(counts[i], 0);
    if (child.cardinality == Cardinality::kSingular || count == 0) continue;
    if (count > limits_.list_items_max) {
      Violate("protobuf.too_many_items", child);
    } else {
      record[i] = Value::List(arena_->AllocateArray<Value>(count), count);
    }
  }
  Input in{bytes.data(), bytes.data() + bytes.size()};
  while (!in.empty()) {
    Tag tag;
    if (!ReadTag(in, tag)) return Malformed();
    const Node* child = Find(message, tag.number);
    if (child == nullptr) {
      ++event_->unknown_fields;
      if (!Skip(in, tag)) return Malformed();
      continue;
    }
    uint32_t position = child->id - message.first_child;
    if (!ReadField(*child, tag, in, record[position], counts[position], depth)) return false;
  }
  for (const Node& child : plan_->children(message)) {
    if (child.cardinality == Cardinality::kMap) CheckKeys(child, record[plan_->position(child)]);
  }
  CheckOneofs(message, record);
  return true;
}

// How often each field of the message occurs; a packed one's numbers count one by one.
bool ProtobufReader::Count(const Node& message, std::string_view bytes, uint32_t* counts) {
  Input in{bytes.data(), bytes.data() + bytes.size()};
  while (!in.empty()) {
    Tag tag;
    if (!ReadTag(in, tag)) return Malformed();
    const Node* child = Find(message, tag.number);
    Encoding encoding = child == nullptr ? Encoding::kBytes : encodings_[child->id];
    if (child == nullptr || tag.wire != kBytesWire || encoding == Encoding::kBytes) {
      if (child != nullptr) ++counts[child->id - message.first_child];
      if (!Skip(in, tag)) return Malformed();
      continue;
    }
    std::string_view packed;
    if (!ReadBytes(in, packed)) return Malformed();
    size_t items = 0;
    switch (encoding) {
      case Encoding::kFixed32:
        if (packed.size() % 4 != 0) return Malformed();
        items = packed.size() / 4;
        break;
      case Encoding::kFixed64:
        if (packed.size() % 8 != 0) return Malformed();
        items = packed.size() / 8;
        break;
      default:
        // Every number ends with its only byte below 128.
        if (!packed.empty() && (static_cast<uint8_t>(packed.back()) & 0x80) != 0)
          return Malformed();
        items = static_cast<size_t>(std::count_if(packed.begin(), packed.end(), [](char c) {
          return (static_cast<uint8_t>(c) & 0x80) == 0;
        }));
    }
    counts[child->id - message.first_child] += static_cast<uint32_t>(items);
  }
  return true;
}

// `count` is of the items, or occurrences, that were read before.
bool ProtobufReader::ReadField(const Node& node, Tag tag, Input& in, Value& out, uint32_t& count,
                               int depth) {
  if (node.cardinality == Cardinality::kSingular) {
    if (count++ > 0) {
      Violate("protobuf.duplicate_field", node);
      return Skip(in, tag) || Malformed();
    }
    return ReadOne(node, tag, in, out, depth);
  }
  // Too many items: said already.
  if (!out.present()) return Skip(in, tag) || Malformed();
  indexes_.push_back(count);
  bool read = true;
  if (node.cardinality == Cardinality::kMap) {
    if (tag.wire != kBytesWire) return Malformed();
    read = ReadEntry(node, in, out.values[count++], depth);
  } else if (tag.wire == kBytesWire && encodings_[node.id] != Encoding::kBytes) {
    std::string_view packed;
    if (!ReadBytes(in, packed)) return Malformed();
    Input items{packed.data(), packed.data() + packed.size()};
    while (read && !items.empty()) {
      indexes_.back() = count;
      out.values[count] = Value();
      read = ReadScalar(node, items, out.values[count]);
      ++count;
    }
  } else {
    out.values[count] = Value();
    read = ReadOne(node, tag, in, out.values[count], depth);
    ++count;
  }
  indexes_.pop_back();
  return read;
}

bool ProtobufReader::ReadOne(const Node& node, Tag tag, Input& in, Value& out, int depth) {
  if (tag.wire != WireOf(encodings_[node.id])) {
    Violate("protobuf.wire_type", node);
    return Skip(in, tag) || Malformed();
  }
  if (!node.is_message()) return ReadScalar(node, in, out);
  std::string_view bytes;
  if (!ReadBytes(in, bytes)) return Malformed();
  Value* record = NewRecord(node);
  out = Value::Record(record);
  return ReadMessage(node, bytes, record, depth + 1);
}

bool ProtobufReader::ReadScalar(const Node& node, Input& in, Value& out) {
  switch (encodings_[node.id]) {
    case Encoding::kBytes:
      return node.type == Type::kTimestamp || node.type == Type::kDuration
                 ? ReadTime(node, in, out)
                 : ReadText(node, in, out);
    case Encoding::kFixed32: {
      uint32_t bits;
      if (!ReadFixed(in.at, in.end, bits)) return Malformed();
      if (node.type == Type::kFloat) {
        out = Value::Double(std::bit_cast<float>(bits));
      } else {
        // Signed ones are extended, as varints are.
        SetNumber(node,
                  node.type == Type::kInt32
                      ? static_cast<uint64_t>(int64_t{static_cast<int32_t>(bits)})
                      : bits,
                  out);
      }
      return true;
    }
    case Encoding::kFixed64: {
      uint64_t bits;
      if (!ReadFixed(in.at, in.end, bits)) return Malformed();
      if (node.type == Type::kDouble) {
        out = Value::Double(std::bit_cast<double>(bits));
      } else {
        SetNumber(node, bits, out);
      }
      return true;
    }
    case Encoding::kVarint:
    case Encoding::kZigzag: {
      uint64_t bits;
      if (!ReadVarint(in, bits)) return Malformed();
      if (encodings_[node.id] == Encoding::kZigzag) bits = (bits >> 1) ^ (~(bits & 1) + 1);
      SetNumber(node, bits, out);
      return true;
    }
  }
  return Malformed();
}

void ProtobufReader::SetNumber(const Node& node, uint64_t bits, Value& out) {
  auto number = static_cast<int64_t>(bits);
  switch (node.type) {
    case Type::kBool:
      // Every number but zero is true, as protobuf's libraries read it.
      out = Value::Bool(bits != 0);
      return;
    case Type::kInt32:
    case Type::kEnum:
      // Some libraries write a negative number's 32 bits alone, in five bytes.
      if (bits >> 32 == 0) number = static_cast<int32_t>(static_cast<uint32_t>(bits));
      if (number < std::numeric_limits<int32_t>::min() ||
          number > std::numeric_limits<int32_t>::max())
        break;
      out = Value::Int(number);
      return;
    case Type::kInt64:
      out = Value::Int(number);
      return;
    case Type::kUint32:
      if (bits > std::numeric_limits<uint32_t>::max()) break;
      out = Value::Uint(bits);
      return;
    default:
      out = Value::Uint(bits);
      return;
  }
  Violate("protobuf.range", node);
}

bool ProtobufReader::ReadText(const Node& node, Input& in, Value& out) {
  std::string_view text;
  if (!ReadBytes(in, text)) return Malformed();
  if (node.type == Type::kBytes) {
    out = Value::Text(text);
    return true;
  }
  if (!base::IsUtf8(text)) return Violate("protobuf.utf8", node), true;
  if (text.find('\0') != std::string_view::npos) return Violate("protobuf.nul", node), true;
  auto means_null = [&] {
    const auto& spellings = node.read.null_values;
    if (std::find(spellings.begin(), spellings.end(), text) == spellings.end()) return false;
    event_->repairs.push_back({node.id, RepairKind::kNullSpelling});
    return true;
  };
  if (means_null()) return true;
  if (node.read.trim) {
    std::string_view trimmed = Trimmed(text);
    if (trimmed.size() != text.size()) {
      event_->repairs.push_back({node.id, RepairKind::kTrimmed});
      text = trimmed;
      if (means_null()) return true;
    }
  }
  out = Value::Text(text);
  return true;
}

// google.protobuf.Timestamp and Duration: int64 seconds = 1, int32 nanos = 2.
bool ProtobufReader::ReadTime(const Node& node, Input& in, Value& out) {
  std::string_view bytes;
  if (!ReadBytes(in, bytes)) return Malformed();
  Input fields{bytes.data(), bytes.data() + bytes.size()};
  int64_t parts[2] = {0, 0};
  bool seen[2] = {false, false};
  while (!fields.empty()) {
    Tag tag;
    if (!ReadTag(fields, tag)) return Malformed();
    bool known = (tag.number == 1 || tag.number == 2) && tag.wire == kVarintWire;
    if (!known) {
      ++event_->unknown_fields;
      if (!Skip(fields, tag)) return Malformed();
      continue;
    }
    uint64_t bits;
    if (!ReadVarint(fields, bits)) return Malformed();
    if (std::exchange(seen[tag.number - 1], true))
      return Violate("protobuf.duplicate_field", node), true;
    parts[tag.number - 1] = static_cast<int64_t>(bits);
  }
  auto [seconds, nanos] = parts;
  constexpr int64_t kNanos = 999'999'999, kDuration = 315'576'000'000;
  constexpr int64_t kFirst = -62'135'596'800, kLast = 253'402'300'799;  // years 1 to 9999
  if (node.type == Type::kTimestamp) {
    if (seconds < kFirst || seconds > kLast || nanos < 0 || nanos > kNanos)
      return Violate("protobuf.timestamp", node), true;
  } else if (seconds < -kDuration || seconds > kDuration || nanos < -kNanos || nanos > kNanos ||
             (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0)) {
    return Violate("protobuf.duration", node), true;
  }
  out = Value::Time(seconds, static_cast<int32_t>(nanos));
  return true;
}

// A map's entry is a message of key and value; one that is left out is its type's zero.
bool ProtobufReader::ReadEntry(const Node& map, Input& in, Value& out, int depth) {
  std::string_view bytes;
  if (!ReadBytes(in, bytes)) return Malformed();
  Value* entry = NewRecord(map);
  out = Value::Record(entry);
  if (!ReadMessage(map, bytes, entry, depth + 1)) return false;
  for (int i = 0; i < 2; ++i) {
    const Node& node = plan_->node(map.first_child + static_cast<uint32_t>(i));
    if (entry[i].present()) continue;
    switch (node.type) {
      case Type::kMessage:
        entry[i] = Value::Record(NewRecord(node));
        break;
      case Type::kString:
      case Type::kBytes:
        entry[i] = Value::Text("");
        break;
      case Type::kBool:
        entry[i] = Value::Bool(false);
        break;
      case Type::kFloat:
      case Type::kDouble:
        entry[i] = Value::Double(0);
        break;
      case Type::kUint32:
      case Type::kUint64:
        entry[i] = Value::Uint(0);
        break;
      case Type::kTimestamp:
      case Type::kDuration:
        entry[i] = Value::Time(0, 0);
        break;
      default:
        entry[i] = Value::Int(0);
    }
  }
  return true;
}

void ProtobufReader::CheckKeys(const Node& map, const Value& list) {
  if (HasEqualKeys(list, keys_)) Violate("protobuf.duplicate_key", map);
}

void ProtobufReader::CheckOneofs(const Node& message, const Value* record) {
  uint64_t set = 0;
  for (const Node& node : plan_->children(message)) {
    if (node.oneof < 0 || !record[plan_->position(node)].present()) continue;
    uint64_t bit = uint64_t{1} << (node.oneof % 64);
    if (set & bit) Violate("protobuf.oneof", node);
    set |= bit;
  }
}

const Node* ProtobufReader::Find(const Node& message, int32_t number) const {
  const std::vector<Field>& fields = fields_[message.id];
  auto found =
      std::lower_bound(fields.begin(), fields.end(), number,
                       [](const Field& field, int32_t wanted) { return field.number < wanted; });
  if (found == fields.end() || found->number != number) return nullptr;
  return &plan_->node(found->node);
}

Value* ProtobufReader::NewRecord(const Node& message) {
  Value* record = arena_->AllocateArray<Value>(message.child_count);
  std::fill_n(record, message.child_count, Value());
  return record;
}

void ProtobufReader::Violate(std::string_view rule, const Node& node) {
  if (event_->violations.size() >= kViolationsMax) return;
  event_->violations.push_back({rule, RenderPath(node, indexes_.data(), indexes_.size(), *arena_)});
}

bool ProtobufReader::Malformed(std::string_view rule) {
  failure_ = rule;
  return false;
}

bool ProtobufReader::ReadVarint(Input& in, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (in.empty()) return false;
    auto byte = static_cast<uint8_t>(*in.at++);
    // The tenth byte holds the last bit.
    if (shift == 63 && byte > 1) return false;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

bool ProtobufReader::ReadTag(Input& in, Tag& tag) {
  const char* start = in.at;
  uint64_t bits;
  if (!ReadVarint(in, bits) || in.at - start > kLengthBytesMax ||
      bits > std::numeric_limits<uint32_t>::max())
    return false;
  tag.number = static_cast<int32_t>(bits >> 3);
  tag.wire = static_cast<uint8_t>(bits & 7);
  return tag.number > 0;
}

bool ProtobufReader::ReadBytes(Input& in, std::string_view& bytes) {
  const char* start = in.at;
  uint64_t size;
  if (!ReadVarint(in, size) || in.at - start > kLengthBytesMax ||
      size > static_cast<uint64_t>(in.end - in.at))
    return false;
  bytes = {in.at, static_cast<size_t>(size)};
  in.at += size;
  return true;
}

// A group (wire types 3 and 4; proto2's, and editions') is skipped with all that is in it. Its end
// names the field that its beginning names.
bool ProtobufReader::Skip(Input& in, Tag tag) {
  int32_t open[kDepthMax];
  int depth = 0;
  while (true) {
    uint64_t bits;
    uint32_t half;
    std::string_view bytes;
    bool read = false;
    switch (tag.wire) {
      case kVarintWire:
        read = ReadVarint(in, bits);
        break;
      case kFixed64Wire:
        read = ReadFixed(in.at, in.end, bits);
        break;
      case kBytesWire:
        read = ReadBytes(in, bytes);
        break;
      case kFixed32Wire:
        read = ReadFixed(in.at, in.end, half);
        break;
      case kGroupWire:
        read = depth < kDepthMax;
        if (read) open[depth++] = tag.number;
        break;
      case kGroupEndWire:
        read = depth > 0 && open[depth - 1] == tag.number;
        --depth;
        break;
      default:
        break;
    }
    if (!read) return false;
    if (depth == 0) return true;
    if (!ReadTag(in, tag)) return false;
  }
}

uint8_t ProtobufReader::WireOf(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFixed32:
      return kFixed32Wire;
    case Encoding::kFixed64:
      return kFixed64Wire;
    case Encoding::kBytes:
      return kBytesWire;
    default:
      return kVarintWire;
  }
}

}  // namespace sluice::event
