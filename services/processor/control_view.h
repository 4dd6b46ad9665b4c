// What a control topic says: which versions of the reference sets each partition's events were
// joined to, and are to be.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sluice/reference/v1/state.pb.h"

namespace sluice::processor {

// Snapshot id by set.
using VersionIds = std::map<std::string, std::string>;

struct Pin {
  int64_t offset = 0;       // of the first event that is joined to them
  uint64_t activation = 0;  // 0: not known
  uint64_t fence = 0;       // 0: none asked for them
  std::shared_ptr<const VersionIds> ids;
};

struct Fence {
  uint64_t number = 0;  // rises from one to the next; from 1
  uint64_t activation = 0;
  std::map<int32_t, int64_t> offsets;
  std::shared_ptr<const VersionIds> ids;

  // The offset of a partition's first event that is behind it.
  int64_t From(int32_t partition) const {
    auto found = offsets.find(partition);
    return found == offsets.end() ? 0 : found->second;
  }
};

// Grows by the topic's records, in their order; copied from one reading to the next.
class ControlView {
 public:
  // Of one group's events from one topic.
  ControlView(std::string group, std::string topic)
      : group_(std::move(group)), topic_(std::move(topic)) {}

  // kDataLoss: the record contradicts what this is the view of, or the records before it; which are
  // as they were.
  absl::Status Add(const reference::v1::ControlRecord& record, int64_t offset);
  // kDataLoss: an earlier record has another version of one of these sets for this activation.
  absl::Status CheckVersions(uint64_t activation, const VersionIds& ids) const;

  // Ascending.
  const std::vector<Pin>& pins(int32_t partition) const {
    static const std::vector<Pin> none;
    auto found = pins_.find(partition);
    return found == pins_.end() ? none : found->second;
  }
  const std::map<int32_t, std::vector<Pin>>& pins() const { return pins_; }
  const std::vector<Fence>& fences() const { return fences_; }

 private:
  absl::Status Add(const reference::v1::Pin& pin);
  void Know(uint64_t activation, const VersionIds& ids);
  // Many name the same.
  std::shared_ptr<const VersionIds> Share(VersionIds ids);

  std::string group_, topic_;
  std::map<int32_t, std::vector<Pin>> pins_;
  std::vector<Fence> fences_;
  std::map<uint64_t, VersionIds> activations_;  // what records have told of them
  std::shared_ptr<const VersionIds> last_;
};

reference::v1::ControlRecord PinRecord(const std::string& group, const std::string& topic,
                                       int32_t partition, const Pin& pin);
reference::v1::ControlRecord FenceRecord(const std::string& group, const std::string& topic,
                                         const Fence& fence);

}  // namespace sluice::processor
