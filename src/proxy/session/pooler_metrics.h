// pooler_metrics.h: what the metrics tell of each endpoint that has clients, or had some lately.
// Pure. The only labels are the endpoint, the state and what pins: never a database or a role.
#pragma once
#include <vector>

#include "base/metric_sources.h"
#include "proxy/session/census.h"

namespace halogen::proxy {

std::vector<metrics::Family> pooler_metrics(const Statuses& statuses);

}  // namespace halogen::proxy
