#include "common/config/yaml.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/message_differencer.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"
#include "sluice/config/v1/pipeline.pb.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kPipeline = R"(contract: policing.stops.v1.StopSearch
input: {topic: raw.stops, format: protobuf, schema_ids: [3, 4], event_bytes_max: 65536}
quarantine:
  topic: quarantine.stops
  public_key: keys/quarantine.pem
enrich:
  - {set: boroughs, key: officer.borough, into: borough, fields: {name: borough_name}, on_missing: null}
streams:
  - name: intelligence
    topic: clean.stops.intelligence
    domain: intelligence
    internal: true
    treat:
      PERSON_NAME: pseudonymise
      PHONE: {mask: {keep_last: 3}, as: phone_end}
      DATE_OF_BIRTH: {generalise: {age_bands: [18, 25, 35, 50]}}
      OCCURRED_AT: {generalise: month}
      ETHNICITY: {drop: {}}
    fields:
      subject.name: keep
      location.point: {generalise: {grid_metres: 500}}
      cost: {generalise: {bucket: 2.5e1}}
)";

std::string ErrorOf(std::string_view yaml, google::protobuf::Message& out) {
  absl::Status status = ParseYaml(yaml, "p.yaml", out, nullptr);
  if (status.ok()) return "";
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

template <typename Message>
std::string ErrorOf(std::string_view yaml) {
  Message out;
  return ErrorOf(yaml, out);
}

// A stream whose part `text` is what a test is about; it starts on line 6.
std::string WithStream(std::string_view text) {
  return "contract: c\ninput: {topic: t}\nquarantine: {topic: q, public_key: k}\n"
         "streams:\n- {name: n, topic: o}\n" +
         std::string("- {name: m, topic: p,\n") + std::string(text) + "}\n";
}

TEST(ParseYaml, ReadsEveryKindOfField) {
  v1::Pipeline pipeline;
  ASSERT_EQ(ErrorOf(kPipeline, pipeline), "");
  EXPECT_EQ(pipeline.contract(), "policing.stops.v1.StopSearch");
  EXPECT_EQ(pipeline.input().format(), v1::protobuf);
  EXPECT_THAT(pipeline.input().schema_ids(), ElementsAre(3, 4));
  EXPECT_EQ(pipeline.input().event_bytes_max(), 65536);
  ASSERT_EQ(pipeline.enrich_size(), 1);
  EXPECT_EQ(pipeline.enrich(0).on_missing(), v1::Enrichment::null);
  EXPECT_EQ(pipeline.enrich(0).fields().at("name"), "borough_name");
  ASSERT_EQ(pipeline.streams_size(), 1);
  const v1::Stream& stream = pipeline.streams(0);
  EXPECT_TRUE(stream.internal());
  EXPECT_TRUE(stream.treat().at("PERSON_NAME").has_pseudonymise());
  EXPECT_EQ(stream.treat().at("PHONE").mask().keep_last(), 3);
  EXPECT_EQ(stream.treat().at("PHONE").as(), "phone_end");
  EXPECT_THAT(stream.treat().at("DATE_OF_BIRTH").generalise().age_bands().from(),
              ElementsAre(18, 25, 35, 50));
  EXPECT_TRUE(stream.treat().at("OCCURRED_AT").generalise().has_month());
  EXPECT_TRUE(stream.treat().at("ETHNICITY").has_drop());
  EXPECT_TRUE(stream.fields().at("subject.name").has_keep());
  EXPECT_EQ(stream.fields().at("location.point").generalise().grid_metres(), 500);
  EXPECT_EQ(stream.fields().at("cost").generalise().bucket(), 25.0);
}

TEST(ParseYaml, ShortFormEqualsLongForm) {
  v1::Stream a, b;
  ASSERT_EQ(ErrorOf("{name: n, topic: t, treat: {A: drop, B: {generalise: year}, C: {generalise: "
                    "{age_bands: [1]}}, D: {keep: }}}",
                    a),
            "");
  ASSERT_EQ(ErrorOf("{name: n, topic: t, treat: {A: {drop: {}}, B: {generalise: {year: {}}}, C: "
                    "{generalise: {age_bands: {from: [1]}}}, D: {keep: {}}}}",
                    b),
            "");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(a, b));
}

