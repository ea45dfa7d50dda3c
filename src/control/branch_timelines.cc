#include "control/branch_timelines.h"

#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "control/sqlite.h"

namespace halogen::control {
namespace {

namespace fs = std::filesystem;

// Of this user alone; gone when this is.
class PrivateCopy {
 public:
  explicit PrivateCopy(const fs::path& catalog) {
    std::string name = fs::temp_directory_path() / "halogen-catalog-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, name);
    folder_ = name;
    fs::copy_file(catalog, file());
    const fs::path journal = catalog.string() + "-wal";
    if (fs::exists(journal)) fs::copy_file(journal, file().string() + "-wal");
  }
  ~PrivateCopy() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  PrivateCopy(const PrivateCopy&) = delete;
  PrivateCopy& operator=(const PrivateCopy&) = delete;
  fs::path file() const { return folder_ / "catalog.db"; }

 private:
  fs::path folder_;
};

}  // namespace

std::vector<BranchTimeline> read_branch_timelines(const fs::path& catalog) {
  const PrivateCopy copy(catalog);
  Database database(copy.file());
  std::vector<BranchTimeline> branches;
  Statement rows = database.query("SELECT id, timeline FROM branches WHERE state = 'ready'");
  while (rows.step()) branches.push_back({rows.text(0), TimelineId::parse(rows.text(1))});
  return branches;
}

std::vector<BranchOrigin> read_branch_origins(const fs::path& catalog) {
  const PrivateCopy copy(catalog);
  Database database(copy.file());
  std::vector<BranchOrigin> origins;
  // A restore and a reset give a branch another timeline, and are noted with their time.
  Statement rows = database.query(
      "SELECT b.id, b.timeline, p.tenant, p.pg_version, b.parent_lsn, parent.timeline "
      "FROM branches b JOIN projects p ON p.id = b.project_id "
      "LEFT JOIN branches parent ON parent.id = b.parent_id "
      "WHERE b.state = 'ready' AND (b.parent_id IS NULL OR parent.last_reset_at IS NULL "
      "OR parent.last_reset_at < COALESCE(b.last_reset_at, b.created_at))");
  while (rows.step()) {
    BranchOrigin origin{.id = rows.text(0),
                        .timeline = TimelineId::parse(rows.text(1)),
                        .tenant = TenantId::parse(rows.text(2)),
                        .pg_version = static_cast<int>(rows.integer(3))};
    const std::optional<Lsn> lsn = Lsn::parse(rows.text(4));
    if (!lsn) continue;
    origin.lsn = *lsn;
    if (!rows.is_null(5)) origin.parent = TimelineId::parse(rows.text(5));
    origins.push_back(std::move(origin));
  }
  return origins;
}

}  // namespace halogen::control
