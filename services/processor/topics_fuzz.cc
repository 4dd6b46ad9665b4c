// Any bytes as the records of the topics that a processor trusts: recorded positions and pins of
// versions. Each record is taken or refused as damaged, and a refused one changes nothing.
#include <string>
#include <string_view>

#include "services/processor/control_view.h"
#include "services/processor/positions.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace sluice;

// Parts of one to 255 bytes, each behind its length.
class Parts {
 public:
  Parts(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return rest_.empty(); }
  std::string_view Next() {
    if (rest_.empty()) return {};
    const size_t size = std::min<size_t>(static_cast<uint8_t>(rest_[0]), rest_.size() - 1);
    std::string_view part = rest_.substr(1, size);
    rest_.remove_prefix(1 + size);
    return part;
  }

 private:
  std::string_view rest_;
};

void RunPositions(Parts parts) {
  processor::RecordedPositions recorded("p");
  size_t taken = 0;
  while (!parts.empty()) {
    const std::string_view key = parts.Next(), value = parts.Next();
    const size_t before = recorded.all().size();
    // An empty value stands for a deleted record.
    const absl::Status status =
        recorded.Add(key, value.empty() ? std::nullopt : std::optional(value));
    if (!status.ok()) {
      fuzz::Require(absl::IsDataLoss(status), "another error than a damaged record's");
      fuzz::Require(recorded.all().size() == before, "a damaged record changed what is recorded");
      continue;
    }
    ++taken;
  }
  for (const auto& [at, position] : recorded.all()) {
    fuzz::Require(at.partition >= 0 && position.next_offset() >= 0, "a position before the first");
    fuzz::Require(recorded.Find(at.topic_id, at.partition) == &position, "not found again");
    (void)recorded.Versions(at.topic_id, at.partition);
    (void)recorded.FormerId(position.topic(), "other");
  }
  fuzz::Planted(taken > 2 && recorded.all().size() == 2);
}

void RunControl(Parts parts) {
  processor::ControlView view("g", "t");
  for (int64_t offset = 0; !parts.empty(); ++offset) {
    const std::string_view bytes = parts.Next();
    reference::v1::ControlRecord record;
    if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) continue;
    // Most records are of another group or topic, and say no more.
    record.set_group("g");
    record.set_topic("t");
    const absl::Status status = view.Add(record, offset);
    fuzz::Require(status.ok() || absl::IsDataLoss(status), "another error than a contradiction");
  }
  for (const auto& [partition, pins] : view.pins()) {
    for (size_t i = 1; i < pins.size(); ++i)
      fuzz::Require(pins[i - 1].offset < pins[i].offset, "pins out of order");
    for (const processor::Pin& pin : pins)
      fuzz::Require(pin.offset >= 0 && pin.ids != nullptr && !pin.ids->empty(), "an empty pin");
  }
  for (size_t i = 1; i < view.fences().size(); ++i)
    fuzz::Require(view.fences()[i - 1].number < view.fences()[i].number, "fences out of order");
  fuzz::Planted(view.fences().size() == 2 && view.pins().size() == 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if (data[0] % 2 == 0) {
    RunPositions({data + 1, size - 1});
  } else {
    RunControl({data + 1, size - 1});
  }
  return 0;
}
