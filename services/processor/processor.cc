#include "services/processor/processor.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/rpc/tls_pair.h"
#include "common/telemetry/log.h"
#include "services/brokers/connection.h"

namespace sluice::processor {

// Brokers look for transactions past their timeout this often
// (transaction.abort.timed.out.transaction.cleanup.interval.ms).
constexpr int kTimedOutCleanupMs = 10'000;

namespace {

constexpr std::string_view kVersion = SLUICE_VERSION;
// For calls under way when the process ends.
constexpr std::chrono::milliseconds kCallsDrain{1000};
// Records of a chunk where each chunk's values go over the network: a call costs the same whatever
// it holds.
constexpr int kChunkEventsRemote = 512;
constexpr std::chrono::seconds kOutageMin{10};
// How long a start waits for the ends of its predecessor's transactions.
constexpr std::chrono::seconds kFenceMax{10};
constexpr std::chrono::milliseconds kFenceRetry{100};
// How long an operator waits for a worker to come to the border of a transaction.
constexpr std::chrono::milliseconds kMoveMax{10'000};

template <typename T>
T Or(T value, T fallback) {
  return value == 0 ? fallback : value;
}

// Whose pins are read.
const std::string& PinningGroup(const config::v1::Processor& config) {
  const std::string& follow = config.reference().control().follow();
  return follow.empty() ? config.kafka().group() : follow;
}

std::unique_ptr<ControlLog> MakeControlLog(const config::v1::Processor& config) {
  const config::v1::Kafka& kafka = config.kafka();
  KafkaControlLog::Options options;
  options.connection =
      brokers::Connection(kafka, base::StrCat("sluice-", kafka.instance(), "-control"));
  options.topic = config.reference().control().topic();
  options.group = PinningGroup(config);
  options.input = config.pipeline().input().topic();
  return std::make_unique<KafkaControlLog>(std::move(options));
}

}  // namespace

Processor::Processor(Setup setup)
    : config_(setup.config),
      probe_(registry_, config_.pipeline().contract(), config_.kafka().group()) {
  Editions::Options options;
  if (config_.reference().has_control()) {
    control_ = MakeControlLog(config_);
    const config::v1::Control& control = config_.reference().control();
    options.control = control_.get();
    options.fenced = control.swap() == config::v1::fenced;
    options.pinned = options.fenced || !control.follow().empty();
  }
  editions_ = std::make_unique<Editions>(options, std::move(setup), probe_, random_, clock_);
}

Processor::~Processor() {
  Stop();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
  // Each of the two asks the other.
  if (guard_ != nullptr) guard_->Stop();
}

absl::StatusOr<std::unique_ptr<Processor>> Processor::Create(Setup setup) {
  auto processor = std::unique_ptr<Processor>(new Processor(std::move(setup)));
  if (const std::string& folder = processor->config_.deaths_folder(); !folder.empty()) {
    auto deaths = Deaths::Open(folder);
    if (!deaths.ok())
      return absl::Status(deaths.status().code(),
                          base::StrCat("deaths_folder: ", base::View(deaths.status().message())));
    processor->deaths_ = *std::move(deaths);
    if (size_t notes = processor->deaths_->notes(); notes > 0) {
      telemetry::Log(telemetry::Severity::kWarning, "deaths_noted",
                     {{"notes", notes},
                      {"text",
                       "this process died while it worked on events; it works on those "
                       "events one at a time"}});
    }
  }
  SLUICE_RETURN_IF_ERROR(processor->LookUpInput());
  int workers = Or(processor->config_.workers(), 1);
  for (int i = 0; i < workers; ++i)
    SLUICE_RETURN_IF_ERROR(processor->AddWorker(static_cast<size_t>(i)));
  processor->EndPredecessors();
  SLUICE_RETURN_IF_ERROR(processor->guard_->CheckAtStart());
  Processor* self = processor.get();
  auto check_keys = [self](const Setup& setup) {
    return setup.held_keys == nullptr ? absl::OkStatus()
                                      : self->guard_->CheckKeys(*setup.held_keys);
  };
  SLUICE_RETURN_IF_ERROR(check_keys(*self->current().setup));
  self->editions_->CheckKeysWith(check_keys);
  telemetry::SetBuildInfo(processor->registry_, kVersion, "");
  telemetry::AddProcessMetrics(processor->registry_);
  rpc::AddTlsMetrics(processor->registry_);
  processor->connections_.emplace(processor->registry_);
  processor->registry_.OnCollect([self] { self->Collect(); });
  telemetry::HttpServer::Options http;
  if (!self->config_.listen().http().empty()) http.address = self->config_.listen().http();
  http.live = {{"workers", [self] { return self->Live(); }}};
  http.ready = {{"workers", [self] { return self->Ready(); }}};
  SLUICE_ASSIGN_OR_RETURN(processor->http_,
                          telemetry::HttpServer::Create(std::move(http), processor->registry_));

  const config::v1::Listen& listen = self->config_.listen();
  processor->service_ = std::make_unique<Service>(listen, *self, self->random_, self->registry_);
  rpc::ServerOptions rpc;
  if (!listen.grpc().empty()) rpc.address = listen.grpc();
  if (listen.has_tls()) {
    rpc.tls = {listen.tls().certificate(), listen.tls().private_key(), listen.tls().client_ca()};
  }
  SLUICE_ASSIGN_OR_RETURN(processor->rpc_,
                          rpc::Server::Create(std::move(rpc), {processor->service_.get()}));
  return processor;
}

absl::Status Processor::LookUpInput() {
  SLUICE_ASSIGN_OR_RETURN(
      auto admin, kafka::Admin::Create(brokers::Connection(
                      config_.kafka(), base::StrCat("sluice-", config_.kafka().instance()))));
  site_ = {PipelineName(config_.pipeline()), config_.kafka().group(),
           config_.pipeline().input().topic(), ""};
  auto id = admin->TopicId(site_.topic);
  if (!id.ok()) {
    return absl::Status(id.status().code(),
                        base::StrCat("input topic: ", base::View(id.status().message())));
  }
  site_.topic_id = *std::move(id);
  PositionGuard::Options guard;
  guard.connection = brokers::Connection(
      config_.kafka(), base::StrCat("sluice-", config_.kafka().instance(), "-positions"));
  guard.site = site_;
  guard.positions_topic = PositionsTopic(config_.pipeline());
  guard.outputs = OutputTopics(config_.pipeline());
  guard.idle_timeout_ms =
      Or(config_.kafka().transaction_timeout_ms(), stream::DriverOptions().transaction_timeout_ms) *
          3 / 2 +
      kTimedOutCleanupMs;
  if (config_.pseudonymiser().has_remote()) {
    guard.ask_keys = [this]() -> absl::StatusOr<std::shared_ptr<const HeldKeys>> {
      Edition edition = current();
      SLUICE_ASSIGN_OR_RETURN(auto domains, edition.setup->key_service->ListDomains());
      return HeldKeysOf(domains, edition.setup->config.pipeline(),
                        base::StrCat("pseudonymiser.remote (",
                                     edition.setup->key_service->options().channel.address, ")"),
                        /*whole=*/false);
    };
    guard.epoch_seen = [this](std::string_view domain) { return current().setup->EpochOf(domain); };
  }
  guard_ = std::make_unique<PositionGuard>(std::move(guard));
  return guard_->CheckGroup();
}

// A transaction that is open hides what is recorded behind it. Whoever takes its transactional id
// ends it at once; the broker alone would only after its timeout. What fails here is tried again by
// the worker, which says so.
void Processor::EndPredecessors() {
  const auto until = clock_.Now() + kFenceMax;
  std::vector<std::thread> threads;
  for (const auto& owned : workers_) {
    threads.emplace_back([this, until, worker = owned.get()] {
      while (worker->transaction->Recreate().verdict == stream::Verdict::kRetry &&
             clock_.Now() < until)
        std::this_thread::sleep_for(kFenceRetry);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

absl::Status Processor::AddWorker(size_t index) {
  const config::v1::Kafka& kafka = config_.kafka();
  std::string name = base::StrCat(kafka.instance(), "-", index);
  auto worker = std::make_unique<Worker>();

  kafka::SourceOptions source;
  source.connection = brokers::Connection(kafka, base::StrCat("sluice-", name));
  source.group = kafka.group();
  // Also of a dynamic member: a replica that dies and comes back again and again would otherwise
  // leave a dead member behind each time, for which the whole group waits.
  source.instance = name;
  source.leave = kafka.membership() == config::v1::dynamic;
  source.topics = {config_.pipeline().input().topic()};
  const size_t positions = OutputTopics(config_.pipeline()).size();
  worker->recorder = std::make_unique<PositionRecorder>(site_, positions);
  source.check_positions = [this, recorder = worker->recorder.get()](
                               std::span<const kafka::CommittedPosition> committed) {
    return guard_->Check(committed, *recorder);
  };
  source.session_timeout_ms = Or(kafka.session_timeout_ms(), source.session_timeout_ms);
  source.read_ahead_kib = Or(kafka.read_ahead_kib(), source.read_ahead_kib);
  SLUICE_ASSIGN_OR_RETURN(worker->source, kafka::KafkaSource::Create(std::move(source)));

  kafka::TransactionOptions transaction;
  transaction.connection = brokers::Connection(kafka, base::StrCat("sluice-", name));
  transaction.transactional_id = base::StrCat("sluice-", kafka.group(), "-", name);
  transaction.topics = OutputTopics(config_.pipeline());
  transaction.topics.push_back(PositionsTopic(config_.pipeline()));
  transaction.position_metadata = site_.pipeline;
  transaction.group = kafka.group();
  const config::v1::Control& control = config_.reference().control();
  if (control_ != nullptr && control.follow().empty())
    transaction.topics.push_back(control.topic());
  transaction.transaction_timeout_ms =
      Or(kafka.transaction_timeout_ms(), transaction.transaction_timeout_ms);
  transaction.write_queue_kib = Or(kafka.write_queue_kib(), transaction.write_queue_kib);
  int transaction_timeout_ms = transaction.transaction_timeout_ms;
  SLUICE_ASSIGN_OR_RETURN(worker->transaction,
                          kafka::KafkaTransaction::Create(std::move(transaction), *worker->source));

  std::unique_ptr<Pins> pins;
  if (control_ != nullptr) {
    pins = std::make_unique<Pins>(
        Pins::Options{PinningGroup(config_), config_.pipeline().input().topic(), control},
        *control_, probe_);
  }
  worker->transform = std::make_unique<EngineTransform>(
      config_.pipeline(), editions_->AddWorker(), clock_, probe_, std::move(pins), deaths_.get(),
      guard_.get(), worker->recorder.get());
  worker->probe = std::make_unique<WorkerProbe>(probe_, index, [this] { UpdateHealth(); });

  stream::DriverOptions driver;
  driver.commit_interval_ms = Or(config_.commit().interval_ms(), driver.commit_interval_ms);
  driver.commit_events = Or(config_.commit().events(), driver.commit_events);
  driver.commit_bytes = Or(config_.commit().bytes(), driver.commit_bytes);
  if (config_.pseudonymiser().has_remote()) driver.chunk_events = kChunkEventsRemote;
  driver.transaction_timeout_ms = transaction_timeout_ms;
  driver.drain_timeout_ms = Or(config_.drain_timeout_ms(), driver.drain_timeout_ms);
  driver.rules.recreate_always = config_.transactions() == config::v1::strict;
  SLUICE_ASSIGN_OR_RETURN(
      worker->driver,
      stream::Driver::Create(std::move(driver), *worker->source, *worker->transaction,
                             *worker->transform, *worker->probe, clock_));
  workers_.push_back(std::move(worker));
  return absl::OkStatus();
}

absl::Status Processor::Start() {
  SLUICE_RETURN_IF_ERROR(editions_->Start());
  SLUICE_RETURN_IF_ERROR(http_->Start());
  SLUICE_RETURN_IF_ERROR(rpc_->Start());
  guard_->Start();
  for (const auto& owned : workers_) {
    Worker* worker = owned.get();
    worker->thread = std::thread([this, worker] {
      worker->ended = worker->driver->Run();
      if (!worker->ended.ok()) Stop();
    });
  }
  return absl::OkStatus();
}

void Processor::Stop() {
  for (const auto& worker : workers_) worker->driver->Stop();
}

absl::Status Processor::Wait() {
  absl::Status ended;
  for (const auto& worker : workers_) {
    worker->thread.join();
    ended.Update(worker->ended);
  }
  rpc_->Shutdown(kCallsDrain);
  return ended;
}

void Processor::Pause() {
  for (const auto& worker : workers_) worker->driver->Pause();
}

void Processor::Resume() {
  for (const auto& worker : workers_) worker->driver->Resume();
}

absl::Status Processor::SetOffsets(const v1::SetOffsetsRequest& request,
                                   v1::SetOffsetsResponse& response) {
  SLUICE_ASSIGN_OR_RETURN(
      auto admin,
      kafka::Admin::Create(brokers::Connection(
          config_.kafka(), base::StrCat("sluice-", config_.kafka().instance(), "-offsets"))));
  SLUICE_ASSIGN_OR_RETURN(std::string id, admin->TopicId(site_.topic));
  if (request.topic() != site_.topic || request.topic_id() != id) {
    return absl::FailedPreconditionError(
        base::StrCat("this pipeline reads topic ", site_.topic, " with the id ", id,
                     ", and the request is of another: ask again"));
  }
  SLUICE_RETURN_IF_ERROR(guard_->CheckGroup(*admin));
  for (const auto& owned : workers_) {
    Worker& worker = *owned;
    PositionRecorder::Set set{request.topic_id(), request.set_by(), request.reason(), {}};
    stream::Driver::Move move;
    for (const kafka::PartitionSnapshot& mine : worker.source->snapshot().partitions) {
      for (const v1::SetOffsetsRequest::Partition& at : request.partitions()) {
        if (mine.topic != site_.topic || mine.partition != at.partition()) continue;
        set.offsets.emplace_back(at.partition(), at.next_offset());
        move.to.push_back({site_.topic, at.partition(), at.next_offset()});
      }
    }
    if (set.offsets.empty()) continue;
    for (const auto& [partition, offset] : set.offsets) {
      telemetry::Log(telemetry::Severity::kWarning, "offset_set",
                     {{"partition", static_cast<int64_t>(partition)},
                      {"offset", offset},
                      {"set_by", telemetry::SafeText(request.set_by())}});
    }
    move.record = [recorder = worker.recorder.get(), &set](stream::Output& output) {
      return recorder->Write(set, output);
    };
    absl::Status moved = worker.driver->MoveTo(std::move(move), kMoveMax);
    if (!moved.ok()) {
      base::StrAppend(*response.mutable_problem(), response.problem().empty() ? "" : "; ",
                      base::View(moved.message()));
      continue;
    }
    for (const auto& [partition, offset] : set.offsets) response.add_done(partition);
  }
  return absl::OkStatus();
}

void Processor::Collect() {
  connections_->Set(rpc_->connections());
  probe_.ForgetLag();
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& worker = *workers_[i];
    kafka::SourceSnapshot source = worker.source->snapshot();
    probe_.Lag(source, worker.probe->committed(), clock_.UnixMillis());
    probe_.Queues(source, worker.transaction->snapshot(), i);
    probe_.Uncommitted(i, worker.driver->uncommitted_for());
    probe_.State(i, worker.driver->snapshot().state);
    probe_.BrokerFailure(i, FailureOf(worker), clock_.Now());
  }
  editions_->Collect();
}

void Processor::FillStatus(v1::GetStatusResponse& status) const {
  status.set_version(std::string(kVersion));
  editions_->FillStatus(status);
  EventCounts counts = probe_.counts();
  status.set_events_in(counts.in);
  status.set_events_clean(counts.clean);
  status.set_events_quarantined(counts.quarantined);
  status.set_events_suppressed(counts.suppressed);
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& worker = *workers_[i];
    stream::DriverSnapshot driver = worker.driver->snapshot();
    v1::WorkerStatus& out = *status.add_workers();
    out.set_worker(static_cast<uint32_t>(i));
    out.set_state(std::string(stream::DriverStateName(driver.state)));
    out.set_reason(driver.text);
    if (std::optional<kafka::BrokerFailure> failure = FailureOf(worker)) {
      v1::BrokerFailure& told = *out.mutable_broker_failure();
      told.set_kind(std::string(kafka::FailureKindName(failure->kind)));
      told.set_reason(failure->text);
      told.set_operation(failure->operation);
      told.set_resource(failure->resource);
      told.set_seconds(std::chrono::duration<double>(clock_.Now() - failure->since).count());
      if (driver.text.empty()) out.set_reason(failure->text);
    }
    out.set_transactions(static_cast<uint64_t>(driver.transactions));
    out.set_aborts(static_cast<uint64_t>(driver.aborts));
    out.set_producer_recreations(static_cast<uint64_t>(driver.recreates));
    status.set_paused(status.paused() || driver.paused);
    for (const kafka::PartitionSnapshot& partition : worker.source->snapshot().partitions) {
      v1::PartitionStatus& at = *out.add_partitions();
      at.set_topic(partition.topic);
      at.set_partition(partition.partition);
      at.set_next_offset(partition.next_offset);
      at.set_lag_records(partition.lag_records);
      at.set_lag_seconds(LagSeconds(partition, clock_.UnixMillis()).value_or(-1));
      if (partition.blocked_since_ms >= 0) {
        at.set_blocked_offset(partition.blocked_offset);
        at.set_blocked_since_unix_ms(partition.blocked_since_ms);
      }
    }
  }
}

void Processor::UpdateHealth() {
  bool serving = true;
  for (const auto& worker : workers_) {
    stream::DriverState state = worker->probe->state();
    serving &= state == stream::DriverState::kRunning || state == stream::DriverState::kPaused;
  }
  for (const char* service : {"", v1::Processor::service_full_name()})
    rpc_->SetServing(service, serving);
}

std::optional<kafka::BrokerFailure> Processor::FailureOf(const Worker& worker) const {
  // Connections break and are made again; what the brokers refuse is told at once, and before an
  // outage, which may only follow from it.
  std::optional<kafka::BrokerFailure> outage;
  for (auto& failure : {worker.source->failure(), worker.transaction->failure()}) {
    if (!failure) continue;
    if (failure->kind != kafka::FailureKind::kOutage) return failure;
    if (!outage && clock_.Now() - failure->since >= kOutageMin) outage = failure;
  }
  return outage;
}

telemetry::Health Processor::Live() const {
  for (const auto& worker : workers_) {
    if (!worker->driver->Alive())
      return {false, "a worker hasn't moved for twice the transaction timeout"};
  }
  return {true, ""};
}

telemetry::Health Processor::Ready() const {
  for (const auto& worker : workers_) {
    if (std::optional<kafka::BrokerFailure> failure = FailureOf(*worker)) {
      return {false, base::StrCat("brokers fail a worker (", kafka::FailureKindName(failure->kind),
                                  "): ", failure->text)};
    }
    stream::DriverSnapshot snapshot = worker->driver->snapshot();
    if (snapshot.state == stream::DriverState::kRunning ||
        snapshot.state == stream::DriverState::kPaused)
      continue;
    return {false, base::StrCat("a worker is ", stream::DriverStateName(snapshot.state),
                                snapshot.text.empty() ? "" : ": ", snapshot.text)};
  }
  return {true, ""};
}

}  // namespace sluice::processor
