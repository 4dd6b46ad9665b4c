// A text as its reader sees it, and the way back to its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::privacy {

// The canonical view that detection works on: characters in another shape (full width, ligatures,
// other scripts' digits) are plain, every space, dash, quotation mark and apostrophe is its ASCII
// one, other signs are `|`, and bytes from 0x80 on are letters and their marks. Letter case stays.
// Positions in the view lead back to the source. Not thread-safe; keeps its memory.
class TextView {
 public:
  // What becomes of characters that can't be seen. Whether a word goes on behind one can't be told,
  // so that a text which has some is looked at in more than one way.
  enum class Unseen {
    kAsMeant,  // zero-width spaces part words, the others (soft hyphens, direction marks) don't
    kGone,     // none parts words
    kParts     // each parts words
  };
  void Build(std::string_view source, Unseen unseen);
  // What stands for one that parts words: white space, as all control characters are.
  static constexpr char kUnseenBreak = '\x1F';
  // Bytes for their %XX, also where the % was encoded again (%2540).
  void BuildDecoded(std::string_view source);
  static bool IsEncoded(std::string_view source);

  std::string_view text() const { return text_; }
  // The last Build() met zero-width spaces; others that can't be seen.
  bool has_breaks() const { return has_breaks_; }
  bool has_unseen() const { return has_unseen_; }

  // The source's bytes of the view's, begin < end.
  uint32_t SourceBegin(uint32_t begin) const;
  uint32_t SourceEnd(uint32_t end) const;

 private:
  // The view from here on to the next piece: bytes as in the source, or what stands for
  // `replaced` bytes of it.
  struct Piece {
    uint32_t view, source, replaced;
  };
  void Clear();
  // The source's bytes stand in the view as they are.
  void Keep(std::string_view source, size_t begin, size_t end);
  const Piece& PieceAt(uint32_t at) const;

  std::string text_;
  std::vector<Piece> pieces_;
  bool has_breaks_ = false, has_unseen_ = false;
};

}  // namespace sluice::privacy
