// metrics.h: counters, gauges and histograms, read at /metrics in the Prometheus text format.
//
// The only globals: make one at namespace scope or in a constructor and keep the reference, e.g.
// `static metrics::Counter pages_read = metrics::counter("halogen_pageserver_pages_total", "Pages
// read.");`. Same name and labels give the same object. Safe from any thread.
#pragma once
#include <map>
#include <string>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace halogen::metrics {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  explicit Counter(prometheus::Counter& impl) : impl_(impl) {}
  void add(double value = 1);
  double value() const;

 private:
  prometheus::Counter& impl_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge& impl) : impl_(impl) {}
  void set(double value);
  void add(double value = 1);
  void sub(double value = 1) { add(-value); }
  double value() const;

 private:
  prometheus::Gauge& impl_;
};

// Of seconds, from 100 us to 100 s.
class Histogram {
 public:
  explicit Histogram(prometheus::Histogram& impl) : impl_(impl) {}
  void observe(double seconds);

 private:
  prometheus::Histogram& impl_;
};

Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
Histogram histogram(const std::string& name, const std::string& help, const Labels& labels = {});

// Everything, in the Prometheus text format.
std::string render();

}  // namespace halogen::metrics
