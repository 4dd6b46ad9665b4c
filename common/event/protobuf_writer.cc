#include "common/event/protobuf_writer.h"

#include <bit>

namespace sluice::event {
namespace {

using contract::Type;
using Encoding = OutputField::Encoding;

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

char* WriteVarint(uint64_t value, char* at) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<char>(value);
  return at;
}

size_t VarintSize(uint64_t value) { return (std::bit_width(value | 1) + 6) / 7; }

bool Is64(Type type) { return type == Type::kInt64 || type == Type::kUint64; }

WireType WireTypeOf(const OutputField& field) {
  switch (field.type) {
    case Type::kDouble:
      return kFixed64;
    case Type::kFloat:
      return kFixed32;
    case Type::kString:
    case Type::kBytes:
    case Type::kTimestamp:
    case Type::kDuration:
    case Type::kMessage:
      return kLengthDelimited;
    default:
      break;
  }
  if (field.encoding == Encoding::kFixed) return Is64(field.type) ? kFixed64 : kFixed32;
  return kVarint;
}

char* WriteTag(uint32_t number, WireType type, char* at) {
  return WriteVarint(number << 3 | type, at);
}

// Little-endian, as this machine is (checked at compile time below).
static_assert(std::endian::native == std::endian::little);
template <typename T>
char* WriteFixed(T value, char* at) {
  std::memcpy(at, &value, sizeof(T));
  return at + sizeof(T);
}

uint64_t Zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}

char* WriteNumber(const OutputField& field, const Value& value, char* at) {
  switch (field.type) {
    case Type::kBool:
      return WriteVarint(value.boolean, at);
    case Type::kDouble:
      return WriteFixed(value.number, at);
    case Type::kFloat:
      return WriteFixed(static_cast<float>(value.number), at);
    default:
      break;
  }
  uint64_t bits = value.unsigned_integer;  // the same bits as `integer`
  if (field.encoding == Encoding::kZigzag) return WriteVarint(Zigzag(value.integer), at);
  if (field.encoding == Encoding::kVarint) return WriteVarint(bits, at);
  return Is64(field.type) ? WriteFixed(bits, at) : WriteFixed(static_cast<uint32_t>(bits), at);
}

// Seconds and nanos as google.protobuf.Timestamp and Duration have them, without tag and length; 23
// bytes at most.
char* WriteTime(const Value& value, char* at) {
  if (value.seconds != 0) {
    at = WriteTag(1, kVarint, at);
    at = WriteVarint(static_cast<uint64_t>(value.seconds), at);
  }
  if (value.nanos != 0) {
    at = WriteTag(2, kVarint, at);
    at = WriteVarint(static_cast<uint64_t>(int64_t{value.nanos}), at);
  }
  return at;
}

}  // namespace

void ProtobufWriter::Field(const OutputField& field, const Value& value) {
  char* at = out_.Reserve(48 + (value.kind == ValueKind::kText ? value.size : 0));
  WireType type = WireTypeOf(field);
  at = WriteTag(field.number, type, at);
  if (type != kLengthDelimited) {
    at = WriteNumber(field, value, at);
  } else if (value.kind == ValueKind::kTime) {
    char* end = WriteTime(value, at + 1);
    *at = static_cast<char>(end - at - 1);
    at = end;
  } else {
    at = WriteVarint(value.size, at);
    std::memcpy(at, value.bytes, value.size);
    at += value.size;
  }
  out_.AdvanceTo(at);
}

size_t ProtobufWriter::BeginMessage(const OutputField& field) {
  char* at = WriteTag(field.number, kLengthDelimited, out_.Reserve(8));
  out_.AdvanceTo(at + 1);
  return out_.size();
}

void ProtobufWriter::EndMessage(size_t mark) {
  size_t size = out_.size() - mark;
  size_t extra = VarintSize(size) - 1;
  if (extra > 0) {
    out_.Reserve(extra);
    char* begin = out_.data() + mark;
    std::memmove(begin + extra, begin, size);
    out_.AdvanceTo(begin + extra + size);
  }
  WriteVarint(size, out_.data() + mark - 1);
}

size_t ProtobufWriter::BeginList(const OutputField& field) {
  return WireTypeOf(field) == kLengthDelimited ? 0 : BeginMessage(field);
}

void ProtobufWriter::Item(const OutputField& field, const Value& value) {
  if (WireTypeOf(field) == kLengthDelimited) {
    Field(field, value);
  } else {
    out_.AdvanceTo(WriteNumber(field, value, out_.Reserve(10)));
  }
}

void ProtobufWriter::EndList(const OutputField& field, size_t mark) {
  if (WireTypeOf(field) != kLengthDelimited) EndMessage(mark);
}

size_t ProtobufWriter::BeginEntry(const OutputField& map, const Value& key) {
  size_t mark = BeginMessage(map);
  Field(map.entry[0], key);
  return mark;
}

}  // namespace sluice::event
