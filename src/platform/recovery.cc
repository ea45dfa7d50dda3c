#include "platform/recovery.h"

#include <algorithm>

#include "archive/archive_reader.h"
#include "archive/layer_reader.h"
#include "archive/lease.h"
#include "archive/secrets.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/parallel.h"
#include "control/branch_timelines.h"
#include "control/catalog_backup.h"
#include "objectstore/retrying_store.h"
#include "pageserver/restore.h"
#include "safekeeper/durable_state.h"
#include "safekeeper/wal_restore.h"

namespace halogen::platform {
namespace {

using archive::ArchivedManifest;
using archive::ArchiveReader;

const log::Logger logger("platform");

constexpr size_t kThreads = 4;
constexpr int kAttempts = 5;

// What could not be brought back, and why.
using Refused = std::map<TimelineId, std::string>;
using Manifests = std::map<TimelineId, ArchivedManifest>;

// What one timeline's own objects are to blame for: others go on. What has gone since it was listed
// is listed again, unless this is the last look.
bool is_of_one_timeline(Errc code, bool last_look) {
  return code == Errc::corrupt || code == Errc::gone || (code == Errc::not_found && last_look);
}

// Notes of its layers, and its manifest. The files come when they are read.
void restore_pages(ArchiveReader& reader, const fs::path& home, TimelineId id,
                   const ArchivedManifest& manifest) {
  for (const auto& [layer, archived] : manifest.layers)
    if (!reader.has_layer(id, layer, archived))
      throw Error(Errc::corrupt, "timeline {}: its layer {:016x} is not in the store, or not whole",
                  id.str(), layer);
  pageserver::restore_timeline(home, id, manifest.manifest, manifest.layers);
}

// Each after what it stands on; nothing that stands on what is refused.
void restore_all_pages(ArchiveReader& reader, const fs::path& home, const Manifests& manifests,
                       bool last_look, Refused& refused) {
  std::set<TimelineId> done;
  auto is_there = [&](TimelineId id) {
    return done.contains(id) || fs::exists(home / "timelines" / id.str() / "manifest");
  };
  for (bool more = true; std::exchange(more, false);) {
    for (const auto& [id, manifest] : manifests) {
      if (done.contains(id) || refused.contains(id)) continue;
      if (manifest.ancestor && !is_there(*manifest.ancestor)) continue;
      more = true;
      try {
        restore_pages(reader, home, id, manifest);
        done.insert(id);
      } catch (const Error& error) {
        if (!is_of_one_timeline(error.code(), last_look)) throw;
        refused[id] = error.what();
        pageserver::remove_restored(home, id);
      }
    }
  }
  for (const auto& [id, manifest] : manifests)
    if (!done.contains(id) && !refused.contains(id))
      refused[id] = fmt::format("timeline {}: what it branches from, timeline {}, is not there",
                                id.str(), manifest.ancestor->str());
}

void say_what_comes(const Manifests& manifests, const RecoveryOptions& options) {
  size_t layers = 0;
  uint64_t bytes = 0;
  for (const auto& [id, manifest] : manifests) {
    layers += manifest.layers.size();
    for (const auto& [layer, archived] : manifest.layers) bytes += archived.bytes;
  }
  options.progress(
      fmt::format("Bringing back {} timelines; their {} layer files of {} MiB are fetched when "
                  "they are read",
                  manifests.size(), layers, bytes >> 20));
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

// Of all timelines that are not refused yet.
void restore_logs(ArchiveReader& reader, const fs::path& home, const Manifests& manifests,
                  bool last_look, Refused& refused) {
  std::vector<TimelineId> ids;
  for (const auto& [id, manifest] : manifests) ids.push_back(id);
  Mutex mutex;
  in_parallel(kThreads, ids.size(), [&](size_t at) {
    try {
      restore_wal(reader, home, ids[at], manifests.at(ids[at]));
    } catch (const Error& error) {
      if (!is_of_one_timeline(error.code(), last_look)) throw;
      MutexLock lock(mutex);
      refused[ids[at]] = error.what();
    }
  });
}

void tell_refused(const Layout& layout, const Refused& refused, const RecoveryOptions& options) {
  if (refused.empty()) return;
  std::map<TimelineId, std::string> names;
  for (const control::BranchTimeline& branch : control::read_branch_timelines(layout.catalog))
    names[branch.timeline] = branch.id;
  size_t branches = 0;
  for (const auto& [id, why] : refused) {
    auto name = names.find(id);
    if (name == names.end()) {
      logger.warn("timeline {} was not brought back: {}", id.str(), why);
      continue;
    }
    branches++;
    logger.error("branch {} was not brought back and cannot be used: {}", name->second, why);
  }
  if (branches > 0)
    options.progress(
        fmt::format("{} branches were not brought back: see the log. All others are", branches));
}

void restore_all(ArchiveReader& reader, const Layout& layout, const RecoveryOptions& options,
                 bool last_look) {
  const fs::path catalog = layout.home / "catalog.restored";
  const std::set<TimelineId> named = control::restore_catalog(catalog, reader.catalog());
  Refused refused;
  const Manifests manifests = reader.with_ancestors(named, last_look, refused);
  for (TimelineId id : named)
    if (!manifests.contains(id) && !refused.contains(id))
      refused[id] = "the store has not got it: it was made in the last seconds";
  say_what_comes(manifests, options);
  restore_logs(reader, layout.home / "safekeeper", manifests, last_look, refused);
  restore_all_pages(reader, layout.home / "pageserver", manifests, last_look, refused);
  for (const auto& [id, why] : refused) fs::remove_all(layout.home / "safekeeper" / id.str());
  fs::rename(catalog, layout.catalog);
  fsync_folder(layout.home);
  tell_refused(layout, refused, options);
}

void remember_restoring(const Layout& layout, ObjectStore store, bool restoring) {
  store.settings.restoring = restoring;
  remember_object_store(layout, store);
}

bool has_pages(const Layout& layout, TimelineId id) {
  return fs::exists(layout.home / "pageserver" / "timelines" / id.str() / "manifest");
}

// Whether the safekeeper has all WAL that there ever was of it.
bool has_whole_wal(const Layout& layout, const control::BranchOrigin& origin) {
  const fs::path state = layout.home / "safekeeper" / origin.timeline.str() / "state";
  if (!fs::exists(state)) return false;
  const safekeeper::DurableState found = safekeeper::StateFile::peek(state);
  return found.id == origin.timeline && found.start == origin.lsn && found.oldest <= found.start;
}

// The template, which no branch that the store has may stand on. Projects that stand on it may be
// made anew.
void add_template(ArchiveReader& reader, Manifests& manifests) {
  auto is_template = [](const auto& entry) { return !entry.second.ancestor; };
  if (std::any_of(manifests.begin(), manifests.end(), is_template)) return;
  Manifests found;
  for (TimelineId id : reader.timelines()) {
    if (manifests.contains(id)) continue;
    try {
      if (ArchivedManifest manifest = reader.manifest(id); !manifest.ancestor)
        found.emplace(id, std::move(manifest));
    } catch (const Error& error) {
      if (!is_of_one_timeline(error.code(), true)) throw;
    }
  }
  if (found.size() == 1) manifests.merge(found);
}

// Branches that were made too late to be copied begin anew where the catalog says that they began,
// and have the rest from their safekeeper. Those that are made leave `refused`. Those of the
// template only if it has come back with this: else it may be another one.
void remake_branches(const Layout& layout, bool template_came, Refused& refused) {
  std::map<TimelineId, control::BranchOrigin> origins;
  for (control::BranchOrigin& origin : control::read_branch_origins(layout.catalog))
    if (refused.contains(origin.timeline) && (origin.parent || template_came))
      origins.emplace(origin.timeline, std::move(origin));
  for (bool more = true; std::exchange(more, false);) {
    for (auto at = origins.begin(); at != origins.end();) {
      const auto& [id, origin] = *at;
      if (origin.parent && !has_pages(layout, *origin.parent)) {
        ++at;  // It may be made itself.
        continue;
      }
      try {
        if (has_whole_wal(layout, origin)) {
          pageserver::remake_branch(layout.home / "pageserver",
                                    {.tenant = origin.tenant,
                                     .timeline = id,
                                     .major = static_cast<uint32_t>(origin.pg_version),
                                     .ancestor = origin.parent,
                                     .lsn = origin.lsn});
          logger.info("branch {} begins anew at {}: all its WAL is there", origin.id,
                      origin.lsn.str());
          refused.erase(id);
          more = true;
        }
      } catch (const Error& error) {
        refused[id] = error.what();
      }
      at = origins.erase(at);
    }
  }
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
      restore_all(reader, layout, options, attempt == kAttempts);
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
  std::set<TimelineId> lost;
  for (const control::BranchTimeline& branch : control::read_branch_timelines(layout.catalog))
    if (!has_pages(layout, branch.timeline)) lost.insert(branch.timeline);
  if (lost.empty()) return;
  options.progress(fmt::format("The pageserver has lost {} timelines: they come back from {}",
                               lost.size(), store.settings.config.url));
  objectstore::RetryingStore retrying(store.open());
  ArchiveReader reader(retrying);
  Refused refused;
  Manifests manifests = reader.with_ancestors(lost, true, refused);
  if (!fs::exists(home / "templates")) add_template(reader, manifests);
  auto is_here = [&](const auto& entry) { return has_pages(layout, entry.first); };
  std::erase_if(manifests, is_here);
  std::erase_if(refused, is_here);
  say_what_comes(manifests, options);
  restore_all_pages(reader, home, manifests, true, refused);
  const bool template_came = std::any_of(
      manifests.begin(), manifests.end(),
      [&](const auto& entry) { return !entry.second.ancestor && !refused.contains(entry.first); });
  for (TimelineId id : lost)
    if (!manifests.contains(id) && !refused.contains(id)) refused[id] = "the store has not got it";
  remake_branches(layout, template_came, refused);
  tell_refused(layout, refused, options);
}

std::vector<std::string> lost_branches(const Layout& layout) {
  std::vector<std::string> lost;
  if (!fs::exists(layout.catalog)) return lost;
  for (const control::BranchTimeline& branch : control::read_branch_timelines(layout.catalog))
    if (!has_pages(layout, branch.timeline)) lost.push_back(branch.id);
  return lost;
}

void bring_layers_back(const Layout& layout, const ObjectStore& store,
                       const RecoveryOptions& options) {
  const auto away = pageserver::layers_away(layout.home / "pageserver");
  if (away.empty()) return;
  const std::string& url = store.settings.config.url;
  options.progress(fmt::format("Fetching {} layer files that {} alone has", away.size(), url));
  objectstore::RetryingStore retrying(store.open());
  try {
    in_parallel(kThreads, away.size(), [&](size_t at) {
      const pageserver::LayerAway& one = away[at];
      archive::fetch_layer(retrying, one.name.timeline, one.name.layer, one.copy, one.file);
    });
  } catch (const Error& error) {
    throw Error(error.code(),
                "{} layer files are in {} alone, which so is still needed, and they cannot all be "
                "fetched: {}",
                away.size(), url, error.what());
  }
}

}  // namespace halogen::platform
