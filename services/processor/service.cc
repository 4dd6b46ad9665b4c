#include "services/processor/service.h"

#include <charconv>

#include "common/base/strings.h"
#include "common/rpc/tls.h"
#include "common/telemetry/log.h"

namespace sluice::processor {
namespace {

constexpr std::string_view kCodes[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(base::View(status.message()))};
}

// "topic/partition/offset" into the record, whose topic then points into `text`.
bool ParsePosition(std::string_view text, base::InputRecord& record) {
  size_t offset_at = text.rfind('/');
  if (offset_at == std::string_view::npos) return false;
  size_t partition_at = text.substr(0, offset_at).rfind('/');
  if (partition_at == std::string_view::npos || partition_at == 0) return false;
  auto number = [](std::string_view digits, auto& out) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc() && end == digits.data() + digits.size() && out >= 0;
  };
  record.topic = text.substr(0, partition_at);
  return number(text.substr(partition_at + 1, offset_at - partition_at - 1), record.partition) &&
         number(text.substr(offset_at + 1), record.offset);
}

void SetEvent(const v1::RawEvent& event, base::InputRecord& record) {
  if (event.has_value()) record.value = event.value();
  if (event.has_key()) record.key = event.key();
}

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
      if (quarantined.value)
        response_.set_sealed(quarantined.value->data(), quarantined.value->size());
    }
    return absl::OkStatus();
  }

  void Suppressed(const engine::InputRecord&) override { response_.set_verdict(v1::SUPPRESSED); }

 private:
  const engine::Pipeline& pipeline_;
  Response& response_;
};

}  // namespace

Service::Service(const config::v1::Listen& listen, Controls& controls, base::RandomSource& random,
                 telemetry::Registry& registry)
    : tls_(listen.has_tls()),
      controls_(controls),
      random_(random),
      callers_(listen.callers().begin(), listen.callers().end()),
      calls_(registry.CounterFamily(
          {"sluice_rpc_calls_total", "gRPC calls that have ended.", {"method", "code"}})) {}

grpc::Status Service::Count(std::string_view method, grpc::Status status) const {
  auto code = static_cast<size_t>(status.error_code());
  calls_.With({method, code < std::size(kCodes) ? kCodes[code] : "UNKNOWN"}).Add();
  return status;
}

grpc::Status Service::Authorise(const grpc::ServerContext& context, std::string_view method) const {
  std::string caller;
  if (tls_) {
    caller = rpc::PeerOf(*context.auth_context()).Name();
    if (!callers_.contains(caller)) {
      Log(telemetry::Severity::kWarning, "call_denied",
          {{"method", telemetry::SafeText(method)}, {"caller", telemetry::SafeText(caller)}});
      return {grpc::StatusCode::PERMISSION_DENIED,
              base::StrCat("listen.callers doesn't name '", caller, "'")};
    }
  }
  Log(telemetry::Severity::kInfo, "call",
      {{"method", telemetry::SafeText(method)}, {"caller", telemetry::SafeText(caller)}});
  return grpc::Status::OK;
}

grpc::Status Service::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                v1::GetStatusResponse* response) {
  Edition edition = controls_.current();
  const engine::Pipeline& pipeline = *edition.pipeline;
  response->set_plan(pipeline.fingerprint());
  response->set_contract(pipeline.contract().name());
  response->set_input_topic(pipeline.config().input().topic());
  for (const engine::StreamPlan& stream : pipeline.streams())
    response->add_stream_topics(stream.topic);
  response->set_quarantine_topic(pipeline.config().quarantine().topic());
  for (const auto& table : pipeline.tables())
    (*response->mutable_snapshots())[std::string(table->set())] = table->id();
  controls_.FillStatus(*response);
  return Count("GetStatus", grpc::Status::OK);
}

grpc::Status Service::Pause(grpc::ServerContext* context, const v1::PauseRequest*,
                            v1::PauseResponse*) {
  grpc::Status status = Authorise(*context, "Pause");
  if (status.ok()) controls_.Pause();
  return Count("Pause", status);
}

grpc::Status Service::Resume(grpc::ServerContext* context, const v1::ResumeRequest*,
                             v1::ResumeResponse*) {
  grpc::Status status = Authorise(*context, "Resume");
  if (status.ok()) controls_.Resume();
  return Count("Resume", status);
}

grpc::Status Service::Explain(grpc::ServerContext* context, const v1::ExplainRequest* request,
                              v1::ExplainResponse* response) {
  grpc::Status status = Authorise(*context, "Explain");
  if (status.ok()) status = Explain(*request, *response);
  return Count("Explain", status);
}

grpc::Status Service::Process(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::ProcessResponse, v1::ProcessRequest>* stream) {
  grpc::Status status = Authorise(*context, "Process");
  if (status.ok()) status = Process(*stream);
  return Count("Process", status);
}

grpc::Status Service::Explain(const v1::ExplainRequest& request,
                              v1::ExplainResponse& response) const {
  Edition edition = controls_.current();
  const engine::Pipeline& pipeline = *edition.pipeline;
  auto keyed = KeyedEngine::Create(*edition.setup, edition.pipeline, random_);
  if (!keyed.ok()) return ToGrpc(keyed.status());
  base::InputRecord record;
  record.topic = pipeline.config().input().topic();
  SetEvent(request.event(), record);
  ResponseSink<v1::ExplainResponse> sink(pipeline, response);
  absl::Status processed = keyed->engine->Process({&record, 1}, sink);
  if (!processed.ok()) return ToGrpc(processed);

  const event::Event& event = keyed->engine->event(0);
  response.set_unknown_fields(event.unknown_fields);
  // By field and kind, as the metrics count them.
  const std::vector<uint64_t>& repairs = keyed->engine->tally().repairs;
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
  return grpc::Status::OK;
}

grpc::Status Service::Process(
    grpc::ServerReaderWriter<v1::ProcessResponse, v1::ProcessRequest>& stream) const {
  // One edition for the whole call.
  Edition edition = controls_.current();
  auto keyed = KeyedEngine::Create(*edition.setup, edition.pipeline, random_);
  if (!keyed.ok()) return ToGrpc(keyed.status());
  v1::ProcessRequest request;
  v1::ProcessResponse response;
  while (stream.Read(&request)) {
    base::InputRecord record;
    if (!ParsePosition(request.source_position(), record)) {
      return {grpc::StatusCode::INVALID_ARGUMENT,
              "source_position: must be topic/partition/offset, for example raw.stops/0/42"};
    }
    SetEvent(request.event(), record);
    response.Clear();
    ResponseSink<v1::ProcessResponse> sink(*edition.pipeline, response);
    // A key for each event: the seal of one must say nothing of another caller's.
    keyed->engine->NewBatch();
    absl::Status processed = keyed->engine->Process({&record, 1}, sink);
    if (!processed.ok()) return ToGrpc(processed);
    if (!stream.Write(response)) return {grpc::StatusCode::CANCELLED, "the caller has gone"};
  }
  return grpc::Status::OK;
}

}  // namespace sluice::processor
