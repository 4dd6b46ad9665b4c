#include "services/ctl/explain_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "services/ctl/testing.h"

namespace sluice::ctl {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class ExplainCommand : public ::testing::Test {
 protected:
  Ended Explain(const std::string& event, std::vector<std::string> more = {}) {
    std::vector<std::string> call = {
        "explain",          root_ + "/deploy/config/incidents-pipeline.yaml",
        "--contracts",      root_ + "/proto",
        "--throwaway-keys", "-"};
    call.insert(call.end(), more.begin(), more.end());
    return RunCtl(std::move(call), event);
  }
  std::string Line(int number) const {
    std::ifstream in(root_ + "/tests/golden/incidents.jsonl");
    std::string line;
    for (int i = 0; i <= number; ++i) std::getline(in, line);
    return line + "\n";
  }

  std::string root_ = std::getenv("SLUICE_SOURCE_DIR");
};

TEST_F(ExplainCommand, ShowsEachStreamsOutputSideBySideAndWhy) {
  Ended ended = Explain(Line(0));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("verdict: clean"));
  EXPECT_THAT(ended.out, HasSubstr("repaired: local_time at opened_at"));
  EXPECT_THAT(ended.out, ContainsRegex("output +intelligence +partners"));
  EXPECT_THAT(ended.out, ContainsRegex("people\\[0\\]\\.age_band +35-49 +18-64"));
  EXPECT_THAT(ended.out, ContainsRegex("opened_at +2026-03-04T05:06:07Z +2026-03-04T05\n"));
  EXPECT_THAT(ended.out, ContainsRegex("people\\[\\]\\.name +PERSON_NAME +pseudonymise +drop"));
  EXPECT_THAT(ended.out, Not(HasSubstr("Example")));
}

TEST_F(ExplainCommand, NamesWhatABrokenEventBreaksWithoutItsValues) {
  Ended ended = Explain(Line(1));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, HasSubstr("verdict: quarantined"));
  EXPECT_THAT(ended.out, HasSubstr("people[0].phone breaks sluice.identifier"));
  EXPECT_THAT(ended.out, HasSubstr("location breaks required"));
  EXPECT_THAT(ended.out, Not(HasSubstr("pigeon")));
}

TEST_F(ExplainCommand, AnswersProgramsInJson) {
  Ended ended = Explain(Line(0), {"--output", "json"});
  EXPECT_THAT(ended.out, HasSubstr("\"verdict\": \"clean\""));
  EXPECT_THAT(ended.out, HasSubstr("\"stream\": \"partners\""));
  EXPECT_THAT(ended.out, HasSubstr("\"partners\": \"generalise: hour\""));
}

TEST_F(ExplainCommand, APositionInKafkaHasThreeParts) {
  Ended ended = RunCtl({"explain", root_ + "/deploy/config/incidents-pipeline.yaml", "--contracts",
                        root_ + "/proto", "--throwaway-keys", "--broker", "127.0.0.1:1", "raw/0"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("topic/partition/offset"));
}

}  // namespace
}  // namespace sluice::ctl
