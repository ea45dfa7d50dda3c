// What projects and branches have used, by hour, day or month. Nothing is woken to tell it.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/timestamp.h"
#include "control/usage_store.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kHoursPerMonth = 744;  // As bills count them: what is stored, times this.

struct Range {
  Granularity granularity = Granularity::hourly;
  int64_t from = 0, to = 0;
};

int64_t next_period(Granularity granularity, int64_t begin) {
  if (granularity == Granularity::hourly) return begin + kHour;
  if (granularity == Granularity::daily) return begin + kDay;
  return period_of(Granularity::monthly, begin + 32 * kDay);
}

Granularity granularity_in(const Request& request) {
  const std::string name = request.query_or("granularity", "");
  if (name == "hourly") return Granularity::hourly;
  if (name == "daily") return Granularity::daily;
  if (name == "monthly") return Granularity::monthly;
  throw Error(Errc::invalid_argument, "granularity must be hourly, daily or monthly");
}

int64_t seconds_in(const Request& request, const char* name) {
  const std::string text = request.query_or(name, "");
  const std::optional<Micros> time = parse_timestamp(text);
  if (!time)
    throw Error(Errc::invalid_argument, "{} must be a time with its zone, as 2026-11-23T01:26:10Z",
                name);
  return *time / 1'000'000;
}

// As much as is kept, and no more than clients know of.
Range range_in(const Request& request) {
  Range range{.granularity = granularity_in(request)};
  const int64_t from = seconds_in(request, "from");
  const int64_t to = seconds_in(request, "to");
  range.from = period_of(range.granularity, from);
  // What has begun is part of it.
  range.to = period_of(range.granularity, to);
  if (range.to < to) range.to = next_period(range.granularity, range.to);
  const int64_t days = range.granularity == Granularity::hourly  ? 7
                       : range.granularity == Granularity::daily ? 60
                                                                 : 366;
  const int64_t oldest = period_of(range.granularity, now_micros() / 1'000'000 - days * kDay);
  if (from > to || range.from < oldest)
    throw ApiError(406, "",
                   "the range from `from` to `to` is outside the boundaries of the specified "
                   "`granularity`: adjust them, or select a different `granularity`");
  return range;
}

// A list of texts, with commas between.
std::vector<std::string> list_in(const Request& request, const char* name, size_t most) {
  const std::string text = request.query_or(name, "");
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (parts.size() > most)
    throw Error(Errc::invalid_argument, "{} has more than {} members", name, most);
  return parts;
}

// The same for the same project and month.
std::string period_id(const std::string& of, int64_t month) {
  auto part = [&](const char* salt) {
    uint64_t hash = 14695981039346656037u;  // FNV-1a.
    for (char c : std::string(salt) + of + std::to_string(month))
      hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
    return hash;
  };
  const uint64_t high = part("a"), low = part("b");
  return fmt::format("{:08x}-{:04x}-8{:03x}-8{:03x}-{:012x}", high >> 32, (high >> 16) & 0xffff,
                     high & 0xfff, (low >> 48) & 0xfff, low & 0xffff'ffff'ffff);
}

using Timeframe = std::function<json(const UsagePeriod&, int64_t end)>;

// Grouped by months, which is how usage is counted.
json periods_json(const std::string& of, const std::vector<UsagePeriod>& history,
                  const Range& range, const Timeframe& timeframe) {
  json periods = json::array();
  int64_t month = -1;
  for (const UsagePeriod& used : history) {
    if (const int64_t begin = period_of(Granularity::monthly, used.begin); begin != month) {
      month = begin;
      json period = {{"period_id", period_id(of, month)},
                     {"period_plan", "self-hosted"},
                     {"period_start", rfc3339(month * 1'000'000)},
                     {"consumption", json::array()}};
      const int64_t end = next_period(Granularity::monthly, month);
      if (end <= now_micros() / 1'000'000) period["period_end"] = rfc3339(end * 1'000'000);
      periods.push_back(std::move(period));
    }
    const int64_t end = next_period(range.granularity, used.begin);
    json one = timeframe(used, end);
    one["timeframe_start"] = rfc3339(used.begin * 1'000'000);
    one["timeframe_end"] = rfc3339(end * 1'000'000);
    periods.back()["consumption"].push_back(std::move(one));
  }
  return periods;
}

json first_style(const UsagePeriod& period, int64_t end) {
  const Usage& used = period.usage;
  const int64_t hours = std::max<int64_t>((end - period.begin) / kHour, 1);
  return {{"active_time_seconds", used.active_ms / 1000},
          {"compute_time_seconds", used.compute_ms / 1000},
          {"written_data_bytes", used.written_bytes},
          {"synthetic_storage_size_bytes", used.storage_byte_hours / hours},
          {"data_storage_bytes_hour", used.storage_byte_hours}};
}

