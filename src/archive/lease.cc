#include "archive/lease.h"

#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/ids.h"

namespace halogen::archive {
namespace {

using nlohmann::json;
using objectstore::Content;
using objectstore::ObjectStore;

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string text_of(const json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Generation highest(ObjectStore& store) {
  Generation found = 0;
  for (const auto& object : store.list(std::string(kGenerations)))
    if (auto generation = parse_generation(object.key, kGenerations))
      found = std::max(found, *generation);
  return found;
}

void refuse_others(ObjectStore& store, Generation newest, const std::string& home) {
  const json holder = json::parse(store.get(generation_key(newest)), nullptr, false);
  if (!holder.is_object())
    throw Error(Errc::corrupt, "{}: {} is damaged", store.name(), generation_key(newest));
  if (text_of(holder, "home") == home) return;
  throw Error(Errc::fenced,
              "{} belongs to another platform, that of {} since {}. Use another prefix; or, to go "
              "on with its data here, start with an empty home and --from",
              store.name(), text_of(holder, "host"), text_of(holder, "at"));
}

std::string claim_of(const std::string& home) {
  char at[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &utc);
  // No two claims are the same, so that reading it back tells whose it is.
  return json{{"home", home}, {"host", host_name()}, {"at", at}, {"claim", random_uuid()}}.dump();
}

}  // namespace

Lease Lease::take(ObjectStore& store, const std::string& home, bool take_over) {
  for (;;) {
    const Generation newest = highest(store);
    if (newest > 0 && !take_over) refuse_others(store, newest, home);
    const Generation next = newest + 1;
    const std::string claim = claim_of(home);
    if (!store.put_if_absent(generation_key(next), Content::of(claim))) continue;
    if (store.get(generation_key(next)) == claim) return Lease(next);
  }
}

void Lease::check(ObjectStore& store) const {
  const Generation newest = highest(store);
  if (newest <= generation_) return;
  throw Error(Errc::fenced,
              "another platform has taken over {} (generation {}, ours is {}): nothing more is "
              "copied there. If this one is to stay, give it another --object-store",
              store.name(), newest, generation_);
}

}  // namespace halogen::archive
