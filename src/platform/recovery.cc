#include "platform/recovery.h"

#include <atomic>
#include <deque>
#include <functional>
#include <set>
#include <thread>

#include "archive/archive_reader.h"
#include "archive/lease.h"
#include "archive/secrets.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutex.h"
#include "control/branch_timelines.h"
#include "control/catalog_backup.h"
#include "objectstore/retrying_store.h"
#include "pageserver/restore.h"
#include "safekeeper/wal_restore.h"

namespace halogen::platform {
namespace {

using archive::ArchivedManifest;
using archive::ArchiveReader;

const log::Logger logger("platform");

constexpr size_t kThreads = 4;
constexpr int kAttempts = 5;

struct LayerToFetch {
  TimelineId timeline;
  uint64_t id = 0;
  archive::ArchivedLayer layer;
};

// By several threads; the first error ends it.
void fetch_all(ArchiveReader& reader, const fs::path& home, const std::deque<LayerToFetch>& all) {
  std::atomic<size_t> next = 0;
  Mutex mutex;
  std::exception_ptr failure;
  auto work = [&] {
    try {
      for (size_t at = next++; at < all.size(); at = next++) {
        const LayerToFetch& one = all[at];
        const fs::path file = pageserver::layer_path(home, one.timeline, one.id);
        reader.fetch_layer(one.timeline, one.id, one.layer, file);
      }
    } catch (...) {
      next = all.size();
      MutexLock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; i++) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

// Ancestors first: where a timeline is there, all that it stands on is, wherever this is cut short.
void name_timelines(const fs::path& home, const std::map<TimelineId, ArchivedManifest>& manifests) {
  std::set<TimelineId> named;
  std::function<void(TimelineId)> name = [&](TimelineId id) {
    auto found = manifests.find(id);
    if (found == manifests.end() || !named.insert(id).second) return;
    if (found->second.ancestor) name(*found->second.ancestor);
    pageserver::restore_timeline(home, id, found->second.manifest);
  };
  for (const auto& [id, manifest] : manifests) name(id);
}

void restore_pages(ArchiveReader& reader, const fs::path& home,
                   const std::map<TimelineId, ArchivedManifest>& manifests,
                   const RecoveryOptions& options) {
  std::deque<LayerToFetch> all;
  uint64_t bytes = 0;
  for (const auto& [id, manifest] : manifests) {
    fs::create_directories(home / "timelines" / id.str() / "layers");
    for (const auto& [layer, archived] : manifest.layers) {
      all.push_back({id, layer, archived});
      bytes += archived.bytes;
    }
  }
  options.progress(fmt::format("Fetching {} timelines, {} layer files of {} MiB", manifests.size(),
                               all.size(), bytes >> 20));
  fetch_all(reader, home, all);
  name_timelines(home, manifests);
}

// A log that fits to what the pageserver has.
void restore_wal(ArchiveReader& reader, const fs::path& home, TimelineId id,
                 const ArchivedManifest& manifest) {
  const std::vector<archive::ChainLink> chain = reader.wal(id);
  if (chain.empty()) {
    if (manifest.ancestor)
      throw Error(Errc::corrupt, "timeline {}: the store has no WAL of it", id.str());
    return;  // A template.
  }
  const Lsn begin = chain.front().key.from, end = chain.back().to;
  if (begin > manifest.consistent || end < manifest.consistent)
    throw Error(Errc::corrupt,
                "timeline {}: its layers end at {}, but the WAL in the store goes "
                "from {} to {}",
                id.str(), manifest.consistent.str(), begin.str(), end.str());
  const archive::WalPiece last = reader.wal_piece(id, chain.back().key);
  safekeeper::WalRestore wal(home / id.str(), {.id = id,
                                               .system_identifier = last.system_identifier,
                                               .start = last.start,
                                               .term = last.term,
                                               .flushed = end,
                                               .oldest = begin});
  for (const archive::ChainLink& link : chain) {
    const archive::WalPiece piece = reader.wal_piece(id, link.key);
    wal.write(piece.from, as_bytes(piece.wal).first(link.to - piece.from));
  }
  wal.finish();
}

void restore_secrets(ArchiveReader& reader, const Layout& layout, const ObjectStore& store,
                     const RecoveryOptions& options) {
  const std::optional<std::string> sealed = reader.secrets();
  if (sealed && !store.passphrase.empty()) {
    for (const auto& [path, content] : archive::unseal(*sealed, store.passphrase)) {
      const bool is_keys = path == "catalog.keys" && !options.key_file.empty();
      const fs::path file = is_keys ? options.key_file : layout.home / path;
      if (is_keys && fs::exists(file)) continue;
      fs::create_directories(file.parent_path());
      write_file_durably(file, content, path.ends_with("ca.crt") ? 0644 : 0600);
    }
    return;
  }
  const bool has_keys = !options.key_file.empty() && fs::exists(options.key_file);
  if (has_keys || options.forget_unreadable_passwords) return;
  throw Error(Errc::permission_denied,
              "the keys of the catalog's passwords are {}. Name the operator's key with "
              "--object-store-key-file; or the catalog's keys with --key-file; or start without "
              "the passwords: --forget-unreadable-passwords",
              sealed ? "sealed" : "not in the store");
}

void restore_all(ArchiveReader& reader, const Layout& layout, const RecoveryOptions& options) {
  const fs::path catalog = layout.home / "catalog.restored";
  const std::set<TimelineId> named = control::restore_catalog(catalog, reader.catalog());
  const auto manifests = reader.with_ancestors(named);
  for (TimelineId id : named)
    if (!manifests.contains(id))
      logger.warn("timeline {}: the catalog names it, but the store has not got it", id.str());
  restore_pages(reader, layout.home / "pageserver", manifests, options);
  options.progress("Fetching WAL");
  for (const auto& [id, manifest] : manifests)
    restore_wal(reader, layout.home / "safekeeper", id, manifest);
  fs::rename(catalog, layout.catalog);
  fsync_folder(layout.home);
}

void remember_restoring(const Layout& layout, ObjectStore store, bool restoring) {
  store.settings.restoring = restoring;
  remember_object_store(layout, store);
}

void make_folders(const Layout& layout) {
  for (const char* part : {"pageserver", "safekeeper"}) {
    // Of one that was cut short: there is no catalog yet.
    fs::remove_all(layout.home / part);
    fs::create_directories(layout.home / part);
    fs::permissions(layout.home / part, fs::perms{0700});
  }
}

}  // namespace

// While the platform that was there still goes on, or its last deletions are under way, what is
// listed may be gone when it is read: then it is listed again.
void restore_home(const Layout& layout, const ObjectStore& store, const RecoveryOptions& options) {
  options.progress("Bringing everything back from " + store.settings.config.url);
  objectstore::RetryingStore retrying(store.open());
  {  // What is wrong with keys is said before the store is taken over.
    ArchiveReader reader(retrying);
    restore_secrets(reader, layout, store, options);
  }
  remember_restoring(layout, store, true);
  archive::Lease::take(retrying, store.settings.home, true);
  for (int attempt = 1;; attempt++) {
    ArchiveReader reader(retrying);
    make_folders(layout);
    try {
      restore_all(reader, layout, options);
      remember_restoring(layout, store, false);
      logger.info("brought back from {}", retrying.name());
      return;
    } catch (const Error& error) {
      if (error.code() != Errc::not_found || attempt == kAttempts) throw;
      logger.info("begun again: {}", error.what());
    }
  }
}

void restore_lost_pages(const Layout& layout, const ObjectStore& store,
                        const RecoveryOptions& options) {
  if (!fs::exists(layout.catalog)) return;
  const fs::path home = layout.home / "pageserver";
  auto is_there = [&](TimelineId id) {
    return fs::exists(home / "timelines" / id.str() / "manifest");
  };
  std::set<TimelineId> lost;
  for (const control::BranchTimeline& branch : control::read_branch_timelines(layout.catalog))
    if (!is_there(branch.timeline)) lost.insert(branch.timeline);
  if (lost.empty()) return;
  options.progress(fmt::format("The pageserver has lost {} timelines: they come back from {}",
                               lost.size(), store.settings.config.url));
  objectstore::RetryingStore retrying(store.open());
  ArchiveReader reader(retrying);
  auto manifests = reader.with_ancestors(lost);
  std::erase_if(manifests, [&](const auto& entry) { return is_there(entry.first); });
  restore_pages(reader, home, manifests, options);
}

}  // namespace halogen::platform
