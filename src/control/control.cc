#include "control/control.h"

#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "control/accounts.h"
#include "control/api/console.h"
#include "control/api/server.h"
#include "control/catalog.h"
#include "control/members.h"
#include "control/monitor.h"
#include "control/names.h"
#include "control/projects.h"
#include "control/reconcile.h"
#include "control/suspend.h"
#include "control/usage_meter.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr Micros kOperationsKept = Micros{180} * 86'400 * 1'000'000;

// The operator's key, the one secret of the API that is kept in clear, in one file at mode 0600:
// the command line of the same user needs no login. Without the file there is a new key.
void keep_api_key(const fs::path& file, Accounts& accounts) {
  std::error_code ignored;
  if (fs::exists(file, ignored) && accounts.principal_of(read_file(file))) return;
  std::string key = new_api_key();
  accounts.set_operator_key("local", key);
  write_file_durably(file, key, 0600);
}

}  // namespace

struct Control::Impl {
  UsageMeter::Sources usage_sources(const Options& options) {
    return {
        .activity = [this] { return endpoints.take_activity(); },
        .branch =
            [this](const std::string& id) {
              const Branch branch = catalog.branch(id);
              return UsageMeter::Branch{branch.id, branch.project_id, branch.timeline};
            },
        .wal = [&safekeeper = options.safekeeper](TimelineId id) { return safekeeper.status(id); },
        .stored_bytes =
            [&pageserver = options.pageserver](TimelineId id) {
              return static_cast<int64_t>(pageserver.timeline(id).physical_bytes);
            },
        .sent =
            [this] {
              return services.pooler != nullptr ? services.pooler->bytes_sent()
                                                : std::map<std::string, uint64_t>();
            },
        .all_branches =
            [this] {
              std::vector<UsageMeter::Branch> all;
              for (const Branch& branch : catalog.all_branches())
                all.push_back({branch.id, branch.project_id, branch.timeline});
              return all;
            },
        .recorded = [this] { quotas.look(); }};
  }

  explicit Impl(const Options& options)
      : server(options.http_host, options.http_port,
               options.http_listener(options.http_host, options.http_port)),
        catalog(options.home / "catalog.db",
                {options.key_file, options.forget_unreadable_passwords}),
        accounts(options.home / "catalog.db"),
        members(options.home / "catalog.db"),
        endpoints({catalog, options.compute, options.layers.settings_guard}),
        usage(options.home / "usage.db"),
        quotas({catalog, endpoints, options.compute, options.pageserver, usage}),
        projects({.catalog = catalog,
                  .endpoints = endpoints,
                  .host = options.compute,
                  .pageserver = options.pageserver,
                  .safekeeper = options.safekeeper,
                  .domain = options.region + "." + options.domain,
                  .pg_port = options.pg_port,
                  .quotas = &quotas}),
        roles_databases(catalog, endpoints, options.compute, projects.turns(),
                        projects.operations()),
        usage_meter(usage, usage_sources(options)),
        reconcile(catalog, options.pageserver, options.safekeeper, [this] { keep_house(); }),
        monitor({catalog, endpoints, options.compute, options.pageserver,
                 [this] { return services.pooler; }, options.home / "metrics.db"}),
        sessions({options.home,
                  [this](const std::string& hash) {
                    return accounts.principal_of_hash(hash).has_value();
                  }}),
        console(options.console, sessions, server.port()),
        audit_log(options.home / "audit.log"),
        services{.catalog = catalog,
                 .accounts = accounts,
                 .members = members,
                 .projects = projects,
                 .roles_databases = roles_databases,
                 .endpoints = endpoints,
                 .host = options.compute,
                 .pageserver = options.pageserver,
                 .safekeeper = options.safekeeper,
                 .region = options.region,
                 .settings_guard = options.layers.settings_guard,
                 .open_metrics = options.open_metrics,
                 .audit_log = &audit_log,
                 .requests_per_second = options.requests_per_second,
                 .usage = &usage,
                 .monitor = &monitor,
                 .console = &console} {
    catalog.set_end_of_log(
        [&safekeeper = options.safekeeper](TimelineId id) { return safekeeper.catch_up(id); });
    endpoints.set_look([this](const std::string& endpoint, const std::string& moment) {
      return projects.looks().look_at(endpoint, moment);
    });
    endpoints.set_more_settings(
        [this](const Endpoint& endpoint) { return quotas.settings_of(endpoint); });
    endpoints.set_reader_timeline(
        [this](const Endpoint& reader) { return projects.branches().reader_timeline(reader); });
    keep_api_key(options.home / "api_key", accounts);
  }

