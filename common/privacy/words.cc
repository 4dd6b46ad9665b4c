#include "common/privacy/words.h"

#include <array>
#include <iterator>

namespace sluice::privacy {
namespace {

constexpr std::string_view kTitles[] = {
    "mr",    "mrs",    "ms",   "miss",    "mx",       "dr",        "sir",       "dame",
    "lord",  "lady",   "prof", "rev",     "fr",       "master",    "madam",     "judge",
    "pc",    "ps",     "dc",   "ds",      "di",       "dci",       "dcs",       "dsu",
    "wpc",   "wdc",    "pcso", "sgt",     "sc",       "con",       "insp",      "cinsp",
    "supt",  "det",    "cllr", "capt",    "officer",  "constable", "sergeant",  "inspector",
    "named", "called", "name", "surname", "forename", "nickname",  "professor", "reverend"};

constexpr std::string_view kOrdinary[] = {
    // What is written where a name isn't known, then names that a text often has as words. Few
    // surnames are: whoever is called Jones or Taylor is found in small letters too.
    "adult",        "anonymous", "caller",  "female",   "informant", "juvenile",  "man",
    "nobody",       "none",      "officer", "police",   "public",    "refused",   "suspect",
    "unidentified", "unknown",   "victim",  "witness",  "woman",     "abbey",     "alley",
    "amber",        "angel",     "apple",   "april",    "art",       "ash",       "august",
    "autumn",       "baker",     "ball",    "banks",    "bar",       "barber",    "barn",
    "baron",        "bass",      "bay",     "beach",    "bean",      "bear",      "beer",
    "bell",         "bench",     "best",    "bill",     "birch",     "bird",      "bishop",
    "black",        "blade",     "blue",    "bond",     "booth",     "bow",       "bowl",
    "box",          "boy",       "branch",  "brick",    "bridge",    "bright",    "broad",
    "brook",        "brown",     "buck",    "bull",     "burn",      "bush",      "butcher",
    "butler",       "camp",      "canon",   "car",      "card",      "carpenter", "case",
    "cash",         "castle",    "chance",  "chapel",   "charity",   "chase",     "child",
    "church",       "clay",      "close",   "cloud",    "coach",     "coat",      "cock",
    "collar",       "constable", "cook",    "coop",     "corn",      "cotton",    "couch",
    "court",        "cove",      "craft",   "crane",    "crisp",     "crook",     "cross",
    "crow",         "crown",     "cruise",  "dark",     "dawn",      "day",       "dean",
    "dear",         "diamond",   "dick",    "dove",     "down",      "drew",      "duke",
    "earl",         "early",     "east",    "ever",     "fair",      "faith",     "falcon",
    "fall",         "farmer",    "field",   "fields",   "finch",     "fine",      "fish",
    "fisher",       "flag",      "fleet",   "flint",    "flood",     "floor",     "flower",
    "flowers",      "foot",      "ford",    "forest",   "fox",       "frank",     "free",
    "friend",       "frost",     "game",    "garden",   "gardener",  "gate",      "gates",
    "gay",          "ginger",    "glass",   "gold",     "golden",    "good",      "grace",
    "grant",        "grave",     "graves",  "gray",     "green",     "grey",      "grove",
    "guy",          "hall",      "ham",     "hand",     "hands",     "happy",     "hazel",
    "jade",         "hardy",     "hare",    "hatch",    "hawk",      "hay",       "head",
    "heard",        "heart",     "heath",   "heather",  "high",      "hill",      "hills",
    "hiss",         "holiday",   "holly",   "honey",    "honor",     "honour",    "hood",
    "hook",         "hope",      "horn",    "house",    "hunt",      "hunter",    "ivory",
    "jack",         "jewel",     "joy",     "judge",    "july",      "june",      "just",
    "justice",      "key",       "keys",    "kid",      "kind",      "king",      "kings",
    "kitchen",      "kite",      "knight",  "lad",      "lake",      "lamb",      "lance",
    "land",         "lane",      "large",   "lark",     "last",      "law",       "lawless",
    "leaf",         "lily",      "link",    "lion",     "little",    "lock",      "long",
    "lord",         "love",      "low",     "lucky",    "major",     "male",      "mark",
    "marks",        "marsh",     "marshal", "mason",    "master",    "masters",   "maximum",
    "may",          "meadow",    "meek",    "melody",   "mercy",     "mile",      "miles",
    "mill",         "mills",     "mint",    "monk",     "moody",     "moon",      "moor",
    "more",         "moss",      "mount",   "nail",     "nest",      "new",       "nice",
    "nick",         "night",     "noble",   "north",    "nurse",     "oak",       "offer",
    "old",          "olive",     "orange",  "over",     "pace",      "page",      "park",
    "parks",        "past",      "pat",     "patience", "peace",     "peach",     "pear",
    "pearl",        "penny",     "pepper",  "person",   "pike",      "piper",     "place",
    "plant",        "pole",      "pond",    "pool",     "pope",      "porter",    "post",
    "pound",        "power",     "powers",  "price",    "pride",     "prince",    "prior",
    "proud",        "quick",     "rain",    "ranger",   "raven",     "ray",       "read",
    "reason",       "reed",      "rich",    "ridge",    "ring",      "river",     "rivers",
    "rob",          "robin",     "rock",    "rocky",    "roman",     "rose",      "ruby",
    "rush",         "sage",      "saint",   "sales",    "salmon",    "salt",      "sands",
    "savage",       "school",    "seal",    "self",     "sergeant",  "service",   "sharp",
    "shepherd",     "shore",     "short",   "sides",    "silver",    "singer",    "skip",
    "sky",          "small",     "smart",   "snow",     "sole",      "sparks",    "speed",
    "spring",       "square",    "staff",   "stain",    "star",      "steel",     "stern",
    "stock",        "stone",     "stones",  "storey",   "storm",     "strange",   "street",
    "strong",       "sue",       "summer",  "summers",  "sunny",     "swan",      "sweet",
    "swift",        "table",     "tailor",  "temple",   "thorn",     "tiller",    "tower",
    "town",         "tree",      "trust",   "usher",    "van",       "vicar",     "victor",
    "violet",       "virtue",    "walk",    "walker",   "wall",      "ward",      "warden",
    "waters",       "way",       "welcome", "well",     "wells",     "west",      "wheat",
    "wheeler",      "white",     "wild",    "will",     "willing",   "willow",    "wills",
    "winter",       "winters",   "wise",    "wolf",     "wood",      "woods",     "wool",
    "worth",        "yard",      "young"};

constexpr std::string_view kFunction[] = {
    "a",    "all",  "am",   "an",   "and",  "any", "are", "as",  "at",  "be",  "but",  "by",
    "can",  "do",   "for",  "from", "go",   "had", "has", "he",  "her", "him", "his",  "how",
    "i",    "if",   "in",   "is",   "it",   "its", "me",  "my",  "no",  "not", "now",  "of",
    "off",  "on",   "one",  "or",   "our",  "out", "say", "see", "she", "so",  "that", "the",
    "them", "then", "they", "this", "to",   "too", "two", "up",  "us",  "was", "we",   "were",
    "what", "when", "who",  "why",  "with", "you", "your"};

constexpr std::string_view kParticles[] = {
    "ab",  "abd", "abu",   "ad",     "af",     "al",  "ap",     "ar",  "as",   "av",
    "ben", "bin", "bint",  "d",      "da",     "das", "de",     "del", "dela", "della",
    "den", "der", "des",   "di",     "do",     "dos", "du",     "e",   "el",   "fitz",
    "ibn", "l",   "la",    "las",    "le",     "les", "los",    "m",   "mac",  "mc",
    "ni",  "nic", "o",     "saint",  "st",     "te",  "ten",    "ter", "ua",   "ui",
    "ul",  "van", "vande", "vanden", "vander", "von", "vonder", "y",   "zu",   "zur"};

constexpr std::string_view kShort[] = {
    "act", "ago", "aid", "aim", "air",  "all",  "and",  "any",  "are",  "arm", "art", "ask", "bad",
    "bag", "bar", "bay", "bed", "big",  "bit",  "box",  "boy",  "bus",  "but", "buy", "cab", "cad",
    "can", "cap", "car", "cat", "cup",  "cut",  "dad",  "day",  "did",  "dog", "due", "ear", "eat",
    "end", "eye", "far", "few", "fit",  "for",  "gap",  "gas",  "get",  "got", "gun", "guy", "had",
    "has", "hat", "her", "hid", "him",  "his",  "hit",  "hot",  "how",  "its", "job", "key", "kit",
    "lad", "law", "led", "let", "lot",  "low",  "mad",  "man",  "map",  "may", "men", "met", "mum",
    "net", "new", "nil", "nor", "not",  "now",  "off",  "old",  "one",  "our", "out", "own", "pay",
    "per", "put", "ran", "red", "ref",  "rob",  "row",  "run",  "sat",  "saw", "say", "sea", "see",
    "set", "she", "sir", "six", "son",  "sun",  "ten",  "the",  "they", "too", "top", "try", "two",
    "use", "van", "via", "was", "way",  "wet",  "who",  "why",  "win",  "won", "yes", "yet", "you",
    "num", "hrs", "min", "sec", "yrs",  "age",  "jan",  "feb",  "mar",  "apr", "jun", "jul", "aug",
    "sep", "oct", "nov", "dec", "unit", "room", "flat", "with", "from", "est", "gmt", "bst", "inc",
    "ltd", "mph"};

// All three lists in one table, asked for each part of each name.
enum : uint8_t { kIsOrdinary = 1, kIsFunction = 2, kIsParticle = 4 };
struct Slot {
  std::string_view word;
  uint8_t is = 0;
};
constexpr size_t kSlots = 2048;
constexpr size_t HashOf(std::string_view word) {
  uint32_t hash = 2166136261;
  for (char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return (hash ^ hash >> 13) % kSlots;
}
constexpr std::array<Slot, kSlots> kTable = [] {
  std::array<Slot, kSlots> table{};
  auto add = [&](std::string_view word, uint8_t is) {
    size_t at = HashOf(word);
    while (!table[at].word.empty() && table[at].word != word) at = (at + 1) % kSlots;
    table[at].word = word;
    table[at].is = static_cast<uint8_t>(table[at].is | is);
  };
  for (std::string_view word : kOrdinary) add(word, kIsOrdinary);
  for (std::string_view word : kFunction) add(word, kIsFunction);
  for (std::string_view word : kParticles) add(word, kIsParticle);
  return table;
}();

uint8_t Is(std::string_view word) {
  if (word.empty() || word.size() > kWordMax) return 0;
  for (size_t at = HashOf(word); !kTable[at].word.empty(); at = (at + 1) % kSlots) {
    if (kTable[at].word == word) return kTable[at].is;
  }
  return 0;
}

}  // namespace

bool IsHonorific(std::string_view lower) {
  constexpr std::string_view kHonorifics[] = {"mr", "mrs", "ms",   "miss", "mx",
                                              "dr", "sir", "dame", "prof", "rev"};
  return OneOf(lower, kHonorifics);
}
bool IsTitle(std::string_view word) { return OneOf(word, kTitles); }
bool IsOrdinaryWord(std::string_view lower) { return (Is(lower) & kIsOrdinary) != 0; }
bool IsFunctionWord(std::string_view lower) { return (Is(lower) & kIsFunction) != 0; }
bool IsParticle(std::string_view lower) { return (Is(lower) & kIsParticle) != 0; }

uint32_t ParticlesBefore(std::string_view lower) {
  uint32_t cuts = 0;
  for (std::string_view particle : kParticles) {
    if (lower.size() >= particle.size() + 2 && lower.starts_with(particle))
      cuts |= 1u << particle.size();
  }
  return cuts;
}

bool IsShortWord(std::string_view word) { return OneOf(word, kShort); }

}  // namespace sluice::privacy
