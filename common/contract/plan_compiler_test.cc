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

std::string NotPersonal(std::string_view names) {
  return base::StrCat("option (sluice.contract.v1.not_personal) = {fields: [", names, "]};");
}

// A field of its own line, with its decision.
std::string Plain(std::string_view type_and_name) {
  return base::StrCat(type_and_name, " = 3 [(sluice.contract.v1.field).not_personal = true];");
}

std::string ErrorOf(std::string_view body) {
  auto plan = TryPlanFromProto(body, "E");
  return plan.ok() ? "" : std::string(base::View(plan.status().message()));
}

TEST(PlanCompiler, LaysFieldsOfAMessageSideBySide) {
  auto plan = PlanFromProto(
      Event(NotPersonal("'n'") + "Person subject = 3; repeated Person others = 4; int32 n = 5;",
            "message Person { string name = 1 [(sluice.contract.v1.field).identifier = "
            "PERSON_NAME]; string note = 2 [(sluice.contract.v1.field).free_text = true]; }"),
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
  auto plan = PlanFromProto(
      Event(NotPersonal("'a'") + "string a = 3 [(buf.validate.field).string.max_len = 7];"), "E");
  const auto& rules =
      plan->node(plan->Find("a")).descriptor->options().GetExtension(buf::validate::field);
  EXPECT_EQ(rules.string().max_len(), 7u);
}

TEST(PlanCompiler, FingerprintFollowsMeaningNotComments) {
  std::string fingerprint = PlanFromProto(Event(Plain("string a")), "E")->fingerprint();
  EXPECT_EQ(fingerprint.size(), 64u);
  EXPECT_EQ(PlanFromProto(Event("// why\n" + Plain("string a")), "E")->fingerprint(), fingerprint);
  EXPECT_NE(PlanFromProto(Event(Plain("string b")), "E")->fingerprint(), fingerprint);
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
        Mistake{Option("google.protobuf.Struct", "free_text = true"),
                "import 'google/protobuf/struct.proto';",
                "x: is a google.protobuf.Struct, which is always dropped"},
        Mistake{"repeated google.protobuf.Any x = 3 [(buf.validate.field).repeated.min_items = 1];",
                "import 'google/protobuf/any.proto';",
                "x: is a google.protobuf.Any, which is always dropped"},
        // Undecided.
        Mistake{
            "string next_of_kin = 3;", "",
            "next_of_kin: nobody has decided what it is; write "
            "[(sluice.contract.v1.field).identifier = PERSON_NAME] or "
            "[(sluice.contract.v1.field).identifier = KIND], "
            "[(sluice.contract.v1.field).quasi = KIND], "
            "[(sluice.contract.v1.field).sensitive = KIND], "
            "[(sluice.contract.v1.field).free_text = true], or, only if it says nothing about a "
            "person, [(sluice.contract.v1.field).not_personal = true]"},
        Mistake{"repeated int32 x = 3;", "", "x: nobody has decided"},
        Mistake{"bool x = 3;", "", "x: nobody has decided"},
        Mistake{"bytes x = 3;", "", "x: nobody has decided"},
        Mistake{"K x = 3;", "enum K { A = 0; }", "x: nobody has decided"},
        Mistake{"google.protobuf.Duration x = 3;", "", "x: nobody has decided"},
        Mistake{"oneof o { string x = 3; }", "", "x: nobody has decided"},
        Mistake{"google.protobuf.Timestamp x = 3;", "",
                "x: nobody has decided what it is; write [(sluice.contract.v1.field).quasi = "
                "EVENT_TIME]"},
        Mistake{
            "map<string, string> x = 3 [(sluice.contract.v1.field).key.not_personal = true];", "",
            "x[].value: nobody has decided what it is; write [(sluice.contract.v1.field).value"},
        Mistake{"map<string, P> x = 3;",
                "message P { string a = 1 [(sluice.contract.v1.field).not_personal = true]; }",
                "x[].key: nobody has decided"},
        Mistake{Option("string", "not_personal = false"), "",
                "x: its classification is a kind that"},
        Mistake{Option("string", "free_text = false"), "", "x: its classification is a kind that"},
        Mistake{Option("string", "identifier = IDENTIFIER_KIND_UNSPECIFIED"), "",
                "x: its classification is a kind that"},
        // Decided wrongly.
        Mistake{Option("P", "not_personal = true"), "message P {}",
                "x: is a message and can't be not_personal"},
        Mistake{Option("google.protobuf.Timestamp", "not_personal = true"), "",
                "x: can't be not_personal: a second time"},
        Mistake{"string x = 3 [(sluice.contract.v1.field) = {not_personal: true date: true}];", "",
                "x: can't be not_personal: a second time"},
        Mistake{Option("map<string, string>", "identifier = PHONE"), "", "x: is a map, whose key"},
        Mistake{Option("string", "key.not_personal = true"), "",
                "x: `key` and `value` are for maps"},
        Mistake{"map<string, string> x = 3 [(sluice.contract.v1.field) = {key: {identifier: PHONE "
                "check: true} value: {not_personal: true}}];",
                "", "x: a map's key and value only have a classification"},
        Mistake{"map<string, P> x = 3 [(sluice.contract.v1.field) = {key: {not_personal: true} "
                "value: {not_personal: true}}];",
                "message P {}", "x[].value: is a message and can't be not_personal"},
        // The short form.
        Mistake{Option("string", "identifier = PHONE") + NotPersonal("'x'"), "",
                "x: is classified here and named in its message's `not_personal`"},
        Mistake{"P x = 3; " + NotPersonal("'x'"), "message P {}",
                "test.E: `not_personal` names 'x', which is a message"},
        Mistake{"P x = 3; " + NotPersonal("'x.a'"),
                "message P { string a = 1 [(sluice.contract.v1.field).not_personal = true]; }",
                "test.E: `not_personal` names 'x.a', which is a path"},
        Mistake{"map<string, string> x = 3; " + NotPersonal("'x'"), "",
                "test.E: `not_personal` names 'x', which is a map: name 'x.key' and 'x.value'"},
        Mistake{"map<string, P> x = 3; " + NotPersonal("'x.key', 'x.value'"), "message P {}",
                "test.E: `not_personal` names 'x.value', which is a message"},
        Mistake{"google.protobuf.Timestamp x = 3; " + NotPersonal("'x'"), "",
                "x: can't be not_personal: a second time"},
        Mistake{"google.protobuf.StringValue x = 3;", "import 'google/protobuf/wrappers.proto';",
                "x: has the type google.protobuf.StringValue, whose content no contract can "
                "classify; use an optional field"}),
    [](const auto& info) { return base::StrCat("Mistake", info.index); });

