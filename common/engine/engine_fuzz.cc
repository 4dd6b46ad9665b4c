// Any bytes as a raw value, framed or not, in either format: exactly one outcome, the same when it
// is worked on again, and in the same chunk with others.
#include <google/protobuf/text_format.h>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/engine.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice;

constexpr const char* kContract = R"(
message E {
  option (sluice.contract.v1.event) = {id: "event_id" time: "at"};
  string event_id = 1;
  google.protobuf.Timestamp at = 2;
  string name = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string phone = 4 [(sluice.contract.v1.field) = {identifier: PHONE check: true}];
  string born = 5 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string text = 6 [(sluice.contract.v1.field).free_text = true];
  repeated Person others = 7;
}
message Person { string name = 1 [(sluice.contract.v1.field).identifier = PERSON_NAME]; }
)";

constexpr const char* kPipeline = R"(
contract: "test.E"
input { topic: "raw" }
quarantine { topic: "quarantine" public_key: "key.pem" }
streams {
  name: "inside" topic: "inside" domain: "inside" internal: true
  treat { key: "PERSON_NAME" value { pseudonymise {} } }
  treat { key: "PHONE" value { pseudonymise {} } }
  treat { key: "DATE_OF_BIRTH" value { generalise { month {} } } }
  treat { key: "FREE_TEXT" value { scrub {} } }
}
)";

struct Outcomes final : engine::OutcomeSink {
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& record) override {
    base::StrAppend(all, "clean ", record.value, "\n");
    ++count;
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& record) override {
    for (const event::Violation& violation : record.violations) {
      fuzz::Require(violation.rule != engine::Engine::kDefect, "an exception was thrown");
      base::StrAppend(all, violation.rule, " ", violation.path, "\n");
    }
    fuzz::Require(!record.violations.empty(), "quarantined without a reason");
    ++count;
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}
  std::string all;
  int count = 0;
};

struct Worker {
  Worker(config::v1::Format format, bool framed) {
    config::v1::Pipeline config;
    fuzz::Require(google::protobuf::TextFormat::ParseFromString(kPipeline, &config), "pipeline");
    config.mutable_input()->set_format(format);
    if (framed) config.mutable_input()->add_schema_ids(1);
    engine::Pipeline::Options options;
    options.contract = contract::PlanFromProto(kContract, "E");
    options.config = config;
    auto pipeline = engine::Pipeline::Compile(std::move(options));
    fuzz::Require(pipeline.ok(), "the pipeline is wrong");
    pseudonymiser =
        *privacy::LocalPseudonymiser::Create(*privacy::Keyring::Create({{"inside", "in"}}, random));
    sealer = *privacy::Sealer::Create(privacy::NewSealingKeys(random)->public_pem, random);
    engine = *engine::Engine::Create(*pipeline, *pseudonymiser, *sealer);
  }
  Outcomes Run(std::vector<std::string_view> values) {
    std::vector<engine::InputRecord> records;
    for (std::string_view value : values) {
      engine::InputRecord& record = records.emplace_back();
      record.topic = "raw";
      record.value = value;
    }
    Outcomes outcomes;
    fuzz::Require(engine->Process(records, outcomes).ok(), "the engine failed");
    return outcomes;
  }
  base::CountingRandom random;
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser;
  std::unique_ptr<privacy::Sealer> sealer;
  std::unique_ptr<engine::Engine> engine;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Worker* const workers[] = {
      new Worker(config::v1::json, false), new Worker(config::v1::json, true),
      new Worker(config::v1::protobuf, false), new Worker(config::v1::protobuf, true)};
  if (size == 0) return 0;
  Worker& worker = *workers[data[0] % 4];
  std::string_view value(reinterpret_cast<const char*>(data + 1), size - 1);
  Outcomes one = worker.Run({value});
  fuzz::Require(one.count == 1, "one event has one outcome");
  Outcomes three = worker.Run({"{}", value, value});
  fuzz::Require(three.count == 3 && three.all.ends_with(one.all + one.all),
                "another outcome among others");
  fuzz::Planted(one.all.find("[PHONE]") != std::string::npos && data[0] % 4 == 1);
  return 0;
}
