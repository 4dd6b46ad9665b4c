#include "common/event/json_writer.h"

#include <charconv>
#include <cmath>

#include "common/base/short_bytes.h"
#include "common/event/time_text.h"

namespace sluice::event {
namespace {

using contract::Type;

// Whether any of eight bytes must be escaped: below 0x20, a quote or a backslash. The usual test
// for a zero byte (Bit Twiddling Hacks), three times; bytes above 0x7F are never touched by the
// subtraction's borrow alone.
bool NeedsEscape(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;
  auto has_zero = [&](uint64_t x) { return (x - kOnes) & ~x & kHighs; };
  uint64_t control = (word - kOnes * 0x20) & ~word & kHighs;
  return (control | has_zero(word ^ (kOnes * '"')) | has_zero(word ^ (kOnes * '\\'))) != 0;
}

char* WriteEscaped(unsigned char c, char* at) {
  constexpr char kHex[] = "0123456789abcdef";
  *at++ = '\\';
  switch (c) {
    case '"':
    case '\\':
      *at++ = static_cast<char>(c);
      break;
    case '\b':
      *at++ = 'b';
      break;
    case '\f':
      *at++ = 'f';
      break;
    case '\n':
      *at++ = 'n';
      break;
    case '\r':
      *at++ = 'r';
      break;
    case '\t':
      *at++ = 't';
      break;
    default:
      *at++ = 'u';
      *at++ = '0';
      *at++ = '0';
      *at++ = kHex[c >> 4];
      *at++ = kHex[c & 15];
  }
  return at;
}

// `at` has room for six times the text and 10 bytes.
char* WriteString(std::string_view text, char* at) {
  *at++ = '"';
  if (base::AllWords(text, [](uint64_t word) { return !NeedsEscape(word); })) [[likely]] {
    base::CopyShort(at, text.data(), text.size());
    at += text.size();
  } else {
    for (char c : text) {
      auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || c == '"' || c == '\\') {
        at = WriteEscaped(byte, at);
      } else {
        *at++ = c;
      }
    }
  }
  *at++ = '"';
  return at;
}

char* WriteBase64(std::string_view bytes, char* at) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  *at++ = '"';
  size_t i = 0;
  auto byte = [&](size_t index) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[index]));
  };
  for (; i + 2 < bytes.size(); i += 3) {
    uint32_t three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) *at++ = kAlphabet[three >> shift & 63];
  }
  if (size_t left = bytes.size() - i; left > 0) {
    uint32_t three = byte(i) << 16 | (left == 2 ? byte(i + 1) << 8 : 0);
    *at++ = kAlphabet[three >> 18 & 63];
    *at++ = kAlphabet[three >> 12 & 63];
    *at++ = left == 2 ? kAlphabet[three >> 6 & 63] : '=';
    *at++ = '=';
  }
  *at++ = '"';
  return at;
}

char* WriteDouble(double value, Type type, char* at) {
  if (std::isnan(value)) return static_cast<char*>(std::memcpy(at, "\"NaN\"", 5)) + 5;
  if (std::isinf(value)) {
    std::string_view text = value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return static_cast<char*>(std::memcpy(at, text.data(), text.size())) + text.size();
  }
  if (type == Type::kFloat) return std::to_chars(at, at + 32, static_cast<float>(value)).ptr;
  return std::to_chars(at, at + 32, value).ptr;
}

char* WriteLiteral(std::string_view text, char* at) {
  base::CopyShort(at, text.data(), text.size());
  return at + text.size();
}

size_t RoomFor(const Value& value) {
  return value.kind == ValueKind::kText ? 6 * size_t{value.size} + 16 : 64;
}

// `at` has RoomFor(value), and for an enum its longest name.
char* WriteValue(const OutputField& field, const Value& value, char* at) {
  switch (value.kind) {
    case ValueKind::kText:
      return field.type == Type::kBytes ? WriteBase64(value.text(), at)
                                        : WriteString(value.text(), at);
    case ValueKind::kBool:
      return WriteLiteral(value.boolean ? "true" : "false", at);
    case ValueKind::kInt:
      if (field.type == Type::kEnum) {
        for (const contract::EnumValue& name : field.enum_values) {
          if (name.number == value.integer) {
            *at++ = '"';
            at = WriteLiteral(name.name, at);
            *at++ = '"';
            return at;
          }
        }
      }
      if (field.type != Type::kInt64) return std::to_chars(at, at + 24, value.integer).ptr;
      *at++ = '"';
      at = std::to_chars(at, at + 24, value.integer).ptr;
      *at++ = '"';
      return at;
    case ValueKind::kUint:
      if (field.type != Type::kUint64)
        return std::to_chars(at, at + 24, value.unsigned_integer).ptr;
      *at++ = '"';
      at = std::to_chars(at, at + 24, value.unsigned_integer).ptr;
      *at++ = '"';
      return at;
    case ValueKind::kDouble:
      return WriteDouble(value.number, field.type, at);
    case ValueKind::kTime:
      *at++ = '"';
      at = field.type == Type::kDuration ? WriteDuration(value.seconds, value.nanos, at)
                                         : WriteTimestamp(value.seconds, value.nanos, at);
      *at++ = '"';
      return at;
    case ValueKind::kAbsent:
    case ValueKind::kRecord:
    case ValueKind::kList:
      break;
  }
  return WriteLiteral("null", at);
}

size_t RoomFor(const OutputField& field, const Value& value) {
  return RoomFor(value) + field.enum_name_bytes_max;
}

}  // namespace

void JsonWriter::Field(const OutputField& field, const Value& value) {
  char* at = out_.Reserve(field.json_prefix.size() + RoomFor(field, value));
  at = WriteLiteral(field.json_prefix, at);
  out_.AdvanceTo(WriteValue(field, value, at));
}

void JsonWriter::Null(const OutputField& field) {
  out_.Append(field.json_prefix);
  out_.Append("null");
}

void JsonWriter::Item(const OutputField& field, const Value& value) {
  char* at = out_.Reserve(1 + RoomFor(field, value));
  *at++ = ',';
  out_.AdvanceTo(WriteValue(field, value, at));
}

size_t JsonWriter::BeginEntry(const OutputField& map, const Value& key) {
  char* at = out_.Reserve(3 + RoomFor(key));
  *at++ = ',';
  if (key.kind == ValueKind::kText) {
    at = WriteString(key.text(), at);
  } else {
    // Keys are strings in JSON; a 64-bit integer brings its quotes along.
    bool quoted = map.entry[0].type == Type::kInt64 || map.entry[0].type == Type::kUint64;
    if (!quoted) *at++ = '"';
    at = WriteValue(map.entry[0], key, at);
    if (!quoted) *at++ = '"';
  }
  *at++ = ':';
  out_.AdvanceTo(at);
  return out_.size();
}

void JsonWriter::EntryValue(const OutputField& map, const Value& value) {
  char* at = out_.Reserve(RoomFor(map.entry[1], value));
  out_.AdvanceTo(WriteValue(map.entry[1], value, at));
}

void AppendJsonString(std::string_view text, base::Buffer& out) {
  char* at = out.Reserve(6 * text.size() + 16);
  out.AdvanceTo(WriteString(text, at));
}

}  // namespace sluice::event
