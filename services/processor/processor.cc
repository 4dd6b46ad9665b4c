#include "services/processor/processor.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/yaml.h"
#include "common/contract/loader.h"
#include "common/enrichment/exact_table.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/telemetry/log.h"

namespace sluice::processor {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return absl::NotFoundError(base::StrCat(path, ": can't be read"));
  return text.str();
}

// The error with the place in the configuration that named the file.
absl::Status At(const config::SourceMap& map, std::string_view path, const absl::Status& status) {
  return absl::Status(
      status.code(), base::StrCat(map.Where(path), ": ", path, ": ", base::View(status.message())));
}

kafka::ConnectionOptions Connection(const config::v1::Kafka& kafka, std::string client_id) {
  kafka::ConnectionOptions options;
  options.brokers.assign(kafka.brokers().begin(), kafka.brokers().end());
  options.client_id = std::move(client_id);
  options.properties.insert(kafka.properties().begin(), kafka.properties().end());
  options.log = [](int severity, std::string_view facility, std::string_view text) {
    Log(severity <= 3 ? telemetry::Severity::kError : telemetry::Severity::kWarning, "kafka_client",
        {{"facility", telemetry::SafeText(facility)}, {"text", telemetry::SafeText(text)}});
  };
  return options;
}

template <typename T>
T Or(T value, T fallback) {
  return value == 0 ? fallback : value;
}

}  // namespace

absl::StatusOr<Setup> LoadSetup(const std::string& config_file) {
  config::SourceMap map;
  config::v1::Processor config;
  SLUICE_RETURN_IF_ERROR(config::ParseYamlFile(config_file, config, &map));
  config::Problems problems;
  auto relative = [&](const std::string& path) {
    return (fs::path(config_file).parent_path() / path).string();
  };

  if (config.kafka().brokers().empty())
    problems.Add(map, "kafka.brokers", "name at least one, host:port");
  if (config.workers() < 0 || config.workers() > 64)
    problems.Add(map, "workers", "must be 1 to 64");
  if (!config.has_pseudonymiser() || !config.pseudonymiser().has_local()) {
    problems.Add(map, "pseudonymiser", "give local: {keyring: ..., key_encryption_key: ...}");
  }
  if (config.contracts().empty())
    problems.Add(map, "contracts", "name at least one folder with .proto files");
  if (!config.listen().grpc().empty())
    problems.Add(map, "listen.grpc", "this build has no gRPC port; remove the key");
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());

  engine::Pipeline::Options options;
  std::vector<std::string> paths;
  for (const std::string& path : config.contracts()) paths.push_back(relative(path));
  SLUICE_ASSIGN_OR_RETURN(auto contracts, contract::Contracts::Load(paths));
  auto contract = contracts->Compile(config.pipeline().contract());
  if (!contract.ok()) return At(map, "pipeline.contract", contract.status());
  options.contract = *std::move(contract);
  for (int i = 0; i < config.reference().local().sets_size(); ++i) {
    const config::v1::ReferenceSet& set = config.reference().local().sets(i);
    std::string path = base::StrCat("reference.local.sets[", i, "]");
    auto text = ReadFile(relative(set.csv()));
    if (!text.ok()) return At(map, path + ".csv", text.status());
    auto table = enrichment::ExactTable::FromCsv(set.name(), set.key(), *text, set.csv());
    if (!table.ok()) return At(map, path, table.status());
    options.tables.push_back(*std::move(table));
  }
  options.config = config.pipeline();
  options.locate = [&](std::string_view path) { return map.Where(path); };
  SLUICE_ASSIGN_OR_RETURN(auto pipeline, engine::Pipeline::Compile(std::move(options)));

  const config::v1::LocalPseudonymiser& local = config.pseudonymiser().local();
  auto keyring =
      privacy::Keyring::Load(relative(local.keyring()), relative(local.key_encryption_key()));
  if (!keyring.ok()) return At(map, "pseudonymiser.local", keyring.status());
  for (int i = 0; i < config.pipeline().streams_size(); ++i) {
    const std::string& domain = config.pipeline().streams(i).domain();
    if (!domain.empty() && keyring->Find(domain) == nullptr) {
      problems.Add(map, base::StrCat("pipeline.streams[", i, "].domain"),
                   base::StrCat("the keyring has no domain '", domain, "'"));
    }
  }
  auto pem = ReadFile(relative(config.pipeline().quarantine().public_key()));
  if (!pem.ok()) return At(map, "pipeline.quarantine.public_key", pem.status());
  base::SystemRandom random;
  if (auto sealer = privacy::Sealer::Create(*pem, random); !sealer.ok()) {
    return At(map, "pipeline.quarantine.public_key", sealer.status());
  }
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  return Setup{std::move(config), std::move(pipeline), *std::move(keyring), *std::move(pem)};
}