TEST(ParseYaml, ReportsAllProblemsOfAFileAtOnceInTheOrderOfItsLines) {
  EXPECT_EQ(
      ErrorOf<v1::Pipeline>("contract: c\n"
                            "input:\n"
                            "  topik: raw\n"
                            "  event_bytes_max: lots\n"
                            "streams:\n"
                            "  - name: n\n"
                            "    topic: t\n"
                            "    internal: yes\n"
                            "    format: jsn\n"),
      "p.yaml:1: quarantine: is required: add this key\n"
      "p.yaml:2: input.topic: is required: add this key\n"
      "p.yaml:3: input.topik: unknown key; did you mean `topic`?\n"
      "p.yaml:4: input.event_bytes_max: must be a whole number from -2147483648 to 2147483647\n"
      "p.yaml:8: streams[0].internal: must be true or false\n"
      "p.yaml:9: streams[0].format: unknown value `jsn`; did you mean `json`?");
}

TEST(ParseYaml, UnknownKeyThatIsNearNothingListsTheKeys) {
  EXPECT_EQ(ErrorOf<v1::Quarantine>("{topic: q, public_key: k, zzzzzz: 1}"),
            "p.yaml:1: zzzzzz: unknown key; the keys here are topic, public_key");
}

TEST(ParseYaml, RejectsDuplicateKeys) {
  EXPECT_EQ(ErrorOf<v1::Quarantine>("topic: a\npublic_key: k\ntopic: b\n"),
            "p.yaml:3: key `topic` is already given on line 1: keep one of them");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: drop,\n PHONE: keep}")),
            "p.yaml:8: streams[1].treat: key `PHONE` is already given on line 7: keep one of them");
  EXPECT_THAT(ErrorOf<v1::Quarantine>("{topic: a, public_key: k, \"topic\": b}"),
              HasSubstr("already given"));
}

TEST(ParseYaml, RejectsTwoMembersOfOneOneof) {
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: {drop: {},\n mask: {keep_last: 2}}}")),
            "p.yaml:8: streams[1].treat[PHONE].mask: excludes `drop` on line 7: keep one of them");
}

TEST(ParseYaml, RejectsNumbersOutOfTheirTypesRange) {
  EXPECT_THAT(ErrorOf<v1::Commit>("interval_ms: 2147483648"),
              HasSubstr("interval_ms: must be a whole"));
  EXPECT_EQ(ErrorOf<v1::Commit>("bytes: 9223372036854775807"), "");
  EXPECT_THAT(ErrorOf<v1::Commit>("bytes: 9223372036854775808"),
              HasSubstr("bytes: must be a whole"));
  EXPECT_THAT(ErrorOf<google::protobuf::UInt32Value>("value: -1"),
              HasSubstr("must be a whole number from 0 to 4294967295"));
  EXPECT_EQ(ErrorOf<google::protobuf::UInt64Value>("value: 18446744073709551615"), "");
  EXPECT_THAT(ErrorOf<google::protobuf::UInt64Value>("value: 18446744073709551616"), Not(""));
  EXPECT_THAT(ErrorOf<google::protobuf::FloatValue>("value: 1e39"), HasSubstr("must be a number"));
  EXPECT_THAT(ErrorOf<google::protobuf::DoubleValue>("value: 1e999"),
              HasSubstr("must be a number"));
}

TEST(ParseYaml, RejectsNumbersThatReadersDisagreeOn) {
  for (std::string_view number :
       {"010", "0x10", "1_000", "1.0", "1e3", "''", "+", "\"5\"", "five", "1 2"}) {
    std::string yaml = "interval_ms: " + std::string(number);
    EXPECT_THAT(ErrorOf<v1::Commit>(yaml), HasSubstr("must be a whole number")) << yaml;
  }
  for (std::string_view number : {".inf", ".nan", "nan", "inf", "0x1p3", "."}) {
    std::string yaml = "value: " + std::string(number);
    EXPECT_THAT(ErrorOf<google::protobuf::DoubleValue>(yaml), HasSubstr("must be a number"))
        << yaml;
  }
  for (std::string_view truth : {"yes", "on", "True", "1", "'true'"}) {
    std::string yaml = "value: " + std::string(truth);
    EXPECT_THAT(ErrorOf<google::protobuf::BoolValue>(yaml), HasSubstr("must be true or false"))
        << yaml;
  }
}

