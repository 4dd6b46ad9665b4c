// What the generator knows of kinds, treatments and values. It is its own knowledge: nothing here
// asks the code under test what is personal or how much a treatment shows.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/config/v1/pipeline.pb.h"

namespace sluice::soundness {

using Random = std::mt19937_64;

inline size_t Below(Random& random, size_t bound) { return static_cast<size_t>(random() % bound); }
inline bool Chance(Random& random, int percent) {
  return random() % 100 < static_cast<uint64_t>(percent);
}
template <typename List>
const auto& Any(const List& list, Random& random) {
  return list[Below(random, std::size(list))];
}
std::string Letters(Random& random, size_t length);

// What a leaf's values are, whatever the contract says of them.
enum class Truth : uint8_t {
  kPlain,   // everybody may have them
  kSecret,  // a text or a long number that nobody may have unless a stream keeps its class
  kId,      // the event's id, or another's
  kTime,    // to the second
  kDate,    // a day
  kText,    // prose with a valid identifier in it
  kPhone,   // a valid one
  kPoint,   // one of a point's two numbers
  kBirth,   // a date
  kPostcode,
  kShort,  // classified, and too short to be known again
};

enum class Shape : uint8_t {
  kField,
  kList,
  kOneof,
  kMapKey,
  kMapValue,
  kMessage,
  kListOfMessages,
  kListInMessages,  // a list in each message of a list
  kMapOfMessages,   // in the messages that are a map's values
};
inline constexpr Shape kShapes[] = {
    Shape::kField,          Shape::kList,           Shape::kOneof,
    Shape::kMapKey,         Shape::kMapValue,       Shape::kMessage,
    Shape::kListOfMessages, Shape::kListInMessages, Shape::kMapOfMessages};
std::string_view NameOf(Shape shape);

struct Kind {
  std::string_view of_class;  // as `treat` knows it; empty: not personal
  std::string_view option;    // as the contract writes it
  std::string_view type;      // of protobuf
  Truth truth;
};
const std::vector<Kind>& Kinds();
// Whether a field of the kind can have the shape.
bool Stands(const Kind& kind, Shape shape);

struct Leaf {
  std::string path;      // from the event, without []; a map's parts end in .key and .value
  std::string name;      // its own, or its map's
  std::string of_class;  // as `treat` knows it; empty: the contract calls it not_personal
  std::string type;      // of protobuf
  Truth truth = Truth::kPlain;
  Shape shape = Shape::kField;
  bool undecided = false;     // the contract says nothing of it
  bool called_plain = false;  // the contract says not_personal, wrongly
  bool identifier = false;    // of an identifier kind
  bool valid = false;         // its values have to be valid for their kind

  bool IsTime() const { return of_class == "OCCURRED_AT" || of_class == "EVENT_TIME"; }
  bool IsDate() const { return truth == Truth::kBirth || truth == Truth::kDate; }
  // The path as the contract's nodes have it.
  std::string Written() const;
};

// A treatment by the name that a configuration and docs/reference/treatments.md have.
using Way = std::string_view;
const std::vector<Way>& Ways();

// A kind in a shape, treated in a way: a contract and a stream can have it, and lint calls it
// proven.
struct Combination {
  const Kind* kind;
  Shape shape;
  Way way;
  std::string ToString() const;
};
// In an order that has each kind, shape and way anywhere. Of points, `kind` is LATITUDE's.
const std::vector<Combination>& Combinations();
std::vector<Way> WaysOf(const Kind& kind, Shape shape, bool internal);
config::v1::Treatment MakeTreatment(Way way, const Leaf& leaf, Random& random);
Way WayOf(const config::v1::Treatment& treatment);

// From what shows least to what shows more: each shows something that those before it don't.
std::vector<config::v1::Treatment> Chain(const Leaf& leaf, Random& random);

// A value, as text.
std::string ValueOf(const Leaf& leaf, Random& random);
// Another value of which a treatment shows the same, where the event's time is `at`; nullopt: the
// generator knows of none.
std::optional<std::string> AlikeOf(const Leaf& leaf, const std::string& value,
                                   const config::v1::Treatment& treatment, const std::string& at,
                                   Random& random);
// Another spelling of the same identifier; nullopt: the generator knows of none.
std::optional<std::string> RespellingOf(const Leaf& leaf, const std::string& value);
// What stands in prose that identifies somebody.
std::string MarkerIn(const std::string& text);

}  // namespace sluice::soundness
