// What a compute did in the past, for charts. A route of our own, not Neon's.
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"
#include "control/monitor.h"

namespace halogen::control::api {

using nlohmann::json;

// ?from=&to= in seconds since 1970; by default the last hour. One array for each measure, of one
// length: sums of what happened in `seconds` before `times`, or averages over them. While a compute
// slept there are no entries.
Response get_endpoint_metrics(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  const int64_t now = now_micros() / 1'000'000;
  const int64_t to = request.query_number("to", now, 0, INT64_MAX / 2);
  const int64_t from = request.query_number("from", to - 3600, 0, INT64_MAX / 2);
  if (from >= to) throw Error(Errc::invalid_argument, "from must be before to");
  std::vector<Sample> samples;
  if (services.monitor != nullptr) samples = services.monitor->samples(endpoint.id, from, to);
  json times = json::array();
  json seconds = json::array();
  for (const Sample& sample : samples) {
    times.push_back(sample.at);
    seconds.push_back(sample.seconds);
  }
  json series = json::object();
  for (size_t i = 0; i < kMeasures; ++i) {
    json values = json::array();
    for (const Sample& sample : samples) values.push_back(sample.values[i]);
    series[std::string(measure_name(static_cast<Measure>(i)))] = std::move(values);
  }
  return json_response(200, {{"metrics",
                              {{"endpoint_id", endpoint.id},
                               {"from", from},
                               {"to", to},
                               {"times", std::move(times)},
                               {"seconds", std::move(seconds)},
                               {"series", std::move(series)}}}});
}

}  // namespace halogen::control::api
