#include "common/privacy/text_view.h"

#include <algorithm>
#include <cstring>

#include "common/privacy/fold.h"

namespace sluice::privacy {
namespace {

int Nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The size of the %XX, %25XX ... at `at`, and its byte; 0: there is none.
size_t Encoded(std::string_view text, size_t at, char& byte) {
  size_t digits = at + 1;
  while (text.substr(digits).starts_with("25") && digits + 3 < text.size() &&
         Nibble(text[digits + 2]) >= 0 && Nibble(text[digits + 3]) >= 0)
    digits += 2;
  if (digits + 1 >= text.size()) return 0;
  const int high = Nibble(text[digits]), low = Nibble(text[digits + 1]);
  if (high < 0 || low < 0) return 0;
  byte = static_cast<char>(high * 16 + low);
  return digits + 2 - at;
}

// Where the next byte beyond ASCII stands, from `at` on.
size_t NextBeyondAscii(std::string_view text, size_t at) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & kHighBits) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

void TextView::Clear() {
  text_.clear();
  pieces_.clear();
  has_breaks_ = has_unseen_ = false;
}

void TextView::Keep(std::string_view source, size_t begin, size_t end) {
  if (begin == end) return;
  pieces_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(begin), 0});
  text_.append(source, begin, end - begin);
}

void TextView::Build(std::string_view source, Unseen unseen) {
  Clear();
  size_t kept = 0;
  for (size_t at = NextBeyondAscii(source, 0); at < source.size();) {
    int32_t c = 0;
    size_t size = ReadCodePoint(source.substr(at), c);
    Look look = size == 0 ? static_cast<Look>('|') : LookOf(c);
    size = std::max<size_t>(size, 1);
    if (look == kLooksLikeItself) {
      at = NextBeyondAscii(source, at + size);
      continue;
    }
    Keep(source, kept, at);
    const auto begin = static_cast<uint32_t>(text_.size());
    if (look < 0x80) {
      text_.push_back(static_cast<char>(look));
    } else if (look == kLooksLikeSeveral) {
      AppendShape(c, text_);
    } else {
      (look == kLooksLikeABreak ? has_breaks_ : has_unseen_) = true;
      if (unseen == Unseen::kParts || (unseen == Unseen::kAsMeant && look == kLooksLikeABreak))
        text_.push_back(kUnseenBreak);
    }
    if (text_.size() > begin)
      pieces_.push_back({begin, static_cast<uint32_t>(at), static_cast<uint32_t>(size)});
    kept = at + size;
    at = NextBeyondAscii(source, kept);
  }
  Keep(source, kept, source.size());
}

void TextView::BuildDecoded(std::string_view source) {
  Clear();
  size_t kept = 0;
  for (size_t at = source.find('%'); at != std::string_view::npos; at = source.find('%', at)) {
    char byte;
    const size_t size = Encoded(source, at, byte);
    if (size == 0) {
      ++at;
      continue;
    }
    Keep(source, kept, at);
    pieces_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(at),
                       static_cast<uint32_t>(size)});
    text_.push_back(byte);
    kept = at += size;
  }
  Keep(source, kept, source.size());
}

bool TextView::IsEncoded(std::string_view source) {
  char byte;
  for (size_t at = source.find('%'); at != std::string_view::npos; at = source.find('%', at + 1)) {
    if (Encoded(source, at, byte) != 0) return true;
  }
  return false;
}

const TextView::Piece& TextView::PieceAt(uint32_t at) const {
  return *(std::upper_bound(
               pieces_.begin(), pieces_.end(), at,
               [](uint32_t position, const Piece& piece) { return position < piece.view; }) -
           1);
}

uint32_t TextView::SourceBegin(uint32_t begin) const {
  const Piece& piece = PieceAt(begin);
  return piece.source + (piece.replaced != 0 ? 0 : begin - piece.view);
}

uint32_t TextView::SourceEnd(uint32_t end) const {
  const Piece& piece = PieceAt(end - 1);
  return piece.source + (piece.replaced != 0 ? piece.replaced : end - piece.view);
}

}  // namespace sluice::privacy
