// A real Apache Kafka for tests, the demo and the benchmarks.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::test_support {

// One node, broker and controller, on free loopback ports, with its data in a temporary folder. The
// ports and the data stay the same over Kill and Restart; process and folder go with the object,
// the process even when we are killed. Topics must be created: a misspelt one is an error. Start,
// Kill, Restart and Stop are for one thread at a time; the rest is thread-safe after Start.
class KafkaBroker {
 public:
  struct Options {
    // Where clients are sent: a KafkaProxy's port. 0: to the broker itself.
    int advertised_port = 0;
    int heap_mb = 512;
    // server.properties, added to ours or instead of ours.
    std::map<std::string, std::string> properties;
    // Clients must come over TLS, and may do only what an ACL allows; on direct() they are as ever,
    // and may do everything.
    struct Security {
      // PEM files: the broker's own, and the authority of clients that show a certificate.
      std::string certificate, private_key, client_authority;
      // SASL users at bootstrap(), by SCRAM-SHA-512: password by name.
      std::map<std::string, std::string> users;
    };
    std::optional<Security> security;
    // A quick start and few threads. For speed instead of a quick start: {}.
    std::vector<std::string> jvm_flags = {"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"};
    std::chrono::milliseconds start_timeout = std::chrono::minutes(1);
    // Folder of Kafka's jars. Empty: $SLUICE_KAFKA_LIBS, else where `./run setup` puts them.
    std::string libs;
  };
  // Makes the folder. FailedPrecondition when Kafka or Java is missing, with what to do.
  static absl::StatusOr<std::unique_ptr<KafkaBroker>> Create(Options options);

  KafkaBroker(const KafkaBroker&) = delete;
  KafkaBroker& operator=(const KafkaBroker&) = delete;

  // Returns when the broker serves. An error carries the end of its log.
  absl::Status Start();
  // SIGKILL: as a crash of the machine's process, without a clean shutdown.
  void Kill();
  // Kills what runs and starts again.
  absl::Status Restart();
  // SIGSTOP and SIGCONT: as a long pause of the garbage collector.
  absl::Status Freeze();
  absl::Status Thaw();
  // SIGTERM; SIGKILL when it takes longer than `timeout`, which is an error.
  absl::Status Stop(std::chrono::milliseconds timeout = std::chrono::seconds(30));

  // host:port for clients; they go through the proxy when there is one.
  std::string bootstrap() const;
  // host:port for clients that must get past the proxy: a second listener that advertises itself.
  std::string direct() const;
  // host:port where clients are known by their certificates; only with security.
  std::string mutual_tls() const;
  // The broker's own port behind the proxy: KafkaProxy::SetUpstream.
  int port() const { return port_; }
  pid_t pid() const;
  // The output of the process started last.
  const std::string& log_path() const { return log_path_; }
  std::string LogTail(int lines = 40) const;

 private:
  KafkaBroker(Options options, std::string java, std::unique_ptr<TempDir> folder);
  absl::Status ChoosePorts();
  void AddSecurity(std::map<std::string, std::string>& properties) const;
  absl::Status WriteProperties() const;
  absl::Status Format() const;
  absl::Status Launch();
  std::vector<std::string> Java(std::string_view main_class,
                                std::vector<std::string> arguments) const;

  const Options options_;
  const std::string java_;
  const std::unique_ptr<TempDir> folder_;
  int port_ = 0;
  int direct_port_ = 0;
  int controller_port_ = 0;
  int mutual_tls_port_ = 0;
  int launches_ = 0;
  std::string log_path_;
  std::unique_ptr<ChildProcess> process_;  // after folder_: ends before its data goes
};

}  // namespace sluice::test_support
