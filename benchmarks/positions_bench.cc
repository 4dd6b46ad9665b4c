// What it costs to record positions beside the results: the processor's parts in this process, with
// and without, in turn.
#include <unistd.h>

#include <memory>

#include "benchmarks/bench.h"
#include "benchmarks/pipeline_run.h"
#include "benchmarks/process_usage.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/stream/driver.h"
#include "services/processor/editions.h"
#include "services/processor/engine_transform.h"
#include "services/processor/positions.h"

namespace sluice::bench {
namespace {

constexpr int kRuns = 3;
constexpr char kRaw[] = "bench.raw";

// Stops the driver behind the last event.
class Count final : public stream::DriverProbe {
 public:
  explicit Count(int events) : events_(events) {}
  void Committed(const stream::TransactionFacts& facts) override {
    done_ += facts.events;
    ++transactions;
    if (done_ >= events_) driver->Stop();
  }

  stream::Driver* driver = nullptr;
  int64_t transactions = 0;

 private:
  const int64_t events_;
  int64_t done_ = 0;
};

struct Figures {
  double cpu_us_per_event = 0;
  double events_per_transaction = 0;
};

absl::StatusOr<Figures> Run(PipelineRun& run, const Options& options, const std::string& group,
                            bool record) {
  SLUICE_RETURN_IF_ERROR(run.site().Configure({.broker = run.brokers(), .group = group}));
  SLUICE_ASSIGN_OR_RETURN(auto setup, processor::LoadSetup(run.site().config()));
  const config::v1::Pipeline pipeline = setup.config.pipeline();
  kafka::ConnectionOptions connection;
  connection.brokers = {run.brokers()};
  SLUICE_ASSIGN_OR_RETURN(auto admin, kafka::Admin::Create(connection));
  SLUICE_ASSIGN_OR_RETURN(std::string topic_id, admin->TopicId(kRaw));

  base::SystemRandom random;
  base::SystemClock clock;
  telemetry::Registry registry;
  processor::Probe probe(registry, pipeline.contract(), group);
  processor::Editions editions({.look_interval = std::chrono::milliseconds(0)}, std::move(setup),
                               probe, random, clock);
  kafka::SourceOptions source_options;
  source_options.connection = connection;
  source_options.group = group;
  source_options.topics = {kRaw};
  SLUICE_ASSIGN_OR_RETURN(auto source, kafka::KafkaSource::Create(std::move(source_options)));
  kafka::TransactionOptions transaction_options;
  transaction_options.connection = connection;
  transaction_options.transactional_id = group;
  transaction_options.topics = processor::OutputTopics(pipeline);
  transaction_options.topics.push_back(processor::PositionsTopic(pipeline));
  SLUICE_ASSIGN_OR_RETURN(auto transaction,
                          kafka::KafkaTransaction::Create(std::move(transaction_options), *source));
  // A name of its own for each run, so that each begins with a version.
  processor::PositionRecorder recorder({group, group, kRaw, topic_id},
                                       processor::OutputTopics(pipeline).size());
  processor::EngineTransform transform(pipeline, editions.AddWorker(), clock, probe, nullptr,
                                       nullptr, nullptr, record ? &recorder : nullptr);
  SLUICE_RETURN_IF_ERROR(editions.Start());
  Count count(options.events);
  SLUICE_ASSIGN_OR_RETURN(
      auto driver, stream::Driver::Create({}, *source, *transaction, transform, count, clock));
  count.driver = driver.get();
  const double before = UsageOf(getpid()).cpu_seconds;
  SLUICE_RETURN_IF_ERROR(driver->Run());
  Figures figures;
  figures.cpu_us_per_event = (UsageOf(getpid()).cpu_seconds - before) * 1e6 / options.events;
  figures.events_per_transaction =
      static_cast<double>(options.events) / static_cast<double>(count.transactions);
  return figures;
}

}  // namespace

absl::Status RunPositions(const Options& options, Report& report) {
  SLUICE_ASSIGN_OR_RETURN(auto run, PipelineRun::Create(options));
  double without = 0, with = 0, batch = 0;
  for (int i = 0; i < kRuns; ++i) {
    SLUICE_ASSIGN_OR_RETURN(Figures bare,
                            Run(*run, options, "without" + std::to_string(i), /*record=*/false));
    SLUICE_ASSIGN_OR_RETURN(Figures recorded,
                            Run(*run, options, "with" + std::to_string(i), /*record=*/true));
    without += bare.cpu_us_per_event / kRuns;
    with += recorded.cpu_us_per_event / kRuns;
    batch += recorded.events_per_transaction / kRuns;
  }
  report.Add("positions.cpu_us_per_event_without", without, "us");
  report.Add("positions.cpu_us_per_event_with", with, "us");
  report.Add("positions.cpu_percent", (with / without - 1) * 100, "%");
  report.Add("positions.events_per_transaction", batch, "events");
  return absl::OkStatus();
}

}  // namespace sluice::bench
