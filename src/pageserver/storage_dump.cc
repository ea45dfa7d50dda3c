#include "pageserver/storage_dump.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "pageserver/layers/run.h"
#include "pageserver/page_builder.h"
#include "pageserver/redo/native_redo.h"
#include "pageserver/redo/page_items.h"

namespace halogen::pageserver {

namespace {

constexpr size_t kCache = 1 << 20;
constexpr const char* kForkNames[] = {"main", "fsm", "vm", "init"};

const char* kind_name(ValueKind kind) {
  constexpr const char* kNames[] = {"image",  "zero",         "tombstone", "record that makes it",
                                    "record", "native change"};
  return kNames[static_cast<size_t>(kind)];
}

std::string fork_text(uint8_t fork) {
  return fork < kForks ? kForkNames[fork] : fmt::format("fork {}", fork);
}

std::string version_text(ValueKind kind, Bytes bytes) {
  std::string text = fmt::format("{}, {} bytes", kind_name(kind), bytes.size());
  if (kind != ValueKind::record && kind != ValueKind::record_init) return text;
  try {
    WalRecord record;
    record.decode(bytes);
    return text +
           fmt::format(", rmgr {} info {:#04x} xid {}", record.rmgr(), record.info(), record.xid());
  } catch (const Error& error) {
    return text + fmt::format(", damaged: {}", error.what());
  }
}

std::string hex_id(const fs::path& file) { return file.stem().string(); }

LayerDesc desc_of(const fs::path& file, const LayerFooter& footer) {
  LayerDesc desc;
  const std::string name = hex_id(file);
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), desc.id, 16);
  if (error != std::errc() || end != name.data() + name.size())
    throw Error(Errc::invalid_argument, "{} is not named as a layer file", file.string());
  desc.first = footer.first;
  desc.last = footer.last;
  desc.min_lsn = footer.min_lsn;
  desc.max_lsn = footer.max_lsn;
  desc.entries = footer.entries;
  desc.bytes = fs::file_size(file);
  return desc;
}

LayerFooter read_footer(const fs::path& file) {
  const uint64_t size = fs::file_size(file);
  if (size < kLayerFooterSize) throw Error(Errc::corrupt, "{} is too short", file.string());
  UniqueFd fd = open_file(file, O_RDONLY);
  return parse_footer(as_bytes(pread_exact(fd.get(), kLayerFooterSize, size - kLayerFooterSize)),
                      size);
}

Runs open_runs(const fs::path& folder, const Manifest& manifest,
               const std::shared_ptr<LayerCache>& cache) {
  return runs_of(manifest.layers, [&](const LayerDesc& desc) {
    return std::make_shared<LayerFile>(folder / "layers" / desc.file_name(), desc,
                                       layer_identity(manifest.timeline, desc.id), cache);
  });
}

// Newest first; where each version is.
std::vector<std::pair<Value, std::string>> find_versions(fs::path folder, const Key& key, Lsn lsn) {
  std::vector<std::pair<Value, std::string>> found;
  auto cache = std::make_shared<LayerCache>(kCache);
  for (;;) {
    const Manifest manifest = Manifest::load(folder);
    bool over = false;
    for (const RunPtr& run : open_runs(folder, manifest, cache)) {
      const Layer* layer = run->find(key);
      if (!layer || over) continue;
      over = !layer->file->walk(key, lsn, [&](const EntryView& entry) {
        found.emplace_back(entry.value(), manifest.timeline.str() + "/" + layer->desc.file_name());
        return !is_base(entry.kind);
      });
    }
    if (over || !manifest.ancestor) return found;
    lsn = std::min(lsn, manifest.ancestor_lsn);
    folder = folder.parent_path() / manifest.ancestor->str();
  }
}

class NoPostgres : public Redo {
 public:
  std::string replay(const PageKey&, std::optional<Bytes>, std::span<const RedoRecord> records,
                     Deadline) override {
    throw Error(Errc::unavailable, "it takes Postgres to apply the last {} records",
                records.size());
  }
};

void print_page(const std::string& page, const PrintLine& print) {
  std::string bytes = page;
  PageSpan span(bytes.data(), kPageSize);
  if (page_is_new(span)) return print("page: never initialised");
  PageItems items(span);
  print(fmt::format(
      "page: LSN {}, checksum {}, flags {:#x}, lower {}, upper {}, special {}, prune xid {}",
      page_lsn(span).str(), load<uint16_t>(page.data() + 8), load<uint16_t>(page.data() + 10),
      load<uint16_t>(page.data() + 12), load<uint16_t>(page.data() + 14),
      load<uint16_t>(page.data() + 16), prune_xid(span)));
  if (!items.valid()) return print("its header is damaged, or no Postgres page's");
  constexpr const char* kStates[] = {"unused", "normal", "redirect", "dead"};
  for (uint16_t number = 1; number <= items.count(); number++) {
    const PageItems::Item item = items.item(number);
    print(fmt::format("  item {}: {}, offset {}, {} bytes", number,
                      kStates[static_cast<int>(item.state)], item.offset, item.length));
  }
}

}  // namespace

