#include "platform/object_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/ids.h"
#include "pageserver/restore.h"

namespace halogen::platform {
namespace {

using nlohmann::json;

constexpr const char* kFile = "object_store.json";
constexpr size_t kLeastKey = 16;

fs::path file_of(const Layout& layout) { return layout.home / kFile; }

std::optional<ObjectStoreSettings> recall(const Layout& layout) {
  if (!fs::exists(file_of(layout))) return std::nullopt;
  const json found = json::parse(read_file(file_of(layout)), nullptr, false);
  if (!found.is_object())
    throw Error(Errc::corrupt, "{} is damaged: say --object-store again", file_of(layout).string());
  auto text = [&](const char* name) { return found.value(name, ""); };
  return ObjectStoreSettings{{text("url"), text("endpoint"), text("region")},
                             text("credentials_file"),
                             text("key_file"),
                             text("home"),
                             found.value("restoring", false)};
}

// Its first line, so that an editor's newline does not matter.
std::string read_key(const std::string& file) {
  if (file.empty()) return "";
  const std::string text = read_file(file);
  const std::string key = text.substr(0, text.find_first_of("\r\n"));
  if (key.size() < kLeastKey)
    throw Error(Errc::invalid_argument,
                "{}: a key has {} characters at least. Make one: openssl rand -base64 32", file,
                kLeastKey);
  return key;
}

void require_empty(const Layout& layout) {
  if (fs::exists(layout.catalog))
    throw Error(Errc::conflict,
                "{} has data already: --from begins in an empty home. Choose another HALOGEN_HOME, "
                "or move this one away",
                layout.home.string());
}

void change(ObjectStoreSettings& settings, const ObjectStoreFlags& flags, const std::string& url) {
  if (!url.empty()) settings.config.url = url;
  if (!flags.endpoint.empty()) settings.config.endpoint = flags.endpoint;
  if (!flags.region.empty()) settings.config.region = flags.region;
  if (settings.config.region.empty()) settings.config.region = "us-east-1";
  auto absolute = [](const fs::path& file) { return fs::absolute(file).string(); };
  if (!flags.credentials_file.empty()) settings.credentials_file = absolute(flags.credentials_file);
  if (!flags.key_file.empty()) settings.key_file = absolute(flags.key_file);
}

}  // namespace

std::shared_ptr<objectstore::ObjectStore> ObjectStore::open() const {
  return objectstore::open_store(settings.config, credentials);
}

std::optional<ObjectStore> find_object_store(const Layout& layout, const ObjectStoreFlags& flags) {
  if (!flags.from.empty()) require_empty(layout);
  if (flags.url == "none") return std::nullopt;
  const std::string url = flags.from.empty() ? flags.url : flags.from;
  std::optional<ObjectStoreSettings> known = recall(layout);
  if (!known && url.empty()) return std::nullopt;
  // Else an empty platform would take the place of the one that is in the store.
  if (known && known->restoring && flags.from.empty() && !fs::exists(layout.catalog))
    throw Error(Errc::conflict,
                "{} was being brought back, which was cut short: use --from {} again",
                layout.home.string(), known->config.url);
  ObjectStore store;
  store.settings = known.value_or(ObjectStoreSettings());
  // A home that comes back is another one than that which was lost.
  if (store.settings.home.empty() || !flags.from.empty()) store.settings.home = random_uuid();
  change(store.settings, flags, url);
  store.credentials = objectstore::find_credentials(store.settings.credentials_file);
  store.passphrase = read_key(store.settings.key_file);
  store.open();  // Says what is wrong with it while somebody looks.
  return store;
}

std::optional<ObjectStore> find_store_to_leave(const Layout& layout,
                                               const std::optional<ObjectStore>& next) {
  const std::optional<ObjectStoreSettings> known = recall(layout);
  if (!known || (next && next->settings.config.url == known->config.url)) return std::nullopt;
  if (pageserver::layers_away(layout.home / "pageserver").empty()) return std::nullopt;
  ObjectStore store{.settings = *known,
                    .credentials = objectstore::find_credentials(known->credentials_file),
                    .passphrase = ""};
  store.open();
  return store;
}

void remember_object_store(const Layout& layout, const std::optional<ObjectStore>& store) {
  if (!store) {
    if (fs::remove(file_of(layout))) fsync_folder(layout.home);
    return;
  }
  const ObjectStoreSettings& settings = store->settings;
  const json shape = {
      {"url", settings.config.url},       {"endpoint", settings.config.endpoint},
      {"region", settings.config.region}, {"credentials_file", settings.credentials_file},
      {"key_file", settings.key_file},    {"home", settings.home},
      {"restoring", settings.restoring}};
  write_file_durably(file_of(layout), shape.dump(2) + "\n", 0600);
}

}  // namespace halogen::platform
