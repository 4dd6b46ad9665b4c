// Fixed events in, every record that comes out, byte for byte; and the names of all metrics. What
// changes one of these changes what subscribers and dashboards get: it belongs into the changelog.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/base/strings.h"
#include "common/base/testing.h"
#include "common/privacy/seal.h"
#include "common/rpc/acceptor.h"
#include "common/rpc/tls_pair.h"
#include "common/telemetry/metrics.h"
#include "services/processor/probe.h"
#include "services/processor/service.h"
#include "services/processor/setup.h"
#include "services/processor/shipped_pipeline_test.h"
#include "services/pseudonymiser/probe.h"
#include "services/reference/probe.h"
#include "sluice/quarantine/v1/payload.pb.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

std::string Root() { return std::getenv("SLUICE_SOURCE_DIR"); }

// Compares with the file tests/golden/NAME, or writes it.
void ExpectGolden(const std::string& name, const std::string& text) {
  std::string path = Root() + "/tests/golden/" + name;
  if (std::getenv("SLUICE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream in(path);
  std::stringstream golden;
  golden << in.rdbuf();
  EXPECT_EQ(golden.str(), text)
      << "if this is meant, run the test again with SLUICE_UPDATE_GOLDEN=1 and say so in "
         "CHANGELOG.md";
}

class GoldenTest : public ::testing::Test, private engine::OutcomeSink {
 protected:
  void SetUp() override {
    const std::string& path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random_).ok());
    // Without check bytes: the pseudonyms are those of keyrings of before there were any.
    auto keyring =
        privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_, 0, 0);
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random_).ok());
    auto keys = privacy::NewSealingKeys(random_);
    std::ofstream(path + "/quarantine.pub") << keys->public_pem;
    unsealer_ = *privacy::Unsealer::Create(keys->private_pem);
    std::ofstream config(path + "/processor.yaml");
    config << "kafka: {brokers: [a:1], group: g, instance: i}\ncontracts: [\"" << Root()
           << "/proto\"]\npseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference: {local: {sets: [{name: boroughs, csv: \"" << Root()
           << "/deploy/config/boroughs.csv\", key: code, not_personal: [name, "
              "command_unit]}]}}\npipeline:\n";
    config << ShippedPipeline(Root());
    config.close();
    auto setup = LoadSetup(path + "/processor.yaml");
    ASSERT_TRUE(setup.ok()) << setup.status();
    setup_ = std::make_unique<processor::Setup>(*std::move(setup));
  }

  // One line of the input file after the other is an event.
  std::string Process(const std::string& events_file) {
    auto keyed = KeyedEngine::Create(*setup_, random_);
    EXPECT_TRUE(keyed.ok()) << keyed.status();
    std::ifstream events(events_file);
    EXPECT_TRUE(events.good()) << events_file;
    int64_t offset = 0;
    for (std::string line; std::getline(events, line); ++offset) {
      base::InputRecord record;
      record.topic = setup_->pipeline->config().input().topic();
      record.offset = offset;
      record.timestamp_ms = 1'772'600'000'000 + offset;
      record.key = "raw key";
      record.value = line;
      base::StrAppend(out_, "# ", offset, "\n");
      EXPECT_EQ(keyed->engine->Process({&record, 1}, *this), absl::OkStatus());
    }
    return out_;
  }

  void Append(std::string_view topic, std::optional<std::string_view> key, std::string_view value,
              std::span<const engine::Header> headers, std::optional<int64_t> timestamp_ms) {
    base::StrAppend(out_, topic, "\n  key ", key.value_or("(null)"), "\n");
    if (timestamp_ms) base::StrAppend(out_, "  timestamp ", *timestamp_ms, "\n");
    for (const engine::Header& header : headers)
      base::StrAppend(out_, "  ", header.name, ": ", header.value, "\n");
    base::StrAppend(out_, "  ", value, "\n");
  }
  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& clean) override {
    Append(setup_->pipeline->streams()[clean.stream].topic, clean.key, clean.value, clean.headers,
           clean.timestamp_ms);
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& quarantined) override {
    // The seal is different every time; what is in it isn't.
    auto opened = unsealer_->Unseal(quarantined.key, quarantined.value);
    EXPECT_TRUE(opened.ok()) << opened.status();
    quarantine::v1::Payload payload;
    EXPECT_TRUE(payload.ParseFromString(opened.ok() ? *opened : ""));
    Append(setup_->pipeline->config().quarantine().topic(), quarantined.key,
           "sealed: " + payload.value(), quarantined.headers, std::nullopt);
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override { out_ += "suppressed\n"; }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("golden");
  base::CountingRandom random_;
  std::unique_ptr<privacy::Unsealer> unsealer_;
  std::unique_ptr<processor::Setup> setup_;
  std::string out_;
};

TEST_F(GoldenTest, StopsAndSearches) {
  ExpectGolden("stops.txt", Process(Root() + "/tests/golden/stops.jsonl"));
}

class NoControls final : public Controls {
  Edition current() const override { return {}; }
  void FillStatus(v1::GetStatusResponse&) const override {}
  void Pause() override {}
  void Resume() override {}
  absl::Status SetOffsets(const v1::SetOffsetsRequest&, v1::SetOffsetsResponse&) override {
    return absl::OkStatus();
  }
};

TEST_F(GoldenTest, MetricNames) {
  telemetry::Registry registry;
  telemetry::SetBuildInfo(registry, "0", "");
  telemetry::AddProcessMetrics(registry);
  rpc::AddTlsMetrics(registry);
  rpc::ConnectionMetrics connections(registry);
  Probe probe(registry, setup_->pipeline->contract().name(), "group");
  NoControls controls;
  Service service(setup_->config.listen(), controls, random_, registry);
  reference::Probe reference(registry);
  pseudonymiser::Probe pseudonymiser(registry);
  std::string names;
  for (const std::string& name : registry.MetricNames()) base::StrAppend(names, name, "\n");
  ExpectGolden("metrics.txt", names);
}

}  // namespace
}  // namespace sluice::processor
