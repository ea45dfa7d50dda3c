#include "proxy/admin/admin.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace halogen::proxy {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kInt4 = 23;
constexpr uint32_t kInt8 = 20;
constexpr uint32_t kText = 25;

constexpr std::string_view kHelp =
    "SHOW POOLS      clients and server connections by database, role and mode\n"
    "SHOW CLIENTS    every client: its state, what pins it, its server\n"
    "SHOW SERVERS    every server connection of the endpoint's compute\n"
    "SHOW STATS      what has been done, by database\n"
    "SHOW DATABASES  databases that clients are connected to\n"
    "SHOW LISTS      counts\n"
    "KILL ptr        ends a client of your own role; ptr is from SHOW CLIENTS\n"
    "SHOW CONFIG     the pooler's settings for this endpoint; changed through the API\n"
    "SHOW VERSION\n"
    "SHOW HELP";

// Rows are built column by column, so that a name and its value stand together.
class Table {
 public:
  void begin_row() {
    rows_.emplace_back();
    at_ = 0;
  }
  void text(const char* name, std::string value) { put(name, kText, -1, std::move(value)); }
  void text(const char* name, std::string_view value) { text(name, std::string(value)); }
  void null(const char* name) { put(name, kText, -1, std::nullopt); }
  template <std::integral T>
  void number(const char* name, T value) {
    if (sizeof(T) > 4)
      put(name, kInt8, 8, std::to_string(value));
    else
      put(name, kInt4, 4, std::to_string(value));
  }
  // In a first row that is not told: names where there may be no rows.
  AdminAnswer take() {
    AdminAnswer answer;
    rows_.erase(rows_.begin());
    answer.columns = std::move(columns_);
    answer.rows = std::move(rows_);
    answer.tag = "SHOW";
    return answer;
  }

 private:
  void put(const char* name, uint32_t type, int16_t size, std::optional<std::string> value) {
    if (rows_.size() == 1) columns_.push_back({name, type, size});
    CHECK(columns_.at(at_++).name == name);
    rows_.back().push_back(std::move(value));
  }
  std::vector<wire::Column> columns_;
  std::vector<wire::Row> rows_;
  size_t at_ = 0;
};

// `row` is also called for an object that is none, for the names.
template <typename T, typename Row>
AdminAnswer table_of(const std::vector<T>& objects, Row row) {
  Table table;
  table.begin_row();
  row(table, T{});
  for (const T& object : objects) {
    table.begin_row();
    row(table, object);
  }
  return table.take();
}

std::string when(SystemTime at) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

int64_t whole_seconds(microseconds time) { return time.count() / 1'000'000; }
int64_t rest_of_second(microseconds time) { return time.count() % 1'000'000; }

std::string reasons(const std::map<std::string, int>& pinned_by) {
  std::string text;
  for (auto& [reason, count] : pinned_by)
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", reason, count);
  return text;
}

AdminAnswer show_pools(const PoolerStatus& status) {
  return table_of(status.pools, [](Table& row, const PoolerPool& pool) {
    row.text("database", pool.database);
    row.text("user", pool.role);
    row.number("cl_active", pool.all() - pool.waiting());
    row.number("cl_waiting", pool.waiting());
    row.number("cl_active_cancel_req", 0);
    row.number("cl_waiting_cancel_req", 0);
    row.number("sv_active", pool.servers_used);
    row.number("sv_active_cancel", 0);
    row.number("sv_being_canceled", 0);
    row.number("sv_idle", pool.servers_idle);
    row.number("sv_used", 0);
    row.number("sv_tested", 0);
    row.number("sv_login", pool.servers_opening);
    row.number("maxwait", whole_seconds(pool.longest_wait));
    row.number("maxwait_us", rest_of_second(pool.longest_wait));
    row.text("pool_mode", pool_mode_name(pool.mode));
    row.number("pool_size", pool.size);
    row.number("parked", pool.of(ClientState::parked));
    row.number("waking", pool.of(ClientState::waking));
    row.number("pinned", pool.of(ClientState::pinned));
    row.text("pinned_by", reasons(pool.pinned_by));
  });
}

AdminAnswer show_clients(const PoolerStatus& status) {
  return table_of(status.clients, [](Table& row, const PoolerClient& client) {
    row.text("type", std::string_view("C"));
    row.text("user", client.role);
    row.text("database", client.database);
    row.text("state", client_state_name(client.state));
    row.text("addr", client.address);
    row.number("port", client.port);
    row.text("local_addr", std::string_view());
    row.number("local_port", 0);
    row.text("connect_time", when(client.connected));
    row.text("request_time", when(client.last_request));
    row.number("wait", whole_seconds(client.waited));
    row.number("wait_us", rest_of_second(client.waited));
    row.number("close_needed", 0);
    row.text("ptr", fmt::format("{:x}", client.id));
    row.text("link", client.server == 0 ? "" : fmt::format("{:x}", client.server));
    row.number("remote_pid", static_cast<int>(client.server_pid));
    row.text("tls", client.tls);
    row.text("application_name", client.application_name);
    row.text("pool_mode", pool_mode_name(client.mode));
    row.text("pinned_by", client.pinned_by);
    row.number("query_count", client.queries);
    row.number("xact_count", client.transactions);
    row.number("pid", static_cast<int>(client.pid));
  });
}

