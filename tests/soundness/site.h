// A random site: a contract, reference sets, a pipeline and events, with what the generator knows
// of each leaf. What it knows is its own: nothing here asks the code under test what is personal or
// how much a treatment shows.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/enrichment/table.h"
#include "sluice/config/v1/pipeline.pb.h"
#include "tests/soundness/kinds.h"

namespace sluice::soundness {

struct Column {
  std::string name;
  std::string of_class;  // empty: not_personal
  bool undecided = false;
};

struct Set {
  std::string name;
  std::string kind;    // exact, area, nearest
  bool joined = true;  // else a treatment's own
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
  std::string mistake;  // empty: none on purpose

  const Leaf* Find(std::string_view path) const;
};

// Two values for each leaf, by path, as text: the first stands alone where the leaf doesn't repeat.
using Values = std::map<std::string, std::vector<std::string>>;

// A site whose first leaves are the combinations from `turn` on, so that sites with successive
// turns have all of them. About one in three has a mistake in it.
Site MakeSite(Random& random, size_t turn);
inline constexpr size_t kTurnsPerSite = 8;
Values MakeValues(const Site& site, Random& random);
std::vector<std::string> ValuesOf(const Leaf& leaf, Random& random);
std::string JsonOf(const Site& site, const Values& values);
// Degrees east at which the bands begin that the sets of areas consist of.
inline constexpr double kBands[] = {0, 0.3, 0.6, 1};

// What stands in a column's cells, but for the row's number behind it.
std::string CellText(const Set& set, const Column& column, bool other);
// All sets, with a row for each key that the events have. `other`: `set.column` whose cells are
// others.
std::vector<std::shared_ptr<const enrichment::Table>> MakeTables(const Site& site,
                                                                 const std::vector<Values>& events,
                                                                 std::string_view other = "");

}  // namespace sluice::soundness