TEST(PlanCompiler, AnEventHasTheZoneThatItNamesOrThatItsTimeIsReadIn) {
  auto zone = [](std::string_view event, std::string_view field) {
    auto plan =
        PlanFromProto(base::StrCat("message E { option (sluice.contract.v1.event) = {time: \"at\"",
                                   event, "}; google.protobuf.Timestamp at = 1 ", field, "; }"),
                      "E");
    return plan->civil_zone() ? plan->civil_zone()->name() : "none";
  };
  constexpr std::string_view kDublin =
      "[(sluice.contract.v1.field).read.time_zone = \"Europe/Dublin\"]";
  EXPECT_EQ(zone("", ""), "none");
  EXPECT_EQ(zone("", kDublin), "Europe/Dublin");
  EXPECT_EQ(zone(" time_zone: \"Europe/Paris\"", kDublin), "Europe/Paris");
  EXPECT_THAT(ErrorOf("message E { option (sluice.contract.v1.event) = {time: \"at\" time_zone: "
                      "\"Mars/Olympus\"}; google.protobuf.Timestamp at = 1; }"),
              HasSubstr("its `time_zone` is 'Mars/Olympus', which is no zone"));
}

TEST(PlanCompiler, PlaceholdersAreForWhatCanBeAbsent) {
  auto error = [](std::string_view type, std::string_view placeholders) {
    return ErrorOf(Event(base::StrCat(
        type, " f = 3 [(sluice.contract.v1.field) = {quasi: ATTRIBUTE ", placeholders, "}];")));
  };
  for (const auto& [type, text] : std::initializer_list<std::pair<const char*, const char*>>{
           {"string", "n/a"}, {"repeated string", "n/a"}, {"optional int32", "-99"}}) {
    EXPECT_EQ(error(type, base::StrCat("placeholders: \"", text, "\"")), "") << type;
  }
  for (const char* type : {"int32", "optional bool", "repeated int32", "double"})
    EXPECT_THAT(error(type, "placeholders: \"0\""), HasSubstr("absent is zero")) << type;
  EXPECT_THAT(error("optional int64", "placeholders: \"none\""), HasSubstr("digits"));
  EXPECT_THAT(error("string", "placeholders: \"\""), HasSubstr("empty placeholder"));
  EXPECT_THAT(error("string", "placeholders: \"a\" placeholders: \"a\""), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf("message E { option (sluice.contract.v1.event) = {time: \"at\"}; "
                      "google.protobuf.Timestamp at = 1 [(sluice.contract.v1.field).placeholders = "
                      "\"1970-01-01\"]; }"),
              HasSubstr("the event's id and time have none"));
}

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

