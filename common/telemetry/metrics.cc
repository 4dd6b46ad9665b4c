#include "common/telemetry/metrics.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "common/base/strings.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace sluice::telemetry {
namespace {

constexpr char kRefused[] = "sluice_metrics_series_refused_total";

enum Type { kCounter, kGauge, kHistogram };

[[noreturn]] void Die(const std::string& name, std::string_view what) {
  std::fprintf(stderr, "metric %s: %.*s\n", name.c_str(), static_cast<int>(what.size()),
               what.data());
  std::abort();
}

prometheus::Counter& AddSeries(prometheus::Family<prometheus::Counter>& family,
                               const prometheus::Labels& labels, const std::vector<double>&) {
  return family.Add(labels);
}
prometheus::Gauge& AddSeries(prometheus::Family<prometheus::Gauge>& family,
                             const prometheus::Labels& labels, const std::vector<double>&) {
  return family.Add(labels);
}
prometheus::Histogram& AddSeries(prometheus::Family<prometheus::Histogram>& family,
                                 const prometheus::Labels& labels,
                                 const std::vector<double>& buckets) {
  return family.Add(labels, buckets);
}

}  // namespace

struct FamilyState {
  FamilyOptions options;
  int type;
  std::vector<double> buckets;
  // The family, of the class that `type` says.
  void* family = nullptr;
  Counter refused;

  base::Mutex mutex;
  // Likewise.
  std::map<std::vector<std::string>, void*, std::less<>> series ABSL_GUARDED_BY(mutex);

  template <typename Metric>
  Metric* Find(std::span<const std::string_view> values) {
    if (values.size() != options.labels.size()) {
      Die(options.name,
          base::StrCat("has ", options.labels.size(), " labels, not ", values.size()));
    }
    std::vector<std::string> key(values.begin(), values.end());
    base::MutexLock lock(mutex);
    if (auto it = series.find(key); it != series.end()) return static_cast<Metric*>(it->second);
    if (series.size() >= options.series_max && !key.empty()) {
      refused.Add();
      std::fill(key.begin(), key.end(), "other");
      if (auto it = series.find(key); it != series.end()) return static_cast<Metric*>(it->second);
    }
    prometheus::Labels labels;
    for (size_t i = 0; i < key.size(); ++i) labels[options.labels[i]] = key[i];
    auto* of = static_cast<prometheus::Family<Metric>*>(family);
    Metric* metric = &AddSeries(*of, labels, buckets);
    series[key] = metric;
    return metric;
  }

  template <typename Metric>
  void Remove(std::span<const std::string_view> values) {
    std::vector<std::string> key(values.begin(), values.end());
    base::MutexLock lock(mutex);
    auto it = series.find(key);
    if (it == series.end()) return;
    static_cast<prometheus::Family<Metric>*>(family)->Remove(static_cast<Metric*>(it->second));
    series.erase(it);
  }

  template <typename Metric>
  void RemoveAll() {
    base::MutexLock lock(mutex);
    for (const auto& [key, metric] : series)
      static_cast<prometheus::Family<Metric>*>(family)->Remove(static_cast<Metric*>(metric));
    series.clear();
  }
};

void Counter::Add(double by) const {
  if (counter_ != nullptr && by > 0) counter_->Increment(by);
}
double Counter::Value() const { return counter_ == nullptr ? 0 : counter_->Value(); }

void Gauge::Set(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}
void Gauge::Add(double by) const {
  if (gauge_ != nullptr) gauge_->Increment(by);
}
double Gauge::Value() const { return gauge_ == nullptr ? 0 : gauge_->Value(); }

void Histogram::Observe(double value) const {
  if (histogram_ != nullptr) histogram_->Observe(value);
}
void Histogram::ObserveMany(std::span<const uint64_t> bucket_increments, double sum) const {
  if (histogram_ == nullptr) return;
  histogram_->ObserveMultiple({bucket_increments.begin(), bucket_increments.end()}, sum);
}

void HistogramTally::Observe(double value, uint64_t times) {
  auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  counts_[static_cast<size_t>(bucket - bounds_.begin())] += times;
  sum_ += value * static_cast<double>(times);
  total_ += times;
}

void HistogramTally::FlushTo(const Histogram& histogram) {
  if (total_ == 0) return;
  histogram.ObserveMany(counts_, sum_);
  std::fill(counts_.begin(), counts_.end(), 0);
  sum_ = 0;
  total_ = 0;
}

std::vector<double> SecondsBuckets() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
          0.15,   0.2,     0.3,    0.5,   1,      2,     5,    10,    30,   60};
}

