// A process's HTTP port: /metrics for Prometheus, /livez and /readyz for Kubernetes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/address.h"
#include "common/telemetry/metrics.h"

struct mg_connection;
struct mg_context;

namespace sluice::telemetry {

struct Health {
  bool ok;
  // What holds it up, without any value of an event; shown to whoever can reach the port.
  std::string reason;
};

struct HealthCheck {
  std::string name;
  // Called by the server's threads, several at a time; must not block.
  std::function<Health()> check;
};

// Answers GET and HEAD. /livez and /readyz say 200 when all their checks hold and 503 otherwise,
// with
// {"ok":false,"checks":[{"name":"kafka","ok":false,"reason":"..."}]}. Thread-safe.
class HttpServer {
 public:
  struct Options {
    // IPv4 address, [IPv6 address] or localhost, and port; port 0 takes a free one.
    std::string address = "127.0.0.1:0";
    // Requests answered at a time; further ones wait in a queue of this many connections, and then
    // in the kernel's.
    int threads = 2;
    int queue_connections_max = 20;
    // A client that is slower is cut off.
    int request_timeout_ms = 5000;
    // Failing means: restart me.
    std::vector<HealthCheck> live;
    // Failing means: not now.
    std::vector<HealthCheck> ready;
  };

  // `registry` outlives the server. Error: kInvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(Options options, Registry& registry);
  // Ends what is under way, at most request_timeout_ms late.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Binds and serves. Once. Error: kUnavailable when the address can't be had.
  absl::Status Start();
  // The port served; 0 before Start().
  int port() const { return port_; }

 private:
  HttpServer(Options options, base::ListenAddress address, Registry& registry);
  static int OnRequest(mg_connection* connection);
  void Answer(mg_connection* connection);

  const Options options_;
  const base::ListenAddress address_;
  Registry& registry_;
  mg_context* context_ = nullptr;
  int port_ = 0;
};

}  // namespace sluice::telemetry
