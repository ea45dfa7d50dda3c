#include "control/control.h"

#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "control/api/console.h"
#include "control/api/server.h"
#include "control/catalog.h"
#include "control/monitor.h"
#include "control/names.h"
#include "control/projects.h"
#include "control/reconcile.h"
#include "control/suspend.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

// The operator's key, the one secret of the API that is kept in clear, in one file at mode 0600:
// the command line of the same user needs no login. Without the file there is a new key.
void keep_api_key(const fs::path& file, Catalog& catalog) {
  std::error_code ignored;
  if (fs::exists(file, ignored) && catalog.knows_api_key(read_file(file))) return;
  std::string key = new_api_key();
  catalog.set_api_key("local", key);
  write_file_durably(file, key, 0600);
}

}  // namespace

struct Control::Impl {
  explicit Impl(const Options& options)
      : server(options.http_host, options.http_port),
        catalog(options.home / "catalog.db",
                {options.key_file, options.forget_unreadable_passwords}),
        endpoints({catalog, options.compute, options.layers.settings_guard}),
        projects({catalog, endpoints, options.compute, options.pageserver, options.safekeeper,
                  options.region + "." + options.domain, options.pg_port}),
        roles_databases(catalog, endpoints, options.compute),
        reconcile(catalog, options.pageserver, options.safekeeper,
                  [this] { projects.close_idle_looks(); }),
        monitor({catalog, endpoints, options.compute, options.pageserver,
                 [this] { return services.pooler; }, options.home / "metrics.db"}),
        sessions({options.home,
                  [this](const std::string& hash) { return catalog.knows_api_key_hash(hash); }}),
        console(options.console, sessions, server.port()),
        services{.catalog = catalog,
                 .projects = projects,
                 .roles_databases = roles_databases,
                 .endpoints = endpoints,
                 .host = options.compute,
                 .pageserver = options.pageserver,
                 .safekeeper = options.safekeeper,
                 .region = options.region,
                 .settings_guard = options.layers.settings_guard,
                 .open_metrics = options.open_metrics,
                 .monitor = &monitor,
                 .console = &console} {
    endpoints.set_look([this](const std::string& endpoint, const std::string& moment) {
      return projects.look_at(endpoint, moment);
    });
    keep_api_key(options.home / "api_key", catalog);
  }

  // In the order of their dependencies.
  api::Server server;
  Catalog catalog;
  EndpointManager endpoints;
  Projects projects;
  RolesAndDatabases roles_databases;
  Reconcile reconcile;
  Monitor monitor;
  console::ConsoleSessions sessions;
  api::Console console;
  api::Services services;
};

Control::Control(Options options) : impl_(std::make_unique<Impl>(options)) {}

Control::~Control() { stop(); }

void Control::start() {
  impl_->catalog.fail_unfinished_operations();
  impl_->projects.attach_all();
  impl_->projects.restore_allow_lists();
  impl_->endpoints.start();
  impl_->projects.finish_interrupted();
  impl_->reconcile.start();
  impl_->monitor.start();
  impl_->server.start(impl_->services);
  logger.info("control is up: {} projects, API on port {}", impl_->catalog.projects().size(),
              impl_->server.port());
}

void Control::stop() {
  impl_->server.stop();
  impl_->monitor.stop();
  impl_->reconcile.stop();
  impl_->endpoints.stop();
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
  for (const Project& project : catalog.projects()) {
    if (project.state != "ready") continue;
    Branch branch = catalog.default_branch(project.id);
    return impl_->projects.connection_uri(catalog.endpoint_of_branch(branch.id), "", "", false);
  }
  CreatedBranch made = impl_->projects.create_project({.name = "first"});
  return impl_->projects.connection_uri(made.endpoint, "", "", false);
}

}  // namespace halogen::control
