// What can be told from the engine's outputs by somebody who has a list of everybody.
#include "services/processor/dictionary_attack_test.h"

#include <cstdlib>
#include <fstream>

#include "common/base/random.h"
#include "common/privacy/local_pseudonymiser.h"
#include "services/processor/setup.h"
#include "services/processor/shipped_pipeline_test.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

class DictionaryAttackTest : public ::testing::Test, private engine::OutcomeSink {
 protected:
  static constexpr int kEvents = 2'000;

  void SetUp() override {
    const char* source = std::getenv("SLUICE_SOURCE_DIR");
    const std::string root = source == nullptr ? "." : source;
    const std::string& path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random_).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random_).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random_)->public_pem;
    std::ofstream config(path + "/processor.yaml");
    config << "kafka: {brokers: [a:1], group: g, instance: i}\ncontracts: [\"" << root
           << "/proto\"]\npseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference: {local: {sets: [{name: boroughs, csv: \"" << root
           << "/deploy/config/boroughs.csv\", key: code, not_personal: [name, "
              "command_unit]}]}}\npipeline:\n";
    config << ShippedPipeline(root);
    config.close();
    auto setup = LoadSetup(path + "/processor.yaml");
    ASSERT_TRUE(setup.ok()) << setup.status();
    setup_ = std::make_unique<processor::Setup>(*std::move(setup));
  }

  // What a subscriber of every clean stream has seen, and which people are in it.
  void Publish(privacy::Pseudonymiser& pseudonymiser) {
    auto sealer = privacy::Sealer::Create(setup_->quarantine_key_pem, random_);
    ASSERT_TRUE(sealer.ok());
    auto engine = engine::Engine::Create(setup_->pipeline, pseudonymiser, **sealer);
    ASSERT_TRUE(engine.ok()) << engine.status();
    demo::Generator generator(1);
    for (int i = 0; i < kEvents; ++i) {
      raw_ = generator.Next();
      base::InputRecord record;
      record.topic = "raw.stops";
      record.offset = i;
      record.value = raw_;
      ASSERT_EQ((*engine)->Process({&record, 1}, *this), absl::OkStatus());
    }
    ASSERT_GT(present_.size(), 1'500u);
  }

  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& clean) override {
    attack_.See(clean.key.value_or(""));
    attack_.See(clean.value);
    for (const engine::Header& header : clean.headers) attack_.See(header.value);
    CollectPresent(raw_, present_);
    return absl::OkStatus();
  }
  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& quarantined) override {
    attack_.See(quarantined.key);
    attack_.See(quarantined.value);
    for (const engine::Header& header : quarantined.headers) attack_.See(header.value);
    return absl::OkStatus();
  }
  void Suppressed(const engine::InputRecord&) override {}

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("attack");
  base::SystemRandom random_;
  std::unique_ptr<processor::Setup> setup_;
  const std::vector<Guess> guesses_ = Everybody();
  DictionaryAttack attack_;
  std::string raw_;
  std::set<std::string> present_;  // in published events
};

TEST_F(DictionaryAttackTest, RecoversNothingWithoutTheKeys) {
  auto pseudonymiser = privacy::LocalPseudonymiser::Create(*setup_->keyring);
  Publish(**pseudonymiser);
  EXPECT_EQ(Recovered(attack_, guesses_), std::set<std::string>());

  // Nor with another site's keys; with the right ones all of it, or the attack proves nothing.
  auto others = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random_);
  EXPECT_EQ(RecoveredWith(attack_, guesses_, **privacy::LocalPseudonymiser::Create(*others)),
            std::set<std::string>());
  EXPECT_EQ(RecoveredWith(attack_, guesses_, **pseudonymiser), present_);
}

TEST_F(DictionaryAttackTest, RecoversEverybodyFromPlainSha256) {
  PlainSha256 plain;
  Publish(plain);
  EXPECT_EQ(Recovered(attack_, guesses_), present_);
}

}  // namespace
}  // namespace sluice::processor
