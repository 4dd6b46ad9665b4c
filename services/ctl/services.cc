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

std::string PseudonymiserStatus::State() const {
  if (!reached.ok()) return "unreachable";
  return locked.ok() && !locked->callers().empty() ? "callers locked" : "running";
}

std::optional<double> PseudonymiserStatus::OldestEpochSeconds(int64_t now_ms) const {
  std::optional<double> oldest;
  for (const auto& domain : domains.domains()) {
    if (domain.epochs().empty() || !domain.epochs().rbegin()->has_begun()) continue;
    const auto& begun = domain.epochs().rbegin()->begun();
    double age = static_cast<double>(now_ms) / 1000 - static_cast<double>(begun.seconds());
    oldest = std::max(oldest.value_or(0), age);
  }
  return oldest;
}

std::string_view ReferenceStatus::StateOf(const Set& set) {
  if (set.active_id().empty()) return "without a version";
  if (!set.refusal().empty()) return "refused";
  return set.held() ? "held" : "active";
}

std::string ReferenceStatus::State() const {
  if (!reached.ok()) return "unreachable";
  std::string worst = "running";
  for (const Set& set : reference.sets()) {
    std::string_view state = StateOf(set);
    if (state == "without a version" || (state == "refused" && worst == "running")) worst = state;
  }
  return worst;
}

absl::StatusOr<Services> Services::Connect(const ServiceOptions& options) {
  Services services;
  services.options_ = options;
  if (options.timeout_ms < 1 || options.timeout_ms > 600'000)
    return absl::InvalidArgumentError("--timeout-ms must be between 1 and 600000");
  auto connect = [&](const std::vector<std::string>& addresses, auto stub_of,
                     auto& stubs) -> absl::Status {
    for (const std::string& address : addresses) {
      SLUICE_ASSIGN_OR_RETURN(auto channel,
                              rpc::Connect({.address = address, .tls = options.tls}, address));
      stubs.push_back(stub_of(channel));
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(connect(
      options.addresses, [](auto& channel) { return processor::v1::Processor::NewStub(channel); },
      services.stubs_));
  SLUICE_RETURN_IF_ERROR(connect(
      options.pseudonymisers,
      [](auto& channel) { return pseudonymiser::v1::Pseudonymiser::NewStub(channel); },
      services.pseudonymisers_));
  SLUICE_RETURN_IF_ERROR(connect(
      options.references, [](auto& channel) { return reference::v1::Reference::NewStub(channel); },
      services.references_));
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

std::vector<PseudonymiserStatus> Services::Pseudonymisers() {
  std::vector<PseudonymiserStatus> statuses;
  for (size_t i = 0; i < pseudonymisers_.size(); ++i) {
    PseudonymiserStatus& status = statuses.emplace_back();
    status.address = options_.pseudonymisers[i];
    status.reached = Ask([&](grpc::ClientContext& context) {
      return pseudonymisers_[i]->ListDomains(&context, {}, &status.domains);
    });
    if (!status.reached.ok()) continue;
    pseudonymiser::v1::ListLockedCallersResponse locked;
    absl::Status asked = Ask([&](grpc::ClientContext& context) {
      return pseudonymisers_[i]->ListLockedCallers(&context, {}, &locked);
    });
    if (asked.ok()) {
      status.locked = std::move(locked);
    } else {
      status.locked = asked;
    }
  }
  return statuses;
}

std::vector<ReferenceStatus> Services::References() {
  std::vector<ReferenceStatus> statuses;
  for (size_t i = 0; i < references_.size(); ++i) {
    ReferenceStatus& status = statuses.emplace_back();
    status.address = options_.references[i];
    status.reached = Ask([&](grpc::ClientContext& context) {
      return references_[i]->GetStatus(&context, {}, &status.reference);
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

absl::Status Services::SetOffsets(processor::v1::SetOffsetsRequest request,
                                  std::vector<int32_t>& done) {
  std::string problems;
  auto problem = [&](size_t service, std::string_view what) {
    base::StrAppend(problems, "; ", options_.addresses[service], ": ", what);
  };
  for (size_t i = 0; i < stubs_.size() && !request.partitions().empty(); ++i) {
    processor::v1::SetOffsetsResponse response;
    absl::Status asked = Ask([&](grpc::ClientContext& context) {
      return stubs_[i]->SetOffsets(&context, request, &response);
    });
    if (!asked.ok()) problem(i, base::View(asked.message()));
    if (!response.problem().empty()) problem(i, response.problem());
    done.insert(done.end(), response.done().begin(), response.done().end());
    auto* left = request.mutable_partitions();
    left->erase(std::remove_if(left->begin(), left->end(),
                               [&](const auto& at) {
                                 return std::find(done.begin(), done.end(), at.partition()) !=
                                        done.end();
                               }),
                left->end());
  }
  if (request.partitions().empty()) return absl::OkStatus();
  std::string partitions;
  for (const auto& at : request.partitions())
    base::StrAppend(partitions, partitions.empty() ? "" : ", ", at.partition());
  return absl::UnavailableError(
      base::StrCat("not set: partitions ", partitions,
                   ". Name every processor of the group that may have them (--processor), and run "
                   "this again",
                   problems));
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
