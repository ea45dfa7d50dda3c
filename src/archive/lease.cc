#include "archive/lease.h"

#include <unistd.h>

#include <algorithm>
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

// Since which generation `home` writes, if it has the newest; else the next one, if it may take it.
Generation since_when(ObjectStore& store, Generation newest, const std::string& home,
                      bool take_over) {
  if (newest == 0) return 1;
  const json holder = json::parse(store.get(generation_key(newest)), nullptr, false);
  if (holder.is_object() && text_of(holder, "home") == home) {
    auto since = holder.find("since");
    const bool known = since != holder.end() && since->is_number_unsigned();
    const Generation from = known ? since->get<Generation>() : 0;
    return from > 0 ? std::min(from, newest + 1) : newest + 1;
  }
  if (take_over) return newest + 1;
  if (!holder.is_object())
    throw Error(Errc::corrupt, "{}: {} is damaged", store.name(), generation_key(newest));
  throw Error(Errc::fenced,
              "{} belongs to another platform, that of {} since {}. Use another prefix; or, to go "
              "on with its data here, start with an empty home and --from",
              store.name(), text_of(holder, "host"), text_of(holder, "at"));
}

std::string claim_of(const std::string& home, Generation since) {
  char at[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &utc);
  // No two claims are the same, so that reading it back tells whose it is.
  return json{
      {"home", home}, {"since", since}, {"host", host_name()}, {"at", at}, {"claim", random_uuid()}}
      .dump();
}

}  // namespace

Lease Lease::take(ObjectStore& store, const std::string& home, bool take_over) {
  for (;;) {
    const Generation newest = highest(store);
    const Generation since = since_when(store, newest, home, take_over);
    const Generation next = newest + 1;
    const std::string claim = claim_of(home, since);
    if (!store.put_if_absent(generation_key(next), Content::of(claim))) continue;
    if (store.get(generation_key(next)) == claim) return Lease(next, since);
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
