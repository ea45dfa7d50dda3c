#include "platform/storage_check.h"

#include "archive/archive_check.h"
#include "archive/layer_reader.h"
#include "base/error.h"
#include "control/branch_timelines.h"
#include "objectstore/retrying_store.h"
#include "pageserver/storage_check.h"
#include "pageserver/storage_dump.h"
#include "safekeeper/wal_check.h"

namespace halogen::platform {
namespace {

// All that the two have of one timeline. Those whose WAL was never followed are at their start.
void check_wal_of(StorageReport& report, const pageserver::Manifest& manifest,
                  const fs::path& folder) {
  const safekeeper::CheckedWal wal = safekeeper::check_wal(folder, manifest.disk_consistent_lsn);
  report.problems.insert(report.problems.end(), wal.problems.begin(), wal.problems.end());
  if (wal.state.id != manifest.timeline)
    report.problems.push_back(folder.string() + ": it holds timeline " + wal.state.id.str());
  if (manifest.disk_consistent_lsn > wal.state.flushed && manifest.disk_consistent_lsn > wal.end)
    report.problems.push_back(fmt::format(
        "timeline {}: the pageserver has read WAL up to {}, but the safekeeper's ends at {}",
        manifest.timeline.str(), manifest.disk_consistent_lsn.str(), wal.end.str()));
}

void check_branch(StorageReport& report, const control::BranchTimeline& branch,
                  const pageserver::CheckedTimelines& checked, const Layout& layout) {
  const fs::path folder = layout.home / "safekeeper" / branch.timeline.str();
  auto found = checked.manifests.find(branch.timeline);
  if (found == checked.manifests.end()) {
    report.problems.push_back(fmt::format("branch {}: the pageserver does not have its timeline {}",
                                          branch.id, branch.timeline.str()));
  } else if (!fs::exists(folder)) {
    report.problems.push_back(fmt::format("branch {}: the safekeeper does not have its timeline {}",
                                          branch.id, branch.timeline.str()));
  } else {
    check_wal_of(report, found->second, folder);
  }
}

// What the pageserver has fetched back only when it is read must be there, as it was put.
void check_away(StorageReport& report, objectstore::ObjectStore& store,
                const archive::CheckedArchive& checked,
                const std::vector<pageserver::LayerAway>& away) {
  for (const pageserver::LayerAway& one : away) {
    auto whole = checked.layers.find({one.name.timeline, one.name.layer});
    if (whole != checked.layers.end() && whole->second == one.copy) continue;
    try {
      archive::read_layer(store, one.name.timeline, one.name.layer, one.copy, [](Bytes) {});
      report.object_store_bytes += one.copy.bytes;
    } catch (const Error& error) {
      report.problems.push_back(fmt::format("{} is not here, and not in the object store: {}",
                                            one.file.string(), error.what()));
    }
  }
}

void check_object_store(StorageReport& report, const Layout& layout,
                        const std::vector<pageserver::LayerAway>& away, const Progress& progress) {
  const std::optional<ObjectStore> store = find_object_store(layout, {});
  if (!store) {
    for (const pageserver::LayerAway& one : away)
      report.problems.push_back(one.file.string() +
                                " is not here, and this home has no object store");
    return;
  }
  objectstore::RetryingStore retrying(store->open());
  report.object_store = retrying.name();
  const auto checked = archive::check_archive(retrying, progress);
  report.problems.insert(report.problems.end(), checked.problems.begin(), checked.problems.end());
  report.object_store_bytes = checked.bytes;
  check_away(report, retrying, checked, away);
}

}  // namespace

StorageReport check_storage(const Layout& layout, bool here_alone, const Progress& progress) {
  if (std::optional<int> pid = running_pid(layout))
    throw Error(Errc::conflict, "Halogen is running in {} (pid {}): `halogen down` first",
                layout.home.string(), *pid);
  StorageReport report;
  const auto checked = pageserver::check_timelines(layout.home / "pageserver", progress);
  report.problems = checked.problems;
  report.timelines = checked.manifests.size();
  report.layer_files = checked.layer_files;
  report.layer_bytes = checked.layer_bytes;
  report.layer_files_away = checked.away.size();
  for (const control::BranchTimeline& branch : control::read_branch_timelines(layout.catalog)) {
    progress(fmt::format("branch {}: its WAL", branch.id));
    report.branches++;
    try {
      check_branch(report, branch, checked, layout);
    } catch (const std::exception& error) {
      report.problems.push_back(error.what());
    }
  }
  if (!here_alone) check_object_store(report, layout, checked.away, progress);
  return report;
}

void dump_storage(const Layout& layout, const std::string& what, const std::string& page,
                  const std::string& lsn, const Progress& print) {
  if (what.ends_with(".layer")) return pageserver::dump_layer(what, print);
  const fs::path folder = layout.home / "pageserver" / "timelines" / TimelineId::parse(what).str();
  if (page.empty()) return pageserver::dump_manifest(folder, print);
  const std::optional<Lsn> at = lsn.empty() ? Lsn(UINT64_MAX) : Lsn::parse(lsn);
  if (!at) throw Error(Errc::invalid_argument, "{} is no LSN, as 0/1A2B3C4D", lsn);
  pageserver::dump_page(folder, pageserver::parse_page_key(page), *at, print);
}

}  // namespace halogen::platform
