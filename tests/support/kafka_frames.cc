#include "tests/support/kafka_frames.h"

#include "absl/status/status.h"

namespace sluice::test_support {
namespace {

// Reads big-endian fields one after the other; past the end everything is 0 and ok() is false.
// "Flexible" versions of a message have compact lengths and tagged fields.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  bool ok() const { return ok_; }
  void set_flexible(bool flexible) { flexible_ = flexible; }

  template <typename T>
  T Int() {
    uint64_t value = 0;
    for (const char byte : Take(sizeof(T))) value = value << 8 | static_cast<uint8_t>(byte);
    return static_cast<T>(value);
  }

  std::string_view String() { return Take(Length(flexible_ ? 0 : 2)); }
  // A null one reads as empty.
  std::string_view Bytes() { return Take(Length(flexible_ ? 0 : 4)); }
  size_t ArrayLength() { return Length(flexible_ ? 0 : 4); }

  void SkipTags() {
    if (!flexible_) return;
    for (uint32_t left = Varint(); ok_ && left > 0; --left) {
      Varint();
      Take(Varint());
    }
  }

 private:
  std::string_view Take(size_t size) {
    if (size > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    const std::string_view taken = in_.substr(0, size);
    in_.remove_prefix(size);
    return taken;
  }

  // `width` 0: compact, length plus one, 0 is null. Otherwise -1 is null.
  size_t Length(int width) {
    if (width == 0) {
      const uint32_t plus_one = Varint();
      return plus_one == 0 ? 0 : plus_one - 1;
    }
    const int64_t length = width == 2 ? Int<int16_t>() : Int<int32_t>();
    return length < 0 ? 0 : static_cast<size_t>(length);
  }

  uint32_t Varint() {
    uint32_t value = 0;
    for (int shift = 0; shift < 32; shift += 7) {
      const auto byte = Int<uint8_t>();
      value |= static_cast<uint32_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }

  std::string_view in_;
  bool flexible_ = false;
  bool ok_ = true;
};

// Versions from `first` to `last` are understood; from `flexible` on they are flexible.
struct Versions {
  int16_t first;
  int16_t last;
  int16_t flexible;
};

std::optional<Versions> Understood(int16_t api_key) {
  switch (api_key) {
    case kProduce:
      return Versions{3, 12, 9};
    case kInitProducerId:
      return Versions{0, 5, 2};
    case kAddPartitionsToTxn:
      return Versions{0, 3, 3};
    case kAddOffsetsToTxn:
    case kEndTxn:
    case kTxnOffsetCommit:
      return Versions{0, 5, 3};
    default:
      return std::nullopt;
  }
}

void ReadProducer(Reader& body, KafkaRequest& request) {
  const auto id = body.Int<int64_t>();
  const auto epoch = body.Int<int16_t>();
  if (!body.ok()) return;
  request.producer_id = id;
  request.producer_epoch = epoch;
}

void ReadProduce(Reader& body, KafkaRequest& request) {
  body.Int<int16_t>();  // acks
  body.Int<int32_t>();  // timeout
  if (body.ArrayLength() == 0) return;
  body.String();  // topic
  if (body.ArrayLength() == 0) return;
  body.Int<int32_t>();  // partition
  Reader batch(body.Bytes());
  // Base offset, length, leader epoch, magic, checksum, attributes, last delta, two timestamps.
  batch.Int<int64_t>(), batch.Int<int32_t>(), batch.Int<int32_t>(), batch.Int<int8_t>();
  batch.Int<int32_t>(), batch.Int<int16_t>(), batch.Int<int32_t>();
  batch.Int<int64_t>(), batch.Int<int64_t>();
  ReadProducer(batch, request);
  const auto sequence = batch.Int<int32_t>();
  if (batch.ok()) request.base_sequence = sequence;
}

void ReadBody(Reader& body, KafkaRequest& request) {
  request.transactional_id = body.String();
  switch (request.api_key) {
    case kProduce:
      ReadProduce(body, request);
      break;
    case kInitProducerId:
      body.Int<int32_t>();  // transaction timeout
      if (request.api_version >= 3) ReadProducer(body, request);
      break;
    case kEndTxn: {
      ReadProducer(body, request);
      const auto committed = body.Int<uint8_t>();
      if (body.ok()) request.committed = committed != 0;
      break;
    }
    case kTxnOffsetCommit:
      body.String();  // group
      ReadProducer(body, request);
      break;
    default:
      ReadProducer(body, request);
  }
}

void SkipProducedPartition(Reader& body, int16_t version) {
  body.Int<int64_t>(), body.Int<int64_t>();  // base offset, append time
  if (version >= 5) body.Int<int64_t>();     // log start offset
  if (version < 8) return;
  for (size_t left = body.ArrayLength(); body.ok() && left > 0; --left) {
    body.Int<int32_t>();  // record in the batch
    body.String();
    body.SkipTags();
  }
  body.String();  // message
}

// Topics, each of partitions, each of index and error.
int16_t FirstPartitionError(Reader& body, int16_t api_key, int16_t version) {
  int16_t first = 0;
  for (size_t topics = body.ArrayLength(); body.ok() && topics > 0; --topics) {
    body.String();
    for (size_t partitions = body.ArrayLength(); body.ok() && partitions > 0; --partitions) {
      body.Int<int32_t>();
      const auto error = body.Int<int16_t>();
      if (first == 0) first = error;
      if (api_key == kProduce) SkipProducedPartition(body, version);
      body.SkipTags();
    }
    body.SkipTags();
  }
  return first;
}

}  // namespace

absl::StatusOr<KafkaRequest> ParseKafkaRequest(std::string_view frame) {
  Reader in(frame);
  KafkaRequest request;
  request.api_key = in.Int<int16_t>();
  request.api_version = in.Int<int16_t>();
  request.correlation_id = in.Int<int32_t>();
  request.client_id = in.String();  // with the old kind of length in every version
  if (!in.ok()) return absl::InvalidArgumentError("not a Kafka request");
  const auto versions = Understood(request.api_key);
  if (versions.has_value() && request.api_version >= versions->first &&
      request.api_version <= versions->last) {
    in.set_flexible(request.api_version >= versions->flexible);
    in.SkipTags();
    ReadBody(in, request);
  }
  return request;
}

std::optional<int16_t> ParseKafkaError(int16_t api_key, int16_t api_version,
                                       std::string_view frame) {
  const auto versions = Understood(api_key);
  if (!versions.has_value() || api_version < versions->first || api_version > versions->last) {
    return std::nullopt;
  }
  Reader in(frame);
  in.set_flexible(api_version >= versions->flexible);
  in.Int<int32_t>();  // correlation id
  in.SkipTags();
  int16_t error = 0;
  switch (api_key) {
    case kProduce:
      error = FirstPartitionError(in, api_key, api_version);
      break;
    case kAddPartitionsToTxn:
    case kTxnOffsetCommit:
      in.Int<int32_t>();  // throttle time
      error = FirstPartitionError(in, api_key, api_version);
      break;
    default:
      in.Int<int32_t>();
      error = in.Int<int16_t>();
  }
  if (!in.ok()) return std::nullopt;
  return error;
}

}  // namespace sluice::test_support
