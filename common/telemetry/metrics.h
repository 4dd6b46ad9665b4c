// Metrics in Prometheus' model. Probes elsewhere use this header; prometheus-cpp stays behind it.
//
// Handles (Counter, Gauge, Histogram) are cheap to copy, thread-safe, and valid as long as the
// Registry. A default one counts nothing. Looking a series up takes a lock: take the handles once,
// not per event. What breaks a rule of this header is a mistake in the program and ends it with a
// text.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/mutex.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace sluice::telemetry {

class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* counter) : counter_(counter) {}
  // A negative `by` counts nothing.
  void Add(double by = 1) const;
  double Value() const;

 private:
  prometheus::Counter* counter_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  void Set(double value) const;
  void Add(double by) const;
  double Value() const;

 private:
  prometheus::Gauge* gauge_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  void Observe(double value) const;
  // Adds a batch that was counted elsewhere (see HistogramTally): one number for each bucket and
  // one for what is above them all, and the sum of the values.
  void ObserveMany(std::span<const uint64_t> bucket_increments, double sum) const;

 private:
  prometheus::Histogram* histogram_ = nullptr;
};

// Counts values of one batch without a lock, to be handed over at its end. Not thread-safe.
class HistogramTally {
 public:
  // Upper bounds (inclusive), ascending: those of the histogram that it is for.
  explicit HistogramTally(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void Observe(double value, uint64_t times = 1);
  // Adds what was counted to `histogram` and begins anew.
  void FlushTo(const Histogram& histogram);

 private:
  std::vector<double> bounds_;
  std::vector<uint64_t> counts_;
  double sum_ = 0;
  uint64_t total_ = 0;
};

// 100 µs to 60 s.
std::vector<double> SecondsBuckets();
// 256 B to 64 MiB, by fours.
std::vector<double> BytesBuckets();

struct FamilyOptions {
  // With the unit and, for a counter, `_total` at its end.
  std::string name;
  std::string help;
  std::vector<std::string> labels;
  // Further combinations of label values are counted in one series with `other` for every label,
  // and in sluice_metrics_series_refused_total.
  size_t series_max = 100;
};

struct FamilyState;

template <typename Handle>
class Family {
 public:
  Family() = default;
  explicit Family(FamilyState* state) : state_(state) {}
  // The series with these label values, in the order of the options' labels; made when it is new.
  // Thread-safe.
  Handle With(std::span<const std::string_view> values) const;
  Handle With(std::initializer_list<std::string_view> values) const {
    return With(std::span<const std::string_view>(values.begin(), values.size()));
  }
  // The series goes, and with it every handle of it; nothing where there is none. Only where no
  // handle is kept. Thread-safe.
  void Remove(std::initializer_list<std::string_view> values) const;
  // Every series goes, and with them the handles of them: for what is told anew at each collection,
  // so that nothing is told of what is gone. Only where no handle is kept. Thread-safe.
  void RemoveAll() const;

 private:
  FamilyState* state_ = nullptr;
};

// Owns all metrics of a process. Thread-safe. Defining a family again, alike, gives the same
// family.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Family<Counter> CounterFamily(FamilyOptions options);
  Family<Gauge> GaugeFamily(FamilyOptions options);
  Family<Histogram> HistogramFamily(FamilyOptions options, std::vector<double> buckets);

  // Families without labels.
  Counter NewCounter(std::string name, std::string help);
  Gauge NewGauge(std::string name, std::string help);
  Histogram NewHistogram(std::string name, std::string help, std::vector<double> buckets);

  // Runs before each Serialize(), one at a time: sets what is only worth knowing when somebody
  // asks. Must not call Serialize() or OnCollect().
  void OnCollect(std::function<void()> collect);

  // Prometheus' text format 0.0.4.
  std::string Serialize();
  // Every family's name, sorted, with or without series.
  std::vector<std::string> MetricNames() const;

 private:
  FamilyState* Define(FamilyOptions options, int type, std::vector<double> buckets);

  std::unique_ptr<prometheus::Registry> registry_;
  mutable base::Mutex mutex_;
  std::map<std::string, std::unique_ptr<FamilyState>> families_ ABSL_GUARDED_BY(mutex_);
  base::Mutex collect_mutex_;
  std::vector<std::function<void()>> collectors_ ABSL_GUARDED_BY(collect_mutex_);
  Family<Counter> refused_;
};

// sluice_build_info{version, revision, compiler} = 1.
void SetBuildInfo(Registry& registry, std::string_view version, std::string_view revision);

// process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes,
// process_open_fds, process_max_fds, process_start_time_seconds: the names that every Prometheus
// client uses. From /proc.
void AddProcessMetrics(Registry& registry);

}  // namespace sluice::telemetry
