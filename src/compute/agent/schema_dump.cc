#include "compute/agent/schema_dump.h"

#include "base/error.h"
#include "base/ids.h"
#include "compute/agent/postmaster.h"
#include "compute/agent/sql.h"
#include "protocol/login_secret.h"

namespace halogen::compute {
namespace {

constexpr uintmax_t kLargest = 32 << 20;

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const fs::path& in) : path_(in / ("dump-" + random_name(12))) {
    fs::create_directory(path_);
    fs::permissions(path_, fs::perms::owner_all);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

// As one of libpq's parameters.
std::string quoted(const std::string& value) {
  std::string out = "'";
  for (char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// Newer versions frame the text with a random word, by which psql knows that it is whole.
std::string without_restriction(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (!line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ")) out += line;
    at = end;
  }
  return out;
}

Launch launch_of(const fs::path& folder, const ComputeAddress& address, const std::string& database,
                 int major) {
  Launch launch;
  launch.program = (postgres_bin_dir(major) / "pg_dump").string();
  launch.arguments = {"--schema-only", "--no-password", "--lock-wait-timeout=10s",
                      "--file=" + (folder / "schema.sql").string(),
                      "--dbname=dbname=" + quoted(database)};
  launch.environment = {"PATH=/usr/bin:/bin",
                        "LANG=C.UTF-8",
                        "HOME=" + folder.string(),
                        "PGHOST=" + address.socket_folder,
                        "PGPORT=" + std::to_string(address.port),
                        std::string("PGUSER=") + kSuperuser,
                        "PGOPTIONS=" + with_login_secret(address.login_secret)};
  launch.folder = folder;
  launch.log = folder / "log";
  return launch;
}

}  // namespace

std::string dump_schema(Supervisor& supervisor, const fs::path& run, const ComputeAddress& address,
                        const std::string& database, int major, Deadline deadline) {
  const TemporaryFolder folder(run);
  const fs::path schema = folder.path() / "schema.sql";
  std::shared_ptr<Child> child =
      supervisor.spawn(launch_of(folder.path(), address, database, major));
  if (!child->wait_end(deadline)) {
    child->kill();
    child->wait_end(Deadline::never());
    throw Error(Errc::timed_out, "the schema could not be read in time");
  }
  if (!child->ended_well()) {
    const std::string said = read_file(folder.path() / "log");
    if (said.find("\" does not exist") != std::string::npos)
      throw Error(Errc::not_found, "database not found");
    throw Error(Errc::unavailable, "the schema could not be read: pg_dump: {}, {}",
                child->how_it_ended(), said.substr(0, said.find('\n')));
  }
  if (fs::file_size(schema) > kLargest)
    throw Error(Errc::conflict, "the schema is larger than {} MiB", kLargest >> 20);
  return without_restriction(read_file(schema));
}

}  // namespace halogen::compute
