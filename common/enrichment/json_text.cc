#include "common/enrichment/json_text.h"

#include <charconv>

#include "common/base/strings.h"

namespace sluice::enrichment {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(uint32_t code, std::string& out) {
  auto byte = [&out](uint32_t b) { out.push_back(static_cast<char>(b)); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3F));
  } else {
    byte(0xF0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3F));
    byte(0x80 | (code >> 6 & 0x3F));
  }
  byte(0x80 | (code & 0x3F));
}

}  // namespace

absl::Status JsonText::Error(std::string_view what) const {
  return absl::InvalidArgumentError(base::StrCat("line ", line_, ": ", what));
}

char JsonText::Peek() {
  for (; at_ < text_.size(); ++at_) {
    char c = text_[at_];
    if (c == '\n') {
      ++line_;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      return c;
    }
  }
  return 0;
}

absl::Status JsonText::End() {
  if (Peek() != 0 || at_ < text_.size()) return Error("text after the end of the JSON");
  return absl::OkStatus();
}

absl::Status JsonText::Open(char bracket, std::string_view what) {
  if (Peek() != bracket) return Error(base::StrCat("expected ", what));
  if (++depth_ > kDepthMax) return Error("nested too deeply");
  ++at_;
  return absl::OkStatus();
}

absl::StatusOr<bool> JsonText::Next(char close, bool first) {
  char c = Peek();
  if (c == close) {
    ++at_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (c != ',') return Error("expected a comma or a closing bracket");
  ++at_;
  return true;
}

absl::Status JsonText::Expect(char c) {
  if (Peek() != c) return Error(base::StrCat("expected '", c, "'"));
  ++at_;
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> JsonText::ReadString(base::Arena& arena) {
  if (Peek() != '"') return Error("expected a text in quotes");
  size_t begin = ++at_;
  for (; at_ < text_.size(); ++at_) {
    char c = text_[at_];
    if (c == '"') return text_.substr(begin, at_++ - begin);
    if (static_cast<unsigned char>(c) < 0x20) return Error("a control character in a text");
    if (c == '\\') {
      std::string_view out;
      SLUICE_RETURN_IF_ERROR(Unescape(arena, begin, out));
      return out;
    }
  }
  return Error("a text doesn't end");
}

absl::StatusOr<uint32_t> JsonText::Hex4(size_t& at) const {
  uint32_t code = 0;
  std::string_view digits = text_.substr(std::min(at, text_.size()), 4);
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4)
    return Error("\\u without four hexadecimal digits");
  at += 4;
  return code;
}

absl::Status JsonText::Unescape(base::Arena& arena, size_t begin, std::string_view& out) {
  std::string text(text_.substr(begin, at_ - begin));
  while (at_ < text_.size()) {
    char c = text_[at_++];
    if (c == '"') {
      out = arena.Copy(text);
      return absl::OkStatus();
    }
    if (static_cast<unsigned char>(c) < 0x20) return Error("a control character in a text");
    if (c != '\\') {
      text.push_back(c);
      continue;
    }
    if (at_ == text_.size()) break;
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    char escape = text_[at_++];
    if (size_t known = kNames.find(escape); known != std::string_view::npos) {
      text.push_back(kMeant[known]);
      continue;
    }
    if (escape != 'u') return Error("an escape that JSON doesn't have");
    SLUICE_ASSIGN_OR_RETURN(uint32_t code, Hex4(at_));
    if (code >= 0xD800 && code < 0xE000) {
      if (code >= 0xDC00 || text_.substr(at_, 2) != "\\u") return Error("half a surrogate pair");
      at_ += 2;
      SLUICE_ASSIGN_OR_RETURN(uint32_t low, Hex4(at_));
      if (low < 0xDC00 || low >= 0xE000) return Error("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(code, text);
  }
  return Error("a text doesn't end");
}

absl::StatusOr<std::string_view> JsonText::NumberText() {
  size_t begin = at_;
  auto digits = [this] {
    size_t first = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ > first;
  };
  auto is = [this](std::string_view any) {
    return at_ < text_.size() && any.find(text_[at_]) != std::string_view::npos;
  };
  if (is("-")) ++at_;
  bool zero = is("0");
  size_t whole = at_;
  if (!digits() || (zero && at_ - whole > 1)) return Error("not a JSON value");
  if (is(".")) {
    ++at_;
    if (!digits()) return Error("a number without digits after its point");
  }
  if (is("eE")) {
    ++at_;
    if (is("+-")) ++at_;
    if (!digits()) return Error("a number without digits in its exponent");
  }
  return text_.substr(begin, at_ - begin);
}

absl::StatusOr<double> JsonText::ReadNumber() {
  Peek();
  SLUICE_ASSIGN_OR_RETURN(std::string_view text, NumberText());
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return Error("a number out of range");
  return number;
}

absl::StatusOr<JsonText::Scalar> JsonText::ReadScalar(base::Arena& arena) {
  Scalar scalar;
  char c = Peek();
  if (c == '"') {
    SLUICE_ASSIGN_OR_RETURN(scalar.text, ReadString(arena));
    scalar.quoted = true;
    return scalar;
  }
  if (c == '{' || c == '[') return Error("expected one value, not a list or an object");
  for (std::string_view word : {"null", "true", "false"}) {
    if (!text_.substr(at_).starts_with(word)) continue;
    scalar.null = c == 'n';
    scalar.text = text_.substr(at_, word.size());
    at_ += word.size();
    return scalar;
  }
  SLUICE_ASSIGN_OR_RETURN(scalar.text, NumberText());
  return scalar;
}

absl::Status JsonText::Skip() {
  base::Arena arena(1024);
  switch (Peek()) {
    case '{':
      return ReadObject(arena, [&](std::string_view) { return Skip(); });
    case '[':
      return ReadArray([&] { return Skip(); });
    default:
      return ReadScalar(arena).status();
  }
}

}  // namespace sluice::enrichment
