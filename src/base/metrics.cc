#include "base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace halogen::metrics {

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

std::string render() { return prometheus::TextSerializer().Serialize(registry().Collect()); }

}  // namespace halogen::metrics