Processor::Processor(Setup setup) : setup_(std::move(setup)), probe_(registry_, *setup_.pipeline) {}

Processor::~Processor() {
  Stop();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

absl::StatusOr<std::unique_ptr<Processor>> Processor::Create(Setup setup) {
  auto processor = std::unique_ptr<Processor>(new Processor(std::move(setup)));
  int workers = Or(processor->setup_.config.workers(), 1);
  for (int i = 0; i < workers; ++i)
    SLUICE_RETURN_IF_ERROR(processor->AddWorker(static_cast<size_t>(i)));
  telemetry::SetBuildInfo(processor->registry_, "0.1.0", "");
  telemetry::AddProcessMetrics(processor->registry_);
  Processor* self = processor.get();
  processor->registry_.OnCollect([self] {
    for (size_t i = 0; i < self->workers_.size(); ++i) {
      const Worker& worker = *self->workers_[i];
      self->probe_.Lag(worker.source->snapshot(), worker.transaction->snapshot(), i,
                       self->clock_.UnixMillis());
    }
  });
  telemetry::HttpServer::Options http;
  if (!self->setup_.config.listen().http().empty())
    http.address = self->setup_.config.listen().http();
  http.live = {{"workers", [self] { return self->Live(); }}};
  http.ready = {{"workers", [self] { return self->Ready(); }}};
  SLUICE_ASSIGN_OR_RETURN(processor->http_,
                          telemetry::HttpServer::Create(std::move(http), processor->registry_));
  return processor;
}

absl::Status Processor::AddWorker(size_t index) {
  const config::v1::Processor& config = setup_.config;
  const config::v1::Kafka& kafka = config.kafka();
  std::string name = base::StrCat(kafka.instance(), "-", index);
  auto worker = std::make_unique<Worker>();

  kafka::SourceOptions source;
  source.connection = Connection(kafka, base::StrCat("sluice-", name));
  source.group = kafka.group();
  source.instance = name;
  source.topics = {config.pipeline().input().topic()};
  source.session_timeout_ms = Or(kafka.session_timeout_ms(), source.session_timeout_ms);
  source.read_ahead_kib = Or(kafka.read_ahead_kib(), source.read_ahead_kib);
  SLUICE_ASSIGN_OR_RETURN(worker->source, kafka::KafkaSource::Create(std::move(source)));

  kafka::TransactionOptions transaction;
  transaction.connection = Connection(kafka, base::StrCat("sluice-", name));
  transaction.transactional_id = base::StrCat("sluice-", kafka.group(), "-", name);
  transaction.topics = OutputTopics(*setup_.pipeline);
  transaction.transaction_timeout_ms =
      Or(kafka.transaction_timeout_ms(), transaction.transaction_timeout_ms);
  transaction.write_queue_kib = Or(kafka.write_queue_kib(), transaction.write_queue_kib);
  int transaction_timeout_ms = transaction.transaction_timeout_ms;
  SLUICE_ASSIGN_OR_RETURN(worker->transaction,
                          kafka::KafkaTransaction::Create(std::move(transaction), *worker->source));

  SLUICE_ASSIGN_OR_RETURN(auto pseudonymiser, privacy::LocalPseudonymiser::Create(setup_.keyring));
  SLUICE_ASSIGN_OR_RETURN(auto sealer, privacy::Sealer::Create(setup_.quarantine_key_pem, random_));
  SLUICE_ASSIGN_OR_RETURN(auto engine,
                          engine::Engine::Create(setup_.pipeline, *pseudonymiser, *sealer));
  worker->transform =
      std::make_unique<EngineTransform>(*setup_.pipeline, std::move(pseudonymiser),
                                        std::move(sealer), std::move(engine), clock_, probe_);
  worker->probe = std::make_unique<WorkerProbe>(probe_, index);

  stream::DriverOptions driver;
  driver.commit_interval_ms = Or(config.commit().interval_ms(), driver.commit_interval_ms);
  driver.commit_events = Or(config.commit().events(), driver.commit_events);
  driver.commit_bytes = Or(config.commit().bytes(), driver.commit_bytes);
  driver.transaction_timeout_ms = transaction_timeout_ms;
  driver.drain_timeout_ms = Or(config.drain_timeout_ms(), driver.drain_timeout_ms);
  driver.rules.recreate_always = config.transactions() == config::v1::strict;
  SLUICE_ASSIGN_OR_RETURN(
      worker->driver,
      stream::Driver::Create(std::move(driver), *worker->source, *worker->transaction,
                             *worker->transform, *worker->probe, clock_));
  workers_.push_back(std::move(worker));
  return absl::OkStatus();
}

absl::Status Processor::Start() {
  SLUICE_RETURN_IF_ERROR(http_->Start());
  for (const auto& worker : workers_) {
    SLUICE_RETURN_IF_ERROR(worker->source->Start());
  }
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
  return ended;
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
