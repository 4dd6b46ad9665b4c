// librdkafka's error codes as absl::Status. For this folder's sources only: it includes rdkafka.h.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/strings.h"

namespace sluice::kafka {

inline absl::StatusCode StatusCodeOf(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return absl::StatusCode::kOk;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      return absl::StatusCode::kNotFound;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return absl::StatusCode::kPermissionDenied;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return absl::StatusCode::kAlreadyExists;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
      return absl::StatusCode::kUnavailable;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return absl::StatusCode::kInvalidArgument;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kInternal;
  }
}

// What a missing ACL is mended with; empty for other errors.
inline std::string_view AclAdvice(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      return "; grant this principal Describe and Read on the topics that are read, and Describe, "
             "DescribeConfigs and Write on the topics that are written";
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return "; grant this principal Describe and Read on the consumer group (kafka.group)";
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return "; grant this principal Describe and Write on transactional ids with the prefix "
             "sluice-GROUP-";
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return "; grant this principal DescribeConfigs on the cluster";
    default:
      return "";
  }
}

// What is committed with a position. The list that the position is in frees it.
inline void SetMetadata(std::string_view text, rd_kafka_topic_partition_t& partition) {
  if (text.empty()) return;
  partition.metadata = std::malloc(text.size());
  if (partition.metadata == nullptr) return;
  std::memcpy(partition.metadata, text.data(), text.size());
  partition.metadata_size = text.size();
}

// `what` says what was being done.
inline absl::Status ToStatus(rd_kafka_resp_err_t error, std::string_view what) {
  return absl::Status(StatusCodeOf(error),
                      base::StrCat(what, ": ", rd_kafka_err2str(error), AclAdvice(error)));
}

}  // namespace sluice::kafka
