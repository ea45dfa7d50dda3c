#include "control/catalog_backup.h"

#include "base/error.h"
#include "base/file.h"

namespace halogen::control {

CatalogBackup::CatalogBackup(const std::filesystem::path& file) : database_(file) {}

// Changes with each commit of another connection.
int64_t CatalogBackup::version() {
  Statement statement = database_.query("PRAGMA data_version");
  statement.step();
  return statement.integer(0);
}

bool CatalogBackup::changed() {
  MutexLock lock(mutex_);
  return version() != copied_;
}

std::string CatalogBackup::image() {
  MutexLock lock(mutex_);
  // What is committed between the two is in the image, and copied again.
  const int64_t before = version();
  std::string image = database_.image();
  copied_ = before;
  return image;
}

std::set<TimelineId> CatalogBackup::timelines(const char* sql) {
  std::set<TimelineId> found;
  MutexLock lock(mutex_);
  Statement rows = database_.query(sql);
  while (rows.step()) found.insert(TimelineId::parse(rows.text(0)));
  return found;
}

std::set<TimelineId> CatalogBackup::ready_timelines() {
  return timelines("SELECT timeline FROM branches WHERE state = 'ready'");
}

std::set<TimelineId> CatalogBackup::all_timelines() {
  return timelines("SELECT timeline FROM branches UNION SELECT timeline FROM loose_timelines");
}

std::set<TimelineId> restore_catalog(const std::filesystem::path& file, const std::string& image) {
  for (const char* journal : {"-wal", "-shm"}) std::filesystem::remove(file.string() + journal);
  write_file_durably(file, image, 0600);
  {
    Database database(file);
    database.exec("UPDATE branches SET roles_exact = 0");
  }
  return CatalogBackup(file).all_timelines();
}

}  // namespace halogen::control
