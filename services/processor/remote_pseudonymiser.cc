#include "services/processor/remote_pseudonymiser.h"

#include <algorithm>
#include <cstring>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/privacy/pseudonym.h"
#include "common/rpc/status.h"

namespace sluice::processor {
namespace {

using pseudonymiser::v1::PseudonymiseRequest;
using pseudonymiser::v1::PseudonymiseResponse;
using pseudonymiser::v1::TargetEpoch;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr std::string_view kOption = "pseudonymiser.remote";
constexpr std::string_view kBadAnswer = "BAD_ANSWER";
constexpr size_t kTargetListMax = 256;
constexpr size_t kTargetsPerValueMax = 255;
constexpr uint32_t kScoped = 128;
constexpr size_t kBlockBytes = sizeof(privacy::PseudonymBlock);
// AES-SIV's tag.
constexpr size_t kEncryptedBytesMin = 16;
constexpr size_t kTextEndBytesMax = 5;
// Values that many streams want enciphered: gRPC takes no message beyond 4 MiB.
constexpr size_t kAnswerBytesMax = 2 * 1024 * 1024;
// So many batches in a row without any answer in time, and the connection is given up.
constexpr int kTimeoutsMax = 2;

// What an operator is to look at. What the service says itself isn't told: it might say too much.
std::string_view Hint(std::string_view code) {
  if (code == "UNAVAILABLE") return "it can't be reached, or one side's certificate isn't accepted";
  if (code == "DEADLINE_EXCEEDED") return "no answer within deadline_ms";
  if (code == "PERMISSION_DENIED" || code == "UNAUTHENTICATED")
    return "its policy doesn't let this certificate make what the pipeline's streams ask for";
  if (code == "NOT_FOUND") return "it doesn't have a domain or an epoch that pipeline.streams name";
  if (code == "RESOURCE_EXHAUSTED") return "its limit for this caller is reached";
  if (code == "FAILED_PRECONDITION") return "an epoch of the batch at hand was retired";
  if (code == kBadAnswer) return "its answer doesn't fit what was asked";
  return "see its log";
}

// Another attempt at once may help.
bool ForTheMoment(grpc::StatusCode code) {
  return code == grpc::UNAVAILABLE || code == grpc::RESOURCE_EXHAUSTED || code == grpc::ABORTED;
}

pseudonymiser::v1::Form ToProto(privacy::Form form) {
  switch (form) {
    case privacy::Form::kEncrypted:
      return pseudonymiser::v1::ENCRYPTED;
    case privacy::Form::kFormatPreserved:
      return pseudonymiser::v1::FORMAT_PRESERVED;
    case privacy::Form::kBlock:
      break;
  }
  return pseudonymiser::v1::BLOCK;
}

}  // namespace

absl::StatusOr<std::shared_ptr<KeyService>> KeyService::Create(Options options) {
  options.channel.own_connection = true;
  // As soon as it is back, the flow is to go on.
  options.channel.reconnect_backoff_ms_max = 1000;
  SLUICE_ASSIGN_OR_RETURN(auto channel, rpc::Connect(options.channel, kOption));
  auto service = std::shared_ptr<KeyService>(new KeyService(std::move(options)));
  base::MutexLock lock(service->mutex_);
  service->stub_ = pseudonymiser::v1::Pseudonymiser::NewStub(channel);
  return service;
}

std::optional<std::string> KeyService::away() const {
  base::MutexLock lock(mutex_);
  return away_.empty() ? std::nullopt : std::optional(away_);
}

uint32_t KeyService::EpochOf(std::string_view domain) const {
  base::MutexLock lock(mutex_);
  for (const auto& [name, epoch] : epochs_)
    if (name == domain) return epoch;
  return 0;
}

absl::StatusOr<std::vector<privacy::KeyringDomain>> KeyService::ListDomains() const {
  pseudonymiser::v1::ListDomainsResponse response;
  grpc::ClientContext context;
  context.set_deadline(system_clock::now() + options_.deadline);
  grpc::Status asked = stub()->ListDomains(&context, {}, &response);
  if (!asked.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(asked.error_code()),
                        base::StrCat("the pseudonymiser doesn't say which domains it has (",
                                     rpc::CodeName(asked.error_code()),
                                     "); its policy lets a caller with the permission list_domains "
                                     "see them"));
  }
  std::vector<privacy::KeyringDomain> domains;
  for (const pseudonymiser::v1::Domain& from : response.domains()) {
    privacy::KeyringDomain& domain = domains.emplace_back();
    domain.name = from.name();
    domain.label = from.label();
    domain.epochs.clear();
    for (const pseudonymiser::v1::Epoch& epoch : from.epochs())
      domain.epochs.push_back({.number = epoch.number(), .check = epoch.check()});
  }
  return domains;
}

