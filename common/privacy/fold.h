// Text as people compare it: letter case, width, ligatures and white space don't count.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::privacy {

// Appends `text` case-folded and in Unicode's NFKC form (UAX #15, UAX #44 NFKC_Casefold), with
// these differences:
//
// - What isn't the same character in another shape stays: fractions, superscripts, subscripts,
//   circled and squared characters, signs such as U+2116 (numero) and whole phrases in one
//   character. 12½ isn't 121/2.
// - Typographic apostrophes, dashes and slashes become their ASCII ones, every script's decimal
//   digits 0 to 9, control characters and white space single spaces, and none stays at the ends.
//
// Folding twice is the same as once, and the result has at most three times as many bytes. Text
// that isn't UTF-8 keeps its bytes beyond ASCII. The work is linear, for any number of combining
// marks. Allocates only for text beyond ASCII of more than about five hundred characters.
void AppendFolded(std::string_view text, std::string& out);

// Appends folded text with each Latin letter's marks left out and letters that ASCII hasn't as
// people write them who can't type them: jose for josé, lukasz for łukasz, sorensen for sørensen.
// `german`: with an e behind in place of the mark, as German and the Nordic languages have it:
// mueller for müller, soerensen for sørensen. Other scripts' letters stay.
void AppendWithoutMarks(std::string_view folded, bool german, std::string& out);

// As AppendFolded, but lower case instead of folded case: for addresses on the network, where
// straße and strasse are two (IDNA 2008, RFC 5891; the mapping is RFC 5895's).
void AppendLowered(std::string_view text, std::string& out);

// Every byte is ASCII.
bool IsAscii(std::string_view text);

// What one character beyond ASCII looks like to whoever reads the text. 1 to 0x7F: that ASCII
// character. The others:
enum Look : uint8_t {
  kLooksLikeItself = 0,     // a letter or a combining mark
  kLooksLikeNothing = 128,  // a soft hyphen, a direction or joining mark
  kLooksLikeABreak = 129,   // a zero-width space: nothing, yet words may end there
  kLooksLikeSeveral = 130,  // ask AppendShape
};
Look LookOf(int32_t code_point);
// Appends the character in its plain shape, in the same case: FI for the full-width ones.
void AppendShape(int32_t code_point, std::string& out);

// Reads one character; its size in bytes, 0 when `text` doesn't begin with one in UTF-8.
size_t ReadCodePoint(std::string_view text, int32_t& code_point);

}  // namespace sluice::privacy
