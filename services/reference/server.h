// The reference service: the one file that names the concrete classes.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/config/source_map.h"
#include "common/reference/shelf.h"
#include "common/rpc/server.h"
#include "common/telemetry/http_server.h"
#include "services/reference/access.h"
#include "services/reference/catalog.h"
#include "services/reference/probe.h"
#include "services/reference/service.h"

namespace sluice::reference {

struct Settings {
  config::v1::ReferenceService config;
  std::string config_file;
};

// Every mistake at once, a line each: `file:line: path: what to change`.
absl::StatusOr<Settings> LoadSettings(const std::string& config_file);

// Life: Create, Start, Stop. Stop once, from any thread.
class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Create(Settings settings);
  ~Server();

  absl::Status Start();
  void Stop();

  int http_port() const { return http_->port(); }
  int grpc_port() const { return rpc_->port(); }

 private:
  explicit Server(Settings settings);
  telemetry::Health Ready() const;
  void Collect();

  const Settings settings_;
  const base::SystemClock clock_;
  telemetry::Registry registry_;
  Probe probe_;
  Access access_;
  // Ends what the sources do.
  const std::shared_ptr<Interrupt> interrupt_ = std::make_shared<Interrupt>();
  std::unique_ptr<Shelf> shelf_;
  std::unique_ptr<trail::Chain> trail_;
  std::unique_ptr<trail::RefusalLog> refusals_;
  // A load reads its source, and a snapshot is made before its first part is sent: both may take
  // minutes, and are for callers that `access` names.
  rpc::OpenCalls open_calls_{
      {.call_max = std::chrono::minutes(30), .idle_max = std::chrono::minutes(10)}};
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<telemetry::HttpServer> http_;
  std::unique_ptr<rpc::Server> rpc_;
  std::optional<rpc::ConnectionMetrics> connections_;
};

}  // namespace sluice::reference
