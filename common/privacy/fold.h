// Text as people compare it: letter case, width, ligatures and white space don't count.
#pragma once

#include <string>
#include <string_view>

namespace sluice::privacy {

// Appends `text` in Unicode's NFKC case-folded form (UAX #15, UAX #44 NFKC_Casefold), with
// typographic apostrophes, dashes and slashes as their ASCII ones, control characters and white
// space as single spaces, and none at the ends. Folding twice is the same as once. Text that isn't
// UTF-8 keeps its bytes beyond ASCII. Allocates only for text beyond ASCII of more than about five
// hundred characters.
void AppendFolded(std::string_view text, std::string& out);

// Every byte is ASCII.
bool IsAscii(std::string_view text);

}  // namespace sluice::privacy
