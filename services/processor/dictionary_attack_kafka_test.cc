// What can be told from the topics themselves, as a subscriber of all of them reads them from
// Kafka.
#include "common/kafka/reader.h"
#include "services/processor/dictionary_attack_test.h"
#include "services/processor/processor_test.h"

namespace sluice::processor {
namespace {

class DictionaryAttackKafkaTest : public ProcessorKafkaTest {
 protected:
  static void See(const kafka::ReadRecord& record, DictionaryAttack& attack) {
    attack.See(record.key.value_or(""));
    attack.See(record.value.value_or(""));
    for (const auto& header : record.headers) attack.See(header.value);
  }
  void Read(const std::vector<std::string>& topics,
            const std::function<void(const kafka::ReadRecord&)>& see) {
    absl::Status read =
        kafka::TopicReader({Connection()}).Read(topics, [&](const kafka::ReadRecord& record) {
          see(record);
          return absl::OkStatus();
        });
    EXPECT_TRUE(read.ok()) << read;
  }
  const std::vector<Guess> guesses_ = Everybody();
};

TEST_F(DictionaryAttackKafkaTest, RecoversNothingFromTheTopicsWithoutTheKeys) {
  Produce(2000);
  auto process = Start();
  ExpectConserved();
  StopCleanly(*process);

  DictionaryAttack attack;
  std::set<std::string> published;  // raw events that are in a clean topic, by their places
  std::vector<std::string> topics = OutputTopics(*setup_->pipeline);
  Read(topics, [&](const kafka::ReadRecord& record) {
    See(record, attack);
    if (record.topic != topics.front()) return;
    for (const auto& header : record.headers)
      if (header.name == "sluice-src") published.emplace(header.value);
  });
  EXPECT_EQ(Recovered(attack, guesses_), std::set<std::string>());

  // With the site's keys everybody who is there, or the attack proves nothing; with another's
  // nobody.
  std::set<std::string> present;
  Read({setup_->pipeline->config().input().topic()}, [&](const kafka::ReadRecord& record) {
    if (published.contains(base::StrCat(record.topic, "/", record.partition, "/", record.offset)))
      CollectPresent(record.value.value_or(""), present);
  });
  EXPECT_GT(present.size(), 1'500u);
  EXPECT_EQ(
      RecoveredWith(attack, guesses_, **privacy::LocalPseudonymiser::Create(*setup_->keyring)),
      present);
  base::SystemRandom random;
  auto others = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random);
  EXPECT_EQ(RecoveredWith(attack, guesses_, **privacy::LocalPseudonymiser::Create(*others)),
            std::set<std::string>());
}

// What this project doesn't publish.
TEST_F(DictionaryAttackKafkaTest, RecoversEverybodyFromATopicOfPlainSha256) {
  const std::string topic = base::StrCat("plain.", suffix_);
  ASSERT_TRUE((*kafka::Admin::Create(Connection()))
                  ->CreateTopics(std::array{kafka::NewTopic{topic, 1}})
                  .ok());
  auto writer = kafka::TopicWriter::Create({Connection()});
  std::set<std::string> present;
  PlainSha256 plain;
  for (size_t i = 0; i < guesses_.size(); i += 97) {
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    batch.Add(guesses_[i].kind, guesses_[i].value, std::array<uint16_t, 1>{0});
    ASSERT_TRUE(plain.Pseudonymise(batch, answer).ok());
    std::string who;
    privacy::AppendPseudonym(answer.domains[0], answer.blocks[0], who);
    ASSERT_TRUE((*writer)
                    ->Write({topic,
                             std::nullopt,
                             std::nullopt,
                             base::StrCat("{\"who\":\"", who, "\"}"),
                             {},
                             {}})
                    .ok());
    present.insert(guesses_[i].value);
  }
  ASSERT_TRUE((*writer)->Flush().ok());
  DictionaryAttack attack;
  Read({topic}, [&](const kafka::ReadRecord& record) { See(record, attack); });
  EXPECT_EQ(Recovered(attack, guesses_), present);
}

}  // namespace
}  // namespace sluice::processor
