#include "compute/agent/template.h"

#include <signal.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "compute/agent/data_directory.h"
#include "compute/agent/postmaster.h"
#include "compute/agent/process.h"
#include "compute/agent/sql.h"
#include "compute/agent/step_times.h"
#include "postgres/wal_page.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

constexpr std::chrono::seconds kStepDeadline{120};

// neon_superuser is what the owner of a project may do: everything short of a superuser. Without
// REPLICATION: only a superuser may change a role that has it, so the owner could not even change
// his own password.
constexpr const char* kRoles = R"(
CREATE ROLE neon_superuser NOLOGIN CREATEDB CREATEROLE;
GRANT pg_read_all_data, pg_write_all_data, pg_monitor, pg_signal_backend TO neon_superuser;
CREATE ROLE neondb_owner LOGIN CREATEDB CREATEROLE BYPASSRLS IN ROLE neon_superuser;
)";

void make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0) throw system_error(errno, path.string());
}

std::string tail(const fs::path& log) {
  try {
    std::string text = read_file(log);
    return text.size() > 2000 ? text.substr(text.size() - 2000) : text;
  } catch (const Error&) {
    return "";
  }
}

void run_initdb(Supervisor& supervisor, const fs::path& bin, const fs::path& scratch) {
  Launch launch;
  launch.program = bin / "initdb";
  launch.arguments = {"-D",       scratch / "data", "-U",      kSuperuser,     "--encoding",
                      "UTF8",     "--locale",       "C.UTF-8", "--auth=trust", "--no-instructions",
                      "--no-sync"};
  launch.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + scratch.string()};
  launch.folder = scratch;
  launch.log = scratch / "log";
  auto child = supervisor.spawn(launch);
  if (!child->wait_end(Deadline::after(kStepDeadline))) {
    child->signal(SIGKILL);
    kill_postgres_in(scratch, Deadline::after(kStepDeadline));
    throw Error(Errc::timed_out, "initdb takes too long: {}", tail(launch.log));
  }
  if (!child->ended_well())
    throw Error(Errc::internal, "initdb failed ({}): {}", child->how_it_ended(), tail(launch.log));
}

// Without the shim: these are whole, local files.
std::vector<std::string> server_arguments(const fs::path& socket_folder,
                                          const fs::path& libraries) {
  std::vector<std::string> arguments;
  for (const std::string& setting :
       {"unix_socket_directories=" + socket_folder.string(), std::string("listen_addresses="),
        std::string("fsync=off"), std::string("full_page_writes=off"),
        std::string("autovacuum=off"), std::string("shared_preload_libraries=halogen"),
        "dynamic_library_path=" + libraries.string() + ":$libdir"}) {
    arguments.push_back("-c");
    arguments.push_back(setting);
  }
  return arguments;
}

void fill_databases(const ComputeAddress& address, const fs::path& libraries) {
  Deadline deadline = Deadline::after(kStepDeadline);
  SqlConnection postgres(address, "postgres", deadline);
  postgres.query(kRoles, deadline);
  postgres.query("CREATE DATABASE neondb OWNER neondb_owner", deadline);
  postgres.query(read_file(libraries / "halogen.sql"), deadline);
  postgres.query("VACUUM (FREEZE, ANALYZE)", deadline);
  SqlConnection neondb(address, "neondb", deadline);
  neondb.query("VACUUM (FREEZE, ANALYZE)", deadline);
}

}  // namespace

TemplateCluster build_template_cluster(Supervisor& supervisor, int major, const fs::path& scratch,
                                       const fs::path& libraries) {
  refuse_root();
  fs::path bin = postgres_bin_dir(major);
  StepTimes times;
  fs::remove_all(scratch);
  make_folder(scratch);
  run_initdb(supervisor, bin, scratch);
  times.mark("initdb");

  const fs::path sockets = scratch / "run";
  make_folder(sockets);
  Postmaster server(supervisor, bin / "postgres", server_arguments(sockets, libraries),
                    {scratch / "data", scratch / "data", scratch / "log", sockets});
  server.wait_ready(Deadline::after(kStepDeadline));
  fill_databases(server.address(), libraries);
  if (!server.stop_cleanly(Deadline::after(kStepDeadline)))
    throw Error(Errc::internal, "the template's postgres did not stop: {}", server.last_words());
  times.mark("databases");

  CleanEnd clean = read_clean_end(scratch / "data", major);
  TemplateCluster made;
  made.data_directory = scratch / "data";
  made.system_identifier = clean.system_identifier;
  made.lsn = Lsn((clean.end.value / kWalSegmentSize + 1) * kWalSegmentSize);
  logger.info("template of PostgreSQL {} at {}: {}", major, made.lsn.str(), times.str());
  return made;
}

}  // namespace halogen::compute
