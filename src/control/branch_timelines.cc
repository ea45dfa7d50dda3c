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

}  // namespace halogen::control
