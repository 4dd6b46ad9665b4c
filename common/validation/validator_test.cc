#include "common/validation/validator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/contract/testing.h"
#include "common/event/json_reader.h"

namespace sluice::validation {
namespace {

using ::testing::HasSubstr;

// Of a contract whose fields are `x` and `y`, as far as they are there: the short form that
// decides.
std::string Decided(std::string_view field) {
  if (field.find("EVENT_TIME") != field.npos || field.find(" x = ") == field.npos) return "";
  std::string names = field.find("map<") != field.npos ? "'x.key', 'x.value'" : "'x'";
  if (field.find(" y = ") != field.npos) names += ", 'y'";
  return base::StrCat("option (sluice.contract.v1.not_personal) = {fields: [", names, "]}; ");
}

// A contract with one field `x`, its rules, and what an event must break.
std::string BrokenBy(std::string_view field, std::string_view json, std::string_view more = "") {
  auto plan = contract::PlanFromProto(
      base::StrCat("message E { option (sluice.contract.v1.event) = {time: 'at'}; ", Decided(field),
                   "google.protobuf.Timestamp at = 1;\n", field, "}\nenum K { A = 0; B = 1; }\n",
                   more),
      "E");
  auto validator = Validator::Compile(*plan);
  if (!validator.ok()) return std::string(base::View(validator.status().message()));
  event::JsonReader reader(plan);
  base::Arena arena;
  event::Event event;
  reader.Read(json, arena, event);
  if (event.fields != nullptr) (*validator)->Check(event, arena);
  std::string out;
  for (const event::Violation& v : event.violations)
    base::StrAppend(out, out.empty() ? "" : " ", v.rule, "@", v.path);
  return out;
}

std::string Rule(std::string_view type, std::string_view rule) {
  std::string_view time =
      type == "google.protobuf.Timestamp" ? ", (sluice.contract.v1.field).quasi = EVENT_TIME" : "";
  return base::StrCat(type, " x = 2 [(buf.validate.field).", rule, time, "];");
}

struct Case {
  std::string field;
  std::string good;  // the value of x; empty: absent
  std::string bad;
  std::string broken;  // rule@path
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.field; }

class Rules : public ::testing::TestWithParam<Case> {};

std::string WithX(const std::string& value) {
  return value.empty() ? "{}" : base::StrCat("{\"x\":", value, "}");
}

TEST_P(Rules, HoldOnTheirBorderAndBreakBeyondIt) {
  EXPECT_EQ(BrokenBy(GetParam().field, WithX(GetParam().good)), "");
  EXPECT_EQ(BrokenBy(GetParam().field, WithX(GetParam().bad)), GetParam().broken);
}

INSTANTIATE_TEST_SUITE_P(
    All, Rules,
    ::testing::Values(
        Case{Rule("string", "required = true"), "\"a\"", "", "required@x"},
        Case{Rule("string", "required = true"), "\"a\"", "\"\"", "required@x"},
        Case{Rule("optional string", "required = true"), "\"\"", "", "required@x"},
        Case{Rule("string", "string.const = 'a'"), "\"a\"", "\"b\"", "string.const@x"},
        Case{Rule("string", "string = {in: ['a', 'b']}"), "\"b\"", "\"c\"", "string.in@x"},
        Case{Rule("string", "string.not_in = 'a'"), "\"b\"", "\"a\"", "string.not_in@x"},
        Case{Rule("string", "string.len = 2"), "\"\xC3\xA9z\"", "\"z\"", "string.len@x"},
        Case{Rule("string", "string.min_len = 2"), "\"\xC3\xA9z\"", "\"\xC3\xA9\"",
             "string.min_len@x"},
        Case{Rule("string", "string.max_len = 1"), "\"\xC3\xA9\"", "\"ab\"", "string.max_len@x"},
        Case{Rule("string", "string.len_bytes = 2"), "\"\xC3\xA9\"", "\"a\"", "string.len_bytes@x"},
        Case{Rule("string", "string.min_bytes = 2"), "\"\xC3\xA9\"", "\"a\"", "string.min_bytes@x"},
        Case{Rule("string", "string.max_bytes = 1"), "\"a\"", "\"\xC3\xA9\"", "string.max_bytes@x"},
        Case{Rule("string", "string.pattern = '^a+$'"), "\"aa\"", "\"ab\"", "string.pattern@x"},
        Case{Rule("string", "string.prefix = 'ab'"), "\"abc\"", "\"ac\"", "string.prefix@x"},
        Case{Rule("string", "string.suffix = 'bc'"), "\"abc\"", "\"ab\"", "string.suffix@x"},
        Case{Rule("string", "string.contains = 'b'"), "\"abc\"", "\"ac\"", "string.contains@x"},
        Case{Rule("string", "string.not_contains = 'b'"), "\"ac\"", "\"abc\"",
             "string.not_contains@x"},
        Case{Rule("string", "string.uuid = true"), "\"6f9619ff-8b86-d011-b42d-00cf4fc964ff\"",
             "\"x\"", "string.uuid@x"},
        Case{Rule("string", "string.uuid = true"), "\"6F9619FF-8B86-D011-B42D-00CF4FC964FF\"", "",
             "string.uuid_empty@x"},
        Case{Rule("string", "string.email = true"), "\"a.b@c.de\"", "\"a@b@c\"", "string.email@x"},
        Case{Rule("bytes", "bytes.max_len = 1"), "\"AQ==\"", "\"AQI=\"", "bytes.max_len@x"},
        Case{Rule("int32", "int32.gt = 0"), "1", "0", "int32.gt@x"},
        Case{Rule("int32", "int32.gte = 1"), "1", "", "int32.gte@x"},
        Case{Rule("optional int32", "int32.gte = 1"), "", "0", "int32.gte@x"},
        Case{Rule("int64", "int64 = {gte: -1, lte: 1}"), "-1", "2", "int64.gte_lte@x"},
        Case{Rule("sint32", "sint32 = {gt: 5, lt: 2}"), "1", "3", "sint32.gt_lt_exclusive@x"},
        Case{Rule("uint64", "uint64.lt = 9"), "8", "9", "uint64.lt@x"},
        Case{Rule("fixed32", "fixed32.in = 3"), "3", "4", "fixed32.in@x"},
        Case{Rule("double", "double = {gte: 51.2, lte: 51.8}"), "51.8", "51.81",
             "double.gte_lte@x"},
        Case{Rule("float", "float.const = 0.1"), "0.1", "", "float.const@x"},
        Case{Rule("bool", "bool.const = true"), "true", "false", "bool.const@x"},
        Case{Rule("K", "enum.defined_only = true"), "1", "7", "enum.defined_only@x"},
        Case{Rule("K", "enum.not_in = 0"), "\"B\"", "\"A\"", "enum.not_in@x"},
        Case{Rule("repeated int32", "repeated.min_items = 1"), "[1]", "[]", "repeated.min_items@x"},
        Case{Rule("repeated int32", "repeated.max_items = 1"), "[1]", "[1,2]",
             "repeated.max_items@x"},
        Case{Rule("repeated string", "repeated.unique = true"), "[\"a\",\"b\"]",
             "[\"a\",\"b\",\"a\"]", "repeated.unique@x"},
        Case{Rule("repeated int32", "repeated.items.int32.lt = 9"), "[1,8]", "[1,9]",
             "int32.lt@x[1]"},
        Case{Rule("map<string, int32>", "map.min_pairs = 1"), "{\"a\":1}", "{}", "map.min_pairs@x"},
        Case{Rule("map<string, int32>", "map.max_pairs = 1"), "{\"a\":1}", "{\"a\":1,\"b\":2}",
             "map.max_pairs@x"},
        Case{Rule("map<string, int32>", "map.keys.string.min_len = 2"), "{\"aa\":1}", "{\"a\":1}",
             "string.min_len@x[0]"},
        Case{Rule("map<string, int32>", "map.values.int32.gt = 0"), "{\"a\":1}", "{\"a\":0}",
             "int32.gt@x[0]"},
        Case{Rule("google.protobuf.Timestamp", "timestamp.gte = {seconds: 10}"),
             "\"1970-01-01T00:00:10Z\"", "\"1970-01-01T00:00:09.9Z\"", "timestamp.gte@x"},
        Case{Rule("google.protobuf.Timestamp", "required = true"), "\"1970-01-01T00:00:00Z\"", "",
             "required@x"},
        Case{Rule("google.protobuf.Duration", "duration.lt = {seconds: 1}"), "\"0.9s\"", "\"1s\"",
             "duration.lt@x"},
        Case{"string x = 2 [(sluice.contract.v1.field) = {date: true quasi: EVENT_TIME}];",
             "\"2024-02-29\"", "\"2026-02-29\"", "sluice.date@x"},
        Case{"oneof o { option (buf.validate.oneof).required = true; string x = 2; string y = 3; }",
             "\"\"", "", "required@"}),
    [](const auto& info) { return base::StrCat("Rule", info.index); });

TEST(Validator, IgnoreSaysWhenRulesCount) {
  std::string unless_zero =
      "string x = 2 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE string: {min_len: 2}}];";
  EXPECT_EQ(BrokenBy(unless_zero, "{}"), "");
  EXPECT_EQ(BrokenBy(unless_zero, R"({"x":"a"})"), "string.min_len@x");
  std::string never =
      "string x = 2 [(buf.validate.field) = {ignore: IGNORE_ALWAYS string: {min_len: 2}}];";
  EXPECT_EQ(BrokenBy(never, R"({"x":"a"})"), "");
}

TEST(Validator, ReportsAllViolationsWithTheirPaths) {
  std::string more =
      "message P { option (sluice.contract.v1.not_personal) = {fields: ['name', 'age']}; "
      "string name = 1 [(buf.validate.field).string.min_len = 1]; int32 age = 2 "
      "[(buf.validate.field).int32.lt = 150]; }";
  EXPECT_EQ(BrokenBy("repeated P people = 2; P subject = 3;",
                     R"({"people":[{"name":"a"},{"age":200}],"subject":{}})", more),
            "string.min_len@people[1].name int32.lt@people[1].age string.min_len@subject.name");
  EXPECT_EQ(BrokenBy("P subject = 3;", "{}", more), "");
}

TEST(Validator, ListsEveryRuleThatAnEventCanBreak) {
  auto plan = contract::PlanFromProto(
      "message E { option (sluice.contract.v1.event) = {time: 'at'}; google.protobuf.Timestamp at "
      "= 1 "
      "[(buf.validate.field).required = true]; repeated P p = 2 "
      "[(buf.validate.field).repeated.max_items "
      "= 2]; }\nmessage P { option (sluice.contract.v1.not_personal) = {fields: ['id']}; "
      "string id = 1 [(buf.validate.field).string.uuid = true]; }",
      "E");
  auto validator = Validator::Compile(*plan);
  ASSERT_TRUE(validator.ok()) << validator.status();
  std::string all;
  for (const auto& [node, rule] : (*validator)->Rules())
    base::StrAppend(all, plan->node(node).path, ":", rule, " ");
  EXPECT_EQ(all, "at:required p:repeated.max_items p[].id:string.uuid p[].id:string.uuid_empty ");
}

TEST(Validator, NumbersThatAnEnumDoesNotDeclareAreRefusedWhateverTheRulesSay) {
  std::string more =
      "message P { option (sluice.contract.v1.not_personal) = {fields: ['x']}; K x = 1; }";
  EXPECT_EQ(BrokenBy("K x = 2;", R"({"x":7})"), "enum.defined_only@x");
  EXPECT_EQ(BrokenBy("K x = 2;", R"({"x":1})"), "");
  EXPECT_EQ(BrokenBy("repeated K x = 2;", R"({"x":[1,7]})"), "enum.defined_only@x[1]");
  EXPECT_EQ(BrokenBy("map<string, K> x = 2;", R"({"x":{"a":7}})"), "enum.defined_only@x[0]");
  EXPECT_EQ(BrokenBy(Rule("K", "ignore = IGNORE_ALWAYS"), R"({"x":7})"), "enum.defined_only@x");
  EXPECT_EQ(BrokenBy("P people = 2 [(buf.validate.field).ignore = IGNORE_ALWAYS];",
                     R"({"people":{"x":7}})", more),
            "enum.defined_only@people.x");
}

TEST(Validator, RefusesRulesThatItCannotKeep) {
  auto refused = [](std::string_view field, std::string_view text) {
    EXPECT_THAT(BrokenBy(field, "{}"), HasSubstr(text)) << field;
    EXPECT_THAT(BrokenBy(field, "{}"), HasSubstr("test.proto:8: x: ")) << field;
  };
  refused(Rule("string", "cel = {id: 'a' expression: 'true'}"), "`cel` isn't supported");
  refused(Rule("string", "string.ip_prefix = true"), "`string.ip_prefix` isn't supported");
  refused(Rule("string", "string.well_known_regex = KNOWN_REGEX_HTTP_HEADER_NAME"),
          "isn't supported");
  refused(Rule("string", "string.pattern = '('"), "isn't a regular expression");
  refused(Rule("string", "int32.gt = 1"), "has rules for `int32` and is a string");
  refused(Rule("repeated string", "string.min_len = 1"),
          "has rules for `string` and is a repeated");
  refused(Rule("google.protobuf.Timestamp", "timestamp.lt_now = true"),
          "depends on when the event is read");
}

TEST(Formats, TellValidFromInvalid) {
  struct {
    std::string_view rule, good, bad;
  } table[] = {
      {"hostname", "foo-bar.example.", "-foo.example"},
      {"hostname", "a1", "1.2.3.4"},
      {"ip", "::1", "1.2.3"},
      {"ipv4", "127.0.0.1", "127.0.0.01"},
      {"ipv6", "fe80::1%eth0", "fe80::1%"},
      {"ipv6", "::ffff:1.2.3.4", ":::"},
      {"uri", "https://u@example.com:8/a%20b?q#f", "https://a b"},
      {"uri", "urn:isbn:1", "//example.com"},
      {"uri", "http://[::1]/", "http://[::g]/"},
      {"uri_ref", "../a?b#c", "a:b c"},
      {"address", "example.com", "exa mple"},
      {"tuuid", "6f9619ff8b86d011b42d00cf4fc964ff", "6f9619ff8b86d011b42d00cf4fc964f"},
      {"email", "a+b@example.com", "a@-b.com"},
  };
  for (const auto& [rule, good, bad] : table) {
    std::string field = Rule("string", base::StrCat("string.", rule, " = true"));
    EXPECT_EQ(BrokenBy(field, base::StrCat("{\"x\":\"", good, "\"}")), "") << rule << " " << good;
    EXPECT_EQ(BrokenBy(field, base::StrCat("{\"x\":\"", bad, "\"}")),
              base::StrCat("string.", rule, "@x"))
        << rule << " " << bad;
  }
}

}  // namespace
}  // namespace sluice::validation
