#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

json periods(json timeframe) {
  return list(object({required("period_id", uuid()), required("period_plan", text()),
                      required("period_start", time()), optional("period_end", time()),
                      required("consumption", list(std::move(timeframe)))}));
}

json first_style() {
  return object({required("timeframe_start", time()), required("timeframe_end", time()),
                 required("active_time_seconds", whole()),
                 required("compute_time_seconds", whole()), required("written_data_bytes", whole()),
                 required("synthetic_storage_size_bytes", whole()),
                 optional("data_storage_bytes_hour", whole())});
}

json second_style() {
  return object({required("timeframe_start", time()), required("timeframe_end", time()),
                 required("metrics", list(object({required("metric_name", text()),
                                                  required("value", whole())})))});
}

json page(const char* name, std::initializer_list<Field> ids, json timeframe) {
  json one = object(ids);
  one["properties"]["periods"] = periods(std::move(timeframe));
  one["required"].push_back("periods");
  return object({required(name, list(std::move(one))),
                 optional("pagination", object({required("cursor", text())}))});
}

json granularity() { return choice({"hourly", "daily", "monthly"}); }

}  // namespace

void add_consumption_paths(json& paths) {
  const std::string path = "/consumption_history";
  OperationDescription(paths, "GET", path + "/projects", "getConsumptionHistoryPerProject",
                       "What projects have used, by hours, days or months")
      .query({{"cursor", text()},
              {"limit", whole(1, 100)},
              {"project_ids", described(text(), "With commas between")},
              {"from", time(), true},
              {"to", time(), true},
              {"granularity", granularity(), true},
              {"org_id", id()},
              {"include_v1_metrics", flag()},
              {"metrics", text()}})
      .answers(200, page("projects", {required("project_id", id())}, first_style()));
  OperationDescription(paths, "GET", path + "/v2/projects", "getConsumptionHistoryPerProjectV2",
                       "The same as a list of metrics")
      .query({{"cursor", text()},
              {"limit", whole(1, 100)},
              {"project_ids", described(text(), "With commas between")},
              {"from", time(), true},
              {"to", time(), true},
              {"granularity", granularity(), true},
              {"org_id", id()},
              {"metrics", described(text(), "With commas between"), true}})
      .answers(200, page("projects", {required("project_id", id())}, second_style()));
  OperationDescription(paths, "GET", path + "/v2/branches", "getConsumptionHistoryPerBranchV2",
                       "What branches have used")
      .query({{"cursor", text()},
              {"limit", whole(1, 1000)},
              {"project_ids", described(text(), "With commas between"), true},
              {"branch_ids", described(text(), "With commas between")},
              {"from", time(), true},
              {"to", time(), true},
              {"granularity", granularity(), true},
              {"org_id", id()},
              {"metrics", described(text(), "With commas between"), true}})
      .answers(200, page("branches", {required("project_id", id()), required("branch_id", id())},
                         second_style()));
}

}  // namespace halogen::control::api::parts
