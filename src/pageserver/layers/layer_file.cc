#include "pageserver/layers/layer_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::pageserver {

namespace {

std::atomic<uint64_t> next_file_number = 1;

uint64_t file_size(int fd) {
  struct stat stat;
  if (::fstat(fd, &stat) != 0) throw system_error(errno, "fstat of a layer file");
  return static_cast<uint64_t>(stat.st_size);
}

}  // namespace

std::string LayerDesc::file_name() const { return fmt::format("{:016x}.layer", id); }

LayerWriter::LayerWriter(fs::path path, uint64_t identity)
    : path_(std::move(path)), temporary_(path_) {
  footer_.identity = identity;
  temporary_ += kUnfinished;
  fd_ = open_file(temporary_, O_WRONLY | O_CREAT | O_TRUNC);
  try {
    write(kLayerHeader);
  } catch (const Error&) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

LayerWriter::~LayerWriter() {
  if (!finished_) ::unlink(temporary_.c_str());
}

void LayerWriter::write(std::string_view bytes) {
  write_all(fd_.get(), as_bytes(bytes));
  offset_ += bytes.size();
}

void LayerWriter::write_block() {
  BlockRef ref;
  std::string stored = block_.finish(ref);
  ref.offset = offset_;
  write(stored);
  index_.blocks.push_back(ref);
}

void LayerWriter::add(const EntryView& entry) {
  bool first = footer_.entries == 0;
  if (first || entry.key != footer_.last) {
    if (!first && entry.key < footer_.last)
      throw Error(Errc::internal, "{}: entries out of order", path_.string());
    hashes_.push_back(KeyFilter::hash(entry.key));
    raw_of_key_ = 0;
  }
  if (is_base(entry.kind)) raw_superseded_ += std::exchange(raw_of_key_, 0);
  raw_bytes_ += sizeof(Key) + entry.bytes.size();
  raw_of_key_ += sizeof(Key) + entry.bytes.size();
  if (first) footer_.first = entry.key;
  footer_.last = entry.key;
  footer_.min_lsn = first ? entry.lsn : std::min(footer_.min_lsn, entry.lsn);
  footer_.max_lsn = std::max(footer_.max_lsn, entry.lsn);
  footer_.entries++;
  block_.add(entry);
  if (block_.full()) write_block();
}

LayerDesc LayerWriter::finish() {
  CHECK(footer_.entries > 0, "a layer file without entries");
  if (!block_.empty()) write_block();
  index_.filter = KeyFilter::build(hashes_);
  std::string index = encode_index(index_);
  footer_.index_offset = offset_;
  footer_.index_size = static_cast<uint32_t>(index.size());
  footer_.index_crc = crc32c(as_bytes(index));
  write(index);
  write(encode_footer(footer_));
  fsync_or_die(fd_.get(), temporary_.string());
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw system_error(errno, path_.string());
  finished_ = true;
  fsync_folder(path_.parent_path());
  LayerDesc desc;
  desc.first = footer_.first;
  desc.last = footer_.last;
  desc.min_lsn = footer_.min_lsn;
  desc.max_lsn = footer_.max_lsn;
  desc.bytes = offset_;
  desc.entries = footer_.entries;
  desc.superseded =
      static_cast<uint64_t>(static_cast<double>(offset_) * static_cast<double>(raw_superseded_) /
                            static_cast<double>(raw_bytes_));
  return desc;
}

LayerFile::LayerFile(const fs::path& path, LayerDesc desc, uint64_t identity,
                     std::shared_ptr<LayerCache> cache)
    : path_(path.string()),
      desc_(desc),
      identity_(identity),
      number_(next_file_number++),
      cache_(std::move(cache)) {}

LayerFile::LayerFile(std::shared_ptr<LocalLayers> locals, TenantId tenant, TimelineId timeline,
                     const fs::path& path, LayerDesc desc, std::shared_ptr<LayerCache> cache,
                     bool is_here)
    : LayerFile(path, desc, layer_identity(timeline, desc.id), std::move(cache)) {
  locals_ = std::move(locals);
  local_ = std::make_shared<LocalLayer>(*locals_, LocalLayer::Parts{.tenant = tenant,
                                                                    .name = {timeline, desc.id},
                                                                    .bytes = desc.bytes,
                                                                    .identity = identity_,
                                                                    .path = path_});
  locals_->enter(local_, is_here,
                 [cache = cache_, number = number_] { cache->opened.erase(number); });
}

LayerFile::~LayerFile() {
  close();
  if (local_)
    locals_->leave(*local_, obsolete_);
  else if (obsolete_)
    ::unlink(path_.c_str());
}

std::shared_ptr<const OpenedLayer> LayerFile::opened() const {
  if (local_) local_->touch();
  if (auto opened = cache_->opened.get(number_)) return opened;
  // Two readers may do this at the same time; one result is kept.
  auto opened = open();
  const LayerIndex& index = opened->index;
  cache_->opened.put(
      number_, opened,
      sizeof(OpenedLayer) + index.blocks.size() * sizeof(BlockRef) + index.filter.bits().size(),
      decltype(cache_->opened)::Large::kept_alone);
  // A descriptor would keep the room of a file that was removed since it was opened.
  if (local_ && !local_->is_here()) close();
  return opened;
}

UniqueFd LayerFile::open_path() const {
  if (local_) return local_->open();
  try {
    return open_file(path_, O_RDONLY);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    if (fs::exists(layer_note(path_))) throw LayerNotHere(path_);
    throw Error(Errc::corrupt, "{}", error.what());
  }
}

std::shared_ptr<const OpenedLayer> LayerFile::open() const {
  auto opened = std::make_shared<OpenedLayer>();
  opened->fd = open_path();
  try {
    int fd = opened->fd.get();
    uint64_t size = file_size(fd);
    if (size < kLayerHeader.size() + kLayerFooterSize || size != desc_.bytes)
      throw Error(Errc::corrupt, "layer file: {} bytes, not {}", size, desc_.bytes);
    if (pread_exact(fd, kLayerHeader.size(), 0) != kLayerHeader)
      throw Error(Errc::corrupt, "layer file: the header is damaged");
    std::string footer = pread_exact(fd, kLayerFooterSize, size - kLayerFooterSize);
    LayerFooter parsed = parse_footer(as_bytes(footer), size);
    if (parsed.identity != identity_ && parsed.identity != 0)
      throw Error(Errc::corrupt, "this is another layer file, under this one's name");
    std::string index = pread_exact(fd, parsed.index_size, parsed.index_offset);
    opened->index = parse_index(as_bytes(index), parsed);
  } catch (const Error& error) {
    throw Error(error.code(), "{}: {}", path_, error.what());
  }
  return opened;
}

std::string LayerFile::read_block(const OpenedLayer& opened, size_t number) const {
  const BlockRef& ref = opened.index.blocks[number];
  try {
    std::string stored = pread_exact(opened.fd.get(), ref.stored, ref.offset);
    return parse_block(as_bytes(stored), ref);
  } catch (const Error& error) {
    throw Error(error.code(), "{}: block {}: {}", path_, number, error.what());
  }
}

std::shared_ptr<const std::string> LayerFile::cached_block(const OpenedLayer& opened,
                                                           size_t number) const {
  if (auto block = cache_->blocks.get({number_, number})) return block;
  auto block = std::make_shared<const std::string>(read_block(opened, number));
  cache_->blocks.put({number_, number}, block, block->size());
  return block;
}

bool LayerFile::walk(const Key& key, Lsn lsn, const VisitVersion& visit) const {
  if (desc_.min_lsn > lsn) return true;
  auto opened = this->opened();
  if (!opened->index.filter.may_contain(key)) return true;
  for (ptrdiff_t at = opened->index.last_block(key, lsn); at >= 0; at--) {
    auto block = cached_block(*opened, static_cast<size_t>(at));
    std::vector<EntryView> seen;
    EntryView entry;
    for (BlockReader reader(as_bytes(*block)); reader.next(entry);) {
      if (entry.key > key || (entry.key == key && entry.lsn > lsn)) break;
      if (entry.key == key) seen.push_back(entry);
    }
    for (auto version = seen.rbegin(); version != seen.rend(); ++version)
      if (!visit(*version)) return false;
    // Older versions may be in the block before, unless this one begins with a smaller key.
    if (opened->index.blocks[static_cast<size_t>(at)].first_key < key) break;
  }
  return true;
}

// The block in which the versions of `key`, or of the next key there is, begin.
size_t LayerFile::first_block(const OpenedLayer& opened, const Key& key) const {
  return static_cast<size_t>(std::max<ptrdiff_t>(0, opened.index.last_block(key, Lsn(0))));
}

std::vector<std::pair<Key, Value>> LayerFile::newest(const Key& first, const Key& last,
                                                     Lsn lsn) const {
  std::vector<std::pair<Key, Value>> out;
  if (desc_.min_lsn > lsn) return out;
  auto opened = this->opened();
  const std::vector<BlockRef>& blocks = opened->index.blocks;
  for (size_t at = first_block(*opened, first); at < blocks.size(); at++) {
    if (blocks[at].first_key > last) break;
    // A block that is followed by newer versions of its only key, none of them too new, says
    // nothing.
    if (at + 1 < blocks.size() && blocks[at].first_key == blocks[at + 1].first_key &&
        blocks[at + 1].first_lsn <= lsn)
      continue;
    auto block = cached_block(*opened, at);
    EntryView entry;
    for (BlockReader reader(as_bytes(*block)); reader.next(entry);) {
      if (entry.key > last) return out;
      if (entry.key < first || entry.lsn > lsn) continue;
      if (!out.empty() && out.back().first == entry.key)
        out.back().second = entry.value();
      else
        out.emplace_back(entry.key, entry.value());
    }
  }
  return out;
}

LayerFile::Cursor::Cursor(std::shared_ptr<const LayerFile> file, const Key& from)
    : file_(std::move(file)) {
  if (from != Key()) next_block_ = file_->first_block(*file_->opened(), from);
  do next();
  while (!at_end_ && entry_.key < from);
}

void LayerFile::Cursor::next() {
  while (!reader_.next(entry_)) {
    auto opened = file_->opened();
    if (next_block_ >= opened->index.blocks.size()) {
      at_end_ = true;
      return;
    }
    raw_ = file_->read_block(*opened, next_block_++);
    reader_ = BlockReader(as_bytes(raw_));
  }
}

}  // namespace halogen::pageserver
