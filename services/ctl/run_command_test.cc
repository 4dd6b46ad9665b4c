// A file through the engine: what comes out, that the sums agree, that it is the same each time.
#include "services/ctl/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/strings.h"
#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class RunCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(path_ + "/contracts");
    fs::copy(root_ + "/tests/lint/contracts", path_ + "/contracts");
    for (const char* file : {"processor.yaml", "stations.csv"})
      fs::copy(root_ + "/tests/lint/" + file, path_ + "/" + file);
    ASSERT_EQ(RunCtl({"keys", "init", "--keyring", path_ + "/keyring", "--key-encryption-key",
                      path_ + "/kek", "--domain", "analysis=ana", "--domain", "public=pub"})
                  .code,
              0);
    ASSERT_EQ(RunCtl({"keys", "quarantine", "--private", path_ + "/quarantine.key", "--public",
                      path_ + "/quarantine.pub"})
                  .code,
              0);
  }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
    return path_ + "/" + name;
  }
  Ended Run(const std::string& in, const std::string& out, std::vector<std::string> more = {},
            const std::string& piped = "") {
    std::vector<std::string> call = {"run",   path_ + "/processor.yaml", "--in", in,
                                     "--out", path_ + "/" + out};
    call.insert(call.end(), more.begin(), more.end());
    return RunCtl(std::move(call), piped);
  }
  std::string Out(const std::string& file) const { return Read(path_ + "/" + file); }

  static std::string Event(int i) {
    return base::StrCat(R"({"visit_id":"6f9619ff-8b86-4011-b42d-)", 100000000000 + i,
                        R"(","arrived_at":"2026-03-04T05:06:07Z","visitor":{"name":"Ann Canary",)",
                        R"("phone":"07700 900123"},"station":"AB","minutes":)", i, "}");
  }

  std::string root_ = std::getenv("SLUICE_SOURCE_DIR");
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-run");
  std::string path_ = folder_->path();
};

TEST_F(RunCommand, EveryEventIsInEveryStreamOrInQuarantineAndTheSumsAgree) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += i % 10 == 3 ? R"({"visit_id":"Canary"})" : Event(i);
    text += i % 2 == 0 ? "\n" : "\r\n";
    if (i == 500) text += "\n";  // an empty line is no event
  }
  Ended ended = Run(Write("in.jsonl", text), "out");
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("in 1000 = clean 900 + quarantined 100 + suppressed 0"));
  std::string analysis = Out("out/analysis.jsonl"), publics = Out("out/public.jsonl");
  EXPECT_EQ(std::count(analysis.begin(), analysis.end(), '\n'), 900);
  EXPECT_EQ(std::count(publics.begin(), publics.end(), '\n'), 900);
  EXPECT_THAT(analysis, HasSubstr("ana1-"));
  EXPECT_THAT(analysis, HasSubstr(R"("station_row":{"title":"Abbey","region":"North"})"));
  std::string quarantine = Out("out/quarantine.jsonl");
  EXPECT_EQ(std::count(quarantine.begin(), quarantine.end(), '\n'), 100);
  EXPECT_THAT(quarantine, ::testing::StartsWith(
                              R"({"line":4,"reasons":[{"path":"visit_id","rule":"string.uuid"})"));
  // Line 504 is behind the empty one.
  EXPECT_THAT(quarantine, HasSubstr("{\"line\":505,"));
  for (const std::string& file : {analysis, publics, quarantine})
    EXPECT_THAT(file, Not(HasSubstr("Canary")));
  std::string summary = Out("out/summary.json");
  EXPECT_THAT(summary, HasSubstr("\"in\": 1000"));
  EXPECT_THAT(summary, HasSubstr("\"analysis\": 900"));
  EXPECT_THAT(summary, HasSubstr("\"string.uuid at visit_id\": 100"));
}

TEST_F(RunCommand, TheSameFileGivesTheSameBytesAlsoThroughAPipe) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += Event(i) + "\nbroken\n";
  ASSERT_EQ(Run(Write("in.jsonl", text), "a").code, 0);
  Ended ended = Run("-", "b", {}, text);
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* file : {"analysis.jsonl", "public.jsonl", "quarantine.jsonl", "summary.json"})
    EXPECT_EQ(Out(std::string("a/") + file), Out(std::string("b/") + file)) << file;
}

TEST_F(RunCommand, ALineMayBeLongerThanWhatIsReadAtOnce) {
  std::string event = Event(1);
  event.insert(event.size() - 1, R"(,"reason":")" + std::string(900'000, 'x') + "\"");
  std::string text;
  for (int i = 0; i < 5; ++i) text += event + "\n" + Event(i) + "\n";
  Ended ended = Run(Write("in.jsonl", text.substr(0, text.size() - 1)), "out");
  EXPECT_THAT(ended.out, HasSubstr("in 10 = clean 10"));
}

