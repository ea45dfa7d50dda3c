#include "control/api/requests.h"

#include <nlohmann/json.hpp>

#include "control/settings/endpoint_settings.h"
#include "control/settings/preload_libraries.h"
#include "control/timestamp.h"

namespace halogen::control::api {

using nlohmann::json;

std::string chosen_organization(Services& services, const Request& request,
                                const std::string& named) {
  std::string chosen = named.empty() ? request.principal.org_id : named;
  if (chosen.empty()) {
    const std::vector<Organization> all = services.accounts.organizations();
    if (all.size() != 1)
      throw ApiError(400, "",
                     "org_id is required, you can find it on your organization settings page");
    chosen = all.front().id;
  }
  authorize(request.principal, {.kind = Object::Kind::projects, .org_id = chosen}, Verb::view);
  return services.accounts.organization(chosen).id;
}

WantedMoment moment_in(const json& object, const char* lsn_key, const char* time_key) {
  WantedMoment moment;
  if (std::string text = text_or(object, lsn_key, ""); !text.empty()) {
    moment.lsn = Lsn::parse(text);
    if (!moment.lsn)
      throw Error(Errc::invalid_argument, "{} must be an LSN, as 0/1A2B3C4D", lsn_key);
  }
  moment.time = time_in(object, time_key);
  return moment;
}

WantedMoment moment_in(const Request& request, const char* lsn_key, const char* time_key) {
  return moment_in(
      json{{lsn_key, request.query_or(lsn_key, "")}, {time_key, request.query_or(time_key, "")}},
      lsn_key, time_key);
}

std::optional<Micros> time_in(const json& object, const char* key) {
  std::string text = text_or(object, key, "");
  if (text.empty()) return std::nullopt;
  std::optional<Micros> time = parse_timestamp(text);
  if (!time)
    throw Error(Errc::invalid_argument, "{} must be a time with its zone, as 2026-11-23T01:26:10Z",
                key);
  return time;
}

namespace {

std::optional<double> real_in(const json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (!found->is_number()) throw Error(Errc::invalid_argument, "{} must be a number", key);
  return found->get<double>();
}

}  // namespace

EndpointRequest endpoint_request(Services& services, const json& wanted) {
  EndpointRequest request;
  const std::string type = text_or(wanted, "type", "read_write");
  if (type != "read_write" && type != "read_only")
    throw Error(Errc::invalid_argument, "type must be read_write or read_only");
  request.read_only = type == "read_only";
  request.name = text_or(wanted, "name", "");
  request.disabled = flag_or(wanted, "disabled", false);
  request.least_cu = real_in(wanted, "autoscaling_limit_min_cu");
  request.most_cu = real_in(wanted, "autoscaling_limit_max_cu");
  if (wanted.contains("suspend_timeout_seconds"))
    request.idle_timeout = number_or(wanted, "suspend_timeout_seconds", 0);
  json settings = object_or_empty(wanted, "settings");
  if (!settings.empty())
    request.settings = changed_settings(services, json::object(), settings).dump();
  if (flag_or(wanted, "passwordless_access", false))
    throw Error(Errc::conflict, "passwordless_access is not offered: every login needs a password");
  return request;
}

void checked_pg_settings(Services& services, const json& settings) {
  if (!settings.is_object()) throw Error(Errc::invalid_argument, "pg_settings must be an object");
  json joined = joined_settings(settings, json::object(), false);
  if (services.settings_guard) check_settings(postgres_values(joined));
}

namespace {

// An endpoint's own preload_libraries are its shared_preload_libraries by another name.
json postgres_settings_after(const json& before, const json& changes) {
  json after = changes.contains("pg_settings") ? object_or_empty(changes, "pg_settings")
                                               : postgres_part(before);
  if (!changes.contains("preload_libraries")) return after;
  std::string joined;
  for (const std::string& name : enabled_libraries(changes))
    joined += (joined.empty() ? "" : ",") + name;
  after["shared_preload_libraries"] = joined;
  return after;
}

}  // namespace

json changed_settings(Services& services, const json& before, const json& changes) {
  const bool allowed = outgoing_traffic(before);
  const bool outgoing = flag_or(changes, "outgoing_traffic", allowed);
  if (outgoing && !allowed) services.host.require_outgoing_traffic();
  json joined = joined_settings(postgres_settings_after(before, changes),
                                changes.contains("pgbouncer_settings")
                                    ? object_or_empty(changes, "pgbouncer_settings")
                                    : pooler_part(before),
                                outgoing);
  if (services.settings_guard &&
      (changes.contains("pg_settings") || changes.contains("preload_libraries")))
    check_settings(postgres_values(joined));
  return joined;
}

}  // namespace halogen::control::api