std::shared_ptr<KeyService::Stub> KeyService::stub() const {
  base::MutexLock lock(mutex_);
  return stub_;
}

void KeyService::GiveUp(const std::shared_ptr<Stub>& stub) {
  auto channel = rpc::Connect(options_.channel, kOption);
  // Its certificates can't be read at the moment; the old connection is as good.
  if (!channel.ok()) return;
  base::MutexLock lock(mutex_);
  // Another worker may have done so already.
  if (stub_ == stub) stub_ = pseudonymiser::v1::Pseudonymiser::NewStub(*channel);
}

void KeyService::Called(std::string_view code, std::chrono::nanoseconds took, size_t values) const {
  if (const KeyServiceProbe* probe = probe_) probe->KeyServiceCall(code, took, values);
}

void KeyService::Ended(std::string_view why) {
  base::MutexLock lock(mutex_);
  away_ = why;
}

void KeyService::Learnt(std::string_view domain, uint32_t epoch) {
  base::MutexLock lock(mutex_);
  for (auto& [name, known] : epochs_) {
    if (name == domain) {
      known = epoch;
      return;
    }
  }
  epochs_.emplace_back(domain, epoch);
}

// One request and its answer.
struct RemotePseudonymiser::Call {
  PseudonymiseRequest request;
  PseudonymiseResponse response;
  size_t targets = 0;
  bool has_texts = false;
  bool done = false;
  size_t values() const { return static_cast<size_t>(request.ends_size()); }

  // Of the attempt under way.
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<PseudonymiseResponse>> reader;
  grpc::Status status;
  steady_clock::time_point started;
};

RemotePseudonymiser::RemotePseudonymiser(std::shared_ptr<KeyService> service,
                                         base::RandomSource& random)
    : service_(std::move(service)) {
  uint32_t seed = 1;
  // Without randomness the pauses are all the same, which harms nobody.
  if (random.Fill({reinterpret_cast<uint8_t*>(&seed), sizeof(seed)})) random_.seed(seed);
}