std::string key_text(const Key& key) {
  const std::string relation =
      fmt::format("relation {}/{}/{} {}", key.spc, key.db, key.rel, fork_text(key.fork));
  switch (key.kind) {
    case KeyKind::relation_page:
      return fmt::format("{} block {}", relation, key.block);
    case KeyKind::slru_page:
      return fmt::format("SLRU {} page {}", key.fork, key.block);
    case KeyKind::relation_size:
      return "size of " + relation;
    case KeyKind::slru_segment:
      return fmt::format("size of SLRU {} segment {:04X}", key.fork, key.block);
    case KeyKind::database:
      return fmt::format("database {}/{}", key.spc, key.db);
    case KeyKind::tablespace:
      return fmt::format("tablespace {}", key.spc);
    case KeyKind::file:
      return fmt::format("file {:08x}{:08x}{:08x}{:08x}", key.spc, key.db, key.rel, key.block);
    case KeyKind::checkpoint:
      return "checkpoint";
    case KeyKind::commit_time:
      return "commit time";
    case KeyKind::relcache_change:
      return "relation cache changed";
  }
  return "unknown";
}

PageKey parse_page_key(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('/', at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  Fork fork = Fork::main;
  if (parts.size() == 5) {
    const auto name = std::find(std::begin(kForkNames), std::end(kForkNames), parts[3]);
    if (name == std::end(kForkNames))
      throw Error(Errc::invalid_argument, "{} is no fork", parts[3]);
    fork = static_cast<Fork>(name - std::begin(kForkNames));
    parts.erase(parts.begin() + 3);
  }
  uint32_t numbers[4] = {};
  for (size_t i = 0; i < 4; i++) {
    const std::string part = i < parts.size() ? parts[i] : "";
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), numbers[i]);
    if (parts.size() != 4 || error != std::errc() || end != part.data() + part.size())
      throw Error(Errc::invalid_argument,
                  "a page is <tablespace>/<database>/<relfilenode>[/<fork>]/<block>, not {}", text);
  }
  return {RelTag::relation(numbers[0], numbers[1], numbers[2], fork), numbers[3]};
}

void dump_manifest(const fs::path& folder, const PrintLine& print) {
  const Manifest manifest = Manifest::load(folder);
  print(fmt::format("timeline {} of project {}, PostgreSQL {}", manifest.timeline.str(),
                    manifest.tenant.str(), manifest.major));
  if (manifest.ancestor)
    print(fmt::format("branches from {} at {}", manifest.ancestor->str(),
                      manifest.ancestor_lsn.str()));
  print(fmt::format("begins at {}, on disk up to {}, readable from {} on", manifest.start_lsn.str(),
                    manifest.disk_consistent_lsn.str(), manifest.retain.horizon.str()));
  for (Lsn point : manifest.retain.points) print(fmt::format("  and at {}", point.str()));
  uint64_t run = 0;
  for (const LayerDesc& layer : manifest.layers) {
    if (layer.run != run)
      print(fmt::format(
          "run {}, {}", layer.run,
          layer.level == kBaseLevel ? "the base" : fmt::format("level {}", layer.level)));
    run = layer.run;
    const bool is_here = fs::exists(folder / "layers" / layer.file_name());
    print(fmt::format("  {}: {} to {}, {} to {}, {} entries, {} bytes, {} of them superseded{}",
                      layer.file_name(), layer.min_lsn.str(), layer.max_lsn.str(),
                      key_text(layer.first), key_text(layer.last), layer.entries, layer.bytes,
                      layer.superseded, is_here ? "" : ", not on this disk"));
  }
}

void dump_layer(const fs::path& path, const PrintLine& print) {
  if (!fs::exists(path) && fs::exists(layer_note(path))) throw LayerNotHere(path);
  const LayerFooter footer = read_footer(path);
  const LayerDesc desc = desc_of(path, footer);
  print(fmt::format("{} entries of {} to {}, {} to {}", footer.entries, footer.min_lsn.str(),
                    footer.max_lsn.str(), key_text(footer.first), key_text(footer.last)));
  auto file = std::make_shared<LayerFile>(path, desc, footer.identity,
                                          std::make_shared<LayerCache>(kCache));
  for (LayerFile::Cursor cursor(file); const EntryView* entry = cursor.entry(); cursor.next())
    print(fmt::format("{} at {}: {}", key_text(entry->key), entry->lsn.str(),
                      version_text(entry->kind, entry->bytes)));
}

void dump_page(const fs::path& folder, const PageKey& key, Lsn lsn, const PrintLine& print) {
  auto versions = find_versions(folder, Key::page(key), lsn);
  print(fmt::format("{} as of {}: {} versions", key_text(Key::page(key)), lsn.str(),
                    versions.size()));
  std::reverse(versions.begin(), versions.end());
  Chain chain;
  for (auto& [value, where] : versions) {
    print(fmt::format("  {}: {} ({})", value.lsn.str(),
                      version_text(value.kind, as_bytes(value.bytes)), where));
    chain.push_back(std::move(value));
  }
  if (chain.empty()) return;
  NoPostgres no_postgres;
  NativeRedo redo(no_postgres, NativeRedo::Mode::on);
  try {
    print_page(
        build_page(key, std::nullopt, chain, redo, Deadline::after(std::chrono::seconds(10))),
        print);
  } catch (const Error& error) {
    print(fmt::format("the page cannot be shown: {}", error.what()));
  }
}

}  // namespace halogen::pageserver
