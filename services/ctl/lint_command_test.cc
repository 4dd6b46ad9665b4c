// Every planted mistake is found where it is, and every weakening of what is shipped is noticed.
#include "services/ctl/lint_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string Root() {
  const char* root = std::getenv("SLUICE_SOURCE_DIR");
  return root == nullptr ? "" : root;
}

std::string Read(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Mistake {
  std::string name, file, taken, put;
  bool elsewhere = false;
  std::string expected;
};

void PrintTo(const Mistake& mistake, std::ostream* out) { *out << mistake.name; }

std::string MistakesFile() { return Root() + "/tests/lint/mistakes.txt"; }

std::vector<Mistake> Mistakes() {
  std::vector<Mistake> mistakes;
  std::ifstream in(MistakesFile());
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("== ")) {
      std::vector<std::string> words = absl::StrSplit(line, ' ');
      mistakes.push_back({words[1], words[2], "", "", words.size() > 3, ""});
    } else if (!mistakes.empty() && line.size() > 1) {
      Mistake& mistake = mistakes.back();
      std::string& to = line[0] == '-'   ? mistake.taken
                        : line[0] == '+' ? mistake.put
                                         : mistake.expected;
      base::StrAppend(to, line.substr(2), "\n");
    }
  }
  return mistakes;
}

class PlantedMistake : public ::testing::TestWithParam<Mistake> {
 protected:
  // What lint says of the folder with the mistake in it: its findings, and the lines that the
  // mistake stands on.
  std::string Plant(const Mistake& mistake, std::pair<int, int>& lines) {
    fs::path folder = folder_->path();
    for (const char* file : {"processor.yaml", "stations.csv"})
      fs::copy(Root() + "/tests/lint/" + file, folder / file);
    fs::copy(Root() + "/tests/lint/contracts", folder / "contracts");
    std::string text = Read(folder / mistake.file);
    std::string taken = mistake.taken, put = mistake.put;
    taken.pop_back();  // the last line's end stays, but where whole lines go
    if (put.empty()) taken.push_back('\n');
    if (!put.empty()) put.pop_back();
    size_t at = text.find(taken);
    EXPECT_NE(at, std::string::npos) << "what is to be taken out isn't there";
    if (at == std::string::npos) return "";
    EXPECT_EQ(text.find(taken, at + 1), std::string::npos) << "it is there twice";
    lines.first = 1 + static_cast<int>(std::count(text.begin(), text.begin() + at, '\n'));
    lines.second = lines.first + static_cast<int>(std::count(put.begin(), put.end(), '\n'));
    text.replace(at, taken.size(), put);
    std::ofstream(folder / mistake.file) << text;
    Ended ended = RunCtl({"lint", "--strict", (folder / "processor.yaml").string()});
    EXPECT_EQ(ended.code, 1);
    EXPECT_EQ(ended.err, "");
    std::string findings;
    std::istringstream out(ended.out);
    for (std::string line; std::getline(out, line);) {
      if (line.find(": error: ") != std::string::npos ||
          line.find(": warning: ") != std::string::npos || line.starts_with("error: "))
        findings += line + "\n";
    }
    std::string prefix = folder.string() + "/";
    return absl::StrReplaceAll(findings, {{prefix, ""}, {folder.string(), "."}});
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-lint");
};

TEST_P(PlantedMistake, IsFoundWhereItIs) {
  const Mistake& mistake = GetParam();
  std::pair<int, int> lines;
  std::string found = Plant(mistake, lines);
  ASSERT_NE(found, "") << "it wasn't found";
  if (!mistake.elsewhere) {
    std::string_view file = std::string_view(mistake.file).substr(mistake.file.rfind('/') + 1);
    bool there = false;
    for (int line = lines.first; line <= lines.second; ++line)
      there |= found.find(base::StrCat(file, ":", line, ": ")) != std::string::npos;
    EXPECT_TRUE(there) << "planted at " << file << ":" << lines.first << "\n" << found;
  }
  if (std::getenv("SLUICE_UPDATE_GOLDEN") == nullptr) {
    EXPECT_EQ(mistake.expected, found);
    return;
  }
  std::vector<std::string> all = absl::StrSplit(Read(MistakesFile()), '\n');
  std::string text;
  bool here = false;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string& line = all[i];
    bool begins = line.starts_with("== ");
    if (begins) here = line.starts_with(base::StrCat("== ", mistake.name, " "));
    if (here && line.starts_with("> ")) continue;
    text += line + (i + 1 < all.size() ? "\n" : "");
    bool ends = here && (i + 1 == all.size() || all[i + 1].empty() ||
                         all[i + 1].starts_with("== ") || all[i + 1].starts_with("> "));
    if (!ends) continue;
    for (absl::string_view row : absl::StrSplit(found, '\n', absl::SkipEmpty()))
      base::StrAppend(text, "> ", row, "\n");
    here = false;
    while (i + 1 < all.size() && all[i + 1].starts_with("> ")) ++i;
  }
  std::ofstream(MistakesFile()) << text;
}

