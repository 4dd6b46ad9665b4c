#include "services/reference/server.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/yaml.h"
#include "common/rpc/tls_pair.h"
#include "services/brokers/connection.h"

namespace sluice::reference {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVersion = SLUICE_VERSION;
constexpr std::chrono::milliseconds kCallsDrain{1000};
constexpr int kVersionsKept = 5;
constexpr int kLookIntervalMs = 1000;
constexpr std::chrono::seconds kRefusalsInterval{60};
// Each Watch and each snapshot that is being sent has one: Service::Options::streams_max. The
// others serve calls, and refuse what is too much.
constexpr int kThreadsMax = 512;

std::string Resolve(const std::string& config_file, const std::string& path) {
  return (fs::path(config_file).parent_path() / path).string();
}

void Check(const config::v1::ReferenceService& config, const config::SourceMap& map,
           config::Problems& problems) {
  auto problem = [&](const std::string& path, std::string_view what) {
    problems.Add(map, path, what);
  };
  if (config.sets().empty()) problem("sets", "name at least one");
  std::set<std::string> names;
  for (int i = 0; i < config.sets_size(); ++i) {
    const config::v1::ReferenceSet& set = config.sets(i);
    std::string path = base::StrCat("sets[", i, "]");
    CheckSet(set, [&](std::string_view inner, std::string_view what) {
      problem(inner.empty() ? path : base::StrCat(path, ".", inner), what);
    });
    const std::string& within = set.schema().point().within();
    const bool together = std::any_of(
        config.sets().begin(), config.sets().end(), [&](const config::v1::ReferenceSet& other) {
          return other.name() == within && !set.group().empty() && other.group() == set.group();
        });
    if (!within.empty() && !together) {
      problem(path + ".schema.point.within",
              "must be a set of the same group: a point's borders and the points change together");
    }
    if (!names.insert(set.name()).second) problem(path + ".name", "is another set's too");
    if (set.has_topic() && config.kafka().brokers().empty())
      problem("kafka.brokers", "name at least one, host:port: a set is a topic");
  }
  absl::Status secure = brokers::Connection(config.kafka(), "").security.Check();
  if (!secure.ok()) problem("kafka.security", base::View(secure.message()));
  if (config.versions_kept() != 0 && (config.versions_kept() < 2 || config.versions_kept() > 100))
    problem("versions_kept", "must be 2 to 100");
  if (config.look_interval_ms() != 0 &&
      (config.look_interval_ms() < 10 || config.look_interval_ms() > 3'600'000))
    problem("look_interval_ms", "must be 10 to 3,600,000");
  if (!config.listen().has_tls() && !config.access().empty())
    problem("access", "callers are known by their certificates: set listen.tls");
  for (int i = 0; i < config.access_size(); ++i) {
    std::string path = base::StrCat("access[", i, "]");
    if (config.access(i).may().empty()) problem(path + ".may", "name at least one right");
    for (int j = 0; j < config.access(i).sets_size(); ++j) {
      if (!names.contains(config.access(i).sets(j)))
        problem(base::StrCat(path, ".sets[", j, "]"), "there is no such set");
    }
  }
}

}  // namespace

absl::StatusOr<Settings> LoadSettings(const std::string& config_file) {
  Settings settings;
  settings.config_file = config_file;
  config::v1::ReferenceService& config = settings.config;
  config::SourceMap map;
  SLUICE_RETURN_IF_ERROR(config::ParseYamlFile(config_file, config, &map));
  config::Problems problems;
  Check(config, map, problems);
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  for (std::string* path : {config.mutable_folder(), config.mutable_trail()})
    *path = Resolve(config_file, *path);
  brokers::ResolveFiles(*config.mutable_kafka(), config_file);
  if (config.listen().has_tls()) {
    config::v1::Tls& tls = *config.mutable_listen()->mutable_tls();
    for (std::string* file :
         {tls.mutable_certificate(), tls.mutable_private_key(), tls.mutable_client_ca()})
      *file = Resolve(config_file, *file);
  }
  return settings;
}

Server::Server(Settings settings)
    : settings_(std::move(settings)),
      probe_(registry_),
      access_(settings_.config, !settings_.config.listen().has_tls()) {}

