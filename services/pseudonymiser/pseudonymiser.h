// The pseudonymiser: the one file that names the concrete classes, and the threads that keep it up
// to date.
#pragma once

#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/config/file_state.h"
#include "common/rpc/open_calls.h"
#include "common/rpc/server.h"
#include "common/telemetry/http_server.h"
#include "common/telemetry/metrics.h"
#include "common/trail/chain.h"
#include "common/trail/publisher.h"
#include "services/pseudonymiser/authority.h"
#include "services/pseudonymiser/guard.h"
#include "services/pseudonymiser/keys.h"
#include "services/pseudonymiser/policy.h"
#include "services/pseudonymiser/probe.h"
#include "services/pseudonymiser/recorder.h"
#include "services/pseudonymiser/reidentification.h"
#include "services/pseudonymiser/service.h"
#include "sluice/config/v1/pseudonymiser.pb.h"

namespace sluice::pseudonymiser {

// Life: Create, Start, Stop. Reload may be called from any thread.
class PseudonymiserProcess {
 public:
  // `memory`: what LockMemory() said. `clock` outlives it; tests move it.
  static absl::StatusOr<std::unique_ptr<PseudonymiserProcess>> Create(
      config::v1::PseudonymiserService config, const absl::Status& memory,
      const base::Clock& clock);
  // Whether a process of this configuration would start, but for ports, files that it would have to
  // write, and the topic. Changes nothing. What there is, in a line.
  static absl::StatusOr<std::string> Check(const config::v1::PseudonymiserService& config);
  // Stop().
  ~PseudonymiserProcess();

  // Begins to serve HTTP and gRPC.
  absl::Status Start();
  // Reads keyring and policy now, whether or not they have changed.
  void Reload();
  // Calls under way end; what was counted is put on the trail.
  void Stop();

  int http_port() const { return http_->port(); }
  int grpc_port() const { return rpc_->port(); }
  // What /metrics says.
  std::string metrics() { return registry_.Serialize(); }

 private:
  PseudonymiserProcess(config::v1::PseudonymiserService config, const base::Clock& clock);
  absl::Status Open();
  absl::Status OpenAudit();
  absl::Status OpenPorts();
  void Run();
  void ReadPolicy();
  void ReadKeyring();
  // What /metrics says of the state; never asked for by a scrape.
  void LookAtState();
  absl::Status ClockReset(int64_t behind_ms, int ended);
  void Collect();

  const config::v1::PseudonymiserService config_;
  const base::Clock& clock_;
  // From before they are read first, so that no change is missed.
  config::WatchedFiles policy_file_;
  config::WatchedFiles keyring_files_;
  base::SystemRandom random_;
  telemetry::Registry registry_;
  Probe probe_{registry_};
  std::unique_ptr<trail::Chain> chain_;
  std::unique_ptr<trail::Publisher> publisher_;
  std::unique_ptr<trail::Forwarder> forwarder_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<KeyStore> keys_;
  std::unique_ptr<PolicySlot> policy_;
  std::unique_ptr<Authority> authority_;  // nullptr: nothing is kept
  std::unique_ptr<Guard> guard_;
  std::unique_ptr<Reidentifications> reidentifications_;
  rpc::OpenCalls open_calls_{{}};
  std::unique_ptr<Service> service_;
  std::unique_ptr<telemetry::HttpServer> http_;
  std::unique_ptr<rpc::Server> rpc_;
  std::optional<rpc::ConnectionMetrics> connections_;

  std::thread thread_;
  base::Mutex mutex_;
  std::condition_variable changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool reload_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ = false;
};

}  // namespace sluice::pseudonymiser
