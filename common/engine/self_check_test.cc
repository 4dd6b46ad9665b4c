#include "common/engine/self_check.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/contract/testing.h"
#include "common/engine/engine.h"
#include "common/privacy/keyring.h"
#include "common/privacy/local_pseudonymiser.h"

namespace sluice::engine {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kContract = R"(
enum Kind { NONE = 0; ONE = 1; }
message E {
  option (sluice.contract.v1.event) = {id: "id" time: "at"};
  option (sluice.contract.v1.not_personal) = {fields: ["kind", "flag", "beat"]};
  string id = 1 [(buf.validate.field).string.uuid = true];
  google.protobuf.Timestamp at = 2;
  string name = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  repeated string phones = 4 [(sluice.contract.v1.field) = {identifier: PHONE check: true}];
  string born = 5 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string postcode = 6 [(sluice.contract.v1.field).identifier = POSTCODE];
  string notes = 7 [(sluice.contract.v1.field).free_text = true];
  uint64 uprn = 8 [(sluice.contract.v1.field).identifier = UPRN];
  google.protobuf.Timestamp seen_at = 9 [(sluice.contract.v1.field).quasi = EVENT_TIME];
  map<string, string> people = 10 [(sluice.contract.v1.field) = {
    key: {identifier: EMAIL} value: {identifier: PERSON_NAME}}];
  oneof which {
    string passport = 11 [(sluice.contract.v1.field).identifier = PASSPORT];
    string nino = 12 [(sluice.contract.v1.field).identifier = NINO];
  }
  Kind kind = 13;
  bool flag = 14;
  string beat = 15 [(buf.validate.field).string.pattern = "^[0-9]{4}$"];
  Place place = 16;
}
message Place {
  double latitude = 1 [(sluice.contract.v1.field).quasi = LATITUDE];
  double longitude = 2 [(sluice.contract.v1.field).quasi = LONGITUDE];
}
)";

constexpr std::string_view kTreatments = R"(
  treat { key: 'PERSON_NAME' value { mask { keep_first: 2 } } }
  treat { key: 'POSTCODE' value { generalise { district {} } } }
  treat { key: 'DATE_OF_BIRTH' value { generalise { year {} } } }
  treat { key: 'FREE_TEXT' value { scrub {} } }
  treat { key: 'UPRN' value { pseudonymise {} } }
  treat { key: 'EVENT_TIME' value { generalise { hour {} } } }
  treat { key: 'EMAIL' value { pseudonymise {} } }
  treat { key: 'PASSPORT' value { encrypt {} } }
  treat { key: 'NINO' value { drop {} } }
  treat { key: 'LOCATION' value { generalise { grid_metres: 1000 } } }
)";

class SelfCheckTest : public ::testing::Test, protected OutcomeSink {
 protected:
  absl::Status Make(std::string_view phones, std::string_view format = "json") {
    Pipeline::Options options;
    options.contract = contract::PlanFromProto(kContract, "E");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        base::StrCat(
            "contract: 'test.E' input { topic: 'raw' } quarantine { topic: 'q' } streams { "
            "name: 's' topic: 's' domain: 'd' internal: true format: ",
            format, kTreatments, "treat { key: 'PHONE' value { ", phones, " } } }"),
        &options.config));
    auto pipeline = Pipeline::Compile(std::move(options));
    if (!pipeline.ok()) return pipeline.status();
    pipeline_ = *std::move(pipeline);
    auto keyring = privacy::Keyring::Create({{"d", "dom"}}, random_);
    pseudonymiser_ = *privacy::LocalPseudonymiser::Create(*keyring);
    keys_ = *privacy::NewSealingKeys(random_);
    sealer_ = *privacy::Sealer::Create(keys_.public_pem, random_);
    engine_ = *Engine::Create(pipeline_, *pseudonymiser_, *sealer_);
    return engine_->CheckSelf();
  }
  absl::Status Clean(const InputRecord&, const CleanRecord& clean) override {
    published_ = clean.value;
    return absl::OkStatus();
  }
  absl::Status Quarantined(const InputRecord&, const QuarantineRecord&) override {
    return absl::OkStatus();
  }
  void Suppressed(const InputRecord&) override {}

  base::CountingRandom random_;
  std::shared_ptr<const Pipeline> pipeline_;
  std::unique_ptr<privacy::LocalPseudonymiser> pseudonymiser_;
  privacy::SealingKeys keys_;
  std::unique_ptr<privacy::Sealer> sealer_;
  std::unique_ptr<Engine> engine_;
  std::string published_;
};

