// What a proxy needs to read from Kafka's wire format: who asks for what in which transaction, and
// which error the broker answers. Source: https://kafka.apache.org/protocol.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::test_support {

enum KafkaApi : int16_t {
  kProduce = 0,
  kFetch = 1,
  kMetadata = 3,
  kOffsetCommit = 8,
  kFindCoordinator = 10,
  kApiVersions = 18,
  kInitProducerId = 22,
  kAddPartitionsToTxn = 24,
  kAddOffsetsToTxn = 25,
  kEndTxn = 26,
  kWriteTxnMarkers = 27,
  kTxnOffsetCommit = 28,
};

// What is known of a request. The transaction's part is there for Produce 3-12 (of its first
// batch), AddPartitionsToTxn 0-3, AddOffsetsToTxn, EndTxn, TxnOffsetCommit, and InitProducerId (3
// and later: the ids the client had before).
struct KafkaRequest {
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
  std::string client_id;

  std::string transactional_id;
  std::optional<int64_t> producer_id;
  std::optional<int16_t> producer_epoch;
  std::optional<int32_t> base_sequence;  // Produce
  std::optional<bool> committed;         // EndTxn: commit or abort
};

// `frame` is without its four bytes of length. InvalidArgument when not even the header can be
// read; a body that can't be read only leaves its fields empty.
absl::StatusOr<KafkaRequest> ParseKafkaRequest(std::string_view frame);

// The error code of the answer to a request of this api and version: of the whole, or the first
// that isn't 0 of its partitions. Nothing where the answer isn't understood. `frame` begins with
// the correlation id.
std::optional<int16_t> ParseKafkaError(int16_t api_key, int16_t api_version,
                                       std::string_view frame);

}  // namespace sluice::test_support
