#include "common/engine/treatment_table.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace sluice::engine {
namespace {

TEST(TreatmentTable, EveryRowIsFoundAndSaysWhatItIs) {
  std::set<std::string_view> names;
  for (const TreatmentRow& row : Treatments()) {
    EXPECT_EQ(&RowOf(row.kind), &row);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    for (std::string_view text : {row.meaning, row.shows, row.promise, row.oracle})
      EXPECT_FALSE(text.empty()) << row.name;
    EXPECT_EQ(row.refusal.empty(), row.subject == Subject::kAnything) << row.name;
  }
  EXPECT_EQ(names.size(), kTreatmentKinds);
}

TEST(TreatmentTable, CountsWhatShows) {
  OutputNode node;
  node.op = Op::kMask;
  node.mask.set_keep_first(2);
  node.mask.set_keep_last(1);
  EXPECT_EQ(HowMuchShows(node).measure, Measure::kCharacters);
  EXPECT_EQ(HowMuchShows(node).amount, 3);
  node.op = Op::kTimePart;
  node.part = Part::kHour;
  double hour = HowMuchShows(node).amount;
  node.part = Part::kMonth;
  EXPECT_GT(HowMuchShows(node).amount, hour);
  node.op = Op::kAgeBand;
  node.bands = {18, 25, 27};
  EXPECT_EQ(HowMuchShows(node).amount, 2 * 366);
  node.op = Op::kKeep;
  EXPECT_EQ(HowMuchShows(node).measure, Measure::kEverything);
}

// `./run docs` writes the page anew, with SLUICE_UPDATE_GOLDEN.
TEST(TreatmentTable, ThePageIsCurrent) {
  const char* root = std::getenv("SLUICE_SOURCE_DIR");
  ASSERT_NE(root, nullptr) << "run it by ctest";
  std::string path = std::string(root) + "/docs/reference/treatments.md";
  if (std::getenv("SLUICE_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << TreatmentsPage();
  std::ifstream file(path);
  std::stringstream page;
  page << file.rdbuf();
  EXPECT_EQ(page.str(), TreatmentsPage())
      << "docs/reference/treatments.md isn't current; ./run docs writes it anew";
}

}  // namespace
}  // namespace sluice::engine
