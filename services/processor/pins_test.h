// For tests: a control topic without a broker.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/stream/transform.h"
#include "services/processor/control_log.h"

namespace sluice::processor {

// What is appended is seen after ReadOn, or at once by view().
class FakeControlLog final : public ControlLog {
 public:
  absl::Status ReadOn() override {
    ++reads;
    return fault;
  }
  std::shared_ptr<const ControlView> view() const override {
    return std::make_shared<const ControlView>(view_);
  }
  absl::StatusOr<std::vector<int64_t>> Committed() override { return committed; }

  void Append(const reference::v1::ControlRecord& record) {
    EXPECT_EQ(view_.Add(record, next_++), absl::OkStatus());
  }
  void Pin(int32_t partition, int64_t offset, uint64_t activation, const std::string& id) {
    Append(PinRecord(
        "g", "raw", partition,
        {offset, activation, 0, std::make_shared<const VersionIds>(VersionIds{{"boroughs", id}})}));
  }
  void Fence(const std::map<int32_t, int64_t>& offsets, uint64_t activation,
             const std::string& id) {
    reference::v1::ControlRecord record;
    record.set_group("g");
    record.set_topic("raw");
    record.mutable_fence()->mutable_offsets()->insert(offsets.begin(), offsets.end());
    record.mutable_fence()->set_activation(activation);
    (*record.mutable_fence()->mutable_ids())["boroughs"] = id;
    Append(record);
  }

  absl::Status fault;
  std::vector<int64_t> committed;
  int reads = 0;

 private:
  ControlView view_{"g", "raw"};
  int64_t next_ = 0;
};

// Keeps what is produced: topic and value.
class KeptRecords final : public stream::Output {
 public:
  absl::Status Produce(const stream::OutputRecord& record) override {
    records.emplace_back(record.topic, record.value.value_or(""));
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return 1 << 20; }
  std::vector<std::pair<size_t, std::string>> records;
};

}  // namespace sluice::processor
