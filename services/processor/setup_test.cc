// What a wrong configuration says, and the real rows of a public feed through its contract.
#include "services/processor/setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/base/strings.h"
#include "common/contract/loader.h"
#include "common/event/json_reader.h"
#include "common/validation/validator.h"

namespace sluice::processor {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string SourceDir() { return std::getenv("SLUICE_SOURCE_DIR"); }

TEST(LoadSetup, NamesFileAndLine) {
  EXPECT_THAT(std::string(LoadSetup("/nonexistent.yaml").status().message()),
              HasSubstr("/nonexistent.yaml"));
  std::string path = ::testing::TempDir() + "/wrong.yaml";
  std::ofstream(path)
      << "kafka: {brokers: [a:1], group: g, instance: i}\nworkers: 100\npipline: {}\n";
  std::string error(LoadSetup(path).status().message());
  EXPECT_THAT(error, HasSubstr("wrong.yaml:3"));
  EXPECT_THAT(error, HasSubstr("pipeline"));
  fs::remove(path);
}

TEST(Contracts, AllThatAreShippedCompile) {
  auto contracts = contract::Contracts::Load({SourceDir() + "/proto"});
  ASSERT_TRUE(contracts.ok()) << contracts.status();
  EXPECT_THAT(
      (*contracts)->EventNames(),
      ::testing::ElementsAre("policing.stops.v1.PublicStopSearch", "policing.stops.v1.StopSearch"));
  for (const std::string& name : (*contracts)->EventNames()) {
    auto plan = (*contracts)->Compile(name);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE(validation::Validator::Compile(**plan).ok())
        << validation::Validator::Compile(**plan).status();
  }
}

TEST(Contracts, EveryRealRowOfThePublicFeedIsAccountedFor) {
  const char* shared = std::getenv("SLUICE_SHARED_DATA");
  fs::path data = shared != nullptr ? fs::path(shared)
                                    : fs::path(SourceDir()).parent_path() / "shared" / "data";
  if (!fs::is_directory(data / "mps-stop-search"))
    GTEST_SKIP() << "no real rows: set SLUICE_SHARED_DATA to their folder";
  auto contracts = contract::Contracts::Load({SourceDir() + "/proto"});
  ASSERT_TRUE(contracts.ok()) << contracts.status();
  auto plan = *(*contracts)->Compile("policing.stops.v1.PublicStopSearch");
  auto validator = *validation::Validator::Compile(*plan);
  event::JsonReader reader(plan);
  base::Arena arena;
  event::Event event;
  std::map<std::string, int> repairs, reasons;
  int rows = 0, valid = 0;
  for (const auto& file : fs::directory_iterator(data / "mps-stop-search")) {
    simdjson::dom::parser parser;
    for (simdjson::dom::element row : parser.load(file.path().string()).get_array()) {
      std::string json = simdjson::minify(row);
      arena.Reset();
      event.Clear();
      reader.Read(json, arena, event);
      if (event.fields != nullptr) validator->Check(event, arena);
      ++rows;
      valid += event.violations.empty();
      EXPECT_EQ(event.unknown_fields, 0u);
      for (const event::Violation& v : event.violations)
        ++reasons[base::StrCat(v.rule, " at ", v.path)];
      for (const event::Repair& r : event.repairs)
        ++repairs[base::StrCat(event::RepairName(r.kind), " at ", plan->node(r.node).path)];
    }
  }
  EXPECT_EQ(rows, 6653);
  std::printf("%d rows: %d valid, %d not\n", rows, valid, rows - valid);
  for (const auto& [what, count] : reasons)
    std::printf("  broken   %6d  %s\n", count, what.c_str());
  for (const auto& [what, count] : repairs)
    std::printf("  repaired %6d  %s\n", count, what.c_str());
  EXPECT_EQ(valid, rows);
}

}  // namespace
}  // namespace sluice::processor
