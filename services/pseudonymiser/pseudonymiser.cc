#include "services/pseudonymiser/pseudonymiser.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/base/address.h"
#include "common/base/status.h"
#include "common/privacy/epoch_record.h"
#include "common/rpc/tls_pair.h"
#include "common/telemetry/log.h"
#include "services/brokers/connection.h"
#include "services/pseudonymiser/audit_topic.h"

namespace sluice::pseudonymiser {
namespace {

constexpr std::string_view kVersion = SLUICE_VERSION;
// How late it is recorded that a caller was refused before its call, and seen that it is locked.
constexpr std::chrono::seconds kTick{1};
// Of such refusals, when there are always more: each count makes the next one the first of its
// kind.
constexpr std::chrono::seconds kBetweenFlushes{10};

Reidentifications::Options GrantOptions(const config::v1::ReidentificationLimits& limits) {
  Reidentifications::Options options;
  options.request_valid_ms = int64_t{limits.request_valid_s()} * 1'000;
  options.grant_valid_ms_max = int64_t{limits.grant_valid_s()} * 1'000;
  options.values_max = static_cast<uint32_t>(limits.values());
  options.requests_max = static_cast<size_t>(limits.requests());
  options.requests_per_caller_max = static_cast<size_t>(limits.requests()) / 10;
  return options;
}

rpc::TlsFiles TlsOf(const config::v1::PseudonymiserService& config) {
  const config::v1::Tls& tls = config.listen().tls();
  return {tls.certificate(), tls.private_key(), tls.client_ca()};
}

}  // namespace

PseudonymiserProcess::PseudonymiserProcess(config::v1::PseudonymiserService config,
                                           const base::Clock& clock)
    : config_(std::move(config)),
      clock_(clock),
      policy_file_({config_.policy()}),
      keyring_files_({config_.keyring(), config_.key_encryption_key()}) {}

absl::StatusOr<std::unique_ptr<PseudonymiserProcess>> PseudonymiserProcess::Create(
    config::v1::PseudonymiserService config, const absl::Status& memory, const base::Clock& clock) {
  auto process =
      std::unique_ptr<PseudonymiserProcess>(new PseudonymiserProcess(std::move(config), clock));
  if (!memory.ok() && process->config_.memory_lock() == config::v1::PseudonymiserService::require) {
    return absl::FailedPreconditionError(
        base::StrCat("memory_lock: require: ", base::View(memory.message())));
  }
  if (!memory.ok()) {
    Log(telemetry::Severity::kWarning, "memory_not_locked",
        {{"status", telemetry::SafeText(memory)}});
  }
  process->probe_.MemoryLocked(memory.ok());
  SLUICE_RETURN_IF_ERROR(process->Open());
  return process;
}

absl::StatusOr<std::string> PseudonymiserProcess::Check(
    const config::v1::PseudonymiserService& config) {
  SLUICE_ASSIGN_OR_RETURN(auto policy, Policy::Load(config.policy()));
  SLUICE_ASSIGN_OR_RETURN(auto keyring,
                          privacy::Keyring::Load(config.keyring(), config.key_encryption_key()));
  const uint64_t generation = keyring.generation();
  const size_t domains = keyring.domains().size();
  auto record =
      privacy::EpochRecord::LoadOrNew(privacy::EpochRecord::PathOf(config.audit().file()), keyring);
  if (!record.ok()) return record.status();
  SLUICE_RETURN_IF_ERROR(record->Check(keyring));
  if (!config.state().empty()) SLUICE_RETURN_IF_ERROR(Authority::Check(config.state(), keyring));
  // A keyring that nothing can be derived from is no keyring.
  SLUICE_RETURN_IF_ERROR(Keys::Create(std::move(keyring)).status());
  SLUICE_RETURN_IF_ERROR(rpc::CheckTlsFiles(TlsOf(config), "listen.tls"));
  for (const auto& [option, address] : {std::pair("listen.grpc", config.listen().grpc()),
                                        std::pair("listen.http", config.listen().http())}) {
    if (!address.empty())
      SLUICE_RETURN_IF_ERROR(base::ParseListenAddress(option, address).status());
  }
  return base::StrCat(domains, " domains, keyring written ", generation, " times, ", policy->size(),
                      " callers");
}

PseudonymiserProcess::~PseudonymiserProcess() { Stop(); }

absl::Status PseudonymiserProcess::Open() {
  SLUICE_ASSIGN_OR_RETURN(auto policy, Policy::Load(config_.policy()));
  policy_ = std::make_unique<PolicySlot>(std::move(policy));
  // First: whoever has the audit log is the only one to write beside it.
  SLUICE_RETURN_IF_ERROR(OpenAudit());
  SLUICE_ASSIGN_OR_RETURN(keys_,
                          KeyStore::Open({config_.keyring(), config_.key_encryption_key(),
                                          privacy::EpochRecord::PathOf(config_.audit().file())},
                                         random_, probe_));
  if (!config_.state().empty()) {
    SLUICE_ASSIGN_OR_RETURN(
        authority_,
        Authority::Open(config_.state(), keys_->current()->keyring(), clock_, random_,
                        [this](int64_t behind, int ended) { return ClockReset(behind, ended); }));
  }
  guard_ = std::make_unique<Guard>(clock_, authority_.get());
  reidentifications_ = std::make_unique<Reidentifications>(GrantOptions(config_.reidentification()),
                                                           authority_.get(), random_);
  Service::Options options;
  options.values_per_call_max = static_cast<uint64_t>(config_.limits().values_per_call());
  options.answer_bytes_max = static_cast<size_t>(config_.limits().message_kib()) * 1024;
  options.calls_max = static_cast<size_t>(config_.limits().calls());
  SLUICE_ASSIGN_OR_RETURN(auto rules, validation::RequestRules::Compile(*Service::Descriptor()));
  service_ =
      std::make_unique<Service>(options, std::move(rules), *keys_, *policy_, *guard_, *recorder_,
                                *reidentifications_, open_calls_, probe_, clock_, random_);
  return OpenPorts();
}

absl::Status PseudonymiserProcess::OpenAudit() {
  const config::v1::AuditTrail& audit = config_.audit();
  SLUICE_ASSIGN_OR_RETURN(chain_, trail::Chain::Open({audit.file(), audit.writer()}, clock_));
  recorder_ = std::make_unique<Recorder>(*chain_, probe_);
  if (!audit.has_topic()) return absl::OkStatus();
  AuditTopic::Options topic;
  topic.topic = audit.topic().topic();
  topic.connection =
      brokers::Connection(audit.topic(), base::StrCat("sluice-pseudonymiser-", audit.writer()));
  SLUICE_ASSIGN_OR_RETURN(publisher_, AuditTopic::Create(std::move(topic)));
  return absl::OkStatus();
}

absl::Status PseudonymiserProcess::OpenPorts() {
  telemetry::SetBuildInfo(registry_, kVersion, "");
  telemetry::AddProcessMetrics(registry_);
  rpc::AddTlsMetrics(registry_);
  connections_.emplace(registry_);
  registry_.OnCollect([this] { Collect(); });
  const config::v1::PseudonymiserListen& listen = config_.listen();
  telemetry::HttpServer::Options http;
  if (!listen.http().empty()) http.address = listen.http();
  http.ready = {{"audit_trail", [this] {
                   absl::Status writable = recorder_->Writable();
                   return telemetry::Health{writable.ok(), std::string(writable.message())};
                 }}};
  SLUICE_ASSIGN_OR_RETURN(http_, telemetry::HttpServer::Create(std::move(http), registry_));
  rpc::ServerOptions rpc;
  if (!listen.grpc().empty()) rpc.address = listen.grpc();
  rpc.tls = TlsOf(config_);
  rpc.message_bytes_max = config_.limits().message_kib() * 1024;
  rpc.threads_max = Gate::Threads(static_cast<size_t>(config_.limits().calls()));
  rpc.open_calls = &open_calls_;
  rpc.authorise = [this](const rpc::Peer& peer, std::string_view method) {
    return service_->AuthoriseCall(peer, method);
  };
  SLUICE_ASSIGN_OR_RETURN(rpc_, rpc::Server::Create(std::move(rpc), {service_.get()}));
  return absl::OkStatus();
}

absl::Status PseudonymiserProcess::Start() {
  SLUICE_RETURN_IF_ERROR(recorder_->Done({.who = chain_->writer(),
                                          .operation = trail::Operation::kConsultation,
                                          .action = "Start",
                                          .subject = std::string(kVersion)}));
  // What it would have known is forgotten, locks too.
  if (authority_ != nullptr && authority_->made()) {
    SLUICE_RETURN_IF_ERROR(recorder_->Done({.who = chain_->writer(),
                                            .operation = trail::Operation::kAlteration,
                                            .action = "NewState"}));
  }
  if (publisher_ != nullptr) {
    forwarder_ = trail::Forwarder::Start(chain_->path(), chain_->writer(), *publisher_,
                                         [this](const absl::Status& status) {
                                           probe_.PublishFailed();
                                           Log(telemetry::Severity::kError, "audit_publish_failed",
                                               {{"status", telemetry::SafeText(status)}});
                                         });
  }
  SLUICE_RETURN_IF_ERROR(http_->Start());
  SLUICE_RETURN_IF_ERROR(rpc_->Start());
  for (const char* service : {"", v1::Pseudonymiser::service_full_name()})
    rpc_->SetServing(service, true);
  LookAtState();
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void PseudonymiserProcess::Reload() {
  {
    base::MutexLock lock(mutex_);
    reload_ = true;
  }
  changed_.notify_all();
}

void PseudonymiserProcess::Run() {
  const auto tally_interval = std::chrono::seconds(config_.audit().tally_interval_s());
  const auto look_interval = std::chrono::milliseconds(config_.look_interval_ms());
  // What is recorded often is recorded by real time, whatever clock decides about grants.
  auto now = std::chrono::steady_clock::now();
  auto tally_at = now + tally_interval, look_at = now + look_interval, due_at = now;
  while (true) {
    bool reload = false;
    {
      base::MutexLock lock(mutex_);
      lock.WaitFor(changed_, std::min<std::chrono::steady_clock::duration>(look_at - now, kTick),
                   [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stop_ || reload_; });
      if (stop_) return;
      reload = std::exchange(reload_, false);
    }
    now = std::chrono::steady_clock::now();
    if (reload || now >= look_at) {
      look_at = now + look_interval;
      if (policy_file_.Changed(reload)) ReadPolicy();
      if (keyring_files_.Changed(reload)) ReadKeyring();
    }
    LookAtState();
    if (now >= tally_at || (recorder_->due() && now >= due_at) || !recorder_->Writable().ok()) {
      recorder_->Flush();
      tally_at = now + tally_interval;
      due_at = now + kBetweenFlushes;
    }
  }
}

void PseudonymiserProcess::ReadPolicy() {
  auto next = Policy::Load(config_.policy());
  probe_.PolicyRead(next.status());
  if (!next.ok()) {
    Log(telemetry::Severity::kError, "policy_refused",
        {{"status", telemetry::SafeText(next.status())}});
    return;
  }
  policy_->Set(*next);
  guard_->Keep(**next);
  Log(telemetry::Severity::kInfo, "policy_read");
}

void PseudonymiserProcess::ReadKeyring() {
  absl::Status status = keys_->Reload();
  if (!status.ok()) {
    Log(telemetry::Severity::kError, "keyring_refused", {{"status", telemetry::SafeText(status)}});
    return;
  }
  Log(telemetry::Severity::kInfo, "keyring_read",
      {{"generation", keys_->current()->keyring().generation()}});
}

void PseudonymiserProcess::LookAtState() {
  if (authority_ == nullptr) return;
  auto locked = guard_->locked();
  probe_.LockedCallers(locked.ok() ? std::optional(locked->size()) : std::nullopt);
}

absl::Status PseudonymiserProcess::ClockReset(int64_t behind_ms, int ended) {
  Log(telemetry::Severity::kError, "clock_went_back",
      {{"behind_ms", behind_ms}, {"reidentifications_ended", ended}});
  return recorder_->Done({.who = chain_->writer(),
                          .operation = trail::Operation::kAlteration,
                          .action = "ClockWentBack",
                          .count = static_cast<uint64_t>(ended),
                          .subject = base::StrCat(behind_ms, " ms")});
}

void PseudonymiserProcess::Collect() {
  connections_->Set(rpc_->connections());
  if (forwarder_ == nullptr) return;
  std::error_code missing;
  const uint64_t size = std::filesystem::file_size(chain_->path(), missing);
  const uint64_t published = forwarder_->published();
  if (missing || size < published) {
    probe_.Unpublished(std::nullopt);
  } else {
    probe_.Unpublished(size - published);
  }
}

void PseudonymiserProcess::Stop() {
  if (std::exchange(stopped_, true)) return;
  if (rpc_ != nullptr) rpc_->Shutdown(std::chrono::milliseconds(config_.drain_timeout_ms()));
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (recorder_ != nullptr) recorder_->Flush();
  // Publishes what is left.
  forwarder_.reset();
  http_.reset();
}

}  // namespace sluice::pseudonymiser