std::vector<double> BytesBuckets() {
  std::vector<double> bounds;
  for (double bytes = 256; bytes <= 64.0 * 1024 * 1024; bytes *= 4) bounds.push_back(bytes);
  return bounds;
}

template <>
Counter Family<Counter>::With(std::span<const std::string_view> values) const {
  return state_ == nullptr ? Counter() : Counter(state_->Find<prometheus::Counter>(values));
}
template <>
Gauge Family<Gauge>::With(std::span<const std::string_view> values) const {
  return state_ == nullptr ? Gauge() : Gauge(state_->Find<prometheus::Gauge>(values));
}
template <>
void Family<Gauge>::RemoveAll() const {
  if (state_ != nullptr) state_->RemoveAll<prometheus::Gauge>();
}
template <>
void Family<Gauge>::Remove(std::initializer_list<std::string_view> values) const {
  if (state_ != nullptr)
    state_->Remove<prometheus::Gauge>(
        std::span<const std::string_view>(values.begin(), values.size()));
}
template <>
Histogram Family<Histogram>::With(std::span<const std::string_view> values) const {
  return state_ == nullptr ? Histogram() : Histogram(state_->Find<prometheus::Histogram>(values));
}

Registry::Registry() : registry_(std::make_unique<prometheus::Registry>()) {
  refused_ =
      CounterFamily({.name = kRefused,
                     .help = "Look-ups of series beyond a family's bound, counted as `other`.",
                     .labels = {"family"},
                     .series_max = 1000});
}

Registry::~Registry() = default;

FamilyState* Registry::Define(FamilyOptions options, int type, std::vector<double> buckets) {
  base::MutexLock lock(mutex_);
  if (auto it = families_.find(options.name); it != families_.end()) {
    FamilyState& known = *it->second;
    if (known.type != type || known.options.labels != options.labels || known.buckets != buckets) {
      Die(options.name, "is defined twice, with another type, other labels or other buckets");
    }
    return &known;
  }
  auto state = std::make_unique<FamilyState>();
  switch (type) {
    case kCounter:
      state->family =
          &prometheus::BuildCounter().Name(options.name).Help(options.help).Register(*registry_);
      break;
    case kGauge:
      state->family =
          &prometheus::BuildGauge().Name(options.name).Help(options.help).Register(*registry_);
      break;
    default:
      if (!std::is_sorted(buckets.begin(), buckets.end())) Die(options.name, "buckets must ascend");
      state->family =
          &prometheus::BuildHistogram().Name(options.name).Help(options.help).Register(*registry_);
  }
  if (options.name != kRefused) state->refused = refused_.With({options.name});
  state->options = std::move(options);
  state->type = type;
  state->buckets = std::move(buckets);
  return families_.emplace(state->options.name, std::move(state)).first->second.get();
}

Family<Counter> Registry::CounterFamily(FamilyOptions options) {
  return Family<Counter>(Define(std::move(options), kCounter, {}));
}
Family<Gauge> Registry::GaugeFamily(FamilyOptions options) {
  return Family<Gauge>(Define(std::move(options), kGauge, {}));
}
Family<Histogram> Registry::HistogramFamily(FamilyOptions options, std::vector<double> buckets) {
  return Family<Histogram>(Define(std::move(options), kHistogram, std::move(buckets)));
}

Counter Registry::NewCounter(std::string name, std::string help) {
  return CounterFamily({.name = std::move(name), .help = std::move(help)}).With({});
}
Gauge Registry::NewGauge(std::string name, std::string help) {
  return GaugeFamily({.name = std::move(name), .help = std::move(help)}).With({});
}
Histogram Registry::NewHistogram(std::string name, std::string help, std::vector<double> buckets) {
  return HistogramFamily({.name = std::move(name), .help = std::move(help)}, std::move(buckets))
      .With({});
}

void Registry::OnCollect(std::function<void()> collect) {
  base::MutexLock lock(collect_mutex_);
  collectors_.push_back(std::move(collect));
}

std::string Registry::Serialize() {
  base::MutexLock lock(collect_mutex_);
  for (const auto& collect : collectors_) collect();
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

std::vector<std::string> Registry::MetricNames() const {
  base::MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, family] : families_) names.push_back(name);
  return names;
}

void SetBuildInfo(Registry& registry, std::string_view version, std::string_view revision) {
  registry
      .GaugeFamily({.name = "sluice_build_info",
                    .help = "1; the labels say what is running.",
                    .labels = {"version", "revision", "compiler"}})
      .With({version, revision, __VERSION__})
      .Set(1);
}

}  // namespace sluice::telemetry
