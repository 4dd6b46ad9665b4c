#include "services/ctl/json.h"

#include <cmath>

#include "common/base/strings.h"
#include "common/telemetry/json.h"

namespace sluice::ctl {

void JsonText::Separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (!first_) text_ += ',';
  if (depth_ > 0) {
    text_ += '\n';
    text_.append(2 * depth_, ' ');
  }
  first_ = false;
}

JsonText& JsonText::Begin(char bracket) {
  Separate();
  text_ += bracket;
  ++depth_;
  first_ = true;
  return *this;
}

JsonText& JsonText::End(char bracket) {
  --depth_;
  if (!first_) {
    text_ += '\n';
    text_.append(2 * depth_, ' ');
  }
  text_ += bracket;
  first_ = false;
  return *this;
}

JsonText& JsonText::Key(std::string_view name) {
  Separate();
  telemetry::AppendJsonText(text_, name);
  text_ += ": ";
  after_key_ = true;
  return *this;
}

JsonText& JsonText::Token(std::string_view text) {
  Separate();
  text_ += text;
  return *this;
}

JsonText& JsonText::Text(std::string_view text) {
  Separate();
  telemetry::AppendJsonText(text_, text);
  return *this;
}

JsonText& JsonText::Number(double value) {
  return std::isfinite(value) ? Token(base::StrCat(value)) : Null();
}
JsonText& JsonText::Number(int64_t value) { return Token(base::StrCat(value)); }
JsonText& JsonText::Number(uint64_t value) { return Token(base::StrCat(value)); }

std::string JsonText::Finish() && { return std::move(text_) + "\n"; }

}  // namespace sluice::ctl
