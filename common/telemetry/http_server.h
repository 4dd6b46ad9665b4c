// A process's HTTP port: /metrics for Prometheus, /livez and /readyz for Kubernetes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/address.h"
#include "common/telemetry/metrics.h"

namespace sluice::telemetry {

struct Health {
  bool ok;
  // What holds it up, without any value of an event; shown to whoever can reach the port.
  std::string reason;
};

struct HealthCheck {
  std::string name;
  // Called by a thread of the server's that does nothing else. One that blocks delays no answer:
  // the last result is given again, for ten seconds, and then "not ok".
  std::function<Health()> check;
};

// Answers GET and HEAD. /livez and /readyz say 200 when all their checks hold and 503 otherwise,
// with
// {"ok":false,"checks":[{"name":"kafka","ok":false,"reason":"..."}]}. Thread-safe.
//
// One thread reads and writes all connections and waits for none of them; the checks of each of the
// two probes and the metrics have a thread of their own. So a probe is answered within 100 ms
// whatever other connections, checks or a collection of metrics do.
class HttpServer {
 public:
  struct Options {
    // IPv4 address, [IPv6 address] or localhost, and port; port 0 takes a free one.
    std::string address = "127.0.0.1:0";
    // Open at a time; for one more, the one that has been silent for the longest is closed.
    // 1 to 10,000.
    int connections_max = 64;
    // A client that is slower with its request, or with taking the answer, is cut off. One that
    // waits for metrics that aren't collected in this time is answered 503.
    int request_timeout_ms = 5000;
    // Failing means: restart me.
    std::vector<HealthCheck> live;
    // Failing means: not now.
    std::vector<HealthCheck> ready;
  };

  // `registry` outlives the server. Error: kInvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(Options options, Registry& registry);
  // Cuts off what is under way. Waits for a check or a collection that is running.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Binds and serves. Once. Error: kUnavailable when the address can't be had.
  absl::Status Start();
  // The port served; 0 before Start().
  int port() const { return port_; }

 private:
  class Worker;
  class Loop;

  HttpServer(Options options, base::ListenAddress address, Registry& registry);

  const Options options_;
  const base::ListenAddress address_;
  Registry& registry_;
  int port_ = 0;
  std::unique_ptr<Loop> loop_;
};

}  // namespace sluice::telemetry
