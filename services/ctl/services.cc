#include "services/ctl/services.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string_view>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"

namespace sluice::ctl {
namespace {

// From bad to good; what isn't in it stands before all.
constexpr std::string_view kStates[] = {"halted",     "stopped",  "draining", "waiting",
                                        "recovering", "starting", "paused",   "running"};

size_t RankOf(std::string_view state) {
  return static_cast<size_t>(std::find(std::begin(kStates), std::end(kStates), state) -
                             std::begin(kStates));
}

}  // namespace

std::string ServiceStatus::State() const {
  if (!reached.ok()) return "unreachable";
  std::string worst = processor.workers().empty() ? "without workers" : "running";
  for (const auto& worker : processor.workers()) {
    if (RankOf(worker.state()) < RankOf(worst) || RankOf(worker.state()) == std::size(kStates))
      worst = worker.state();
  }
  if (worst == "running" && !processor.reload_refusal().empty()) return "reload refused";
  return worst;
}

bool ServiceStatus::Well() const {
  std::string state = State();
  return state == "running" || state == "paused";
}

int64_t ServiceStatus::lag_records() const {
  int64_t lag = -1;
  for (const auto& worker : processor.workers()) {
    for (const auto& partition : worker.partitions()) {
      if (partition.lag_records() >= 0) lag = std::max<int64_t>(lag, 0) + partition.lag_records();
    }
  }
  return lag;
}

double ServiceStatus::lag_seconds() const {
  double lag = 0;
  for (const auto& worker : processor.workers()) {
    for (const auto& partition : worker.partitions()) lag = std::max(lag, partition.lag_seconds());
  }
  return lag;
}

absl::StatusOr<Services> Services::Connect(const ServiceOptions& options) {
  Services services;
  services.options_ = options;
  if (options.timeout_ms < 1 || options.timeout_ms > 600'000)
    return absl::InvalidArgumentError("--timeout-ms must be between 1 and 600000");
  for (const std::string& address : options.addresses) {
    SLUICE_ASSIGN_OR_RETURN(auto channel,
                            rpc::Connect({.address = address, .tls = options.tls}, address));
    services.stubs_.push_back(processor::v1::Processor::NewStub(channel));
  }
  return services;
}

template <typename Call>
absl::Status Services::Ask(Call call) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(options_.timeout_ms));
  return rpc::FromGrpc(call(context));
}

std::vector<ServiceStatus> Services::Statuses() {
  std::vector<ServiceStatus> statuses;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    ServiceStatus& status = statuses.emplace_back();
    status.address = options_.addresses[i];
    status.reached = Ask([&](grpc::ClientContext& context) {
      return stubs_[i]->GetStatus(&context, {}, &status.processor);
    });
  }
  return statuses;
}

std::vector<absl::Status> Services::Pause() {
  std::vector<absl::Status> answers;
  processor::v1::PauseResponse response;
  for (const auto& stub : stubs_) {
    answers.push_back(
        Ask([&](grpc::ClientContext& context) { return stub->Pause(&context, {}, &response); }));
  }
  return answers;
}

std::vector<absl::Status> Services::Resume() {
  std::vector<absl::Status> answers;
  processor::v1::ResumeResponse response;
  for (const auto& stub : stubs_) {
    answers.push_back(
        Ask([&](grpc::ClientContext& context) { return stub->Resume(&context, {}, &response); }));
  }
  return answers;
}

}  // namespace sluice::ctl
