// The demo's own sets and pipeline: every event finds its rows, and no point leaves its area.
#include "demo/reference_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/privacy/seal.h"
#include "common/reference/question.h"
#include "demo/generator.h"
#include "services/processor/setup.h"
#include "tests/support/temp_dir.h"

namespace sluice::demo {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string TextOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_TRUE(in) << path;
  return text.str();
}

std::string Indented(const std::string& text) {
  std::string indented;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) base::StrAppend(indented, "  ", line, "\n");
  return indented;
}

TEST(ReferenceSets, TheSameSeedGivesTheSameBytesAndAnotherOneAnotherMap) {
  auto a = *test_support::TempDir::Create("demo"), b = *test_support::TempDir::Create("demo");
  for (const char* file : {"lsoas.geojson", "wards.geojson", "snap_points.csv", "postings.csv",
                           "units.csv", "offences.csv"}) {
    ASSERT_EQ(WriteReferenceSets(a->path(), 1), absl::OkStatus());
    ASSERT_EQ(WriteReferenceSets(b->path(), 1), absl::OkStatus());
    EXPECT_EQ(TextOf(a->path() + "/" + file), TextOf(b->path() + "/" + file));
  }
  ASSERT_EQ(WriteReferenceSets(b->path(), 2), absl::OkStatus());
  EXPECT_NE(TextOf(a->path() + "/lsoas.geojson"), TextOf(b->path() + "/lsoas.geojson"));
  EXPECT_FALSE(WriteReferenceSets(a->path() + "/none", 1).ok());
}

class DemoPipelineTest : public ::testing::Test, public engine::OutcomeSink {
 protected:
  void SetUp() override {
    const std::string root = std::getenv("SLUICE_SOURCE_DIR"), path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random_).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random_).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random_)->public_pem;
    ASSERT_EQ(WriteReferenceSets(path, 1), absl::OkStatus());
    std::filesystem::copy(root + "/deploy/config/boroughs.csv", path + "/boroughs.csv");
    std::ofstream(path + "/processor.yaml")
        << "kafka: {brokers: [\"a:1\"], group: g, instance: i}\ncontracts: [\"" << root
        << "/proto\"]\npseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
        << "reference:\n"
        << Indented(TextOf(root + "/demo/reference.yaml")) << "pipeline:\n"
        << Indented(TextOf(root + "/demo/stops-pipeline.yaml"));
    auto setup = processor::LoadSetup(path + "/processor.yaml");
    ASSERT_TRUE(setup.ok()) << setup.status();
    setup_ = std::make_unique<processor::Setup>(*std::move(setup));
  }

  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& record) override {
    values_[record.stream].emplace_back(record.value);
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& record) override {
    for (const auto& header : record.headers)
      if (header.name == "sluice-reason") base::StrAppend(reasons_, header.value, "\n");
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("demo");
  base::SystemRandom random_;
  std::unique_ptr<processor::Setup> setup_;
  std::vector<std::string> values_[2];
  std::string reasons_;
};

TEST_F(DemoPipelineTest, EventsFindTheirRowsOfEveryKind) {
  auto keyed = processor::KeyedEngine::Create(*setup_, random_);
  ASSERT_TRUE(keyed.ok()) << keyed.status();
  Generator generator(1);
  for (int i = 0; i < 2'000; ++i) {
    base::InputRecord record;
    record.topic = "raw.stops";
    record.offset = i;
    record.value = generator.Next();
    ASSERT_EQ(keyed->engine->Process({&record, 1}, *this), absl::OkStatus());
  }
  const engine::Tally& tally = keyed->engine->tally();
  EXPECT_EQ(tally.clean, 1'960u) << "one in fifty is broken";
  EXPECT_THAT(reasons_, Not(HasSubstr("sluice.reference_missing")));
  ASSERT_EQ(tally.hits.size(), 6u);
  for (size_t join : {0, 1, 2, 5}) EXPECT_EQ(tally.hits[join], tally.joined) << join;
  // Some postings have a gap, and who has none has no unit.
  EXPECT_GT(tally.hits[3], tally.joined * 99 / 100);
  EXPECT_LT(tally.hits[3], tally.joined);
  EXPECT_EQ(tally.hits[4], tally.hits[3]);
  for (const char* field : {"\"lsoa\":{", "\"ward\":{", "\"borough\":{\"name\":", "\"posting\":{",
                            "\"unit\":{\"name\":", "\"offence\":{\"code\":\"D1"})
    EXPECT_THAT(values_[0][0], HasSubstr(field));
  for (const std::string& value : values_[1]) {
    EXPECT_THAT(value, HasSubstr("\"ward\":{"));
    for (const char* field : {"\"lsoa\"", "\"posting\"", "\"unit\"", "warrant_no"})
      ASSERT_THAT(value, Not(HasSubstr(field)));
  }
}

// Each point of the snap set is in an area and is its own nearest one: areas neither overlap there
// nor leave a hole, and nobody is moved out of theirs.
TEST_F(DemoPipelineTest, EverySnapPointSnapsToItself) {
  const auto& tables = setup_->joined.state->tables;
  const enrichment::Table &points = *tables.at("snap_points"), &lsoas = *tables.at("lsoas");
  EXPECT_EQ(lsoas.size(), static_cast<size_t>(kLsoas));
  EXPECT_EQ(tables.at("wards")->size(), static_cast<size_t>(kWards));
  EXPECT_EQ(tables.at("boroughs")->size(), static_cast<size_t>(kBoroughs));
  std::istringstream lines(TextOf(folder_->path() + "/snap_points.csv"));
  std::string line;
  std::getline(lines, line);
  std::map<std::string, int> in_lsoa;
  for (int id = 1; std::getline(lines, line); ++id) {
    size_t longitude = line.rfind(','), latitude = line.rfind(',', longitude - 1);
    reference::v1::Question question;
    question.set_latitude(std::atof(line.c_str() + latitude + 1));
    question.set_longitude(std::atof(line.c_str() + longitude + 1));
    auto area = reference::Ask(lsoas, question, 0), point = reference::Ask(points, question, 0);
    ASSERT_TRUE(area.ok() && *area != enrichment::kNoRow) << line;
    ASSERT_TRUE(point.ok() && *point != enrichment::kNoRow) << line;
    EXPECT_EQ(reference::RowTexts(points, *point).at("id"), std::to_string(id));
    ++in_lsoa[reference::RowTexts(lsoas, *area).at("code")];
  }
  EXPECT_EQ(in_lsoa.size(), static_cast<size_t>(kLsoas));
  for (const auto& [code, count] : in_lsoa) EXPECT_EQ(count, 2) << code;
}

}  // namespace
}  // namespace sluice::demo