RemotePseudonymiser::~RemotePseudonymiser() {
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

absl::StatusOr<uint16_t> RemotePseudonymiser::Domain(std::string_view name) {
  for (size_t i = 0; i < domains_.size(); ++i)
    if (domains_[i].name == name) return static_cast<uint16_t>(i);
  if (domains_.size() >= kTargetListMax)
    return absl::InvalidArgumentError("the streams name more than 256 domains");
  // An epoch that isn't active is found now: an audit tries epochs, and a stream that follows
  // another one must not go on with a third.
  if (name.find('@') != std::string_view::npos) {
    PseudonymiseRequest request;
    request.add_target_list()->set_domain(std::string(name));
    PseudonymiseResponse response;
    grpc::ClientContext context;
    context.set_deadline(system_clock::now() + service_->options().deadline);
    grpc::Status asked = service_->stub()->Pseudonymise(&context, request, &response);
    if (asked.error_code() == grpc::NOT_FOUND)
      return absl::NotFoundError(base::StrCat("the pseudonymiser has no active ", name));
  }
  domains_.emplace_back().name = name;
  return static_cast<uint16_t>(domains_.size() - 1);
}

void RemotePseudonymiser::NewBatch() {
  answered_ = false;
  for (DomainState& domain : domains_) domain.pinned = stale_ ? 0 : domain.next;
  stale_ = false;
}

absl::Status RemotePseudonymiser::Pseudonymise(const privacy::PseudonymBatch& batch,
                                               privacy::PseudonymAnswer& answer) {
  answer.Clear();
  SLUICE_RETURN_IF_ERROR(Cut(batch));
  absl::Status status;
  if (call_count_ > 0) {
    status = Ask();
    // Nothing was made under the epoch that has gone: the batch begins again without it.
    if (!status.ok() && stale_ && !answered_) {
      NewBatch();
      status = Ask();
    }
    service_->Ended(base::View(status.message()));
  }
  if (status.ok()) status = Fill(batch, answer);
  if (!status.ok()) answer.Clear();
  return status;
}

RemotePseudonymiser::Call& RemotePseudonymiser::CallAt(size_t index) {
  while (calls_.size() <= index) calls_.push_back(std::make_unique<Call>());
  return *calls_[index];
}

absl::StatusOr<uint8_t> RemotePseudonymiser::TargetIndex(uint16_t domain, privacy::Form form) {
  const auto of_form = static_cast<size_t>(form);
  if (domain >= domains_.size() || of_form >= domains_[domain].targets.size())
    return absl::InvalidArgumentError("a batch names a domain or form that isn't there");
  int& at = domains_[domain].targets[of_form];
  if (at < 0) {
    if (target_list_.size() >= kTargetListMax)
      return absl::InvalidArgumentError("the streams ask for more than 256 forms in domains");
    at = static_cast<int>(target_list_.size());
    target_list_.push_back({domain, form});
  }
  return static_cast<uint8_t>(at);
}

absl::Status RemotePseudonymiser::Cut(const privacy::PseudonymBatch& batch) {
  const KeyService::Options& options = service_->options();
  const auto& targets = batch.targets();
  call_count_ = 0;
  Call* call = nullptr;
  size_t begin = 0, target = 0;
  size_t answer_bytes = 0;  // that the call's answer has at most
  bool counts = false;      // some value of the call hasn't exactly one target
  auto end_call = [&] {
    if (call != nullptr && !counts) call->request.clear_target_counts();
  };
  for (size_t i = 0; i < batch.values().size(); ++i) {
    const privacy::PseudonymBatch::Value& value = batch.values()[i];
    const std::string_view bytes(batch.bytes().data() + begin, value.end - begin);
    const size_t first = target;
    while (target < targets.size() && targets[target].value == i) ++target;
    const size_t wanted = target - first;
    begin = value.end;
    if (wanted == 0) continue;  // nobody asks for it
    if (wanted > kTargetsPerValueMax || static_cast<uint32_t>(value.kind) >= kScoped)
      return absl::InvalidArgumentError("a batch has a value that no request can hold");
    size_t answered = 0;
    for (size_t at = first; at < target; ++at) {
      answered += kBlockBytes + kTextEndBytesMax;
      if (targets[at].form != privacy::Form::kBlock) answered += bytes.size() + kEncryptedBytesMin;
    }
    if (call == nullptr || call->values() >= options.values_per_call ||
        call->request.values().size() + bytes.size() > options.bytes_per_call ||
        answer_bytes + answered > kAnswerBytesMax) {
      end_call();
      call = &CallAt(call_count_++);
      call->request.Clear();
      call->targets = 0;
      call->has_texts = false;
      counts = false;
      answer_bytes = 0;
    }
    answer_bytes += answered;
    call->request.mutable_values()->append(bytes);
    call->request.add_ends(static_cast<uint32_t>(call->request.values().size()));
    call->request.mutable_kinds()->push_back(
        static_cast<char>(static_cast<uint32_t>(value.kind) + (value.scoped ? kScoped : 0)));
    call->request.mutable_target_counts()->push_back(static_cast<char>(wanted));
    counts = counts || wanted != 1;
    for (size_t at = first; at < target; ++at) {
      SLUICE_ASSIGN_OR_RETURN(uint8_t index, TargetIndex(targets[at].domain, targets[at].form));
      call->request.mutable_targets()->push_back(static_cast<char>(index));
      call->has_texts = call->has_texts || targets[at].form != privacy::Form::kBlock;
    }
    call->targets += wanted;
  }
  end_call();
  return absl::OkStatus();
}

void RemotePseudonymiser::SetTargets(PseudonymiseRequest& request) const {
  request.clear_target_list();
  for (const TargetState& target : target_list_) {
    const DomainState& domain = domains_[target.domain];
    auto& out = *request.add_target_list();
    out.set_domain(domain.name);
    out.set_form(ToProto(target.form));
    out.set_epoch(domain.pinned);
  }
}

absl::Status RemotePseudonymiser::AskForEpochs() {
  bool all_pinned = true;
  for (const TargetState& target : target_list_)
    all_pinned = all_pinned && domains_[target.domain].pinned != 0;
  if (all_pinned) return absl::OkStatus();
  // Without values: two calls that are under way together might see two epochs.
  Call& call = CallAt(call_count_);
  call.request.Clear();
  call.targets = 0;
  call.has_texts = false;
  return Run(call_count_, call_count_ + 1);
}

absl::Status RemotePseudonymiser::Ask() {
  SLUICE_RETURN_IF_ERROR(AskForEpochs());
  return Run(0, call_count_);
}

absl::Status RemotePseudonymiser::Run(size_t first, size_t end) {
  const KeyService::Options& options = service_->options();
  for (size_t i = first; i < end; ++i) calls_[i]->done = false;
  const auto deadline = system_clock::now() + options.deadline;
  const auto last_start = steady_clock::now() + options.deadline;
  for (int attempt = 1;; ++attempt) {
    bool again = false;
    std::string_view code = Attempt(first, end, deadline, again);
    if (code.empty()) return absl::OkStatus();
    const milliseconds pause = Pause(attempt);
    if (!again || attempt >= options.attempts || steady_clock::now() + pause >= last_start) {
      return absl::UnavailableError(base::StrCat("the pseudonymiser at ", options.channel.address,
                                                 " doesn't serve: ", code, ": ", Hint(code)));
    }
    options.sleep(pause);
  }
}

std::string_view RemotePseudonymiser::Attempt(size_t first, size_t end,
                                              system_clock::time_point deadline, bool& again) {
  const KeyService::Options& options = service_->options();
  const std::shared_ptr<KeyService::Stub> stub = service_->stub();
  std::string_view failed;
  again = true;
  bool answered = false;
  size_t next = first, under_way = 0;
  while (true) {
    for (; next < end && under_way < options.in_flight && failed.empty(); ++next) {
      Call& call = *calls_[next];
      if (call.done) continue;
      SetTargets(call.request);
      call.response.Clear();
      call.context.emplace();
      call.context->set_deadline(deadline);
      call.started = steady_clock::now();
      call.reader = stub->AsyncPseudonymise(&*call.context, call.request, &queue_);
      call.reader->Finish(&call.response, &call.status, &call);
      ++under_way;
    }
    if (under_way == 0) break;
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
    --under_way;
    Call& call = *static_cast<Call*>(tag);
    call.reader.reset();
    const grpc::StatusCode status = call.status.error_code();
    std::string_view code = rpc::CodeName(status);
    if (status == grpc::OK) {
      answered = true;
      call.done = Accept(call);
      if (!call.done) code = kBadAnswer;
    }
    service_->Called(code, steady_clock::now() - call.started, call.values());
    if (call.done) continue;
    stale_ = stale_ || status == grpc::FAILED_PRECONDITION;
    if (failed.empty()) failed = code;
    if (!ForTheMoment(status)) again = false;
  }
  timeouts_ = answered || failed != rpc::CodeName(grpc::DEADLINE_EXCEEDED) ? 0 : timeouts_ + 1;
  if (timeouts_ >= kTimeoutsMax) {
    timeouts_ = 0;
    service_->GiveUp(stub);
  }
  return failed;
}

milliseconds RemotePseudonymiser::Pause(int attempt) {
  const int64_t longest = service_->options().backoff.count() << std::min(attempt - 1, 10);
  return milliseconds(longest / 2 + static_cast<int64_t>(random_()) % (longest / 2 + 1));
}

bool RemotePseudonymiser::Accept(const Call& call) {
  const PseudonymiseResponse& answer = call.response;
  if (answer.blocks().size() != call.targets * kBlockBytes) return false;
  if (static_cast<size_t>(answer.target_epochs_size()) != target_list_.size()) return false;

  size_t ends = static_cast<size_t>(answer.text_ends_size());
  if (ends != (call.has_texts ? call.targets : 0)) return false;
  uint32_t begin = 0;
  for (size_t i = 0; i < ends; ++i) {
    const uint32_t text_end = answer.text_ends(static_cast<int>(i));
    if (text_end < begin || text_end > answer.texts().size()) return false;
    const auto target = static_cast<uint8_t>(call.request.targets()[i]);
    const privacy::Form form = target_list_[target].form;
    if (form == privacy::Form::kBlock && text_end != begin) return false;
    if (form == privacy::Form::kEncrypted && text_end - begin < kEncryptedBytesMin) return false;
    begin = text_end;
  }
  if (begin != answer.texts().size()) return false;

  for (size_t i = 0; i < target_list_.size(); ++i) {
    const TargetEpoch& told = answer.target_epochs(static_cast<int>(i));
    DomainState& domain = domains_[target_list_[i].domain];
    if (told.epoch() == 0 || told.current_epoch() == 0 || !privacy::IsDomainLabel(told.label()))
      return false;
    if (domain.pinned != 0 && told.epoch() != domain.pinned) return false;
    domain.pinned = told.epoch();
    domain.next = told.current_epoch();
    if (domain.label != told.label()) domain.label = told.label();
  }
  return true;
}

absl::Status RemotePseudonymiser::Fill(const privacy::PseudonymBatch& batch,
                                       privacy::PseudonymAnswer& answer) {
  answered_ = answered_ || call_count_ > 0;
  answer.domains.resize(domains_.size());
  for (size_t i = 0; i < domains_.size(); ++i) {
    answer.domains[i].label = domains_[i].label;
    answer.domains[i].epoch = domains_[i].pinned;
    if (answered_) service_->Learnt(domains_[i].name, domains_[i].pinned);
  }
  answer.blocks.resize(batch.targets().size());
  if (batch.has_texts()) answer.text_ends.reserve(batch.targets().size());
  size_t target = 0;
  for (size_t i = 0; i < call_count_; ++i) {
    const Call& call = *calls_[i];
    const PseudonymiseResponse& part = call.response;
    std::memcpy(answer.blocks.data() + target, part.blocks().data(), part.blocks().size());
    target += call.targets;
    if (!batch.has_texts()) continue;
    const auto begin = static_cast<uint32_t>(answer.texts.size());
    answer.texts.append(part.texts());
    for (size_t at = 0; at < call.targets; ++at)
      answer.text_ends.push_back(begin +
                                 (call.has_texts ? part.text_ends(static_cast<int>(at)) : 0));
  }
  // The targets of all calls are the batch's.
  if (target != batch.targets().size())
    return absl::InternalError("a batch's targets aren't in the order of its values");
  return absl::OkStatus();
}

}  // namespace sluice::processor
