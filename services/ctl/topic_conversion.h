// A clean topic whose pseudonyms are converted into another topic, each record once.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/kafka/connection.h"
#include "services/ctl/conversion.h"

namespace sluice::ctl {

struct TopicConversionOptions {
  std::string from, to;
  int transaction_records = 1000;  // 1 to 10,000
  size_t pseudonyms_max = 10'000;  // of a call to the service, and of a transaction
  // In offsets of the topic, of all partitions.
  std::function<void(uint64_t done, uint64_t total)> progress = [](uint64_t, uint64_t) {};
};

struct TopicConversionReport {
  uint64_t before = 0;   // records that former runs had written
  uint64_t written = 0;  // by this one
  uint64_t records() const { return before + written; }
  privacy::Rotation::Counts pseudonyms;  // in those written
};

// From the topic's beginning to the ends that it has at the call, as a read_committed reader sees
// it. Key, value and every header are converted, and all else is kept: the record's time, the order
// of equal keys. Each transaction holds the records of one partition and, for a group in which
// nobody consumes, how far they reach. So a run may be killed anywhere; the next one goes on behind
// what is committed, and what came to the topic in the meantime is converted too. One run at a
// time: a second one ends the first.
//
// kInvalidArgument: the topics are the same, or differ in their number of partitions.
// kFailedPrecondition: a record can't be converted: it is protobuf, and the newer epoch's
// pseudonyms are longer; or larger than the topic takes.
absl::StatusOr<TopicConversionReport> ConvertTopic(const kafka::ConnectionOptions& connection,
                                                   const TopicConversionOptions& options,
                                                   PseudonymConverter& converter);

}  // namespace sluice::ctl