TEST_F(SelfCheckTest, PassesWhateverTheTreatmentsAreAndCountsNothing) {
  for (const char* format : {"json", "protobuf"}) {
    for (const char* phones :
         {"drop {}", "keep {}", "pseudonymise {}", "encrypt {}", "format_preserve {}",
          "mask { keep_last: 3 }", "constant: 'x'", "pseudonymise { linkage: period }",
          "pseudonymise { linkage: none }"}) {
      EXPECT_EQ(Make(phones, format), absl::OkStatus()) << phones << " " << format;
      EXPECT_EQ(engine_->tally().in + engine_->tally().clean + engine_->tally().quarantined, 0u);
    }
  }
  // Rules that its values break aren't asked, and the next event is as any other.
  ASSERT_EQ(Make("drop {}"), absl::OkStatus());
  InputRecord record;
  record.topic = "raw";
  record.value =
      R"({"id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","name":"Ann Archer","beat":"1234"})";
  ASSERT_TRUE(engine_->Process({&record, 1}, *this).ok());
  EXPECT_THAT(published_, HasSubstr(R"("beat":"1234")"));
  EXPECT_EQ(engine_->tally().clean, 1u);
  EXPECT_EQ(engine_->CheckSelf(), absl::OkStatus());
}

TEST_F(SelfCheckTest, EveryMemberOfAOneofIsInOneOfItsEvents) {
  ASSERT_TRUE(Make("drop {}").ok());
  SelfCheck check(*pipeline_);
  EXPECT_EQ(check.events(), 2u);
  const contract::Plan& plan = pipeline_->contract();
  const contract::Node& passport = plan.node(plan.Find("passport"));
  const contract::Node& nino = plan.node(plan.Find("nino"));
  base::Arena arena;
  for (size_t i = 0; i < 2; ++i) {
    event::Value* fields = check.Fill(i, arena);
    EXPECT_EQ(fields[plan.position(passport)].present(), i == 0);
    EXPECT_EQ(fields[plan.position(nino)].present(), i == 1);
    EXPECT_EQ(fields[plan.position(plan.node(plan.Find("people")))].size, 1u);
  }
  EXPECT_EQ(check.unmarked(), 0u);
}

TEST_F(SelfCheckTest, FindsAMarkerWhereverItStands) {
  ASSERT_TRUE(Make("drop {}").ok());
  SelfCheck check(*pipeline_);
  const StreamPlan& stream = pipeline_->streams()[0];
  const contract::Plan& plan = pipeline_->contract();
  base::Arena arena;
  event::Value* fields = check.Fill(0, arena);
  auto text = [&](std::string_view path) {
    const contract::Node& node = plan.node(plan.Find(path));
    const event::Value& value = fields[plan.position(node)];
    return std::string(node.cardinality == contract::Cardinality::kRepeated ? value.values[0].text()
                                                                            : value.text());
  };
  EXPECT_EQ(check.Leak(stream, "{}"), "");
  EXPECT_EQ(check.Leak(stream, base::StrCat("ce_id: x", text("phones"))), "phones");
  EXPECT_EQ(check.Leak(stream, text("born")), "born");
  EXPECT_EQ(check.Leak(stream, text("born").substr(0, 4)), "") << "the year may show";
  std::string name = text("name");
  EXPECT_EQ(check.Leak(stream, name.substr(0, 2)), "") << "the mask's two characters may show";
  EXPECT_EQ(check.Leak(stream, name), "name");
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  EXPECT_EQ(check.Leak(stream, name), "name") << "in capitals too";
  EXPECT_EQ(check.Leak(stream, text("passport")), "passport");
  EXPECT_EQ(check.Leak(stream, absl::BytesToHexString(text("passport"))), "passport");
  std::string percent;
  for (char c : text("passport")) base::StrAppend(percent, "%", absl::BytesToHexString({&c, 1}));
  EXPECT_EQ(check.Leak(stream, percent), "passport");
  for (const char* before : {"", "x", "xy"})
    EXPECT_EQ(check.Leak(stream, absl::Base64Escape(before + text("passport") + "z")), "passport")
        << before;
  EXPECT_EQ(check.Leak(stream, text("id")), "") << "the stream is internal and keeps it";
}

// Somebody changes what a stream publishes behind its treatment's back.
TEST_F(SelfCheckTest, AnEngineThatPublishesWhatItMustNotNamesStreamAndField) {
  ASSERT_TRUE(Make("drop {}").ok());
  auto broken = std::const_pointer_cast<Pipeline>(pipeline_);
  auto& nodes = const_cast<std::vector<OutputNode>&>(broken->streams()[0].nodes);
  for (OutputNode& node : nodes) {
    // The pseudonym's place gets the value of a field that is dropped.
    if (node.node == broken->contract().Find("born"))
      node.position =
          broken->contract().position(broken->contract().node(broken->contract().Find("postcode"))),
      node.op = Op::kKeep;
  }
  absl::Status status = engine_->CheckSelf();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the stream 's' shows more of the field 'postcode'"));
  EXPECT_EQ(std::string(status.message()).find("ZE"), std::string::npos) << "no marker in it";
}

}  // namespace
}  // namespace sluice::engine
