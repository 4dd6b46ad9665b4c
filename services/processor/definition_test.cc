// A configuration without its keys: what is wrong with it, all at once, and nothing twice.
#include "services/processor/definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "common/base/strings.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LoadDefinitionTest : public ::testing::Test {
 protected:
  std::string Root() const { return std::getenv("SLUICE_SOURCE_DIR"); }
  std::string Write(const std::string& text) {
    std::string path = folder_->path() + "/c.yaml";
    std::ofstream(path) << text;
    return path;
  }
  std::string ErrorOf(const std::string& text) {
    return std::string(LoadDefinition(Write(text)).status().message());
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("definition");
};

TEST_F(LoadDefinitionTest, APipelineAloneNeedsNeitherKeysNorKafka) {
  PipelineSurroundings surroundings{.contracts = {Root() + "/proto"}, .sets = {}};
  auto definition =
      LoadDefinition(Root() + "/deploy/config/incidents-pipeline.yaml", &surroundings);
  ASSERT_TRUE(definition.ok()) << definition.status();
  EXPECT_TRUE(definition->pipeline_only);
  EXPECT_EQ(definition->pipeline->streams().size(), 2u);
  EXPECT_THAT(definition->Where("pipeline.streams[1].domain"),
              HasSubstr("incidents-pipeline.yaml:34"));
}

TEST_F(LoadDefinitionTest, ReportsMistakesOfAllKindsAtOnce) {
  std::string error =
      ErrorOf(base::StrCat("kafka: {brokers: [], group: g, instance: i}\n"
                           "contracts: [\"",
                           Root(),
                           "/proto\"]\n"
                           "workers: many\n"
                           "reference: {local: {sets: [{name: s, csv: nowhere.csv, key: k}]}}\n"
                           "pipeline:\n"
                           "  contract: policing.incidents.v1.Incident\n"
                           "  input: {topic: raw}\n"
                           "  quarantine: {topic: raw, public_key: q}\n"
                           "  enrich: [{set: s, key: nothing, into: x}]\n"
                           "  streams: []\n"));
  for (const char* found :
       {"c.yaml:1: kafka.brokers: name at least one", "c.yaml:3: workers: ", "pseudonymiser: give",
        "c.yaml:4: reference.local.sets[0].csv: ", "nowhere.csv: can't be read",
        "c.yaml:8: pipeline.quarantine.topic: the topic 'raw' is used twice",
        "c.yaml:9: pipeline.enrich[0].key: the contract has no field 'nothing'",
        "c.yaml:10: pipeline.streams: there are none"})
    EXPECT_THAT(error, HasSubstr(found));
  // The set is there; it couldn't be loaded.
  EXPECT_THAT(error, Not(HasSubstr("there is no reference set")));
}

TEST_F(LoadDefinitionTest, WantsKeysEitherHereOrElsewhere) {
  auto error = [this](const std::string& kafka, const std::string& pseudonymiser) {
    return ErrorOf(base::StrCat("kafka: {brokers: [\"a:1\"], group: g, instance: i", kafka,
                                "}\npseudonymiser: {", pseudonymiser, "}\n"));
  };
  const std::string local = "local: {keyring: k, key_encryption_key: e}";
  EXPECT_THAT(error("", "remote: {address: \"localhost:1\"}, " + local),
              HasSubstr("c.yaml:2: pseudonymiser: give either local"));
  EXPECT_THAT(error("", "remote: {address: \"localhost:1\"}"), Not(HasSubstr("pseudonymiser")));
  for (const char* wrong : {"deadline_ms: 9", "deadline_ms: 10001", "in_flight: -1",
                            "in_flight: 65", "values_per_call: 10001"}) {
    std::string key = std::string(wrong).substr(0, std::string(wrong).find(':'));
    EXPECT_THAT(error("", base::StrCat("remote: {address: \"localhost:1\", ", wrong, "}")),
                HasSubstr(base::StrCat("c.yaml:2: pseudonymiser.remote.", key, ": must be ")));
  }
  EXPECT_THAT(
      error(", transaction_timeout_ms: 3000", "remote: {address: \"a:1\", deadline_ms: 1501}"),
      HasSubstr("pseudonymiser.remote.deadline_ms: must be at most half of "
                "kafka.transaction_timeout_ms"));
}

TEST_F(LoadDefinitionTest, AControlTopicNeedsSetsAFolderAndAnotherGroupToFollow) {
  auto error = [this](const std::string& reference) {
    return ErrorOf(base::StrCat("kafka: {brokers: [\"a:1\"], group: g, instance: i}\n",
                                "reference: {", reference, "}\n"));
  };
  const std::string remote = "remote: {address: \"localhost:1\", sets: [s]}";
  EXPECT_THAT(error(remote + ", control: {topic: c}"),
              HasSubstr("c.yaml:2: reference.folder: is required with control"));
  EXPECT_THAT(error("folder: f, control: {topic: c}"),
              HasSubstr("c.yaml:2: reference.control: there are no sets"));
  EXPECT_THAT(error(remote + ", folder: f, control: {follow: h}"),
              HasSubstr("c.yaml:2: reference.control.topic"));
  EXPECT_THAT(error(remote + ", folder: f, control: {topic: c, follow: g}"),
              HasSubstr("c.yaml:2: reference.control.follow: is this processor's own group"));
  EXPECT_THAT(error(remote + ", folder: f, control: {topic: c, follow: h}"),
              Not(HasSubstr("reference.")));
}

TEST_F(LoadDefinitionTest, LeavesOutWhatOnlyFollowsFromAnotherMistake) {
  std::string error =
      ErrorOf(base::StrCat("kafka: {brokers: [a:1], group: g, instance: i}\n"
                           "contracts: [\"",
                           Root(),
                           "/proto\"]\n"
                           "pseudonymiser: {local: {keyring: k, key_encryption_key: e}}\n"
                           "pipeline:\n"
                           "  contract: policing.incidents.v1.Incident\n"
                           "  input: {topic: raw}\n"
                           "  quarantine: {topic: q, public_key: q}\n"
                           "  streams:\n"
                           "    - name: a\n"
                           "      topic: a\n"
                           "      domian: a\n"
                           "      treet: {PERSON_NAME: drop}\n"));
  EXPECT_THAT(
      error,
      HasSubstr("c.yaml:11: pipeline.streams[0].domian: unknown key; did you mean `domain`?"));
  EXPECT_THAT(
      error, HasSubstr("c.yaml:12: pipeline.streams[0].treet: unknown key; did you mean `treat`?"));
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
}

}  // namespace
}  // namespace sluice::processor
