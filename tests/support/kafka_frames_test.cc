#include "tests/support/kafka_frames.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::test_support {
namespace {

// Writes what Reader reads, by the published format.
class Frame {
 public:
  template <typename T>
  Frame& Int(T value) {
    for (int shift = 8 * (static_cast<int>(sizeof(T)) - 1); shift >= 0; shift -= 8) {
      bytes_.push_back(static_cast<char>(static_cast<uint64_t>(value) >> shift));
    }
    return *this;
  }
  Frame& String(std::string_view text) { return Int<int16_t>(text.size()).Raw(text); }
  Frame& Compact(std::string_view text) { return Varint(text.size() + 1).Raw(text); }
  Frame& Array(int32_t count) { return Int(count); }
  Frame& CompactArray(uint32_t count) { return Varint(count + 1); }
  Frame& Raw(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  Frame& Varint(uint32_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  Frame& NoTags() { return Varint(0); }
  Frame& OneTag() { return Varint(1).Varint(7).Varint(3).Raw("xyz"); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

Frame Header(int16_t api, int16_t version) {
  return Frame().Int(api).Int(version).Int<int32_t>(77).String("sluice-1");
}

Frame Batch(int64_t pid, int16_t epoch, int32_t sequence) {
  Frame batch;
  batch.Int<int64_t>(0).Int<int32_t>(49).Int<int32_t>(-1).Int<int8_t>(2).Int<int32_t>(1234);
  batch.Int<int16_t>(0x10).Int<int32_t>(9).Int<int64_t>(1).Int<int64_t>(2);
  EXPECT_EQ(batch.bytes().size(), 43u);
  return batch.Int(pid).Int(epoch).Int(sequence).Int<int32_t>(10);
}

struct RequestCase {
  std::string name;
  std::string frame;
  bool has_sequence = false;
  bool has_committed = false;
};

std::vector<RequestCase> Requests() {
  const std::string batch = Batch(4000, 3, 20).bytes();
  return {
      {"Produce 7",
       Header(kProduce, 7)
           .String("tx")
           .Int<int16_t>(-1)
           .Int<int32_t>(30'000)
           .Array(1)
           .String("out")
           .Array(1)
           .Int<int32_t>(2)
           .Int<int32_t>(batch.size())
           .Raw(batch)
           .bytes(),
       true},
      {"Produce 10",
       Header(kProduce, 10)
           .OneTag()
           .Compact("tx")
           .Int<int16_t>(-1)
           .Int<int32_t>(30'000)
           .CompactArray(1)
           .Compact("out")
           .CompactArray(1)
           .Int<int32_t>(2)
           .Compact(batch)
           .NoTags()
           .NoTags()
           .NoTags()
           .bytes(),
       true},
      {"AddPartitionsToTxn 0", Header(kAddPartitionsToTxn, 0)
                                   .String("tx")
                                   .Int<int64_t>(4000)
                                   .Int<int16_t>(3)
                                   .Array(0)
                                   .bytes()},
      {"AddOffsetsToTxn 0", Header(kAddOffsetsToTxn, 0)
                                .String("tx")
                                .Int<int64_t>(4000)
                                .Int<int16_t>(3)
                                .String("g")
                                .bytes()},
      {"EndTxn 1",
       Header(kEndTxn, 1).String("tx").Int<int64_t>(4000).Int<int16_t>(3).Int<int8_t>(1).bytes(),
       false, true},
      {"EndTxn 5",
       Header(kEndTxn, 5)
           .NoTags()
           .Compact("tx")
           .Int<int64_t>(4000)
           .Int<int16_t>(3)
           .Int<int8_t>(1)
           .NoTags()
           .bytes(),
       false, true},
      {"TxnOffsetCommit 3", Header(kTxnOffsetCommit, 3)
                                .NoTags()
                                .Compact("tx")
                                .Compact("g")
                                .Int<int64_t>(4000)
                                .Int<int16_t>(3)
                                .Int<int32_t>(5)
                                .bytes()},
      {"InitProducerId 4", Header(kInitProducerId, 4)
                               .NoTags()
                               .Compact("tx")
                               .Int<int32_t>(60'000)
                               .Int<int64_t>(4000)
                               .Int<int16_t>(3)
                               .NoTags()
                               .bytes()},
  };
}

TEST(KafkaFramesTest, ReadsTheTransactionOfEachRequest) {
  for (const RequestCase& c : Requests()) {
    SCOPED_TRACE(c.name);
    const auto request = ParseKafkaRequest(c.frame);
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->correlation_id, 77);
    EXPECT_EQ(request->client_id, "sluice-1");
    EXPECT_EQ(request->transactional_id, "tx");
    EXPECT_EQ(request->producer_id, 4000);
    EXPECT_EQ(request->producer_epoch, 3);
    EXPECT_EQ(request->base_sequence, c.has_sequence ? std::optional<int32_t>(20) : std::nullopt);
    EXPECT_EQ(request->committed, c.has_committed ? std::optional<bool>(true) : std::nullopt);
  }
}

TEST(KafkaFramesTest, TellsAnAbortFromACommit) {
  const auto request = ParseKafkaRequest(
      Header(kEndTxn, 1).String("tx").Int<int64_t>(1).Int<int16_t>(0).Int<int8_t>(0).bytes());
  EXPECT_EQ(request->committed, false);
}

TEST(KafkaFramesTest, ReadsOnlyTheHeaderOfWhatItDoesNotUnderstand) {
  for (Frame header : {Header(kFetch, 11), Header(kProduce, 13), Header(kApiVersions, 3)}) {
    const auto request = ParseKafkaRequest(header.Raw("anything at all").bytes());
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->client_id, "sluice-1");
    EXPECT_EQ(request->producer_id, std::nullopt);
  }
}

TEST(KafkaFramesTest, ANullClientIdReadsAsEmpty) {
  const auto request = ParseKafkaRequest(
      Frame().Int<int16_t>(kMetadata).Int<int16_t>(1).Int<int32_t>(5).Int<int16_t>(-1).bytes());
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->client_id, "");
}

TEST(KafkaFramesTest, ATruncatedRequestIsNeverReadBeyondItsEnd) {
  const size_t header = Header(kProduce, 7).bytes().size();
  for (const RequestCase& c : Requests()) {
    for (size_t size = 0; size < c.frame.size(); ++size) {
      // A heap copy of exactly this size, so that a sanitizer sees one byte too many.
      const std::vector<char> copy(c.frame.begin(), c.frame.begin() + size);
      EXPECT_EQ(ParseKafkaRequest({copy.data(), copy.size()}).ok(), size >= header) << c.name;
    }
  }
}

Frame Answer() { return Frame().Int<int32_t>(77); }

Frame ProducedPartition(Frame frame, int32_t partition, int16_t error, int record_errors) {
  frame.Int(partition).Int(error).Int<int64_t>(100).Int<int64_t>(-1).Int<int64_t>(0);
  frame.CompactArray(record_errors);
  for (int i = 0; i < record_errors; ++i) frame.Int<int32_t>(i).Compact("bad").NoTags();
  return frame.Varint(0).OneTag();
}

TEST(KafkaFramesTest, ReadsTheErrorOfEachAnswer) {
  const auto error = [](int16_t api, int16_t version, const Frame& frame) {
    return ParseKafkaError(api, version, frame.bytes());
  };
  EXPECT_EQ(error(kEndTxn, 1, Answer().Int<int32_t>(0).Int<int16_t>(47)), 47);
  EXPECT_EQ(error(kEndTxn, 5, Answer().NoTags().Int<int32_t>(0).Int<int16_t>(90)), 90);
  EXPECT_EQ(error(kAddOffsetsToTxn, 0, Answer().Int<int32_t>(0).Int<int16_t>(51)), 51);
  EXPECT_EQ(
      error(kInitProducerId, 4,
            Answer().NoTags().Int<int32_t>(0).Int<int16_t>(0).Int<int64_t>(1).Int<int16_t>(0)),
      0);
  EXPECT_EQ(error(kAddPartitionsToTxn, 0,
                  Answer()
                      .Int<int32_t>(0)
                      .Array(2)
                      .String("a")
                      .Array(1)
                      .Int<int32_t>(0)
                      .Int<int16_t>(0)
                      .String("b")
                      .Array(1)
                      .Int<int32_t>(0)
                      .Int<int16_t>(48)),
            48);
  EXPECT_EQ(error(kTxnOffsetCommit, 3,
                  Answer()
                      .NoTags()
                      .Int<int32_t>(0)
                      .CompactArray(1)
                      .Compact("a")
                      .CompactArray(2)
                      .Int<int32_t>(0)
                      .Int<int16_t>(0)
                      .NoTags()
                      .Int<int32_t>(1)
                      .Int<int16_t>(47)
                      .NoTags()
                      .NoTags()
                      .NoTags()),
            47);
}

TEST(KafkaFramesTest, FindsTheErrorOfAnyProducedPartition) {
  Frame answer = Answer().NoTags().CompactArray(1).Compact("out").CompactArray(2);
  answer = ProducedPartition(answer, 0, 0, 2);
  answer = ProducedPartition(answer, 1, 48, 0);
  answer.NoTags().Int<int32_t>(0).NoTags();
  EXPECT_EQ(ParseKafkaError(kProduce, 10, answer.bytes()), 48);
}

TEST(KafkaFramesTest, AnAnswerThatIsNotUnderstoodHasNoError) {
  EXPECT_EQ(ParseKafkaError(kFetch, 11, Answer().Int<int32_t>(0).bytes()), std::nullopt);
  EXPECT_EQ(ParseKafkaError(kProduce, 13, Answer().Int<int32_t>(0).bytes()), std::nullopt);
  EXPECT_EQ(ParseKafkaError(kEndTxn, 1, Answer().Int<int32_t>(0).Int<int8_t>(0).bytes()),
            std::nullopt);
}

}  // namespace
}  // namespace sluice::test_support
