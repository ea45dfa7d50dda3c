#include "pageserver/page_builder.h"

#include "base/error.h"
#include "pageserver/ingest/native_apply.h"

namespace halogen::pageserver {

namespace {

constexpr std::chrono::seconds kImageTimeout{20};  // For one page of a flush.

class Builder {
 public:
  Builder(const PageKey& key, std::optional<std::string> base, Redo& redo, Deadline deadline)
      : key_(key), page_(std::move(base)), redo_(redo), deadline_(deadline) {}

  void apply(const Value& value) {
    switch (value.kind) {
      case ValueKind::image:
        return set(value.bytes);
      case ValueKind::zero:
      case ValueKind::tombstone:
        return set(std::string(kPageSize, '\0'));
      case ValueKind::record_init:
        page_.reset();
        run_.clear();
        made_by_run_ = true;
        return add_record(value);
      case ValueKind::record:
        return add_record(value);
      case ValueKind::native:
        return apply_change(value);
    }
  }

  std::string finish() {
    replay();
    if (!page_) damaged("it has no base");
    return std::move(*page_);
  }

 private:
  void set(std::string page) {
    if (page.size() != kPageSize) damaged(fmt::format("an image of {} bytes", page.size()));
    run_.clear();  // What came before an image does not matter.
    made_by_run_ = false;
    page_ = std::move(page);
  }

  void add_record(const Value& value) {
    if (!page_ && !made_by_run_) damaged("it begins with a change");
    run_.push_back({value.lsn, as_bytes(value.bytes)});
  }

  void apply_change(const Value& value) {
    replay();
    if (!page_) damaged("it begins with a change");
    apply_native(Key::page(key_), std::span<char, kPageSize>(page_->data(), kPageSize), value.lsn,
                 as_bytes(value.bytes));
  }

  void replay() {
    if (run_.empty()) return;
    std::optional<Bytes> base;
    if (!made_by_run_) base = as_bytes(*page_);
    page_ = redo_.replay(key_, base, run_, deadline_);
    if (page_->size() != kPageSize) damaged("redo gave no page");
    run_.clear();
    made_by_run_ = false;
  }

  [[noreturn]] void damaged(std::string_view why) const {
    throw Error(Errc::corrupt, "history of page {}/{}/{} fork {} block {} is damaged: {}",
                key_.tag.spc, key_.tag.db, key_.tag.rel, key_.tag.fork, key_.block, why);
  }

  const PageKey& key_;
  std::optional<std::string> page_;  // Before `run_`.
  std::vector<RedoRecord> run_;
  bool made_by_run_ = false;  // The run's first record makes the page from nothing.
  Redo& redo_;
  const Deadline deadline_;
};

}  // namespace

std::string build_page(const PageKey& key, std::optional<std::string> base, const Chain& chain,
                       Redo& redo, Deadline deadline) {
  Builder builder(key, std::move(base), redo, deadline);
  for (const Value& value : chain) builder.apply(value);
  return builder.finish();
}

Reconstruct reconstruct_with(Redo& redo) {
  return [&redo](TenantId tenant, const PageKey& key, const Chain& chain) {
    return build_page(key, std::nullopt, chain, redo.of(tenant), Deadline::after(kImageTimeout));
  };
}

}  // namespace halogen::pageserver
