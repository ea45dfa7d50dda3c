#include "base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "base/metric_sources.h"
#include "base/mutex.h"

namespace halogen::metrics {
namespace {

struct Sources {
  Mutex mutex;
  std::vector<std::weak_ptr<Source>> all GUARDED_BY(mutex);
};

Sources& sources() {
  static auto* instance = new Sources();  // Never destroyed.
  return *instance;
}

prometheus::ClientMetric client_metric(const Family& family, const Series& series) {
  prometheus::ClientMetric out;
  for (auto& [name, value] : series.labels) out.label.push_back({name, value});
  switch (family.kind) {
    case Family::Kind::counter:
      out.counter.value = series.value;
      break;
    case Family::Kind::gauge:
      out.gauge.value = series.value;
      break;
    case Family::Kind::histogram:
      out.histogram.sample_count = series.count;
      out.histogram.sample_sum = series.sum;
      uint64_t below = 0;
      for (size_t i = 0; i < family.bounds.size() && i < series.buckets.size(); i++)
        out.histogram.bucket.push_back({below += series.buckets[i], family.bounds[i]});
      break;
  }
  return out;
}

prometheus::MetricFamily metric_family(const Family& family) {
  prometheus::MetricFamily out;
  out.name = family.name;
  out.help = family.help;
  out.type = family.kind == Family::Kind::counter ? prometheus::MetricType::Counter
             : family.kind == Family::Kind::gauge ? prometheus::MetricType::Gauge
                                                  : prometheus::MetricType::Histogram;
  for (const Series& series : family.series) out.metric.push_back(client_metric(family, series));
  return out;
}

}  // namespace

static prometheus::Registry& registry() {
  // Never destroyed; adding a family twice gives the first one back.
  static auto* instance = new prometheus::Registry(prometheus::Registry::InsertBehavior::Merge);
  return *instance;
}

void Counter::add(double value) { impl_.Increment(value); }
double Counter::value() const { return impl_.Value(); }
void Gauge::set(double value) { impl_.Set(value); }
void Gauge::add(double value) { impl_.Increment(value); }
double Gauge::value() const { return impl_.Value(); }
void Histogram::observe(double seconds) { impl_.Observe(seconds); }

Counter counter(const std::string& name, const std::string& help, const Labels& labels) {
  return Counter(prometheus::BuildCounter().Name(name).Help(help).Register(registry()).Add(labels));
}

Gauge gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Gauge(prometheus::BuildGauge().Name(name).Help(help).Register(registry()).Add(labels));
}

Histogram histogram(const std::string& name, const std::string& help, const Labels& labels) {
  static const prometheus::Histogram::BucketBoundaries kSeconds = {
      0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100};
  return Histogram(prometheus::BuildHistogram()
                       .Name(name)
                       .Help(help)
                       .Register(registry())
                       .Add(labels, kSeconds));
}

Registration::Registration(Source source) : source_(std::make_shared<Source>(std::move(source))) {
  Sources& known = sources();
  MutexLock lock(known.mutex);
  std::erase_if(known.all, [](const auto& one) { return one.expired(); });
  known.all.push_back(source_);
}

std::string render() {
  std::vector<std::shared_ptr<Source>> asked;
  {
    Sources& known = sources();
    MutexLock lock(known.mutex);
    for (const auto& one : known.all)
      if (auto source = one.lock()) asked.push_back(std::move(source));
  }
  std::vector<prometheus::MetricFamily> families = registry().Collect();
  for (const auto& source : asked)
    for (const Family& family : (*source)())
      if (!family.series.empty()) families.push_back(metric_family(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace halogen::metrics
