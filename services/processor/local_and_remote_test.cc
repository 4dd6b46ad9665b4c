// Where the keys are doesn't show: the same events give the same records, byte for byte.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "demo/generator.h"
#include "services/processor/setup.h"
#include "services/processor/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

// Every treatment that takes keys, in two domains and an older epoch.
constexpr std::string_view kStreams = R"(
  contract: policing.stops.v1.StopSearch
  input: {topic: raw}
  quarantine: {topic: quarantine, public_key: quarantine.pub}
  streams:
    - name: desk
      topic: desk
      domain: desk
      internal: true
      treat: &desk
        PERSON_NAME: encrypt
        PHONE: format_preserve
        EMAIL: encrypt
        PNC_ID: format_preserve
        WARRANT_NUMBER: pseudonymise
        SHOULDER_NUMBER: pseudonymise
        VRM: format_preserve
        ADDRESS: pseudonymise
        FREE_IDENTIFIER: pseudonymise
        POSTCODE: pseudonymise
        DATE_OF_BIRTH: {shift: {person: pnc_id}}
        GENDER: keep
        ETHNICITY: keep
        LOCATION: keep
        FREE_TEXT: scrub
    - {name: before, topic: before, domain: desk@previous, internal: true, treat: *desk}
    - name: open
      topic: open
      domain: open
      treat:
        PERSON_NAME: {pseudonymise: {linkage: period, every: quarter}}
        PHONE: {pseudonymise: {linkage: event}}
        EMAIL: {pseudonymise: {linkage: none}}
        PNC_ID: pseudonymise
        WARRANT_NUMBER: drop
        SHOULDER_NUMBER: {pseudonymise: {linkage: period, every: year}}
        VRM: {pseudonymise: {linkage: period}}
        ADDRESS: {pseudonymise: {linkage: event}}
        FREE_IDENTIFIER: pseudonymise
        POSTCODE: {generalise: district}
        DATE_OF_BIRTH: {shift: {person: name, days_max: 30}}
        GENDER: drop
        ETHNICITY: drop
        LOCATION: drop
        LOCATION_TEXT: drop
        FREE_TEXT: {scrub: {replace: pseudonyms}}
        OCCURRED_AT: {generalise: month}
      accept:
        free-text:grounds: a test of what scrubbing gives on both sides
)";

// What an engine hands over. A sealed payload is another every time; all else must be the same.
class Outcomes final : public engine::OutcomeSink {
 public:
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& clean) override {
    std::string& out = seen.emplace_back(
        base::StrCat(clean.stream, "|", clean.key.value_or(""), "|", clean.value));
    for (const engine::Header& header : clean.headers)
      base::StrAppend(out, "|", header.name, "=", header.value);
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& quarantined) override {
    std::string& out = seen.emplace_back(base::StrCat("quarantine|", quarantined.key));
    for (const engine::Header& header : quarantined.headers)
      base::StrAppend(out, "|", header.name, "=", header.value);
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override { seen.emplace_back("suppressed"); }

  std::vector<std::string> seen;
};

class LocalAndRemoteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string& path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random_).ok());
    auto keyring = privacy::Keyring::Create({{"desk", "desk"}, {"open", "open"}}, random_);
    ASSERT_TRUE(keyring->Rotate("desk", random_).ok());
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random_).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random_)->public_pem;
    service_.Use(*keyring);
    server_ = *rpc::Server::Create({}, {&service_});
    ASSERT_EQ(server_->Start(), absl::OkStatus());
    local_ = Load("local: {keyring: keyring, key_encryption_key: kek}");
    remote_ = Load(base::StrCat("remote: {address: \"127.0.0.1:", server_->port(),
                                "\", values_per_call: 100, deadline_ms: 5000}"));
    ASSERT_TRUE(local_ != nullptr && remote_ != nullptr);
  }

  std::unique_ptr<processor::Setup> Load(const std::string& pseudonymiser) {
    std::string file = folder_->path() + "/processor.yaml";
    std::ofstream(file) << "kafka: {brokers: [a:1], group: g, instance: i}\ncontracts: [\""
                        << Root() << "/proto\"]\npseudonymiser: {" << pseudonymiser
                        << "}\npipeline:" << kStreams;
    auto setup = LoadSetup(file);
    EXPECT_TRUE(setup.ok()) << setup.status();
    return setup.ok() ? std::make_unique<processor::Setup>(*std::move(setup)) : nullptr;
  }
  static std::string Root() { return std::getenv("SLUICE_SOURCE_DIR"); }

  std::vector<std::string> Run(const processor::Setup& setup,
                               const std::vector<std::string>& events) {
    auto keyed = KeyedEngine::Create(setup, random_);
    EXPECT_TRUE(keyed.ok()) << keyed.status();
    Outcomes outcomes;
    std::vector<base::InputRecord> records;
    for (const std::string& event : events) {
      base::InputRecord& record = records.emplace_back();
      record.topic = "raw";
      record.offset = static_cast<int64_t>(records.size());
      record.value = event;
    }
    for (size_t at = 0; at < records.size(); at += 64) {
      auto chunk = std::span(records).subspan(at, std::min<size_t>(64, records.size() - at));
      EXPECT_EQ(keyed->engine->Process(chunk, outcomes), absl::OkStatus());
      keyed->engine->NewBatch();
    }
    return std::move(outcomes.seen);
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("remote");
  base::SystemRandom random_;
  FakeKeyService service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<processor::Setup> local_, remote_;
};

