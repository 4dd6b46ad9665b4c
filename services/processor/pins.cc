#include "services/processor/pins.h"

#include <algorithm>
#include <limits>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::processor {
namespace {

constexpr int64_t kEver = std::numeric_limits<int64_t>::max();

// The place of the first that is behind the offset.
std::vector<Pin>::const_iterator Behind(const std::vector<Pin>& pins, int64_t offset) {
  return std::upper_bound(pins.begin(), pins.end(), offset,
                          [](int64_t at, const Pin& pin) { return at < pin.offset; });
}

}  // namespace

absl::Status Pins::Waits(const char* reason, const std::string& text) const {
  probe_.PinWait(reason);
  return absl::UnavailableError(text);
}

void Pins::Forget() {
  known_ = false;
  noted_.clear();
  written_.clear();
  uncounted_ = 0;
}

absl::Status Pins::ReadOn() {
  absl::Status read = log_.ReadOn();
  view_ = log_.view();
  if (read.ok()) {
    known_ = true;
    return read;
  }
  return Waits(absl::IsDataLoss(read) ? "contradiction" : "topic",
               std::string(base::View(read.message())));
}

absl::Status Pins::Prepare(std::span<const base::InputRecord> records, bool first) {
  noted_.clear();
  if (follows()) SLUICE_RETURN_IF_ERROR(WaitForLeader(records));
  if (!known_) return ReadOn();
  if (!first) return absl::OkStatus();
  view_ = log_.view();
  std::erase_if(written_, [this](const auto& written) {
    const std::vector<Pin>& pins = view_->pins(written.first);
    return !pins.empty() && pins.back().offset >= written.second.offset;
  });
  return absl::OkStatus();
}

absl::Status Pins::WaitForLeader(std::span<const base::InputRecord> records) {
  auto passed = [this](const base::InputRecord& record) {
    auto partition = static_cast<size_t>(record.partition);
    return partition < committed_.size() && record.offset < committed_[partition];
  };
  if (std::all_of(records.begin(), records.end(), passed)) return absl::OkStatus();
  auto committed = log_.Committed();
  if (!committed.ok()) {
    return Waits("topic",
                 base::StrCat("what the group ", options_.group, " has committed can't be read: ",
                              base::View(committed.status().message())));
  }
  committed_ = *std::move(committed);
  // The pins of what is committed by now are in the topic.
  known_ = false;
  auto behind = std::find_if_not(records.begin(), records.end(), passed);
  if (behind == records.end()) return absl::OkStatus();
  return Waits("behind", base::StrCat("waits for the group ", options_.group, " to commit ",
                                      behind->topic, "/", behind->partition, "/", behind->offset));
}

const Pin* Pins::LastNoted(int32_t partition) const {
  for (auto noted = noted_.rbegin(); noted != noted_.rend(); ++noted)
    if (noted->first == partition) return &noted->second;
  auto written = written_.find(partition);
  return written == written_.end() ? nullptr : &written->second;
}

absl::StatusOr<Pins::Choice> Pins::Choose(int32_t partition, int64_t offset, const Newest& newest) {
  const std::vector<Pin>& pins = view_->pins(partition);
  auto next = Behind(pins, offset);
  const Pin* last = next == pins.begin() ? nullptr : &*std::prev(next);
  if (follows() || next != pins.end()) {
    if (last != nullptr) return Choice{last->ids, next == pins.end() ? kEver : next->offset};
    return Waits("contradiction",
                 base::StrCat("control topic ", options_.control.topic(), ": has no pin for ",
                              options_.topic, "/", partition, "/", offset, ": the group ",
                              options_.group, " published it without a control topic"));
  }
  if (const Pin* noted = LastNoted(partition);
      noted != nullptr && (last == nullptr || noted->offset >= last->offset))
    last = noted;
  return options_.control.swap() == config::v1::fenced ? Fenced(partition, offset, last)
                                                       : WhenThere(partition, offset, last, newest);
}

absl::StatusOr<Pins::Choice> Pins::Fenced(int32_t partition, int64_t offset, const Pin* last) {
  const uint64_t after = last == nullptr ? 0 : last->fence;
  // Of fences that have been passed the newest counts, wherever it was set.
  int64_t until = kEver;
  const std::vector<Fence>& fences = view_->fences();
  for (auto fence = fences.rbegin(); fence != fences.rend() && fence->number > after; ++fence) {
    const int64_t from = fence->From(partition);
    if (from > offset) {
      until = std::min(until, from);
      continue;
    }
    noted_.push_back({partition, {offset, fence->activation, fence->number, fence->ids}});
    return Choice{fence->ids, until};
  }
  if (last != nullptr) return Choice{last->ids, until};
  return Waits("behind", base::StrCat("control topic ", options_.control.topic(),
                                      ": waits for the first fence of ", options_.topic, "/",
                                      partition, ": sluicectl reference fence writes it"));
}

absl::StatusOr<Pins::Choice> Pins::WhenThere(int32_t partition, int64_t offset, const Pin* last,
                                             const Newest& newest) {
  if (last != nullptr && *last->ids == *newest.ids) return Choice{newest.ids, kEver};
  if (last != nullptr && newest.activation > 0 && last->activation > newest.activation) {
    return Waits("behind",
                 base::StrCat("waits for activation ", last->activation,
                              " of its reference sets, which ", options_.topic, "/", partition,
                              " is joined to; this replica is at ", newest.activation));
  }
  if (absl::Status agree = view_->CheckVersions(newest.activation, *newest.ids); !agree.ok()) {
    return Waits("contradiction", base::StrCat("control topic ", options_.control.topic(),
                                               ": this replica ", base::View(agree.message())));
  }
  // Fences that were set before it don't count any more.
  const uint64_t fence = view_->fences().empty() ? 0 : view_->fences().back().number;
  noted_.push_back({partition, {offset, newest.activation, fence, newest.ids}});
  return Choice{newest.ids, kEver};
}

absl::Status Pins::Write(size_t topic, stream::Output& output) {
  for (const auto& [partition, pin] : noted_) {
    std::string key = base::StrCat(options_.topic, "/", partition);
    std::string value =
        PinRecord(options_.group, options_.topic, partition, pin).SerializeAsString();
    SLUICE_RETURN_IF_ERROR(output.Produce({topic, key, value, {}, std::nullopt}));
    written_[partition] = pin;
    ++uncounted_;
  }
  noted_.clear();
  return absl::OkStatus();
}

void Pins::Committed() { probe_.Pinned(std::exchange(uncounted_, 0)); }

}  // namespace sluice::processor
