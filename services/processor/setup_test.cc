// What a wrong configuration says, and the real rows of a public feed through its contract.
#include "services/processor/setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/base/strings.h"
#include "common/contract/loader.h"
#include "common/event/json_reader.h"
#include "common/privacy/seal.h"
#include "common/validation/validator.h"
#include "tests/support/temp_dir.h"

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
      ::testing::ElementsAre("policing.custody.v1.CustodyRecord", "policing.incidents.v1.Incident",
                             "policing.stops.v1.PublicStopSearch", "policing.stops.v1.StopSearch"));
  for (const std::string& name : (*contracts)->EventNames()) {
    auto plan = (*contracts)->Compile(name);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE(validation::Validator::Compile(**plan).ok())
        << validation::Validator::Compile(**plan).status();
  }
}

// What is shipped beside each pipeline: a valid event, which must be clean, and a broken one.
class ShippedPipelines : public ::testing::TestWithParam<const char*> {
 protected:
  // Writes a configuration around deploy/config/NAME-pipeline.yaml and loads it.
  absl::StatusOr<processor::Setup> Load() {
    const std::string& path = folder_->path();
    base::SystemRandom random;
    EXPECT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random).ok());
    auto keyring = privacy::Keyring::Create(
        {{"intelligence", "int"}, {"public", "pub"}, {"partners", "par"}}, random);
    EXPECT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random)->public_pem;
    std::ofstream config(path + "/processor.yaml");
    config << "kafka: {brokers: [a:1], group: g, instance: i}\ncontracts: [\"" << SourceDir()
           << "/proto\"]\npseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference: {local: {sets: [{name: boroughs, csv: \"" << SourceDir()
           << "/deploy/config/boroughs.csv\", key: code, not_personal: [name, "
              "command_unit]}]}}\npipeline:\n";
    std::ifstream pipeline(SourceDir() + "/deploy/config/" + GetParam() + "-pipeline.yaml");
    EXPECT_TRUE(pipeline.good());
    for (std::string line; std::getline(pipeline, line);) config << "  " << line << "\n";
    config.close();
    return LoadSetup(path + "/processor.yaml");
  }

  class Fates final : public engine::OutcomeSink {
   public:
    absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& record) override {
      clean.emplace_back(record.value);
      return absl::OkStatus();
    }
    absl::Status Quarantined(const engine::InputRecord&,
                             const engine::QuarantineRecord& record) override {
      for (const event::Violation& violation : record.violations)
        violations.push_back(base::StrCat(violation.path, ":", violation.rule));
      return absl::OkStatus();
    }
    void Suppressed(const engine::InputRecord&) override {}
    std::vector<std::string> clean, violations;
  };

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("shipped");
};

TEST_P(ShippedPipelines, TakeAValidEventAndNameWhatIsWrongWithABrokenOne) {
  auto setup = Load();
  ASSERT_TRUE(setup.ok()) << setup.status();
  base::SystemRandom random;
  auto keyed = KeyedEngine::Create(*setup, random);
  ASSERT_TRUE(keyed.ok()) << keyed.status();
  std::ifstream events(SourceDir() + "/tests/golden/" + GetParam() + ".jsonl");
  std::string valid, broken, rules;
  std::getline(events, valid);
  std::getline(events, broken);
  std::getline(events, rules);
  auto process = [&](const std::string& text) {
    base::InputRecord record;
    record.topic = "raw";
    record.value = text;
    Fates fates;
    EXPECT_EQ(keyed->engine->Process({&record, 1}, fates), absl::OkStatus());
    return fates;
  };
  Fates fates = process(valid);
  EXPECT_THAT(fates.violations, ::testing::IsEmpty());
  ASSERT_EQ(fates.clean.size(), setup->pipeline->streams().size());
  // No person of the example is in any stream.
  for (const std::string& clean : fates.clean)
    EXPECT_THAT(clean, ::testing::Not(::testing::ContainsRegex("Example|7700 ?900|1987-06-05")));
  fates = process(broken);
  EXPECT_THAT(fates.clean, ::testing::IsEmpty());
  std::sort(fates.violations.begin(), fates.violations.end());
  std::string found;
  for (const std::string& violation : fates.violations)
    base::StrAppend(found, found.empty() ? "" : " ", violation);
  EXPECT_EQ(found, rules);
}

INSTANTIATE_TEST_SUITE_P(Each, ShippedPipelines, ::testing::Values("incidents", "custody"),
                         [](const auto& info) { return info.param; });

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
