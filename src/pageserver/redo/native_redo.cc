#include "pageserver/redo/native_redo.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("redo");

// Told from the start, before anything has been replayed.
struct Metrics {
  metrics::Counter native = metrics::counter("halogen_redo_native_records_total",
                                             "WAL records applied without a redo process.");
  metrics::Counter left = metrics::counter("halogen_redo_left_records_total",
                                           "WAL records that native redo left to redo processes.");
} the_metrics;

}  // namespace

NativeRedo::Mode NativeRedo::mode_of(std::string_view name) {
  if (name == "on") return Mode::on;
  if (name == "off") return Mode::off;
  if (name == "compare") return Mode::compare;
  throw Error(Errc::invalid_argument, "native redo is on, off or compare, not {}", name);
}

Redo& NativeRedo::of(TenantId tenant) {
  MutexLock lock(mutex_);
  auto& view = tenants_[tenant];
  if (!view) view = std::make_unique<NativeRedo>(postgres_.of(tenant), mode_);
  return *view;
}

std::string NativeRedo::replay(const PageKey& key, std::optional<Bytes> base,
                               std::span<const RedoRecord> records, Deadline deadline) {
  if (mode_ == Mode::off || (base && base->size() != kPageSize))
    return postgres_.replay(key, base, records, deadline);
  if (mode_ == Mode::compare) return compare(key, base, records, deadline);
  std::string page = base ? std::string(as_text(*base)) : std::string(kPageSize, '\0');
  std::string next = page;
  bool has_base = base.has_value();
  WalRecord record;
  size_t done = 0;
  for (; done < records.size(); done++) {
    bool applied = false;
    try {
      record.decode(records[done].record);
      applied = apply_natively(key, has_base, PageSpan(next.data(), kPageSize), records[done].end,
                               record);
    } catch (const Error&) {
      // Damaged, or forged: Postgres says what is wrong with it.
    }
    if (!applied) break;
    std::memcpy(page.data(), next.data(), kPageSize);
    has_base = true;
  }
  the_metrics.native.add(static_cast<double>(done));
  if (done == records.size() && has_base) return page;
  the_metrics.left.add(static_cast<double>(records.size() - done));
  return postgres_.replay(key, has_base ? std::optional(as_bytes(page)) : std::nullopt,
                          records.subspan(done), deadline);
}

// Record by record, so that it is known which one differs.
std::string NativeRedo::compare(const PageKey& key, std::optional<Bytes> base,
                                std::span<const RedoRecord> records, Deadline deadline) {
  std::string page = base ? std::string(as_text(*base)) : "";
  for (const RedoRecord& one : records) {
    const std::optional<Bytes> before = page.empty() ? std::nullopt : std::optional(as_bytes(page));
    std::string native = page.empty() ? std::string(kPageSize, '\0') : page;
    bool applied = false;
    WalRecord record;
    try {
      record.decode(one.record);
      applied = apply_natively(key, before.has_value(), PageSpan(native.data(), kPageSize), one.end,
                               record);
    } catch (const Error& error) {
      logger.info("native redo: {}", error.what());
    }
    std::string wanted = postgres_.replay(key, before, {&one, 1}, deadline);
    (applied ? the_metrics.native : the_metrics.left).add();
    (applied ? counts_.applied : counts_.left)++;
    if (applied && native != wanted) {
      counts_.differences++;
      const auto differs = std::mismatch(native.begin(), native.end(), wanted.begin());
      logger.error(
          "native redo of a record of rmgr {} info {:#x} ending at {} differs from Postgres' on "
          "page {}/{}/{} "
          "block {} at byte {}",
          record.rmgr(), record.info(), one.end.str(), key.tag.spc, key.tag.db, key.tag.rel,
          key.block, differs.first - native.begin());
    }
    page = std::move(wanted);
  }
  return page;
}

}  // namespace halogen::pageserver