TEST_F(RunCommand, CsvColumnsAreTheSourcesOfTheContract) {
  std::string csv = "visit_id,arrived_at,visitor.name,visitor.phone,station,refused\r\n";
  for (int i = 0; i < 300; ++i)
    base::StrAppend(csv, "6f9619ff-8b86-4011-b42d-", 100000000000 + i,
                    ",2026-03-04T05:06:07Z,\"Canary, \"\"Ann\"\"\nJane\",,CD,yes\r\n");
  csv += "not-an-id,2026-03-04T05:06:07Z,,,CD,\n";
  Ended ended = Run(Write("in.csv", csv), "out", {"--strict"});
  ASSERT_EQ(ended.code, 1) << ended.err << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("in 301 = clean 300 + quarantined 1"));
  EXPECT_THAT(ended.out, HasSubstr("1  string.uuid at visit_id"));
  EXPECT_THAT(Out("out/analysis.jsonl"), HasSubstr(R"("station":"CD","refused":true)"));
  // A quoted cell's line ends count: the header and 300 rows of two lines stand before it.
  EXPECT_THAT(Out("out/quarantine.jsonl"), HasSubstr("\"line\":602"));
  EXPECT_THAT(Out("out/analysis.jsonl"), Not(HasSubstr("Canary")));
}

TEST_F(RunCommand, ColumnsAreRenamedAsForAnImport) {
  std::string csv = "Ref,When,Shop,Remarks\n6f9619ff-8b86-4011-b42d-100000000000,";
  Ended ended = Run(Write("in.csv", csv + "2026-03-04T05:06:07Z,AB,Canary\n"), "out",
                    {"--name", "Ref=visit_id", "--name", "When=arrived_at", "--name",
                     "Shop=station", "--name", "Remarks="});
  EXPECT_THAT(ended.out, HasSubstr("in 1 = clean 1")) << ended.err;
  ended = Run(Write("in.txt", csv), "other");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("give --format csv or --format jsonl"));
}

TEST_F(RunCommand, RowsThatCannotBeEventsAreRefusedWithTheirLines) {
  std::string csv = "visit_id,arrived_at,station\n";
  for (int i = 0; i < 500; ++i)
    base::StrAppend(csv, i % 2 == 0 ? "Canary,too,many,cells\n"
                                    : base::StrCat("6f9619ff-8b86-4011-b42d-", 100000000000 + i,
                                                   ",2026-03-04T05:06:07Z,AB\n"));
  Ended ended = Run(Write("in.csv", csv), "out");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("in 250 = clean 250 + quarantined 0 + suppressed 0"));
  EXPECT_THAT(ended.out, HasSubstr("250 rows refused"));
  EXPECT_THAT(Out("out/quarantine.jsonl"), HasSubstr("{\"line\":500,\"refused\":"));
  EXPECT_THAT(Out("out/summary.json"), HasSubstr("\"refused\": 250"));
  EXPECT_THAT(Out("out/quarantine.jsonl"), Not(HasSubstr("Canary")));
}

TEST_F(RunCommand, ACsvWhoseHeaderMakesNoSenseLeavesNothing) {
  Ended ended = Run(Write("in.csv", "visitor,visitor.name\na,b\n"), "out");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("in.csv: "));
  EXPECT_FALSE(fs::exists(path_ + "/out/analysis.jsonl"));
}

TEST_F(RunCommand, NeverOverwritesAResult) {
  std::string in = Write("in.jsonl", Event(1) + "\n");
  ASSERT_EQ(Run(in, "out").code, 0);
  std::string before = Out("out/analysis.jsonl");
  Ended ended = Run(in, "out");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("name a new folder"));
  EXPECT_EQ(Out("out/analysis.jsonl"), before);
}

TEST_F(RunCommand, APipelineAloneIsTriedWithKeysThatNobodyKeeps) {
  std::string events = root_ + "/tests/golden/stops.jsonl";
  std::vector<std::string> call = {
      "run",
      root_ + "/deploy/config/stops-pipeline.yaml",
      "--contracts",
      root_ + "/proto",
      "--reference",
      "boroughs=" + root_ + "/deploy/config/boroughs.csv:code:not_personal=name,command_unit",
      "--in",
      events,
      "--out",
      path_ + "/out"};
  Ended ended = RunCtl(call);
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("add --throwaway-keys"));
  call.push_back("--throwaway-keys");
  EXPECT_EQ(RunCtl(call).code, 0);
  EXPECT_THAT(Out("out/public.jsonl"), HasSubstr("\"age_band\":\"35+\""));
}

}  // namespace
}  // namespace sluice::ctl
