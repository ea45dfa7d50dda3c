// What the API reads of a request: query, body, and the settings in it. The first line is the value
// of a query, the rest the body. Nothing may crash or overflow the stack, and what is taken can be
// written out again.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "control/api/request.h"
#include "control/settings/endpoint_settings.h"
#include "control/settings/project_settings.h"
#include "control/timestamp.h"

namespace {

using namespace halogen;
using namespace halogen::control;
using nlohmann::json;

template <typename Part>
void refused_or_done(Part part) {
  try {
    part();
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument);
  }
}

void read_query(const api::Request& request) {
  refused_or_done([&] {
    int64_t number = request.query_number("q", 7, -5, 1000);
    CHECK(number >= -5 && number <= 1000);
  });
}

void read_time(std::string_view text) {
  if (std::optional<int64_t> time = parse_timestamp(text))
    CHECK(parse_timestamp(timestamp(*time)) == time);
}

void read_body(const api::Request& request) {
  json body;
  refused_or_done([&] { body = request.body_json(); });
  if (!body.is_object()) return;
  std::string text = body.dump();
  CHECK(api::json_depth(text) <= api::kMostDepth);
  CHECK(json::parse(text) == body);
  refused_or_done([&] { api::text_or(body, "name", ""); });
  refused_or_done([&] {
    int64_t number = api::number_or(body, "n", 0);
    if (auto found = body.find("n"); found != body.end() && !found->is_null())
      CHECK(found->dump() == std::to_string(number));
  });
  refused_or_done([&] {
    json settings = merged_settings("{}", api::object_or_empty(body, "settings"));
    CHECK(merged_settings("{}", settings) == settings);
  });
  refused_or_done([&] {
    json joined = joined_settings(api::object_or_empty(body, "pg_settings"),
                                  api::object_or_empty(body, "pgbouncer_settings"),
                                  api::flag_or(body, "outgoing_traffic", false));
    CHECK(joined_settings(postgres_part(joined), pooler_part(joined), outgoing_traffic(joined)) ==
          joined);
    pool_settings(joined);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  api::Request request;
  size_t line = std::min(text.find('\n'), text.size());
  request.query["q"] = text.substr(0, line);
  request.body = text.substr(std::min(line + 1, text.size()));
  read_query(request);
  read_time(request.query["q"]);
  read_body(request);
  return 0;
}