Server::~Server() { Stop(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Create(Settings settings) {
  auto server = std::unique_ptr<Server>(new Server(std::move(settings)));
  Server* self = server.get();
  const config::v1::ReferenceService& config = self->settings_.config;
  SLUICE_ASSIGN_OR_RETURN(self->shelf_, Shelf::Open(config.folder()));
  SLUICE_ASSIGN_OR_RETURN(
      self->trail_,
      trail::Chain::Open(
          {config.trail(), config.instance().empty() ? "reference" : config.instance()},
          self->clock_));
  self->refusals_ = std::make_unique<trail::RefusalLog>(*self->trail_, kRefusalsInterval);
  SourceOptions sources;
  sources.resolve = [self](const std::string& path) {
    return Resolve(self->settings_.config_file, path);
  };
  sources.kafka = brokers::Connection(config.kafka(), "sluice-reference");
  sources.look_interval = std::chrono::milliseconds(
      config.look_interval_ms() == 0 ? kLookIntervalMs : config.look_interval_ms());
  sources.folder = config.folder();
  sources.interrupt = self->interrupt_;
  std::vector<std::unique_ptr<SetLoader>> sets;
  for (const config::v1::ReferenceSet& set : config.sets()) {
    auto source = MakeSource(set, sources);
    if (!source.ok()) {
      return absl::InvalidArgumentError(base::StrCat(self->settings_.config_file, ": set '",
                                                     set.name(),
                                                     "': ", base::View(source.status().message())));
    }
    sets.push_back(std::make_unique<SetLoader>(set, *std::move(source), self->clock_));
  }
  size_t kept =
      static_cast<size_t>(config.versions_kept() == 0 ? kVersionsKept : config.versions_kept());
  SLUICE_ASSIGN_OR_RETURN(self->catalog_,
                          Catalog::Create({.versions_kept = kept}, std::move(sets), *self->shelf_,
                                          self->probe_, self->clock_));
  SLUICE_ASSIGN_OR_RETURN(auto rules, Service::Rules());
  self->service_ =
      std::make_unique<Service>(Service::Options{.version = std::string(kVersion)},
                                std::move(rules), *self->catalog_, self->access_, *self->trail_,
                                *self->refusals_, self->open_calls_, self->probe_, self->clock_);

  telemetry::SetBuildInfo(self->registry_, kVersion, "");
  telemetry::AddProcessMetrics(self->registry_);
  rpc::AddTlsMetrics(self->registry_);
  self->connections_.emplace(self->registry_);
  self->registry_.OnCollect([self] { self->Collect(); });
  telemetry::HttpServer::Options http;
  if (!config.listen().http().empty()) http.address = config.listen().http();
  http.ready = {{"sets", [self] { return self->Ready(); }}};
  SLUICE_ASSIGN_OR_RETURN(self->http_,
                          telemetry::HttpServer::Create(std::move(http), self->registry_));
  rpc::ServerOptions rpc;
  rpc.threads_max = kThreadsMax;
  rpc.open_calls = &self->open_calls_;
  if (!config.listen().grpc().empty()) rpc.address = config.listen().grpc();
  if (config.listen().has_tls()) {
    const config::v1::Tls& tls = config.listen().tls();
    rpc.tls = {tls.certificate(), tls.private_key(), tls.client_ca()};
    rpc.authorise = [self](const rpc::Peer& peer, std::string_view method) {
      return self->service_->AuthoriseCall(peer, method);
    };
  }
  SLUICE_ASSIGN_OR_RETURN(self->rpc_, rpc::Server::Create(std::move(rpc), {self->service_.get()}));
  return server;
}

absl::Status Server::Start() {
  SLUICE_RETURN_IF_ERROR(http_->Start());
  SLUICE_RETURN_IF_ERROR(rpc_->Start());
  // It answers for the sets that it has; whether all are there is /readyz's to say.
  for (const char* service : {"", v1::Reference::service_full_name()})
    rpc_->SetServing(service, true);
  catalog_->Start();
  return absl::OkStatus();
}

void Server::Stop() {
  interrupt_->Raise();
  if (catalog_ != nullptr) catalog_->Stop();
  if (rpc_ != nullptr) rpc_->Shutdown(kCallsDrain);
}

telemetry::Health Server::Ready() const {
  std::vector<std::string> missing = catalog_->Missing();
  if (missing.empty()) return {true, ""};
  return {false, base::StrCat("no version yet of: ", absl::StrJoin(missing, ", "))};
}

void Server::Collect() {
  connections_->Set(rpc_->connections());
  catalog_->Collect();
}

}  // namespace sluice::reference
