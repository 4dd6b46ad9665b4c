// Writes one JSON document, indented, member by member.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace sluice::ctl {

// The caller keeps the nesting right: a value where a value may stand, an end for each begin.
class JsonText {
 public:
  JsonText& BeginObject() { return Begin('{'); }
  JsonText& EndObject() { return End('}'); }
  JsonText& BeginArray() { return Begin('['); }
  JsonText& EndArray() { return End(']'); }
  JsonText& Key(std::string_view name);
  // Text, true or false, or a number.
  template <typename T>
  JsonText& Value(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      return Token(value ? "true" : "false");
    } else if constexpr (std::is_arithmetic_v<T>) {
      return Number(value);
    } else {
      return Text(value);
    }
  }
  template <typename T>
  JsonText& Member(std::string_view name, const T& value) {
    Key(name);
    return Value(value);
  }
  // A value that is JSON already.
  JsonText& Raw(std::string_view json) { return Token(json); }
  JsonText& Null() { return Token("null"); }

  // The document, with a line's end.
  std::string Finish() &&;

 private:
  JsonText& Begin(char bracket);
  JsonText& End(char bracket);
  JsonText& Token(std::string_view text);
  JsonText& Text(std::string_view text);
  JsonText& Number(double value);
  JsonText& Number(int64_t value);
  JsonText& Number(uint64_t value);
  template <typename T>
  JsonText& Number(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      return Number(static_cast<double>(value));
    } else if constexpr (std::is_signed_v<T>) {
      return Number(static_cast<int64_t>(value));
    } else {
      return Number(static_cast<uint64_t>(value));
    }
  }
  void Separate();

  std::string text_;
  size_t depth_ = 0;
  bool first_ = true;  // in the object or array that is open
  bool after_key_ = false;
};

}  // namespace sluice::ctl
