#include "services/processor/explain.h"

#include <charconv>

#include "common/base/status.h"

namespace sluice::processor {

bool ParsePosition(std::string_view text, base::InputRecord& record) {
  constexpr size_t kTopicBytesMax = 249;  // Kafka's own limit
  size_t offset_at = text.rfind('/');
  if (offset_at == std::string_view::npos) return false;
  size_t partition_at = text.substr(0, offset_at).rfind('/');
  if (partition_at == std::string_view::npos || partition_at == 0) return false;
  if (partition_at > kTopicBytesMax) return false;
  auto number = [](std::string_view digits, auto& out) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc() && end == digits.data() + digits.size() && out >= 0;
  };
  record.topic = text.substr(0, partition_at);
  return number(text.substr(partition_at + 1, offset_at - partition_at - 1), record.partition) &&
         number(text.substr(offset_at + 1), record.offset);
}

absl::Status ExplainEvent(const engine::Pipeline& pipeline, engine::Engine& engine,
                          const base::InputRecord& record, v1::ExplainResponse& response) {
  ResponseSink<v1::ExplainResponse> sink(pipeline, response);
  SLUICE_RETURN_IF_ERROR(engine.Process({&record, 1}, sink));

  const event::Event& event = engine.event(0);
  response.set_unknown_fields(event.unknown_fields);
  // By field and kind, as the metrics count them.
  const std::vector<uint64_t>& repairs = engine.tally().repairs;
  for (size_t i = 0; i < repairs.size(); ++i) {
    if (repairs[i] == 0) continue;
    v1::Repair& repair = *response.add_repairs();
    repair.set_path(
        pipeline.contract().node(static_cast<contract::NodeId>(i / event::kRepairKinds)).path);
    std::string_view kind = RepairName(static_cast<event::RepairKind>(i % event::kRepairKinds));
    repair.set_kind(kind.data(), kind.size());
    repair.set_count(static_cast<uint32_t>(repairs[i]));
  }
  for (const contract::Node& node : pipeline.contract().nodes()) {
    v1::FieldTreatment field;
    field.set_path(node.path);
    std::string_view classification = node.classification.name();
    field.set_classification(classification.data(), classification.size());
    for (const engine::StreamPlan& stream : pipeline.streams()) {
      if (!stream.treatments[node.id].empty())
        (*field.mutable_treatments())[stream.name] = stream.treatments[node.id];
    }
    if (!field.treatments().empty()) *response.add_treatments() = std::move(field);
  }
  return absl::OkStatus();
}

}  // namespace sluice::processor