TEST(ParseYaml, ErrorsNeverRepeatAScalarInANumbersPlace) {
  EXPECT_THAT(ErrorOf<v1::Commit>("interval_ms: hunter2"), Not(HasSubstr("hunter2")));
}

TEST(ParseYaml, AListTakesAListOnly) {
  EXPECT_EQ(ErrorOf<v1::Input>("topic: t\nschema_ids: 3\n"),
            "p.yaml:2: schema_ids: must be a list: write [a, b], or one `- a` a line");
  EXPECT_THAT(ErrorOf<v1::Input>("topic: t\nschema_ids:\n"),
              HasSubstr("has no value: give a list"));
  EXPECT_THAT(ErrorOf<v1::Input>("topic: t\nschema_ids: {a: 1}\n"), HasSubstr("must be a list"));
  EXPECT_THAT(ErrorOf<v1::Input>("topic: t\nschema_ids: [1, [2]]\n"),
              HasSubstr("schema_ids[1]: must be a whole number"));
  EXPECT_THAT(ErrorOf<v1::Pipeline>(WithStream("treat: {B: {generalise: {age_bands: 18}}}")),
              HasSubstr("age_bands: must be a list"));
}

TEST(ParseYaml, ShapesThatDontFitSayWhatDoes) {
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: psuedonymise}")),
            "p.yaml:7: streams[1].treat[PHONE]: unknown value `psuedonymise`; did you mean "
            "`pseudonymise`?");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: hash}")),
            "p.yaml:7: streams[1].treat[PHONE]: unknown value `hash`; one of keep, drop, "
            "pseudonymise, encrypt, format_preserve, scrub");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: {pseudonymise: {linkage: period, "
                                             "every: quarter}}}")),
            "");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: mask}")),
            "p.yaml:7: streams[1].treat[PHONE]: `mask` needs a value: write {mask: ...}");
  EXPECT_EQ(
      ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: [keep]}")),
      "p.yaml:7: streams[1].treat[PHONE]: must be one of keep, drop, pseudonymise, "
      "encrypt, format_preserve, scrub, or a mapping with the keys keep, drop, constant, mask, "
      "pseudonymise, generalise, encrypt, format_preserve, shift, scrub, as");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: {keep: yes}}")),
            "p.yaml:7: streams[1].treat[PHONE].keep: has no content: write {}");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: {keep: {a: 1}}}")),
            "p.yaml:7: streams[1].treat[PHONE].keep.a: takes no keys: write {}");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: drop")),
            "p.yaml:7: streams[1].treat: must be a mapping of keys to values");
  EXPECT_EQ(ErrorOf<v1::Pipeline>(WithStream("treat: {PHONE: }")),
            "p.yaml:7: streams[1].treat[PHONE]: has no value: give one, or leave the key out");
  EXPECT_THAT(
      ErrorOf<v1::Pipeline>("contract: c\nquarantine: x\ninput: {topic: [a]}"),
      AllOf(HasSubstr("p.yaml:2: quarantine: must be a mapping with the keys topic, public_key"),
            HasSubstr("p.yaml:3: input.topic: must be a text, not a list")));
  EXPECT_EQ(ErrorOf<v1::Pipeline>("- a"), "p.yaml:1: must be a mapping of keys to values");
}

TEST(ParseYaml, AShortFormStillNeedsItsRequiredKeys) {
  EXPECT_EQ(ErrorOf<v1::Enrichment>("{}"),
            "p.yaml:1: set: is required: add this key\n"
            "p.yaml:1: into: is required: add this key");
  EXPECT_EQ(ErrorOf<v1::Quarantine>("topic: ''\npublic_key: k"),
            "p.yaml:1: topic: is required: the text must not be empty");
}

TEST(ParseYaml, AnEmptyFileIsAnEmptyMapping) {
  EXPECT_EQ(ErrorOf<v1::Commit>(""), "");
  EXPECT_EQ(ErrorOf<v1::Commit>("# nothing\n"), "");
  EXPECT_THAT(ErrorOf<v1::Quarantine>("\n"), HasSubstr("p.yaml:1: topic: is required"));
}

