// What becomes of a change in a topic.
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "services/reference/matrix_test.h"
#include "tests/support/delete_topic.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using namespace std::chrono_literals;

// A broker of its own, as it is frozen.
class TopicHolder final : public MatrixSource {
 public:
  TopicHolder() {
    auto broker = test_support::KafkaBroker::Create({});
    EXPECT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    EXPECT_EQ(broker_->Start(), absl::OkStatus());
    connection_.brokers = {broker_->bootstrap()};
    Make();
  }
  std::string Config() const override { return "topic {name: 's'}"; }
  kafka::ConnectionOptions Kafka() const override { return connection_; }
  void Put(const MatrixData& data) override {
    // A row's place is its record's key, so that two may have one code.
    for (size_t i = 0; i < std::max(data.rows.size(), rows_); ++i) {
      std::string key = base::StrCat("row ", i), value;
      if (i < data.rows.size()) value = data.Json(data.rows[i]);
      ASSERT_EQ(writer_->Write(
                    {"s",
                     std::nullopt,
                     key,
                     i < data.rows.size() ? std::optional<std::string_view>(value) : std::nullopt,
                     {},
                     {}}),
                absl::OkStatus());
    }
    ASSERT_EQ(writer_->Flush(), absl::OkStatus());
    rows_ = data.rows.size();
  }
  void Recreate(const MatrixData& data) override {
    ASSERT_EQ(test_support::DeleteTopic(broker_->bootstrap(), "s"), absl::OkStatus());
    Make();
    Put(data);
  }
  bool PutHalf(const MatrixData& data) override {
    std::string value = data.Json(data.rows[3]);
    EXPECT_EQ(writer_->Write({"s",
                              std::nullopt,
                              "row 3",
                              std::string_view(value).substr(0, value.size() - 4),
                              {},
                              {}}),
              absl::OkStatus());
    EXPECT_EQ(writer_->Flush(), absl::OkStatus());
    return true;
  }
  bool TakeAway() override {
    broker_->Kill();
    return true;
  }
  void BringBack() override { ASSERT_EQ(broker_->Restart(), absl::OkStatus()); }
  bool Freeze() override { return broker_->Freeze().ok(); }
  void Thaw() override { ASSERT_EQ(broker_->Thaw(), absl::OkStatus()); }

 private:
  void Make() {
    ASSERT_TRUE(test_support::WaitUntil(30s, [&] {
      return (*kafka::Admin::Create(connection_))
          ->CreateTopics(std::vector<kafka::NewTopic>{{"s", 2, 1, {{"cleanup.policy", "compact"}}}})
          .ok();
    }));
    // The broker hears of it a moment later.
    ASSERT_TRUE(test_support::WaitUntil(30s, [&] {
      auto id = (*kafka::Admin::Create(connection_))->TopicId("s");
      return id.ok() && std::exchange(id_, *id) != *id;
    }));
    auto writer = kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
    rows_ = 0;
  }

  std::unique_ptr<test_support::KafkaBroker> broker_;
  kafka::ConnectionOptions connection_;
  std::unique_ptr<kafka::TopicWriter> writer_;
  size_t rows_ = 0;
  std::string id_;
};

TEST(ChangeMatrixKafkaTest, OfTopics) {
  TopicHolder source;
  CheckMatrix(source);
}

}  // namespace
}  // namespace sluice::reference