TEST_F(LocalAndRemoteTest, MakeTheSameRecords) {
  std::vector<std::string> events;
  std::ifstream golden(Root() + "/tests/golden/stops.jsonl");
  for (std::string line; std::getline(golden, line);) events.push_back(line);
  ASSERT_GT(events.size(), 10u);
  demo::Generator generator(3);
  for (int i = 0; i < 500; ++i) {
    std::string event = generator.Next();
    // Words of the text that are identifiers, also of the event's own people.
    if (size_t at = event.find("Seen near"); i % 2 == 0 && at != std::string::npos)
      event.insert(at, "Ada Example rang from 07700 900123 about AB12 CDE. ");
    events.push_back(std::move(event));
  }
  std::vector<std::string> local = Run(*local_, events), remote = Run(*remote_, events);
  ASSERT_GT(local.size(), 1'400u);
  ASSERT_EQ(local.size(), remote.size());
  for (size_t i = 0; i < local.size(); ++i) ASSERT_EQ(local[i], remote[i]) << i;
  // The remote one has no key in hand.
  EXPECT_FALSE(remote_->keyring.has_value());
  EXPECT_GT(service_.calls(), 0);
}

// U+FDFA is eleven times as long in its canonical form: what fits into an event may not fit into a
// request.
TEST_F(LocalAndRemoteTest, GiveTheSameVerdictOnTheLongestValues) {
  demo::Generator generator(3);
  const std::string event = generator.Next();
  const std::string place = "\"warrant_no\":\"";
  ASSERT_NE(event.find(place), std::string::npos);
  std::vector<std::string> events;
  for (int letters : {1, 1'000, 7'000, 8'000, 140'000}) {
    std::string longest;
    for (int i = 0; i < letters; ++i) longest += "\xEF\xB7\xBA";
    for (int copy = 0; copy < 3; ++copy) {
      events.push_back(event);
      events.back().insert(event.find(place) + place.size(), longest);
    }
  }
  std::vector<std::string> local = Run(*local_, events), remote = Run(*remote_, events);
  ASSERT_EQ(local.size(), remote.size());
  for (size_t i = 0; i < local.size(); ++i) EXPECT_TRUE(local[i] == remote[i]) << i;
  EXPECT_TRUE(local.back().starts_with("quarantine|"));
}

TEST_F(LocalAndRemoteTest, HandNothingOverWhileTheKeysAreAway) {
  auto keyed = KeyedEngine::Create(*remote_, random_);
  ASSERT_TRUE(keyed.ok());
  demo::Generator generator(3);
  std::string event = generator.Next();
  base::InputRecord record;
  record.topic = "raw";
  record.value = event;
  Outcomes outcomes;
  service_.Before([](const auto&) { return grpc::Status(grpc::PERMISSION_DENIED, ""); });
  EXPECT_EQ(keyed->engine->Process({&record, 1}, outcomes).code(), absl::StatusCode::kUnavailable);
  service_.Before({});
  service_.Spoil(
      [](auto& response) { response.mutable_blocks()->resize(response.blocks().size() / 2); });
  EXPECT_EQ(keyed->engine->Process({&record, 1}, outcomes).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(outcomes.seen.empty());
  service_.Spoil({});
  EXPECT_EQ(keyed->engine->Process({&record, 1}, outcomes), absl::OkStatus());
  EXPECT_EQ(outcomes.seen.size(), 3u);
}

}  // namespace
}  // namespace sluice::processor
