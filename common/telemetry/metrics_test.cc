#include "common/telemetry/metrics.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::telemetry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Registry, SerializesPrometheusText) {
  Registry registry;
  registry.NewCounter("events_total", "Events seen.").Add(3);
  registry.NewGauge("lag_seconds", "Lag.").Set(-1.5);
  std::string text = registry.Serialize();
  EXPECT_THAT(
      text,
      HasSubstr("# HELP events_total Events seen.\n# TYPE events_total counter\nevents_total 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE lag_seconds gauge\nlag_seconds -1.5\n"));
}

TEST(Registry, SeparatesSeriesByLabels) {
  Registry registry;
  auto family =
      registry.CounterFamily({.name = "out_total", .help = "h", .labels = {"stream", "outcome"}});
  family.With({"public", "clean"}).Add();
  family.With({"public", "clean"}).Add();
  family.With({"public", "quarantined"}).Add();
  EXPECT_EQ(family.With({"public", "clean"}).Value(), 2);
  EXPECT_THAT(registry.Serialize(),
              HasSubstr(R"(out_total{outcome="quarantined",stream="public"} 1)"));
}

TEST(Registry, CountsSeriesBeyondTheBoundAsOther) {
  Registry registry;
  auto family = registry.CounterFamily(
      {.name = "violations_total", .help = "h", .labels = {"rule"}, .series_max = 2});
  family.With({"a"}).Add();
  family.With({"b"}).Add();
  for (int i = 0; i < 50; ++i) family.With({"x" + std::to_string(i)}).Add();
  family.With({"a"}).Add();
  std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr(R"(violations_total{rule="a"} 2)"));
  EXPECT_THAT(text, HasSubstr(R"(violations_total{rule="other"} 50)"));
  EXPECT_THAT(text,
              HasSubstr(R"(sluice_metrics_series_refused_total{family="violations_total"} 50)"));
  EXPECT_THAT(text, Not(HasSubstr("x1")));
}

TEST(Registry, RemovedSeriesAreToldNoMoreAndMakeRoom) {
  Registry registry;
  auto family =
      registry.GaugeFamily({.name = "lag", .help = "h", .labels = {"partition"}, .series_max = 1});
  family.With({"0"}).Set(5);
  family.RemoveAll();
  family.With({"1"}).Set(7);
  std::string text = registry.Serialize();
  EXPECT_THAT(text, Not(HasSubstr(R"(lag{partition="0"})")));
  EXPECT_THAT(text, HasSubstr(R"(lag{partition="1"} 7)"));
}

TEST(Registry, OneSeriesIsRemovedAndMakesRoom) {
  Registry registry;
  auto family =
      registry.GaugeFamily({.name = "info", .help = "h", .labels = {"set", "id"}, .series_max = 2});
  family.With({"wards", "0"}).Set(1);
  family.With({"units", "0"}).Set(1);
  for (int i = 1; i < 1100; ++i) {
    family.Remove({"wards", std::to_string(i - 1)});
    family.With({"wards", std::to_string(i)}).Set(1);
  }
  family.Remove({"never", "was"});
  std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr(R"(info{id="1099",set="wards"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(info{id="0",set="units"} 1)"));
  EXPECT_THAT(text, Not(HasSubstr("=\"other\"")));
}

TEST(Registry, DefiningAFamilyAgainGivesTheSame) {
  Registry registry;
  registry.NewCounter("a_total", "h").Add();
  registry.NewCounter("a_total", "h").Add();
  EXPECT_EQ(registry.NewCounter("a_total", "h").Value(), 2);
}

TEST(RegistryDeathTest, DefiningAFamilyDifferentlyDies) {
  Registry registry;
  registry.NewCounter("a_total", "h");
  EXPECT_DEATH(registry.NewGauge("a_total", "h"), "a_total: is defined twice");
  auto family = registry.GaugeFamily({.name = "b", .help = "h", .labels = {"x"}});
  EXPECT_DEATH(family.With({"1", "2"}), "metric b: has 1 labels, not 2");
}

TEST(Registry, NamesEveryFamilyWithOrWithoutSeries) {
  Registry registry;
  registry.NewGauge("z", "h");
  registry.CounterFamily({.name = "a_total", .help = "h", .labels = {"x"}});
  EXPECT_THAT(registry.MetricNames(),
              ElementsAre("a_total", "sluice_metrics_series_refused_total", "z"));
}

TEST(Registry, CollectorsRunBeforeEachSerialize) {
  Registry registry;
  Gauge age = registry.NewGauge("age_seconds", "h");
  int runs = 0;
  registry.OnCollect([&] { age.Set(++runs); });
  EXPECT_THAT(registry.Serialize(), HasSubstr("age_seconds 1\n"));
  EXPECT_THAT(registry.Serialize(), HasSubstr("age_seconds 2\n"));
}

TEST(Registry, IsThreadSafe) {
  Registry registry;
  auto family =
      registry.CounterFamily({.name = "n_total", .help = "h", .labels = {"t"}, .series_max = 4});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&family, t] {
      for (int i = 0; i < 2000; ++i) family.With({std::to_string(t)}).Add();
    });
  }
  for (int i = 0; i < 20; ++i) registry.Serialize();
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t) EXPECT_EQ(family.With({std::to_string(t)}).Value(), 2000);
}

TEST(Counter, NeverGoesDown) {
  Registry registry;
  Counter counter = registry.NewCounter("a_total", "h");
  counter.Add(5);
  counter.Add(-3);
  EXPECT_EQ(counter.Value(), 5);
}

TEST(Handles, ADefaultOneCountsNothing) {
  Counter().Add();
  Gauge().Set(1);
  Histogram().Observe(1);
  Histogram().ObserveMany({}, 0);
  Family<Counter>().With({"a"}).Add();
}

TEST(Histogram, ObserveManyEqualsSingleObservations) {
  const std::vector<double> bounds = {0.1, 1, 10};
  const std::vector<double> values = {0.05, 0.1, 0.5, 10, 11, 100};
  Registry one, many;
  Histogram single = one.NewHistogram("t_seconds", "h", bounds);
  Histogram batched = many.NewHistogram("t_seconds", "h", bounds);
  HistogramTally tally(bounds);
  for (double value : values) {
    single.Observe(value);
    tally.Observe(value);
  }
  tally.FlushTo(batched);
  tally.FlushTo(batched);
  EXPECT_EQ(one.Serialize(), many.Serialize());
  EXPECT_THAT(many.Serialize(), HasSubstr(R"(t_seconds_bucket{le="0.1"} 2)"));
  EXPECT_THAT(many.Serialize(), HasSubstr(R"(t_seconds_bucket{le="+Inf"} 6)"));
}

TEST(Histogram, PresetsAscend) {
  for (const auto& bounds : {SecondsBuckets(), BytesBuckets()}) {
    EXPECT_TRUE(std::is_sorted(bounds.begin(), bounds.end()));
  }
  EXPECT_EQ(BytesBuckets().back(), 64.0 * 1024 * 1024);
}

TEST(BuildInfo, SaysWhatIsRunning) {
  Registry registry;
  SetBuildInfo(registry, "0.1.0", "abc");
  EXPECT_THAT(registry.Serialize(), HasSubstr(R"(revision="abc",version="0.1.0"} 1)"));
}

}  // namespace
}  // namespace sluice::telemetry
