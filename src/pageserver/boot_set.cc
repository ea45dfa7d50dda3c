#include "pageserver/boot_set.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");
constexpr uint64_t kMagic = 0x3130544f4f424748;  // "HGBOOT01"

}  // namespace

std::string BootSet::encode(const std::vector<PageKey>& pages) {
  Writer out;
  out.put(kMagic).put(static_cast<uint32_t>(pages.size()));
  for (const PageKey& page : pages) out.put(page);
  out.put(crc32c(as_bytes(out.view())));
  return out.take();
}

std::optional<std::vector<PageKey>> BootSet::parse(Bytes bytes) {
  try {
    Reader in(bytes);
    if (in.get<uint64_t>() != kMagic) return std::nullopt;
    auto count = in.get<uint32_t>();
    if (count > kBootSetPages) return std::nullopt;
    std::vector<PageKey> out;
    for (uint32_t i = 0; i < count; i++) out.push_back(in.get<PageKey>());
    if (in.get<uint32_t>() != crc32c(bytes.first(12 + count * sizeof(PageKey))))
      return std::nullopt;
    return out;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<PageKey> BootSet::pages() const {
  try {
    if (!fs::exists(file_)) return {};
    const std::string content = read_file(file_);
    return parse(as_bytes(content)).value_or(std::vector<PageKey>());
  } catch (const std::exception& error) {
    logger.info("the boot set {} cannot be read and starts afresh: {}", file_.string(),
                error.what());
    return {};
  }
}

void BootSet::add(const std::vector<PageKey>& asked, const std::vector<PageKey>& before) const {
  std::vector<PageKey> merged;
  std::unordered_set<PageKey, PageKeyHash> seen;
  for (const auto* list : {&asked, &before})
    for (const PageKey& page : *list)
      if (merged.size() < kBootSetPages && seen.insert(page).second) merged.push_back(page);
  if (pages() == merged) return;
  const std::string content = encode(merged);
  try {
    // The temporary name is its own: two sessions may end at the same time.
    fs::path temporary = file_;
    temporary += "." + random_name(6);
    write_file(temporary, content);
    fs::rename(temporary, file_);
  } catch (const std::exception& error) {
    logger.info("the boot set {} cannot be written: {}", file_.string(), error.what());
  }
}

bool BootRecorder::note(const std::vector<PageKey>& pages) {
  MutexLock lock(mutex_);
  if (over_) return false;
  if (!until_) until_ = Deadline::after(kBootTime);
  if (until_->passed()) {
    over_ = true;
    return true;
  }
  for (const PageKey& page : pages)
    if (asked_.size() < kBootSetPages && seen_.insert(page).second) asked_.push_back(page);
  return false;
}

bool BootRecorder::finish() {
  MutexLock lock(mutex_);
  return !std::exchange(over_, true) && !asked_.empty();
}

std::vector<PageKey> BootRecorder::asked() {
  MutexLock lock(mutex_);
  return asked_;
}

}  // namespace halogen::pageserver
