#include "common/contract/plan_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "buf/validate/validate.pb.h"
#include "common/base/strings.h"
#include "common/contract/testing.h"

namespace sluice::contract {
namespace {

using ::testing::HasSubstr;

// Of the body, in the file that TestProto makes.
constexpr int kFirstLine = 7;

std::string Event(std::string_view fields, std::string_view more = "") {
  return base::StrCat(
      "message E { option (sluice.contract.v1.event) = {id: \"id\" time: \"at\"};\n"
      "string id = 1; google.protobuf.Timestamp at = 2;\n",
      fields, "}\n", more);
}

std::string ErrorOf(std::string_view body) {
  auto plan = TryPlanFromProto(body, "E");
  return plan.ok() ? "" : std::string(base::View(plan.status().message()));
}

TEST(PlanCompiler, LaysFieldsOfAMessageSideBySide) {
  auto plan = PlanFromProto(
      Event("Person subject = 3; repeated Person others = 4; int32 n = 5;",
            "message Person { string name = 1 [(sluice.contract.v1.field).identifier = "
            "PERSON_NAME]; string note = 2; }"),
      "E");
  EXPECT_EQ(plan->root().child_count, 5u);
  const Node& name = plan->node(plan->Find("subject.name"));
  EXPECT_EQ(name.path, "subject.name");
  EXPECT_EQ(plan->position(name), 0u);
  EXPECT_EQ(name.classification.name(), "PERSON_NAME");
  EXPECT_FALSE(name.repeated_path);
  const Node& other = plan->node(plan->Find("others[].note"));
  EXPECT_EQ(other.path, "others[].note");
  EXPECT_TRUE(other.repeated_path);
  EXPECT_EQ(plan->Find("others.note"), other.id);
  EXPECT_EQ(plan->Find("subject.age"), kNoNode);
  EXPECT_EQ(plan->node(plan->id_node()).classification.name(), "EVENT_ID");
  EXPECT_EQ(plan->node(plan->time_node()).classification.name(), "OCCURRED_AT");
}

TEST(PlanCompiler, OptionsOfOthersComeOutTyped) {
  auto plan = PlanFromProto(Event("string a = 3 [(buf.validate.field).string.max_len = 7];"), "E");
  const auto& rules =
      plan->node(plan->Find("a")).descriptor->options().GetExtension(buf::validate::field);
  EXPECT_EQ(rules.string().max_len(), 7u);
}

TEST(PlanCompiler, FingerprintFollowsMeaningNotComments) {
  std::string fingerprint = PlanFromProto(Event("string a = 3;"), "E")->fingerprint();
  EXPECT_EQ(fingerprint.size(), 64u);
  EXPECT_EQ(PlanFromProto(Event("// why\nstring a = 3;\n"), "E")->fingerprint(), fingerprint);
  EXPECT_NE(PlanFromProto(Event("string b = 3;"), "E")->fingerprint(), fingerprint);
  EXPECT_NE(PlanFromProto(Event("string a = 3 [(sluice.contract.v1.field).free_text = true];"), "E")
                ->fingerprint(),
            fingerprint);
}

struct Mistake {
  std::string fields;  // on line kFirstLine + 2
  std::string more;
  std::string message;
};

void PrintTo(const Mistake& mistake, std::ostream* out) { *out << mistake.fields; }

class PlanCompilerMistakes : public ::testing::TestWithParam<Mistake> {};

TEST_P(PlanCompilerMistakes, NamesLineAndWhatToChange) {
  EXPECT_THAT(ErrorOf(Event(GetParam().fields, GetParam().more)),
              HasSubstr(base::StrCat("test.proto:", kFirstLine + 2, ": ", GetParam().message)));
}

std::string Option(std::string_view type, std::string_view option) {
  return base::StrCat(type, " x = 3 [(sluice.contract.v1.field).", option, "];");
}

INSTANTIATE_TEST_SUITE_P(
    All, PlanCompilerMistakes,
    ::testing::Values(
        Mistake{Option("bool", "identifier = PHONE"), "", "x: a PHONE is a string or an integer"},
        Mistake{Option("P", "identifier = PHONE"), "message P { string a = 1; }",
                "x: is a message and can't be a PHONE"},
        Mistake{Option("string", "identifier = SOURCE_POSITION"), "",
                "x: no field is a SOURCE_POSITION"},
        Mistake{Option("int32", "free_text = true"), "", "x: free text is a string"},
        Mistake{Option("int32", "quasi = DATE_OF_BIRTH"), "", "x: a date is a text"},
        Mistake{Option("string", "quasi = EVENT_TIME"), "",
                "x: a EVENT_TIME is a google.protobuf.Timestamp"},
        Mistake{Option("string", "quasi = LATITUDE"), "", "x: a LATITUDE is one number"},
        Mistake{Option("double", "quasi = LATITUDE"), "",
                "x: a point is one LATITUDE and one LONGITUDE"},
        Mistake{Option("string", "check = true"), "", "x: `check` is for identifiers"},
        Mistake{Option("string", "read.time_zone = 'Europe/London'"), "", "x: time_zone is for"},
        Mistake{Option("google.protobuf.Timestamp", "read.time_zone = 'Mars/Base'"), "",
                "x: there is no time zone 'Mars/Base'"},
        Mistake{Option("string", "read.number_in_string = true"), "",
                "x: number_in_string is for numbers"},
        Mistake{Option("string", "read.true_values = 'y'"), "",
                "x: true_values and false_values are for bool"},
        Mistake{Option("bool", "read = {true_values: 'y' false_values: 'y'}"), "",
                "x: the spelling 'y' means two things"},
        Mistake{Option("string", "read.source = 'a..b'"), "",
                "x: source is a key, or keys joined by single dots"},
        Mistake{Option("string", "read.source = 'id'"), "", "x: 'id' is read into 'id' already"},
        Mistake{"string some_key = 4; " + Option("string", "read.source = 'someKey'"), "",
                "x: 'someKey' is read into 'some_key' already"},
        Mistake{Option("string", "read.source = 'id.part'"), "",
                "x: its source leads through 'id'"},
        Mistake{"E x = 3;", "", "x: contains itself"},
        Mistake{"google.protobuf.Struct x = 3;", "import 'google/protobuf/struct.proto';",
                "x: has the type google.protobuf.Struct"},
        Mistake{"google.protobuf.StringValue x = 3;", "import 'google/protobuf/wrappers.proto';",
                "x: has the type google.protobuf.StringValue, whose content no contract can "
                "classify; use an optional field"}),
    [](const auto& info) { return base::StrCat("Mistake", info.index); });

TEST(PlanCompiler, RefusesWhatIsNoEvent) {
  EXPECT_THAT(ErrorOf("message E { string id = 1; }"),
              HasSubstr("test.proto:7: E: isn't an event"));
  EXPECT_THAT(
      ErrorOf("message E { option (sluice.contract.v1.event) = {time: 'nope'}; string id = 1; }"),
      HasSubstr("its `time` names the field 'nope'"));
  EXPECT_THAT(
      ErrorOf("message E { option (sluice.contract.v1.event) = {id: 'id'}; string id = 1; }"),
      HasSubstr("its option says no `time`"));
  EXPECT_THAT(
      ErrorOf("message E { option (sluice.contract.v1.event) = {time: 'at' retention: '6 years'};\n"
              "google.protobuf.Timestamp at = 1; }"),
      HasSubstr("retention isn't an ISO 8601 duration"));
  EXPECT_THAT(ErrorOf("message E { option (sluice.contract.v1.event) = {id: 'n' time: 'at'};\n"
                      "google.protobuf.Timestamp at = 1; int32 n = 2; }"),
              HasSubstr("n: the event's id is a string"));
}

TEST(PlanCompiler, RefusesMessagesThatContainThemselves) {
  EXPECT_THAT(ErrorOf(Event("P x = 3;", "message P { Q q = 1; }\nmessage Q { repeated P p = 1; }")),
              HasSubstr("x.q.p: contains itself"));
}

TEST(PlanCompiler, ReportsAllMistakesAtOnce) {
  std::string error =
      ErrorOf(Event("bool a = 3 [(sluice.contract.v1.field).identifier = PHONE];\n"
                    "int32 b = 4 [(sluice.contract.v1.field).free_text = true];"));
  EXPECT_THAT(error, HasSubstr("test.proto:9: a: "));
  EXPECT_THAT(error, HasSubstr("test.proto:10: b: "));
}

TEST(Contracts, NamesFileAndLineOfUnknownOptionsAndSyntax) {
  EXPECT_THAT(ErrorOf(Event("string a = 3 [(sluice.contract.v1.field).identifer = PHONE];")),
              HasSubstr("test.proto:9"));
  EXPECT_THAT(ErrorOf(Event("string a = ;")), HasSubstr("test.proto:9"));
  EXPECT_THAT(ErrorOf(Event("Nowhere a = 3;")), HasSubstr("test.proto:9"));
  EXPECT_THAT(std::string(Contracts::Load({"/nonexistent"}).status().message()),
              HasSubstr("/nonexistent"));
}

TEST(Contracts, EnumSpellingsMeanOneValue) {
  std::string body = Event("K x = 3;",
                           "enum K { A = 0; B = 1 [(sluice.contract.v1.value).spellings = 'a', "
                           "(sluice.contract.v1.value).spellings = 'A']; }");
  EXPECT_THAT(ErrorOf(body), HasSubstr("the spelling 'A' stands for another value too"));
}

}  // namespace
}  // namespace sluice::contract
