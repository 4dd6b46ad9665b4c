// What of a text a person sees.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::privacy {

// Whether nothing of a text is seen: it has only white space, control and format characters, and
// what Unicode calls default ignorable or draws as nothing (braille blank, Hangul fillers), and
// marks on no character. Linear; the first visible character ends it. The text is UTF-8; what isn't
// counts as visible.
bool HasNothingVisible(std::string_view text);

// The same; most texts begin with a visible ASCII character, which is all that is looked at.
inline bool IsBlank(std::string_view text) {
  return !(!text.empty() && text[0] > ' ' && text[0] < 0x7F) && HasNothingVisible(text);
}

// Whether a text has a letter or digit of any script. What has none (-, ?, ...) is no value of
// anybody's. Linear; the first one ends it. Bytes that are no UTF-8 count as letters.
bool HasLetterOrDigit(std::string_view text);

// A text's extended grapheme clusters (Unicode UAX #29): what a reader takes for one character.
//
//   for (Graphemes at(text); at.Next();) use(at.cluster(), at.visible());
class Graphemes {
 public:
  explicit Graphemes(std::string_view text) : text_(text) {}

  // False at the end.
  bool Next();
  std::string_view cluster() const { return text_.substr(begin_, end_ - begin_); }
  // Something of it is drawn.
  bool visible() const { return visible_; }
  // It is white space between characters, as opposed to nothing at all. Meaningful where it isn't
  // visible.
  bool space() const { return space_; }

 private:
  std::string_view text_;
  size_t begin_ = 0, end_ = 0;
  bool visible_ = false, space_ = false;
};

// Appends what of a cluster is drawn: without the characters that hide in it, such as tags.
void AppendDrawn(std::string_view cluster, std::string& out);

}  // namespace sluice::privacy
