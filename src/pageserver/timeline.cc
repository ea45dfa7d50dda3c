#include "pageserver/timeline.h"

#include "base/error.h"
#include "base/metrics.h"
#include "pageserver/page_builder.h"

namespace halogen::pageserver {

namespace {

constexpr size_t kPagesPerPart = 8;        // Of a batched read; less is not worth a thread.
constexpr uint32_t kNoBlock = UINT32_MAX;  // No page has it; the cache keeps a length there.

std::atomic<uint64_t> next_number = 1;

struct Metrics {
  metrics::Counter pages =
      metrics::counter("halogen_pageserver_pages_total", "Pages read, also from the cache.");
  metrics::Counter hits = metrics::counter("halogen_pageserver_page_cache_hits_total",
                                           "Pages served from the page cache as they were.");
  metrics::Counter bases =
      metrics::counter("halogen_pageserver_page_cache_bases_total",
                       "Pages for which the page cache gave the base of a shorter chain.");
  metrics::Counter rebuilt = metrics::counter("halogen_pageserver_pages_rebuilt_total",
                                              "Pages made of more than one version.");
  metrics::Histogram build = metrics::histogram("halogen_pageserver_page_build_seconds",
                                                "Time to make a page of its versions by redo.");
  metrics::Histogram read =
      metrics::histogram("halogen_pageserver_read_seconds",
                         "Time to read the pages of one request, without waiting for WAL.");
};
Metrics& the_metrics() {
  static Metrics metrics;
  return metrics;
}

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

}  // namespace

Timeline::Timeline(Parts parts, std::shared_ptr<const TimelineStore::Options> store_options,
                   const fs::path& folder, std::shared_ptr<Timeline> ancestor)
    : parts_(parts),
      ancestor_(std::move(ancestor)),
      number_(next_number++),
      store_(std::make_shared<TimelineStore>(std::move(store_options), folder,
                                             ancestor_ ? ancestor_->store_ : nullptr)) {
  store_->resume_merging();
}

Timeline::~Timeline() { store_->stop(); }

Lsn Timeline::first_lsn() const { return ancestor_ ? ancestor_->first_lsn() : store_->start_lsn(); }

std::vector<PageKey> Timeline::hot_page_keys() {
  auto pages = boot_set().pages();
  if (pages.empty() && ancestor_) return ancestor_->hot_page_keys();
  return pages;
}

void Timeline::wait_for(Lsn lsn, Deadline deadline) const {
  // Below its beginning some LSNs are kept: those at which branches begin, and computes read.
  if (const Lsn oldest = oldest_lsn();
      lsn < oldest && !(lsn >= first_lsn() && store_->readable(lsn)))
    throw Error(Errc::gone, "history begins at {}; {} is older", oldest.str(), lsn.str());
  if (!store_->arrived(lsn)) store_->wait_for_lsn(lsn, deadline);
}

std::string Timeline::read_page(const PageKey& key, Lsn lsn, Deadline deadline) {
  return read_pages({key}, lsn, deadline);
}

std::string Timeline::read_pages(const std::vector<PageKey>& keys, Lsn lsn, Deadline deadline) {
  std::string out(keys.size() * kPageSize, '\0');
  each_page(keys, lsn, deadline, [&](size_t i, const PagePtr& page) {
    if (page) std::memcpy(out.data() + i * kPageSize, page->page.data(), kPageSize);
  });
  return out;
}

std::vector<PagePtr> Timeline::share_pages(const std::vector<PageKey>& keys, Lsn lsn,
                                           Deadline deadline) {
  std::vector<PagePtr> out(keys.size());
  each_page(keys, lsn, deadline, [&](size_t i, PagePtr page) { out[i] = std::move(page); });
  return out;
}

template <typename Take>
void Timeline::each_page(const std::vector<PageKey>& keys, Lsn lsn, Deadline deadline, Take take) {
  wait_for(lsn, deadline);
  auto start = steady_clock::now();
  const LayerReads::How how = LayerReads::of_this_thread();
  size_t parts = (keys.size() + kPagesPerPart - 1) / kPagesPerPart;
  parts_.jobs.run(parts, [&](size_t part) {
    const LayerReads reads(how);
    size_t end = std::min(keys.size(), (part + 1) * kPagesPerPart);
    for (size_t i = part * kPagesPerPart; i < end; i++)
      if (!past_end(keys[i], lsn)) take(i, read_arrived(keys[i], lsn, deadline));
  });
  the_metrics().pages.add(static_cast<double>(keys.size()));
  the_metrics().read.observe(seconds_since(start));
}

const Timeline& Timeline::owner(Lsn lsn) const {
  const Timeline* at = this;
  while (at->ancestor_ && lsn <= at->store_->ancestor_lsn()) at = at->ancestor_.get();
  return *at;
}

// The newest that may be used for a read at `lsn`, here or where history is shared.
PagePtr Timeline::cached(const PageKey& key, Lsn lsn) const {
  for (const Timeline* at = this; at; at = at->ancestor_.get()) {
    auto found = at->parts_.cache.get({at->number_, key});
    if (found && found->lsn <= lsn) return found;
    lsn = std::min(lsn, at->store_->ancestor_lsn());
  }
  return nullptr;
}

// Versions of pages that were cut off stay: it is the length that says whether a page is there.
bool Timeline::past_end(const PageKey& key, Lsn lsn) {
  if (key.block == kNoBlock) return true;
  if (key.tag.is_slru()) return false;
  const PageKey place{key.tag, kNoBlock};
  PagePtr length = cached(place, lsn);
  Chain newer =
      store_->collect_above(Key::relation_size(key.tag), lsn, length ? length->lsn : Lsn(0));
  if (!newer.empty()) {
    length = std::make_shared<CachedPage>(newer.back().lsn, std::move(newer.back().bytes));
    remember(place, length);
  }
  if (!length) return false;
  // Dropped relations leave an empty value.
  return length->page.empty() || key.block >= Reader(length->page).get<uint32_t>();
}

// A read in the past does not push out what the present needs.
void Timeline::remember(const PageKey& key, const PagePtr& page) {
  const PageCacheKey place{owner(page->lsn).number_, key};
  auto now_there = parts_.cache.get(place);
  if (!now_there || now_there->lsn < page->lsn)
    parts_.cache.put(place, page, page->page.size() + 128);
}

PagePtr Timeline::read_arrived(const PageKey& key, Lsn lsn, Deadline deadline) {
  auto known = cached(key, lsn);
  Chain chain = store_->collect_above(Key::page(key), lsn, known ? known->lsn : Lsn(0));
  if (chain.empty()) {
    if (known) the_metrics().hits.add();
    return known;
  }
  auto start = steady_clock::now();
  std::optional<std::string> base;
  if (known && !is_base(chain.front().kind)) {
    the_metrics().bases.add();
    base = known->page;
  }
  bool plain = chain.size() == 1 && chain.front().kind == ValueKind::image;
  Lsn newest = chain.back().lsn;
  auto built = std::make_shared<CachedPage>(
      newest, build_page(key, std::move(base), chain, parts_.redo.of(tenant()), deadline));
  if (!plain) {
    the_metrics().rebuilt.add();
    the_metrics().build.observe(seconds_since(start));
  }
  remember(key, built);
  return built;
}

}  // namespace halogen::pageserver