INSTANTIATE_TEST_SUITE_P(Each, PlantedMistake, ::testing::ValuesIn(Mistakes()),
                         [](const auto& info) {
                           return absl::StrReplaceAll(info.param.name, {{"-", "_"}});
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PlantedMistake);

TEST(Lint, AtLeastSixtyMistakesArePlantedAndEachExpectsSomething) {
  EXPECT_GE(Mistakes().size(), 60u);
  for (const Mistake& mistake : Mistakes()) EXPECT_NE(mistake.expected, "") << mistake.name;
}

TEST(Lint, TheGuideExplainsEveryWarning) {
  std::string guide = Read(Root() + "/docs/guides/audiences.md"), mistakes = Read(MistakesFile());
  static const std::regex kName("warning: \\[([a-z-]+)");
  std::set<std::string> names;
  for (std::sregex_iterator at(mistakes.begin(), mistakes.end(), kName), end; at != end; ++at)
    names.insert((*at)[1]);
  EXPECT_GE(names.size(), 10u);
  for (const std::string& name : names) EXPECT_THAT(guide, HasSubstr("`" + name));
}

TEST(Lint, SaysNothingOfAConfigurationWithoutAMistake) {
  Ended ended = RunCtl({"lint", "--strict", Root() + "/tests/lint/processor.yaml"});
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("0 errors, 0 warnings"));
  EXPECT_THAT(ended.out, HasSubstr("proven: no identifier reaches a stream as it stands"));
  EXPECT_THAT(ended.out, ::testing::ContainsRegex("visitor.phone +PHONE +pseudonymise +drop"));
}

TEST(Lint, WarningsAloneEndWithZeroUnlessStrict) {
  auto folder = *test_support::TempDir::Create("ctl-lint");
  std::string text = Read(Root() + "/tests/lint/processor.yaml");
  text =
      absl::StrReplaceAll(text, {{"PHONE: pseudonymise", "PHONE: keep"},
                                 {"[contracts]", "[\"" + Root() + "/tests/lint/contracts\"]"},
                                 {"stations.csv", "\"" + Root() + "/tests/lint/stations.csv\""}});
  std::string path = folder->path() + "/processor.yaml";
  std::ofstream(path) << text;
  Ended ended = RunCtl({"lint", path});
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("not proven: 1 of 8 identifiers"));
  EXPECT_EQ(RunCtl({"lint", "--strict", path}).code, 1);
  Ended json = RunCtl({"lint", "--output", "json", path});
  EXPECT_THAT(json.out, HasSubstr("\"warning\": \"kept:PHONE:visitor.phone\""));
  EXPECT_THAT(json.out, HasSubstr("\"holds\": false"));
  EXPECT_THAT(json.out, HasSubstr("\"line\": 27"));
}

TEST(Lint, AMaskThatShowsWhoItIsIsNoProof) {
  auto folder = *test_support::TempDir::Create("ctl-lint");
  std::string path = folder->path() + "/processor.yaml";
  auto lint = [&](const std::string& mask) {
    std::ofstream(path) << absl::StrReplaceAll(
        Read(Root() + "/tests/lint/processor.yaml"),
        {{"PHONE: pseudonymise", "PHONE: {mask: {" + mask + "}}"},
         {"[contracts]", "[\"" + Root() + "/tests/lint/contracts\"]"},
         {"stations.csv", "\"" + Root() + "/tests/lint/stations.csv\""}});
    return RunCtl({"lint", path});
  };
  EXPECT_THAT(lint("keep_last: 3").out, HasSubstr("\nproven: "));
  EXPECT_THAT(lint("keep_first: 2, keep_last: 2").out, HasSubstr("not proven: 1 of 8"));
  EXPECT_THAT(lint("keep_last: 200").out, HasSubstr("[mask-shows:PHONE:visitor.phone=200]"));
}

