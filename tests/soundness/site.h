// A random site: a contract, reference sets, a pipeline and events, with what the generator knows
// of each leaf. What it knows is its own: nothing here asks the code under test what is personal or
// how much a treatment shows.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "common/enrichment/table.h"
#include "sluice/config/v1/pipeline.pb.h"

namespace sluice::soundness {

using Random = std::mt19937_64;

// What a leaf's values are, whatever the contract says of them.
enum class Truth : uint8_t {
  kPlain,   // everybody may have them
  kSecret,  // a text that nobody may have unless a stream keeps its class
  kId,      // the event's id
  kTime,    // to the second
  kText,    // prose with a phone number in it
  kPhone,   // a valid one
  kPoint,   // one of a point's two numbers
  kBirth,   // a date
  kPostcode,
  kNumber,  // classified, and too short to be known again
};

enum class Shape : uint8_t { kField, kList, kOneof, kMapKey, kMapValue, kMessage, kListOfMessages };

struct Leaf {
  std::string path;      // from the event, without []; a map's parts end in .key and .value
  std::string name;      // its own, or its map's
  std::string of_class;  // as `treat` knows it; empty: the contract calls it not_personal
  std::string type;      // of protobuf
  Truth truth = Truth::kPlain;
  Shape shape = Shape::kField;
  bool undecided = false;     // the contract says nothing of it
  bool called_plain = false;  // the contract says not_personal, wrongly
};

struct Column {
  std::string name;
  std::string of_class;  // empty: not_personal
  bool undecided = false;
};

struct Set {
  std::string name;
  std::string kind;  // exact, area, nearest
  std::vector<Column> columns;
};

struct Join {
  size_t set = 0;
  std::string into;
  std::vector<std::string> leaves;  // that it is asked with
  std::string cell;                 // or the column of the first join that it is
};

struct Site {
  std::string contract;  // a .proto file's text; the message is test.E
  std::vector<Leaf> leaves;
  std::vector<Set> sets;
  std::vector<Join> joins;
  config::v1::Pipeline config;

  const Leaf* Find(std::string_view path) const;
};

// Two values for each leaf, by path, as text: the first stands alone where the leaf doesn't repeat.
using Values = std::map<std::string, std::vector<std::string>>;

Site MakeSite(Random& random);
Values MakeValues(const Site& site, Random& random);
std::vector<std::string> ValuesOf(const Leaf& leaf, Random& random);
std::string JsonOf(const Site& site, const Values& values);

// What stands in a column's cells, but for the row's number behind it.
std::string CellText(const Set& set, const Column& column, bool other);
// All sets, with a row for each key that the events have. `other`: `set.column` whose cells are
// others.
std::vector<std::shared_ptr<const enrichment::Table>> MakeTables(const Site& site,
                                                                 const std::vector<Values>& events,
                                                                 std::string_view other = "");

}  // namespace sluice::soundness