AdminAnswer show_servers(const PoolerStatus& status) {
  return table_of(status.servers, [](Table& row, const PoolerServer& server) {
    row.text("type", std::string_view("S"));
    row.text("user", server.role);
    row.text("database", server.database);
    row.text("state", std::string_view(server.used ? "active" : "idle"));
    row.text("addr", std::string_view("unix"));
    row.number("port", 5432);
    row.text("local_addr", std::string_view("unix"));
    row.number("local_port", 0);
    row.text("connect_time", when(server.opened));
    row.text("request_time", when(server.last_used));
    row.number("wait", int64_t{0});
    row.number("wait_us", int64_t{0});
    row.number("close_needed", 0);
    row.text("ptr", fmt::format("{:x}", server.id));
    row.text("link", server.client == 0 ? "" : fmt::format("{:x}", server.client));
    row.number("remote_pid", static_cast<int>(server.pid));
    row.text("tls", std::string_view());
    row.text("application_name", std::string_view());
    row.number("prepared_statements", static_cast<int>(server.prepared_statements));
  });
}

struct DatabaseTotals {
  std::string name;
  PoolerTotals totals;
};

// Averages are over all the time since the first client came, counts of them per second.
AdminAnswer show_stats(const PoolerStatus& status) {
  std::vector<DatabaseTotals> all;
  for (auto& [name, totals] : status.totals) all.push_back({name, totals});
  return table_of(all, [](Table& row, const DatabaseTotals& one) {
    const PoolerTotals& t = one.totals;
    auto us = [](std::chrono::nanoseconds time) {
      return duration_cast<microseconds>(time).count();
    };
    auto age = duration_cast<seconds>(steady_clock::now() - t.since).count();
    auto per_second = [age](uint64_t count) { return count / static_cast<uint64_t>(age + 1); };
    auto each = [](int64_t time, uint64_t count) {
      return count == 0 ? 0 : time / static_cast<int64_t>(count);
    };
    row.text("database", one.name);
    row.number("total_xact_count", t.transactions);
    row.number("total_query_count", t.queries);
    row.number("total_received", t.received);
    row.number("total_sent", t.sent);
    row.number("total_xact_time", us(t.transaction_time));
    row.number("total_query_time", us(t.request_time));
    row.number("total_wait_time", us(t.wait_time));
    row.number("avg_xact_count", per_second(t.transactions));
    row.number("avg_query_count", per_second(t.queries));
    row.number("avg_recv", per_second(t.received));
    row.number("avg_sent", per_second(t.sent));
    row.number("avg_xact_time", each(us(t.transaction_time), t.transactions));
    row.number("avg_query_time", each(us(t.request_time), t.queries));
    row.number("avg_wait_time", each(us(t.wait_time), t.transactions));
  });
}

std::vector<std::string> databases_of(const PoolerStatus& status) {
  std::set<std::string> names{std::string(kAdminDatabase)};
  for (const PoolerPool& pool : status.pools) names.insert(pool.database);
  for (auto& [name, totals] : status.totals) names.insert(name);
  return {names.begin(), names.end()};
}

AdminAnswer show_databases(const PoolerStatus& status) {
  return table_of(databases_of(status), [&status](Table& row, const std::string& name) {
    bool admin = name == kAdminDatabase;
    int size = 0;
    int servers = 0;
    for (const PoolerPool& pool : status.pools) {
      if (pool.database != name) continue;
      size = std::max(size, pool.size);
      servers += pool.servers_used + pool.servers_idle + pool.servers_opening;
    }
    row.text("name", name);
    row.text("host", admin ? std::string() : status.endpoint);
    row.number("port", 5432);
    row.text("database", name);
    row.text("force_user", std::string_view());
    row.number("pool_size", size);
    row.number("min_pool_size", admin ? 0 : status.settings.min_pool_size);
    row.number("reserve_pool", 0);
    row.text("pool_mode", std::string_view(admin ? "statement" : "transaction"));
    row.number("max_connections", admin ? 0 : status.max_connections);
    row.number("current_connections", servers);
    row.number("paused", 0);
    row.number("disabled", 0);
  });
}

struct Count {
  std::string name;
  int64_t count = 0;
};

AdminAnswer show_lists(const PoolerStatus& status) {
  std::set<std::string> roles;
  Count clients{"used_clients"}, free{"free_servers"}, used{"used_servers"};
  Count parked{"parked_clients"}, pinned{"pinned_clients"}, waiting{"waiting_clients"};
  for (const PoolerPool& pool : status.pools) {
    roles.insert(pool.role);
    clients.count += pool.all();
    parked.count += pool.of(ClientState::parked);
    pinned.count += pool.of(ClientState::pinned);
    waiting.count += pool.waiting();
    free.count += pool.servers_idle;
    used.count += pool.servers_used;
  }
  std::vector<Count> counts{{"databases", static_cast<int64_t>(databases_of(status).size())},
                            {"users", static_cast<int64_t>(roles.size())},
                            {"pools", static_cast<int64_t>(status.pools.size())},
                            {"free_clients", 0},
                            clients,
                            {"login_clients", 0},
                            free,
                            used,
                            parked,
                            pinned,
                            waiting};
  return table_of(counts, [](Table& row, const Count& count) {
    row.text("list", count.name);
    row.number("items", count.count);
  });
}

