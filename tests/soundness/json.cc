#include "tests/soundness/json.h"

namespace sluice::soundness {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::string Parse(Json& json) {
    Value(json);
    if (error_.empty() && at_ != text_.size()) error_ = "something stands behind the value";
    return error_;
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void Expect(char c) {
    if (Peek() == c) {
      ++at_;
    } else if (error_.empty()) {
      error_ = std::string("expected ") + c;
    }
  }

  std::string Text() {
    std::string text;
    Expect('"');
    while (error_.empty() && Peek() != '"') {
      if (at_ >= text_.size()) error_ = "a text has no end";
      if (Peek() == '\\') text += text_[at_++];
      text += Peek();
      ++at_;
    }
    Expect('"');
    return text;
  }

  void Value(Json& json) {
    if (Peek() == '{') {
      ++at_;
      while (error_.empty() && Peek() != '}') {
        if (!json.members.empty()) Expect(',');
        std::string name = Text();
        Expect(':');
        if (json.Member(name) != nullptr) error_ = "two members are named '" + name + "'";
        json.members.emplace_back(name, Json());
        Value(json.members.back().second);
      }
      Expect('}');
    } else if (Peek() == '[') {
      ++at_;
      while (error_.empty() && Peek() != ']') {
        if (!json.items.empty()) Expect(',');
        json.items.emplace_back();
        Value(json.items.back());
      }
      Expect(']');
    } else if (Peek() == '"') {
      json.text = Text();
    } else {
      while (at_ < text_.size() && std::string_view(",]}").find(Peek()) == std::string_view::npos)
        json.text += text_[at_++];
      if (json.text.empty()) error_ = "a value is missing";
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string error_;
};

}  // namespace

const Json* Json::Member(std::string_view name) const {
  for (const auto& [other, value] : members) {
    if (other == name) return &value;
  }
  return nullptr;
}

std::string ParseJson(std::string_view text, Json& json) { return Parser(text).Parse(json); }

}  // namespace sluice::soundness