// Those that are asked for and counted here: of the others there is none.
Timeframe second_style(const std::vector<std::string>& metrics, bool child) {
  const std::set<std::string> wanted(metrics.begin(), metrics.end());
  return [wanted, child](const UsagePeriod& period, int64_t) {
    const Usage& used = period.usage;
    json values = json::array();
    auto add = [&](const char* name, int64_t value) {
      if (wanted.contains(name)) values.push_back({{"metric_name", name}, {"value", value}});
    };
    add("compute_unit_seconds", used.compute_ms / 1000);
    add(child ? "child_branch_bytes_month" : "root_branch_bytes_month",
        used.storage_byte_hours / kHoursPerMonth);
    add("public_network_transfer_bytes", used.transfer_bytes);
    return json{{"metrics", std::move(values)}};
  };
}

// Those behind the cursor, which is the id of the last one that was told. Behind one that is not
// known (any more) there is nothing.
template <typename T>
std::vector<T> page_of(const std::vector<T>& all, const Request& request, int64_t usual,
                       int64_t most) {
  const std::string cursor = request.query_or("cursor", "");
  auto first = cursor.empty() ? all.begin() : std::ranges::find(all, cursor, &T::id);
  if (!cursor.empty() && first != all.end()) ++first;
  const int64_t limit = request.query_number("limit", usual, 1, most);
  return {first, first + std::min(limit, std::ssize(all) - (first - all.begin()))};
}

template <typename T>
Response page_response(const char* name, json listed, const std::vector<T>& page,
                       const Request& request) {
  const std::string cursor = page.empty() ? request.query_or("cursor", "") : page.back().id;
  json answer = {{name, std::move(listed)}};
  if (!cursor.empty()) answer["pagination"] = {{"cursor", cursor}};
  return json_response(200, answer);
}

// The organization's, or those among them that are named.
std::vector<Project> projects_in(Services& services, const Request& request, bool newest_first) {
  const std::string org = chosen_organization(services, request, request.query_or("org_id", ""));
  const std::vector<std::string> named = list_in(request, "project_ids", 100);
  std::vector<Project> all = services.catalog.projects();
  std::erase_if(all, [&](const Project& one) {
    return one.org_id != org || one.state == "deleting" ||
           (!named.empty() && std::ranges::find(named, one.id) == named.end());
  });
  std::ranges::sort(all, [&](const Project& a, const Project& b) {
    const auto left = std::tie(a.created_at, a.id), right = std::tie(b.created_at, b.id);
    return newest_first ? right < left : left < right;
  });
  return all;
}

// Of the named projects, by id; of their branches, if some are named, those.
std::vector<Branch> branches_in(Services& services, const Request& request) {
  const std::string org = chosen_organization(services, request, request.query_or("org_id", ""));
  std::vector<std::string> projects = list_in(request, "project_ids", 100);
  if (projects.empty()) throw Error(Errc::invalid_argument, "project_ids is required");
  std::ranges::sort(projects);
  const std::vector<std::string> named = list_in(request, "branch_ids", 100);
  std::vector<Branch> branches;
  for (const std::string& id : projects) {
    if (services.projects.present(id).org_id != org)
      throw Error(Errc::not_found, "project not found");
    std::vector<Branch> all = services.catalog.branches(id);
    std::ranges::sort(all, {}, &Branch::id);
    for (Branch& branch : all)
      if (branch.is_listed() &&
          (named.empty() || std::ranges::find(named, branch.id) != named.end()))
        branches.push_back(std::move(branch));
  }
  return branches;
}

std::vector<UsagePeriod> history_of(Services& services, const std::string& project,
                                    const std::string& branch, const Range& range) {
  if (services.usage == nullptr) return {};
  return services.usage->history(project, branch, range.granularity, range.from, range.to);
}

Response consumption_of_projects(Services& services, const Request& request, bool newest_first,
                                 const Timeframe& timeframe) {
  const Range range = range_in(request);
  const std::vector<Project> page =
      page_of(projects_in(services, request, newest_first), request, 10, 100);
  json listed = json::array();
  for (const Project& project : page)
    listed.push_back(
        {{"project_id", project.id},
         {"periods", periods_json(project.id, history_of(services, project.id, "", range), range,
                                  timeframe)}});
  return page_response("projects", std::move(listed), page, request);
}

}  // namespace

Response get_consumption(Services& services, const Request& request) {
  return consumption_of_projects(services, request, false, first_style);
}

Response get_consumption_of_projects(Services& services, const Request& request) {
  return consumption_of_projects(services, request, true,
                                 second_style(list_in(request, "metrics", 32), false));
}

Response get_consumption_of_branches(Services& services, const Request& request) {
  const Range range = range_in(request);
  const std::vector<std::string> metrics = list_in(request, "metrics", 32);
  const std::vector<Branch> page = page_of(branches_in(services, request), request, 100, 1000);
  json listed = json::array();
  for (const Branch& branch : page) {
    const Timeframe timeframe = second_style(metrics, branch.parent_id.has_value());
    listed.push_back(
        {{"project_id", branch.project_id},
         {"branch_id", branch.id},
         {"periods",
          periods_json(branch.id, history_of(services, branch.project_id, branch.id, range), range,
                       timeframe)}});
  }
  return page_response("branches", std::move(listed), page, request);
}

}  // namespace halogen::control::api
