#include "services/processor/service.h"

#include <chrono>
#include <optional>
#include <set>

#include "common/base/clock.h"
#include "common/base/strings.h"
#include "common/privacy/visible.h"
#include "common/rpc/status.h"
#include "common/rpc/tls.h"
#include "common/telemetry/log.h"
#include "services/processor/edition.h"
#include "services/processor/explain.h"

namespace sluice::processor {
namespace {

constexpr int kPartitionsMax = 10'000;
constexpr size_t kTextBytesMax = 1'000;

void SetEvent(const v1::RawEvent& event, base::InputRecord& record) {
  if (event.has_value()) record.value = event.value();
  if (event.has_key()) record.key = event.key();
}

grpc::Status CheckRequest(const v1::SetOffsetsRequest& request) {
  auto wrong = [](const char* what) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, what);
  };
  if (request.partitions().empty() || request.partitions_size() > kPartitionsMax)
    return wrong("partitions: 1 to 10,000");
  if (privacy::IsBlank(request.reason()) || request.reason().size() > kTextBytesMax)
    return wrong("reason: say why, in at most 1,000 bytes");
  if (privacy::IsBlank(request.set_by()) || request.set_by().size() > kTextBytesMax)
    return wrong("set_by: say who, in at most 1,000 bytes");
  std::set<int32_t> seen;
  for (const v1::SetOffsetsRequest::Partition& at : request.partitions()) {
    if (at.partition() < 0 || at.next_offset() < 0 || !seen.insert(at.partition()).second)
      return wrong("partitions: each once, with an offset from 0 on");
  }
  return grpc::Status::OK;
}

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
  calls_.With({method, rpc::CodeName(status.error_code())}).Add();
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
  if (edition.pipeline == nullptr) {
    response->set_contract(edition.setup->config.pipeline().contract());
    controls_.FillStatus(*response);
    return Count("GetStatus", grpc::Status::OK);
  }
  const engine::Pipeline& pipeline = *edition.pipeline;
  response->set_plan(pipeline.fingerprint());
  response->set_contract(pipeline.contract().name());
  response->set_input_topic(pipeline.config().input().topic());
  for (const engine::StreamPlan& stream : pipeline.streams())
    response->add_stream_topics(stream.topic);
  response->set_quarantine_topic(pipeline.config().quarantine().topic());
  for (const auto& table : pipeline.tables())
    (*response->mutable_snapshots())[std::string(table->set())] = table->id();
  for (const std::string& name : pipeline.domains()) {
    if (uint32_t epoch = edition.setup->EpochOf(name); epoch != 0)
      (*response->mutable_epochs())[name] = epoch;
  }
  if (const auto& keys = edition.setup->key_service; keys != nullptr) {
    v1::PseudonymiserStatus& status = *response->mutable_pseudonymiser();
    status.set_address(keys->options().channel.address);
    status.set_away(keys->away().value_or(""));
  }
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

grpc::Status Service::SetOffsets(grpc::ServerContext* context, const v1::SetOffsetsRequest* request,
                                 v1::SetOffsetsResponse* response) {
  grpc::Status status = Authorise(*context, "SetOffsets");
  if (status.ok()) status = CheckRequest(*request);
  if (status.ok()) status = rpc::ToGrpc(controls_.SetOffsets(*request, *response));
  return Count("SetOffsets", status);
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
  if (edition.pipeline == nullptr)
    return {grpc::StatusCode::UNAVAILABLE, edition.setup->joined.waiting};
  const engine::Pipeline& pipeline = *edition.pipeline;
  auto keyed = KeyedEngine::Create(*edition.setup, edition.pipeline, random_);
  if (!keyed.ok()) return rpc::ToGrpc(keyed.status());
  // Nothing is shown by an engine that shows too much.
  if (absl::Status checked = keyed->engine->CheckSelf(); !checked.ok()) return rpc::ToGrpc(checked);
  base::InputRecord record;
  record.topic = pipeline.config().input().topic();
  SetEvent(request.event(), record);
  return rpc::ToGrpc(ExplainEvent(pipeline, *keyed->engine, record, response));
}

grpc::Status Service::Process(
    grpc::ServerReaderWriter<v1::ProcessResponse, v1::ProcessRequest>& stream) const {
  // One edition for the whole call.
  Edition edition = controls_.current();
  if (edition.pipeline == nullptr)
    return {grpc::StatusCode::UNAVAILABLE, edition.setup->joined.waiting};
  auto keyed = KeyedEngine::Create(*edition.setup, edition.pipeline, random_);
  if (!keyed.ok()) return rpc::ToGrpc(keyed.status());
  v1::ProcessRequest request;
  v1::ProcessResponse response;
  const base::SystemClock clock;
  std::optional<std::chrono::steady_clock::time_point> checked;
  while (stream.Read(&request)) {
    if (const auto now = clock.Now(); !checked || now - *checked >= kSelfCheckInterval) {
      absl::Status status = keyed->engine->CheckSelf();
      if (!status.ok()) return rpc::ToGrpc(status);
      checked = now;
    }
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
    if (!processed.ok()) return rpc::ToGrpc(processed);
    if (!stream.Write(response)) return {grpc::StatusCode::CANCELLED, "the caller has gone"};
  }
  return grpc::Status::OK;
}

}  // namespace sluice::processor