struct Setting {
  std::string name;
  int64_t value = 0;
  int64_t standard = 0;
};

AdminAnswer show_config(const PoolerStatus& status) {
  const PoolSettings& now = status.settings;
  const PoolSettings standard;
  auto time = [](const char* name, milliseconds value, milliseconds otherwise) {
    return Setting{name, value.count() / 1000, otherwise.count() / 1000};
  };
  std::vector<Setting> settings{
      {"default_pool_size", now.pool_size, standard.pool_size},
      {"min_pool_size", now.min_pool_size, standard.min_pool_size},
      time("pinned_idle_timeout", now.pinned_idle_timeout, standard.pinned_idle_timeout),
      time("query_wait_timeout", now.query_wait_timeout, standard.query_wait_timeout),
      time("server_idle_timeout", now.server_idle_timeout, standard.server_idle_timeout),
      time("server_lifetime", now.server_lifetime, standard.server_lifetime)};
  return table_of(settings, [](Table& row, const Setting& setting) {
    row.text("key", setting.name);
    row.text("value", std::to_string(setting.value));
    row.text("default", std::to_string(setting.standard));
    row.text("changeable", std::string_view("yes"));
  });
}

AdminAnswer show_version(const PoolerStatus&) {
  return table_of(std::vector<std::string>{"Halogen pooler (PgBouncer 1.18 commands)"},
                  [](Table& row, const std::string& version) { row.text("version", version); });
}

AdminAnswer show_help(const PoolerStatus&) {
  AdminAnswer answer;
  answer.notice = kHelp;
  answer.tag = "SHOW";
  return answer;
}

AdminAnswer tagged(std::string tag) {
  AdminAnswer answer;
  answer.tag = std::move(tag);
  return answer;
}

// Words in lower case, one space between.
std::string words_of(std::string_view command) {
  std::string words;
  bool space = false;
  for (char c : command) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      space = !words.empty();
      continue;
    }
    if (std::exchange(space, false)) words.push_back(' ');
    words.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return words;
}

AdminAnswer failed(std::string_view sqlstate, std::string message, std::string_view hint) {
  AdminAnswer answer;
  answer.error = wire::ErrorFields{};
  answer.error->sqlstate = sqlstate;
  answer.error->message = std::move(message);
  answer.error->hint = hint;
  return answer;
}

// Whoever can log in as a role could end its sessions on any Postgres. Who has rights on others'
// is not known here: the API ends those.
AdminAnswer kill_client(std::string_view ptr, const PoolerStatus& status, std::string_view role) {
  uint64_t id = 0;
  auto [end, error] = std::from_chars(ptr.data(), ptr.data() + ptr.size(), id, 16);
  bool parsed = error == std::errc() && end == ptr.data() + ptr.size();
  auto client = std::ranges::find(status.clients, id, &PoolerClient::id);
  if (!parsed || client == status.clients.end())
    return failed("42704", fmt::format("there is no client {}", ptr),
                  "SHOW CLIENTS has them, in the column ptr.");
  if (client->role != role)
    return failed("42501", "permission denied to end another role's client",
                  "Log in as that role, or use the API.");
  AdminAnswer answer = tagged("KILL");
  answer.ends = id;
  return answer;
}

}  // namespace

AdminAnswer answer_admin(std::string_view command, const PoolerStatus& status,
                         std::string_view role) {
  using Show = AdminAnswer (*)(const PoolerStatus&);
  static const std::map<std::string, Show, std::less<>> kShows = {
      {"pools", show_pools},         {"clients", show_clients}, {"servers", show_servers},
      {"stats", show_stats},         {"lists", show_lists},     {"version", show_version},
      {"databases", show_databases}, {"config", show_config},   {"help", show_help}};
  std::string words = words_of(command);
  std::string_view rest = words;
  if (rest.starts_with("show ")) {
    auto found = kShows.find(rest.substr(5));
    if (found != kShows.end()) return found->second(status);
  }
  for (std::string_view kill : {"kill ", "kill_client "})
    if (rest.starts_with(kill)) return kill_client(rest.substr(kill.size()), status, role);
  // Of clients that begin a transaction unasked. There is nothing in it to be undone.
  std::string_view first = rest.substr(0, rest.find(' '));
  if (first == "begin" || rest.starts_with("start transaction")) return tagged("BEGIN");
  if (rest == "commit" || rest == "end") return tagged("COMMIT");
  if (rest == "rollback") return tagged("ROLLBACK");
  return failed("42601",
                fmt::format("unknown command of the admin view: {}", command.substr(0, 100)),
                "Use SHOW HELP.");
}

}  // namespace halogen::proxy