TEST(Lint, WhatNoProofCoversIsCountedApartAndNoted) {
  auto folder = *test_support::TempDir::Create("ctl-lint");
  const std::string path = folder->path() + "/processor.yaml";
  std::string text = absl::StrReplaceAll(
      Read(Root() + "/tests/lint/processor.yaml"),
      {{"key: code, not_personal: [title, region]",
        "schema: {columns: [{name: code}, {name: title, not_personal: true}, {name: region}], key: "
        "[{column: code}]}"},
       {"into: station_row, on_missing: keep}",
        "into: station_row, on_missing: keep}\n    - {set: stations, key: station, into: again}"},
       {"[contracts]", "[\"" + Root() + "/tests/lint/contracts\"]"},
       {"stations.csv", "\"" + Root() + "/tests/lint/stations.csv\""}});
  // In the first stream, which is internal.
  text.replace(text.find("FREE_TEXT: drop"), 15, "FREE_TEXT: {scrub: {replace: placeholders}}");
  std::ofstream(path) << text;
  Ended ended = RunCtl({"lint", path});
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("1 text apart, which no proof covers\n"));
  EXPECT_THAT(ended.out, HasSubstr(": scrubbed, not proven\n"));
  const std::string note =
      "note: the column 'region' of the reference set 'stations' is undecided, so no stream gets "
      "it";
  const size_t at = ended.out.find(note);
  ASSERT_NE(at, std::string::npos) << ended.out;
  EXPECT_EQ(ended.out.find(note, at + 1), std::string::npos) << "once, though it is joined twice";
  EXPECT_EQ(ended.out.find("'code'"), std::string::npos) << "a key needs no decision";
  Ended json = RunCtl({"lint", "--output", "json", path});
  EXPECT_THAT(json.out, HasSubstr("\"texts\": 1"));
  EXPECT_THAT(json.out, HasSubstr("the column 'region'"));
}

TEST(Lint, AFileThatIsNotThereIsAnError) {
  Ended ended = RunCtl({"lint", "nowhere.yaml"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, HasSubstr("nowhere.yaml: cannot be read"));
}

// A treatment of a shipped pipeline, and what somebody might put in its place.
struct Weakening {
  std::string line, weaker;
};

// Each line of the pipeline that gives a treatment, with everything that hides less.
std::vector<Weakening> WeakeningsOf(const std::string& pipeline) {
  static const std::regex kTreatment(R"(^(        |      )([A-Z_]+|[a-z_.]+): (.+)$)");
  std::vector<Weakening> all;
  std::string section;
  std::istringstream in(pipeline);
  for (std::string line; std::getline(in, line);) {
    if (std::smatch begin; std::regex_match(line, begin, std::regex("^    ([a-z]+):$")))
      section = begin[1];
    std::smatch match;
    if ((section != "treat" && section != "fields") || !std::regex_match(line, match, kTreatment))
      continue;
    std::string name = match[2], how = match[3];
    auto weaker = [&](const std::string& treatment) {
      all.push_back({line, base::StrCat(match[1].str(), name, ": ", treatment)});
    };
    if (how == "keep") continue;
    weaker("keep");
    static const std::regex kIdentifier(
        "PERSON_NAME|PHONE|EMAIL|PNC_ID|CRO|ASN|WARRANT_NUMBER|SHOULDER_NUMBER|VRM|ADDRESS|UPRN|"
        "FREE_IDENTIFIER|POSTCODE");
    bool identifier = std::regex_match(name, kIdentifier);
    if (how == "drop" && identifier) weaker("pseudonymise");
    if (identifier && how != "drop") weaker("{mask: {keep_last: 6}}");
    if (how == "pseudonymise") weaker("encrypt");
    if (how.find("age_bands") != std::string::npos) {
      weaker("{generalise: {age_bands: [18, 19, 20, 21, 22]}, as: age_band}");
      weaker("{generalise: day}");
    }
    if (how.find("grid_metres") != std::string::npos) weaker("{generalise: {grid_metres: 10}}");
    if (how.find("month") != std::string::npos) weaker("{generalise: hour}");
    if (how.find("district") != std::string::npos) weaker("{generalise: sector}");
  }
  return all;
}

class ShippedPipeline : public ::testing::TestWithParam<const char*> {
 protected:
  Ended Lint(const std::string& pipeline, std::vector<std::string> more) {
    std::string path = folder_->path() + "/changed.yaml";
    std::ofstream(path) << pipeline;
    std::vector<std::string> call = {
        "lint",
        "--strict",
        "--contracts",
        Root() + "/proto",
        "--reference",
        "boroughs=" + Root() + "/deploy/config/boroughs.csv:code:not_personal=name,command_unit"};
    call.insert(call.end(), more.begin(), more.end());
    call.push_back(path);
    return RunCtl(std::move(call));
  }

  std::string path_ = base::StrCat(Root(), "/deploy/config/", GetParam(), "-pipeline.yaml");
  std::string pipeline_ = Read(path_);
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-lint");
};

TEST_P(ShippedPipeline, HasNeitherMistakesNorUnacceptedWarnings) {
  Ended ended = Lint(pipeline_, {"--against", path_});
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("0 errors, 0 warnings"));
  EXPECT_THAT(ended.out, HasSubstr("proven: "));
}

