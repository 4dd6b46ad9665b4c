// The workload through a real Kafka: by the mirror, and by a processor.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "benchmarks/bench.h"
#include "benchmarks/site.h"
#include "common/kafka/admin.h"
#include "tests/support/certificates.h"
#include "tests/support/child_process.h"
#include "tests/support/kafka_broker.h"

namespace sluice::bench {

// Of one run over all events.
struct RunFigures {
  double cpu_us_per_event = 0;
  double events_per_second = 0;
  double peak_kib = 0;
  double start_ms = 0;
};

class PipelineRun {
 public:
  enum class Broker { kPlain, kAlsoTls };
  // Starts a broker and writes the raw topic.
  static absl::StatusOr<std::unique_ptr<PipelineRun>> Create(const Options& options,
                                                             Broker broker = Broker::kPlain);

  Site& site() { return *site_; }
  // Of the broker's plain listener.
  std::string brokers() const { return broker_->direct(); }
  absl::StatusOr<RunFigures> Mirror();
  // The processor that the site configures, with its shipped defaults. `also`: a process whose CPU
  // time counts too; nullptr: none.
  absl::StatusOr<RunFigures> Processor(test_support::ChildProcess* also);
  // The same over TLS, with a password.
  absl::StatusOr<RunFigures> ProcessorOverTls();

 private:
  explicit PipelineRun(const Options& options) : options_(options) {}
  absl::StatusOr<RunFigures> Run(const std::string& address, const std::string& security,
                                 test_support::ChildProcess* also);
  absl::Status CheckOutputs(const std::string& group) const;

  const Options options_;
  std::unique_ptr<Site> site_;
  test_support::Certificates certificates_;
  std::string security_;  // kafka.security of a processor over TLS
  std::unique_ptr<test_support::KafkaBroker> broker_;
  std::unique_ptr<kafka::Admin> admin_;
  int mirrors_ = 0, processors_ = 0;
};

}  // namespace sluice::bench