  void keep_house() {
    projects.looks().close_idle();
    projects.branches().remove_expired();
    projects.remove_expired();
    projects.snapshots().keep_schedules();
    catalog.prune_operations(now_micros() - kOperationsKept);
  }

  // In the order of their dependencies.
  api::Server server;
  Catalog catalog;
  Accounts accounts;
  Members members;
  EndpointManager endpoints;
  UsageStore usage;
  Quotas quotas;
  Projects projects;
  RolesAndDatabases roles_databases;
  UsageMeter usage_meter;
  Reconcile reconcile;
  Monitor monitor;
  console::ConsoleSessions sessions;
  api::Console console;
  api::AuditLog audit_log;
  api::Services services;
};

Control::Control(Options options) : impl_(std::make_unique<Impl>(options)) {}

Control::~Control() { stop(); }

void Control::start() {
  impl_->catalog.fail_interrupted_operations();
  impl_->projects.attach_all();
  impl_->endpoints.start();
  impl_->projects.restore_access();
  impl_->projects.finish_interrupted();
  impl_->roles_databases.go_on();
  impl_->reconcile.start();
  impl_->monitor.start();
  impl_->usage_meter.start();
  impl_->server.start(impl_->services);
  logger.info("control is up: {} projects, API on port {}", impl_->catalog.projects().size(),
              impl_->server.port());
}

void Control::stop() {
  impl_->server.stop();
  impl_->monitor.stop();
  impl_->reconcile.stop();
  impl_->projects.stop();
  impl_->quotas.stop();
  impl_->endpoints.stop();
  impl_->usage_meter.stop();
}

Endpoints& Control::endpoints() { return impl_->endpoints; }

void Control::set_pooler(Pooler& pooler) { impl_->services.pooler = &pooler; }

void Control::set_sql_door(SqlDoor& door) { impl_->services.sql_door = &door; }

int Control::http_port() const { return impl_->server.port(); }

std::string Control::sign_in_secret() { return impl_->sessions.make_link(); }

std::string Control::operator_password() { return impl_->sessions.password(); }

void Control::describe(std::string platform, std::function<std::vector<Component>()> components,
                       std::function<std::string(const std::string&)> data_directory) {
  impl_->services.data_directory = std::move(data_directory);
  impl_->services.platform = std::move(platform);
  impl_->services.components = [components = std::move(components)] {
    std::vector<api::ComponentStatus> told;
    for (Component& component : components())
      told.push_back({component.name, component.state, component.detail});
    return told;
  };
}

std::string Control::first_connection_string() {
  Catalog& catalog = impl_->catalog;
  ConnectionStrings& strings = impl_->projects.connection_strings();
  for (const Project& project : catalog.projects()) {
    if (project.state != "ready") continue;
    Branch branch = catalog.default_branch(project.id);
    const Endpoint endpoint = catalog.endpoint_of_branch(branch.id);
    if (endpoint.asked_for) return strings.uri(endpoint, "", "", false);
  }
  const std::string organization = impl_->accounts.organizations().front().id;
  CreatedBranch made = impl_->projects.create({.name = "first", .org_id = organization});
  return strings.uri(made.endpoint, "", "", false);
}

}  // namespace halogen::control