TEST(Lint, ComparesWithTheContractsAsTheyWere) {
  auto folder = *test_support::TempDir::Create("ctl-lint");
  const std::string before = folder->path() + "/before", now = folder->path() + "/now";
  for (const std::string& contracts : {before, now})
    fs::copy(Root() + "/tests/lint/contracts", contracts);
  std::ofstream(now + "/visit.proto") << absl::StrReplaceAll(
      Read(before + "/visit.proto"),
      {{"\"station\", \"minutes\"", "\"minutes\""},
       {"[(buf.validate.field).string.pattern = \"^[A-Z]{2}$\"]",
        "[(sluice.contract.v1.field) = {not_personal: true read: {source: \"reason\"}}]"},
       {"[(sluice.contract.v1.field).free_text = true]",
        "[(sluice.contract.v1.field) = {free_text: true read: {source: \"why\"}}]"}});
  const std::string pipeline = folder->path() + "/pipeline.yaml";
  std::ofstream(pipeline)
      << "contract: example.v1.Visit\ninput: {topic: raw}\n"
         "quarantine: {topic: q, public_key: q.pub}\nstreams:\n"
         "  - {name: a, topic: a, purpose: p, domain: a, treat: {PERSON_NAME: drop, PHONE: drop, "
         "DATE_OF_BIRTH: drop, POSTCODE: drop, ETHNICITY: drop, GENDER: drop, LOCATION: drop, "
         "OCCURRED_AT: {generalise: year}, EVENT_TIME: drop, FREE_TEXT: drop}}\n";
  Ended ended = RunCtl({"lint", "--strict", "--contracts", now, "--against", pipeline,
                        "--against-contracts", before, pipeline});
  EXPECT_EQ(ended.code, 1) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("[weaker:station] a: 'station' now also depends on station "
                                   "(read from `reason`)"));
  EXPECT_EQ(RunCtl({"lint", "--strict", "--contracts", now, "--against", pipeline, pipeline}).code,
            0);
}

TEST_P(ShippedPipeline, NoTreatmentIsWeakenedUnnoticed) {
  std::vector<Weakening> weakenings = WeakeningsOf(pipeline_);
  EXPECT_GT(weakenings.size(), 30u);
  size_t internal_only = 0;
  for (size_t at = 0; const Weakening& weakening : weakenings) {
    // The same line may stand in two streams; each is found behind the one before.
    at = pipeline_.find("\n" + weakening.line + "\n", at > 0 ? at - 1 : 0);
    if (at == std::string::npos) at = pipeline_.find("\n" + weakening.line + "\n");
    ASSERT_NE(at, std::string::npos);
    std::string changed = pipeline_;
    changed.replace(at + 1, weakening.line.size(), weakening.weaker);
    EXPECT_EQ(Lint(changed, {"--against", path_}).code, 1)
        << weakening.line << " ->" << weakening.weaker;
    // Without the pipeline as it was, only a finer level inside the force isn't warned of.
    if (Lint(changed, {}).code == 1) continue;
    ++internal_only;
    EXPECT_LT(at, pipeline_.rfind("  - name: ")) << weakening.line << " ->" << weakening.weaker;
    EXPECT_EQ(weakening.weaker.find("keep\n"), std::string::npos);
    EXPECT_FALSE(weakening.weaker.ends_with(": keep")) << weakening.line;
  }
  EXPECT_LT(internal_only, weakenings.size() / 3);
}

INSTANTIATE_TEST_SUITE_P(Each, ShippedPipeline, ::testing::Values("stops", "incidents", "custody"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sluice::ctl