TEST(ParseYaml, NullIsAnEnumValueOfThatNameAndNothingElse) {
  v1::Enrichment enrichment;
  EXPECT_EQ(ErrorOf("{set: s, key: k, into: i, on_missing: null}", enrichment), "");
  EXPECT_EQ(enrichment.on_missing(), v1::Enrichment::null);
  EXPECT_EQ(ErrorOf("{set: s, key: k, into: i, on_missing: 'null'}", enrichment), "");
  EXPECT_EQ(ErrorOf("{topic: t, format: null}", *std::make_unique<v1::Input>()),
            "p.yaml:1: format: has no value: give one of json, protobuf");
  EXPECT_THAT(ErrorOf<v1::Input>("topic: null"), HasSubstr("topic: has no value: give a text"));
  v1::Input input;
  EXPECT_EQ(ErrorOf("topic: 'null'", input), "");
  EXPECT_EQ(input.topic(), "null");
}

TEST(ParseYaml, TextsMayLookLikeNumbersAndBooleans) {
  v1::Kafka kafka;
  ASSERT_EQ(
      ErrorOf("{group: 12, instance: true, properties: {socket.timeout.ms: 5000, 7: x}}", kafka),
      "");
  EXPECT_EQ(kafka.group(), "12");
  EXPECT_EQ(kafka.instance(), "true");
  EXPECT_EQ(kafka.properties().at("socket.timeout.ms"), "5000");
  EXPECT_EQ(kafka.properties().at("7"), "x");
}

TEST(ParseYaml, ResolvesAliases) {
  v1::Pipeline pipeline;
  ASSERT_EQ(ErrorOf(WithStream("treat: &t {A: drop}, fields: *t"), pipeline), "");
  EXPECT_TRUE(pipeline.streams(1).fields().at("A").has_drop());
}

TEST(ParseYaml, RejectsAliasBombs) {
  std::string yaml = "fields:\n  a: &a0 {string_value: x}\n";
  for (int i = 1; i < 12; ++i) {
    std::string previous = "*a" + std::to_string(i - 1);
    yaml += "  l" + std::to_string(i) + ": &a" + std::to_string(i) + " {list_value: [";
    for (int j = 0; j < 9; ++j) yaml += previous + ", ";
    yaml += previous + "]}\n";
  }
  EXPECT_THAT(ErrorOf<google::protobuf::Struct>(yaml), HasSubstr("more than 100000 values"));
}

TEST(ParseYaml, RejectsAnAliasOfItsOwnParent) {
  EXPECT_THAT(ErrorOf<google::protobuf::Struct>(
                  "fields:\n  a: &a\n    struct_value:\n      fields: {b: *a}\n"),
              HasSubstr("p.yaml:4: an alias can't stand inside what it names"));
}

