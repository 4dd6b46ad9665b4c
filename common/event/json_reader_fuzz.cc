// Any bytes: the reader says what is wrong with them or gives an event that can be written again.
#include <simdjson.h>

#include <cstdio>
#include <cstdlib>

#include "common/contract/testing.h"
#include "common/event/json_reader.h"

namespace {

constexpr const char* kContract = R"(
message Event {
  option (sluice.contract.v1.event) = { id: "id" time: "at" };
  option (sluice.contract.v1.not_personal) = {fields: [
    "small", "big", "huge", "real", "flag", "raw", "length", "counts.key", "counts.value", "texts", "kind", "deep",
    "left", "right"
  ]};
  string id = 1;
  int32 small = 2;
  int64 big = 3 [(sluice.contract.v1.field).read = { number_in_string: true }];
  uint64 huge = 4;
  double real = 5 [(sluice.contract.v1.field).read = { number_in_string: true }];
  bool flag = 6 [(sluice.contract.v1.field).read = { true_values: "yes" false_values: "no" }];
  bytes raw = 7;
  google.protobuf.Timestamp at = 8 [(sluice.contract.v1.field).read = { time_zone: "Europe/London" }];
  google.protobuf.Duration length = 9;
  Part part = 10;
  repeated Part parts = 11;
  map<string, int32> counts = 12;
  repeated string texts = 13 [(sluice.contract.v1.field).read = { trim: true null_values: "" }];
  Kind kind = 14;
  string deep = 15 [(sluice.contract.v1.field).read = { source: "outer.inner" }];
  oneof choice { string left = 16; int32 right = 17; }
}
message Part { option (sluice.contract.v1.not_personal) = {fields: ["name"]}; string name = 1; Part2 next = 2; }
message Part2 { option (sluice.contract.v1.not_personal) = {fields: ["values"]}; repeated double values = 1; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_ONE = 1; }
)";

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  static const auto plan = contract::PlanFromProto(kContract, "Event");
  static event::JsonReader reader(plan);
  static base::Arena arena;
  static event::Event event;
  arena.Reset();
  event.Clear();
  std::string_view json(reinterpret_cast<const char*>(data), size);
  reader.Read(json, arena, event);
  Require(event.fields != nullptr || !event.violations.empty(), "neither an event nor a reason");
  for (const event::Violation& violation : event.violations)
    Require(!violation.rule.empty(), "a violation without a rule");
  Require(event.violations.size() <= event::kViolationsMax, "more violations than the bound");
  if (!event.violations.empty()) return 0;
  // What the reader takes, an independent parser must take, too.
  simdjson::dom::parser parser;
  Require(parser.parse(json.data(), json.size()).error() == simdjson::SUCCESS,
          "the reader took what isn't JSON");
  return 0;
}