TEST(PlanCompiler, TheShortFormNamesFieldsOfItsMessageOnce) {
  auto error = [](std::string_view names) {
    return ErrorOf(Event(NotPersonal(names) + "oneof o { string a = 3; string b = 4; }"));
  };
  EXPECT_EQ(error("'a', 'b'"), "");
  EXPECT_THAT(error("'a', 'b', 'a'"), HasSubstr("test.proto:7: test.E: `not_personal` names 'a' "
                                                "twice"));
  EXPECT_THAT(error("'a', 'b', 'c'"), HasSubstr("names 'c', which is no field of this message"));
  EXPECT_THAT(error("'a', 'b', '*'"), HasSubstr("names '*', which is no field of this message"));
  EXPECT_THAT(error("'a', 'b', ''"), HasSubstr("names '', which is no field of this message"));
  EXPECT_THAT(error("'o'"), HasSubstr("names 'o', which is a oneof"));
  EXPECT_THAT(error("'a', 'b', 'id'"), HasSubstr("test.proto:8: id: is the event's id"));
  EXPECT_THAT(error("'a', 'b', 'at'"), HasSubstr("test.proto:8: at: can't be not_personal"));
}

TEST(PlanCompiler, KeysAndValuesOfMapsDecideApart) {
  auto plan = PlanFromProto(
      Event("map<string, string> people = 3 [(sluice.contract.v1.field) = {key: {identifier: "
            "PERSON_NAME} value: {sensitive: HEALTH}}];\n"
            "map<int32, P> by_id = 4;" +
                NotPersonal("'by_id.key'"),
            "message P { string phone = 1 [(sluice.contract.v1.field).identifier = PHONE]; }"),
      "E");
  auto name = [&](std::string_view path) {
    return plan->node(plan->Find(path)).classification.name();
  };
  EXPECT_EQ(name("people.key"), "PERSON_NAME");
  EXPECT_EQ(name("people.value"), "HEALTH");
  EXPECT_EQ(name("by_id.value.phone"), "PHONE");
  EXPECT_TRUE(plan->node(plan->Find("by_id.key")).classification.not_personal);
}

TEST(PlanCompiler, AnImportedMessageDecidesInItsOwnFileForAllContracts) {
  std::string head = TestProto("import 'lib.proto';\n");
  std::string lib =
      "message P { string phone = 1; string beat = 2 [(sluice.contract.v1.field)."
      "not_personal = true]; }";
  auto contracts = Contracts::LoadText(
      {{"a.proto", head + "message A { option (sluice.contract.v1.event) = {time: 'at'}; "
                          "google.protobuf.Timestamp at = 1; P p = 2; repeated P more = 3; }"},
       {"lib.proto", TestProto(lib)}});
  ASSERT_TRUE(contracts.ok()) << contracts.status();
  std::string error((*contracts)->Compile("test.A").status().message());
  EXPECT_THAT(error, ::testing::StartsWith("lib.proto:7: p.phone: nobody has decided"));
  EXPECT_EQ(error.find('\n'), std::string::npos) << "one field, one decision";
}

TEST(PlanCompiler, WhatNoContractCanClassifyHasNoNode) {
  auto plan = PlanFromProto(
      Event("google.protobuf.Struct x = 3; repeated google.protobuf.Any y = 4;\n"
            "map<string, google.protobuf.Value> z = 5; " +
                Plain("string a").replace(11, 1, "6"),
            "import 'google/protobuf/struct.proto'; import 'google/protobuf/any.proto';"),
      "E");
  EXPECT_EQ(plan->root().child_count, 3u);
  EXPECT_EQ(plan->position(plan->node(plan->Find("a"))), 2u);
  EXPECT_EQ(plan->Find("x"), kNoNode);
  ASSERT_EQ(plan->opaque_fields().size(), 3u);
  EXPECT_EQ(plan->opaque_fields()[2].path, "z");
  EXPECT_EQ(plan->opaque_fields()[2].type, "google.protobuf.Value");
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