TEST(ParseYaml, RejectsDeepNesting) {
  auto nested = [](int lists) {
    return "fields: {a: {list_value: " + std::string(lists, '[') + std::string(lists, ']') + "}}";
  };
  EXPECT_THAT(ErrorOf<google::protobuf::Struct>(nested(100'000)),
              HasSubstr("nested deeper than 32 levels"));
  std::string deep = "{string_value: x}";
  for (int i = 0; i < 16; ++i) deep = base::StrCat("{list_value: [", deep, "]}");
  EXPECT_THAT(ErrorOf<google::protobuf::Struct>("fields: {a: " + deep + "}"),
              HasSubstr("nested deeper than 32 levels"));
}

TEST(ParseYaml, RejectsNestingThatIsDeepThroughAliases) {
  std::string yaml = "fields:\n  l0: &l0 {string_value: x}\n";
  for (int i = 1; i < 32; ++i) {
    std::string n = std::to_string(i);
    base::StrAppend(yaml, "  l", n, ": &l", n, " {list_value: [*l", i - 1, "]}\n");
  }
  EXPECT_THAT(ErrorOf<google::protobuf::Struct>(yaml), HasSubstr("nested deeper than 32 levels"));
}

TEST(ParseYaml, RejectsLargeFiles) {
  std::string yaml = "# " + std::string(kYamlBytesMax, 'x');
  EXPECT_EQ(ErrorOf<v1::Commit>(yaml), "p.yaml:1: the file is larger than 1048576 bytes");
}

TEST(ParseYaml, RejectsTagsMergeKeysAndSecondDocuments) {
  EXPECT_THAT(ErrorOf<v1::Quarantine>("topic: !!str a\npublic_key: k"),
              HasSubstr("p.yaml:1: topic: has a YAML tag"));
  EXPECT_THAT(ErrorOf<v1::Quarantine>("topic: !secret a\npublic_key: k"),
              HasSubstr("has a YAML tag"));
  EXPECT_THAT(ErrorOf<v1::Quarantine>("!!map {topic: a, public_key: k}"),
              HasSubstr("has a YAML tag"));
  EXPECT_THAT(ErrorOf<v1::Pipeline>(WithStream("treat: {!!str PHONE: drop}")),
              HasSubstr("has a YAML tag"));
  EXPECT_THAT(ErrorOf<v1::Quarantine>("topic: a\n<<: {public_key: k}"),
              HasSubstr("p.yaml:2: <<: merge keys"));
  EXPECT_THAT(ErrorOf<v1::Commit>("events: 1\n---\nevents: 2\n"),
              HasSubstr("p.yaml:2: a second document"));
}

// yaml-cpp finds an empty document before the comma, again and again.
TEST(ParseYaml, EndsOnTextThatYamlCppNeverGetsPast) {
  for (std::string_view yaml : {",events: 1", ",", "events: 1\n...\n,", "{} ,"}) {
    EXPECT_THAT(ErrorOf<v1::Commit>(yaml), HasSubstr("text outside the first")) << yaml;
  }
}

TEST(ParseYaml, RejectsWhatIsNotYaml) {
  EXPECT_THAT(ErrorOf<v1::Commit>("events: 1\nbytes: [1\n"),
              AllOf(StartsWith("p.yaml:"), HasSubstr("isn't YAML")));
  EXPECT_THAT(ErrorOf<v1::Commit>("events: *missing\n"), HasSubstr("isn't YAML"));
  EXPECT_THAT(ErrorOf<v1::Commit>("? [a, b]\n: c\n"), HasSubstr("p.yaml:1: a key must be a text"));
  EXPECT_THAT(ErrorOf<v1::Commit>("~: c\n"), HasSubstr("a key must be a text"));
}

TEST(ParseYaml, RejectsBytesThatAParserMightReadDifferently) {
  EXPECT_EQ(ErrorOf<v1::Input>("# fine\ntopic: \xc3\x28\n"),
            "p.yaml:2: isn't UTF-8: save the file as UTF-8");
  EXPECT_EQ(ErrorOf<v1::Commit>("events: 1\n\x04\nunknown: 1\n"),
            "p.yaml:2: holds a control character: remove it");
  EXPECT_THAT(ErrorOf<v1::Commit>(std::string_view("events: 1\0", 10)),
              HasSubstr("control character"));
  EXPECT_THAT(ErrorOf<v1::Input>("topic: \"a\\0b\""), HasSubstr("NUL character"));
}

TEST(ParseYaml, AnErrorStaysOneLineWhateverTheKeyHolds) {
  std::string error = ErrorOf<v1::Commit>("\"a\\nb\": 1\n\"" + std::string(900, 'k') + "\": 2\n");
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1);
  EXPECT_LT(error.size(), 1500u);
}

TEST(ParseYaml, BoundsTheListOfProblems) {
  std::string yaml;
  for (int i = 0; i < 150; ++i) yaml += "key" + std::to_string(i) + ": 1\n";
  std::string error = ErrorOf<v1::Commit>(yaml);
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 100);
  EXPECT_THAT(error, HasSubstr("\nand 50 more"));
}

TEST(ParseYaml, SourceMapNamesTheLineOfEveryPath) {
  v1::Pipeline pipeline;
  SourceMap map;
  ASSERT_TRUE(ParseYaml(kPipeline, "p.yaml", pipeline, &map).ok());
  EXPECT_EQ(map.Line("contract"), 1);
  EXPECT_EQ(map.Line("quarantine.public_key"), 5);
  EXPECT_EQ(map.Line("enrich[0]"), 7);
  EXPECT_EQ(map.Line("streams[0].treat[PHONE]"), 15);
  EXPECT_EQ(map.Line("streams[0].treat[DATE_OF_BIRTH].generalise.age_bands.from[2]"), 16);
  EXPECT_EQ(map.Line("streams[0].treat[OCCURRED_AT].generalise.month"), 17);
  EXPECT_EQ(map.Line("streams[0].fields[subject.name]"), 20);
  EXPECT_EQ(map.Where("streams[0].fields[location.point].generalise"), "p.yaml:21");
}

