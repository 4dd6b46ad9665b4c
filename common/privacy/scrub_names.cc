// The scrubber's search for the event's own names.
#include <algorithm>

#include "common/privacy/fold.h"
#include "common/privacy/scrub.h"
#include "common/privacy/scrub_text.h"
#include "common/privacy/words.h"

namespace sluice::privacy {
namespace {

constexpr std::string_view kStreets[] = {
    "street",  "road",  "lane",  "avenue",  "close",  "way",    "drive",    "st",
    "rd",      "ave",   "court", "square",  "place",  "park",   "crescent", "hill",
    "green",   "house", "mews",  "gardens", "estate", "bridge", "station",  "market",
    "terrace", "grove", "row",   "walk",    "yard",   "field",  "gate",     "ward"};
// Of those, what may follow somebody's name in capitals: JONES CLOSE TO THE DOOR, JONES DRIVE AWAY.
constexpr std::string_view kStreetsOrMore[] = {"close", "way",   "drive", "court",  "place", "park",
                                               "house", "field", "gate",  "green",  "row",   "walk",
                                               "yard",  "ward",  "hill",  "bridge", "square"};
// Before the name of a street, or of a month.
constexpr std::string_view kPlaceWords[] = {
    "at",      "in",     "on",      "of",     "near", "to",   "from",    "towards", "along",
    "outside", "the",    "leaving", "into",   "off",  "down", "up",      "via",     "between",
    "and",     "around", "onto",    "beyond", "by",   "past", "passing", "through", "opposite"};
constexpr std::string_view kMonthNames[] = {"may", "june", "april", "august", "july"};
constexpr std::string_view kMonthWords[] = {"in",   "since", "until", "during", "early",
                                            "late", "last",  "next",  "mid",    "till"};

}  // namespace

// Whether a part may begin within a word there, by its letters' case: saw|Okafor, PC|Okafor, and
// OKAFOR|said or OKAFO|Rsaid, which can't be told apart.
bool Scrubber::IsBorder(size_t at) const {
  if (IsUpper(text_[at])) return !IsUpper(text_[at - 1]) || IsLower(At(at + 1));
  return IsLower(text_[at]) && at > 1 && IsUpper(text_[at - 1]) && IsUpper(text_[at - 2]);
}

Scrubber::Word Scrubber::PieceAt(size_t at, bool split) const {
  if (!split) return WordAt(at);
  Word piece;
  piece.begin = static_cast<uint32_t>(at);
  while (at < text_.size() && ClassOf(text_[at]) == kLetter && (at == piece.begin || !IsBorder(at)))
    ++at;
  piece.end = static_cast<uint32_t>(at);
  piece.letters = true;
  return piece;
}

// `open`: what stands between, or the capital behind it, says that two parts may be of one name.
std::optional<Scrubber::Word> Scrubber::NextPiece(const Word& piece, bool split, bool& open) const {
  size_t at = piece.end;
  // Of one word.
  open = split && ClassOf(At(at)) == kLetter;
  if (!open) {
    for (; at < text_.size() && ClassOf(text_[at]) == kOther; ++at) {
      const char c = text_[at];
      // A full stop ends an initial or St, or else a sentence.
      if (at - piece.end == 3 || (c == '.' && piece.size() > 2) ||
          !(IsSpace(c) || c == '-' || c == '\'' || c == '.' || c == '`'))
        return std::nullopt;
      open = open || c == '-' || c == '\'' || c == '`' || c == TextView::kUnseenBreak;
    }
    if (at == piece.end || at >= text_.size() || ClassOf(text_[at]) != kLetter) return std::nullopt;
  }
  open = open || !IsLower(text_[at]);
  Word next = PieceAt(at, split);
  if (next.digits) return std::nullopt;
  // Part by part: what is quoted ends there.
  if (next.apostrophe) next.end = static_cast<uint32_t>(text_.find('\'', at));
  return next;
}

void Scrubber::AppendPiece(const Word& piece, Spelling spelling) {
  const size_t begin = scratch_.size();
  const std::string_view in = In(piece);
  if (IsAscii(in)) {
    for (char c : in) {
      if (c != '\'') scratch_.push_back(Lower(c));
    }
    return;
  }
  if (spelling == Spelling::kAsMarked) {
    AppendFolded(in, scratch_);
  } else {
    folded_.clear();
    AppendFolded(in, folded_);
    AppendWithoutMarks(folded_, spelling == Spelling::kGerman, scratch_);
  }
  scratch_.erase(
      std::remove(scratch_.begin() + static_cast<ptrdiff_t>(begin), scratch_.end(), '\''),
      scratch_.end());
}

// Where the name that begins with `piece` ends; its begin: there is none. Of several the longest.
size_t Scrubber::NameFrom(const Word& piece, bool split) {
  const uint32_t begin = piece.begin;
  if (MatchFrom(piece, split, Spelling::kAsMarked)) return run_.end;
  // Written with marks that the field hasn't.
  if (!ascii_) {
    for (Spelling spelling : {Spelling::kWithoutMarks, Spelling::kGerman}) {
      if (MatchFrom(piece, split, spelling)) return run_.end;
    }
  }
  // As it is misheard.
  if (IsUpper(text_[begin])) {
    const std::string_view in = In(piece);
    const bool possessive = in.size() > 2 && in[in.size() - 2] == '\'' && Lower(in.back()) == 's';
    Word first = piece;
    if (possessive) first.end -= 2;
    scratch_.clear();
    AppendPiece(first, Spelling::kAsMarked);
    if (uint64_t names = names_.FindSwapped(scratch_); names != 0) {
      AddToRun(piece, names, true);
      return piece.end;
    }
  }
  return begin;
}

// The part whose plural `scratch_` is: Okafors, Joneses. Only of a name that is no word, and of a
// short one only with its capital, since jeans and glass are plurals of none.
const OwnNames::Part* Scrubber::FindPlural(const Word& piece) {
  if (scratch_.size() < 4 || scratch_.back() != 's') return nullptr;
  const bool capital = IsUpper(text_[piece.begin]) && IsLower(text_[piece.end - 1]);
  const std::string_view one = std::string_view(scratch_).substr(0, scratch_.size() - 1);
  bool longer;
  const OwnNames::Part* part = names_.Find(one, longer);
  if (part == nullptr && one.ends_with("e"))
    part = names_.Find(one.substr(0, one.size() - 1), longer);
  if (part == nullptr || part->weight != OwnNames::Part::kAlone || part->size < (capital ? 3 : 5))
    return nullptr;
  return part;
}

// Adds the longest name that begins with `piece` to the run; false: there is none.
bool Scrubber::MatchFrom(Word piece, bool split, Spelling spelling) {
  const uint32_t begin = piece.begin;
  // Ann's: what it says is Ann.
  const std::string_view in = In(piece);
  const bool possessive = in.size() > 2 && in[in.size() - 2] == '\'' && Lower(in.back()) == 's';
  Word first = piece;
  if (possessive) first.end -= 2;
  scratch_.clear();
  AppendPiece(first, spelling);
  const OwnNames::Part* best = nullptr;
  Word match{.begin = begin, .end = begin};
  uint32_t closed[OwnNames::kJoinedMax + 3];  // where two pieces meet that may not be one name
  size_t closed_count = 0;
  for (int pieces = 1; scratch_.size() <= OwnNames::kPartBytesMax; ++pieces) {
    bool longer = false;
    const OwnNames::Part* part = names_.Find(scratch_, longer);
    if (part == nullptr && !possessive) part = FindPlural(piece);
    const bool may =
        part != nullptr && std::all_of(closed, closed + closed_count, [&](uint32_t at) {
          return at < 32 &&
                 ((part->cuts | ParticlesBefore(names_.TextOf(*part))) & (1u << at)) != 0;
        });
    if (may) {
      best = part;
      match.end = piece.end;
    }
    if (!longer || possessive || pieces == OwnNames::kJoinedMax + 2) break;
    bool open;
    auto next = NextPiece(piece, split, open);
    if (!next) break;
    // A small letter alone is a word, unless a particle of one letter ends there.
    if (piece.size() == 1 && IsLower(text_[piece.begin]) && !IsParticle(In(piece))) break;
    if (!open) closed[closed_count++] = static_cast<uint32_t>(scratch_.size());
    AppendPiece(*next, spelling);
    piece = *next;
    if (scratch_.ends_with("s") && In(piece).size() > 2 && In(piece)[In(piece).size() - 2] == '\'')
      scratch_.pop_back();
  }
  if (best != nullptr) AddToRun(match, best->names, IsAlone(*best, match));
  return best != nullptr;
}

size_t Scrubber::LookAtName(const Word& word) {
  if (names_.MayBegin(text_[word.begin])) {
    const size_t end = NameFrom(word, false);
    if (end > word.begin) return end;
  }
  // A name joined to what isn't one, by an apostrophe or by nothing: sawOkafor, 'Okafor'said.
  if (!word.apostrophe && !word.mixed) return word.end;
  for (size_t at = word.begin; at < word.end;) {
    if (ClassOf(text_[at]) == kOther) {
      ++at;
      continue;
    }
    const Word piece = PieceAt(at, true);
    const size_t end = names_.MayBegin(text_[at]) ? NameFrom(piece, true) : at;
    at = end > at ? end : piece.end;
    if (end > word.end) return end;
  }
  return word.end;
}

size_t Scrubber::LookAtLetters(const Word& word) {
  size_t at = word.begin;
  while (at < word.end) {
    if (ClassOf(text_[at]) != kLetter) {
      ++at;
      continue;
    }
    Word letters{.begin = static_cast<uint32_t>(at), .letters = true};
    while (at < word.end && ClassOf(text_[at]) == kLetter) ++at;
    letters.end = static_cast<uint32_t>(at);
    if (letters.size() < 3) continue;
    letters.mixed = PieceAt(letters.begin, true).end < letters.end;
    if (letters.mixed || names_.MayBegin(text_[letters.begin])) at = LookAtName(letters);
  }
  return at;
}

bool Scrubber::IsAlone(const OwnNames::Part& part, const Word& match) const {
  using Weight = OwnNames::Part::Weight;
  if (part.weight == Weight::kAlone) return true;
  const bool beside_digit =
      IsDigit(At(match.end)) || (match.begin > 0 && IsDigit(text_[match.begin - 1]));
  // Beside figures are units, ordinals and codes.
  if (beside_digit && (part.weight != Weight::kCapital || match.size() < 3)) return false;
  const Word before = WordBefore(match.begin);
  const std::string_view said = In(before);
  if (IsTitle(said)) return true;
  // Beyond ASCII nothing says that it isn't one.
  const bool capital = !IsLower(text_[match.begin]);
  if (part.weight == Weight::kBeside || !capital) return false;
  if (part.weight == Weight::kEvidence) {
    if (said.empty() || match.size() == 1) return false;
    const std::string_view between = text_.substr(before.end, match.begin - before.end);
    // Where all is in capitals, a capital says nothing.
    return between.find_first_of(".!?:;\n\"-|") == std::string_view::npos &&
           !(AllUpper(In(match)) && AllUpper(said));
  }
  // May in a date.
  if (OneOf(In(match), kMonthNames)) {
    const char behind = At(match.end + size_t{1});
    if (before.digits || IsDigit(behind) || beside_digit || OneOf(said, kMonthWords)) return false;
  }
  // Baker Street.
  static constexpr CharSet kNone("");
  if (auto next = Behind(match, kNone);
      next && IsUpper(text_[next->begin]) && OneOf(In(*next), kStreets)) {
    // Where all is in capitals only what can't be something else: a name counts for more.
    const bool all_upper = next->size() > 1 && AllUpper(In(*next));
    const bool numbered = before.digits && before.size() <= 3 &&
                          (before.begin == 0 || text_[before.begin - 1] != ':');
    if (!all_upper || numbered ||
        (!OneOf(In(*next), kStreetsOrMore) &&
         (before.digits || said.empty() || OneOf(said, kPlaceWords))))
      return false;
  }
  return true;
}

void Scrubber::AddToRun(const Word& match, uint64_t names, bool alone) {
  const auto between = text_.substr(run_.end, std::max(match.begin, run_.end) - run_.end);
  const bool near = run_.words > 0 && between.size() <= 3 &&
                    (between.size() < 2 || between.find('.') == std::string_view::npos) &&
                    std::all_of(between.begin(), between.end(), [](char c) {
                      return IsSpace(c) || c == ',' || c == '-' || c == '.' || c == '\'';
                    });
  if (near && (run_.names & names) != 0) {
    run_.end = match.end;
    run_.names &= names;
    ++run_.words;
    run_.alone = run_.alone || alone;
    return;
  }
  EndRun();
  run_ = {match.begin, match.end, names, 1, alone};
}

void Scrubber::EndRun() {
  if (run_.words >= 2 || (run_.words == 1 && run_.alone)) {
    Finding finding{run_.begin, run_.end, contract::v1::PERSON_NAME,
                    static_cast<uint32_t>(canonical_.size()), 0};
    // Whose of several people's it is can't be told.
    canonical_.append(names_.Canonical(run_.names));
    finding.canonical_end = static_cast<uint32_t>(canonical_.size());
    findings_.push_back(finding);
  }
  run_ = {};
}

}  // namespace sluice::privacy
