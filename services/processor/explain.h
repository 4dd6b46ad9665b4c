// What would become of one event, and why: what the processor's Explain and `sluicectl explain`
// answer.
#pragma once

#include <string_view>

#include "common/base/record.h"
#include "common/engine/engine.h"
#include "sluice/processor/v1/processor.pb.h"

namespace sluice::processor {

// "topic/partition/offset" into the record, whose topic then points into `text`; false: it isn't.
bool ParsePosition(std::string_view text, base::InputRecord& record);

// Puts the record through the engine, which is of this pipeline and has no other work at hand.
// Nothing of the answer is a raw value; what the streams get is.
absl::Status ExplainEvent(const engine::Pipeline& pipeline, engine::Engine& engine,
                          const base::InputRecord& record, v1::ExplainResponse& response);

// Turns the outcome of one event into either response: both have its verdict, violations and clean
// records.
template <typename Response>
class ResponseSink final : public engine::OutcomeSink {
 public:
  ResponseSink(const engine::Pipeline& pipeline, Response& response)
      : pipeline_(pipeline), response_(response) {}

  absl::Status Clean(const engine::InputRecord&, const engine::CleanRecord& clean) override {
    const engine::StreamPlan& stream = pipeline_.streams()[clean.stream];
    response_.set_verdict(v1::CLEAN);
    v1::CleanEvent& event = *response_.add_clean();
    event.set_stream(stream.name);
    event.set_topic(stream.topic);
    if (clean.key) event.set_key(clean.key->data(), clean.key->size());
    event.set_value(clean.value.data(), clean.value.size());
    for (const engine::Header& header : clean.headers) {
      v1::Header& out = *event.add_headers();
      out.set_name(header.name.data(), header.name.size());
      out.set_value(header.value.data(), header.value.size());
    }
    return absl::OkStatus();
  }

  absl::Status Quarantined(const engine::InputRecord&,
                           const engine::QuarantineRecord& quarantined) override {
    response_.set_verdict(v1::QUARANTINED);
    for (const event::Violation& violation : quarantined.violations) {
      v1::Violation& out = *response_.add_violations();
      out.set_path(violation.path.data(), violation.path.size());
      out.set_rule(violation.rule.data(), violation.rule.size());
    }
    if constexpr (std::is_same_v<Response, v1::ProcessResponse>) {
      response_.set_sealed(quarantined.value.data(), quarantined.value.size());
    }
    return absl::OkStatus();
  }

  void Suppressed(const engine::InputRecord&) override { response_.set_verdict(v1::SUPPRESSED); }

 private:
  const engine::Pipeline& pipeline_;
  Response& response_;
};

}  // namespace sluice::processor