TEST(ParseYaml, SourceMapFallsBackToThePartAround) {
  v1::Pipeline pipeline;
  SourceMap map;
  ASSERT_TRUE(ParseYaml(kPipeline, "p.yaml", pipeline, &map).ok());
  EXPECT_EQ(map.Line("streams[0].treat[EMAIL]"), 13);
  EXPECT_EQ(map.Line("streams[0].fields[a.b].mask.with"), 19);
  EXPECT_EQ(map.Line("streams[7].name"), 8);
  EXPECT_EQ(map.Line("nowhere"), 1);
  EXPECT_TRUE(map.Has("streams[0].topic"));
  EXPECT_FALSE(map.Has("streams[0].purpose"));
}

TEST(ParseYaml, ProblemsOfLaterChecksHaveTheSameForm) {
  v1::Pipeline pipeline;
  SourceMap map;
  ASSERT_TRUE(ParseYaml(kPipeline, "p.yaml", pipeline, &map).ok());
  Problems problems;
  problems.Add(map, "streams[0].treat[PHONE]", "isn't in the contract");
  problems.Add(map, "input.topic", "is an output too");
  EXPECT_EQ(problems.ToStatus().message(),
            "p.yaml:2: input.topic: is an output too\n"
            "p.yaml:15: streams[0].treat[PHONE]: isn't in the contract");
}

TEST(ParseYaml, ReportsWhatItReadBeforeAnErrorAndClearsWhatWasThere) {
  v1::Commit commit;
  commit.set_bytes(9);
  EXPECT_NE(ErrorOf("events: 5\ninterval_ms: x\n", commit), "");
  EXPECT_EQ(commit.events(), 5);
  EXPECT_EQ(commit.bytes(), 0);
}

TEST(ParseYamlFile, NamesTheFileThatItCannotRead) {
  v1::Commit commit;
  absl::Status status = ParseYamlFile("does/not/exist.yaml", commit, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(),
            "does/not/exist.yaml: can't read the configuration: No such file or directory");
  status = ParseYamlFile(testing::TempDir(), commit, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST(ParseYamlFile, ReadsAFile) {
  std::string path = testing::TempDir() + "/sluice_yaml_test_" + std::to_string(getpid()) + ".yaml";
  std::ofstream(path) << "events: 5\nbytez: 1\n";
  v1::Commit commit;
  absl::Status status = ParseYamlFile(path, commit, nullptr);
  std::remove(path.c_str());
  EXPECT_EQ(commit.events(), 5);
  EXPECT_EQ(status.message(), path + ":2: bytez: unknown key; did you mean `bytes`?");
}

// Cuts, swaps and inserts bytes that mean something to YAML: whatever comes out is read or refused.
TEST(ParseYaml, SurvivesRandomMutations) {
  constexpr std::string_view kInteresting[] = {":",     "- ",
                                               "\n",    "{",
                                               "}",     "[",
                                               "]",     "&a ",
                                               "*a",    "!",
                                               "!!x ",  "? ",
                                               "|",     ">",
                                               "\"",    "'",
                                               "#",     "---\n",
                                               "...\n", "%YAML 1.2\n",
                                               "  ",    "\t",
                                               "null",  "~",
                                               "<<: ",  "\xef\xbb\xbf",
                                               "\xff",  ",",
                                               "\r"};
  std::mt19937 random(20240711);
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 20'000; ++round) {
    std::string yaml(kPipeline);
    for (size_t edits = 1 + below(8); edits > 0; --edits) {
      size_t at = below(yaml.size() + 1);
      switch (below(4)) {
        case 0:
          yaml.insert(at, kInteresting[below(std::size(kInteresting))]);
          break;
        case 1:
          yaml.erase(at, below(12));
          break;
        case 2:
          yaml.insert(at, yaml.substr(below(yaml.size() + 1), below(60)));
          break;
        default:
          if (at < yaml.size()) yaml[at] = static_cast<char>(random());
      }
    }
    v1::Pipeline pipeline;
    SourceMap map;
    absl::Status status = ParseYaml(yaml, "p.yaml", pipeline, &map);
    if (!status.ok()) {
      ASSERT_TRUE(absl::StartsWith(status.message(), "p.yaml:")) << status;
    }
  }
}

}  // namespace
}  // namespace sluice::config
