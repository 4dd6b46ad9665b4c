#include "common/telemetry/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::telemetry {
namespace {

using testing::ElementsAre;

TEST(ProcessMetrics, TellOfThisProcess) {
  Registry registry;
  AddProcessMetrics(registry);
  EXPECT_THAT(
      registry.MetricNames(),
      ElementsAre("process_cpu_seconds_total", "process_max_fds", "process_memory_limit_bytes",
                  "process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds",
                  "process_virtual_memory_bytes", "sluice_metrics_series_refused_total"));
  registry.Serialize();
  EXPECT_GT(registry.NewCounter("process_cpu_seconds_total", "").Value(), 0);
  EXPECT_GT(registry.NewGauge("process_resident_memory_bytes", "").Value(), 1 << 20);
  EXPECT_GT(registry.NewGauge("process_memory_limit_bytes", "").Value(), 1 << 20);
  EXPECT_GE(registry.NewGauge("process_open_fds", "").Value(), 3);
  EXPECT_GT(registry.NewGauge("process_max_fds", "").Value(), 3);
  // After 2020, before 2100.
  EXPECT_GT(registry.NewGauge("process_start_time_seconds", "").Value(), 1.577e9);
  EXPECT_LT(registry.NewGauge("process_start_time_seconds", "").Value(), 4.1e9);
}

}  // namespace
}  // namespace sluice::telemetry
