#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "safekeeper/wal_store.h"

namespace halogen::safekeeper {

WalStore::Reader::Reader(WalStore& store, Lsn from)
    : store_(store),
      event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      position_(from),
      held_(from),
      reading_to_(from),
      wake_at_(kNever) {
  if (!event_.valid()) throw system_error(errno, "eventfd");
  {
    MutexLock lock(store_.mutex_);
    if (from > store_.flushed_)
      throw Error(Errc::invalid_argument,
                  "requested starting point {} is ahead of the WAL flush position of this server "
                  "{}",
                  from.str(), store_.flushed_.str());
    store_.readers_.push_back(this);
    ended_ = store_.closed_;
  }
  // Held from here on, so what is there now stays there.
  if (from < segment_of(store_.oldest())) {
    MutexLock lock(store_.mutex_);
    store_.readers_.remove(this);
    throw Error(Errc::gone, "requested WAL segment {} has already been removed",
                wal_segment_name(from, kWalSegmentSize));
  }
}

WalStore::Reader::~Reader() {
  MutexLock lock(store_.mutex_);
  store_.readers_.remove(this);
}

uint64_t WalStore::Reader::available() {
  MutexLock lock(store_.mutex_);
  if (ended_) throw Error(Errc::cancelled, "the log was cut, or closed");
  return store_.flushed_ - position_;
}

size_t WalStore::Reader::read(std::span<std::byte> into) {
  uint64_t offset = position_.value % kWalSegmentSize;
  size_t size = 0;
  {
    // A cut that comes from here on sees how far this read goes.
    MutexLock lock(store_.mutex_);
    if (ended_) throw Error(Errc::cancelled, "the log was cut, or closed");
    size = std::min<uint64_t>({into.size(), store_.flushed_ - position_, kWalSegmentSize - offset});
    reading_to_ = position_ + size;
  }
  if (size == 0) return 0;
  if (Lsn at = segment_of(position_); !segment_.valid() || at != segment_at_) {
    segment_ = store_.files_.open(position_, O_RDONLY);
    segment_at_ = at;
  }
  ssize_t got = ::pread(segment_.get(), into.data(), size, static_cast<off_t>(offset));
  if (got < 0) throw system_error(errno, "read of a WAL segment");
  if (got == 0) throw Error(Errc::corrupt, "WAL segment ends before {}", position_.str());
  store_.run_hook("read");
  MutexLock lock(store_.mutex_);
  // Cut while it was read: these bytes may be of neither the old nor the new log.
  if (ended_) throw Error(Errc::cancelled, "the log was cut, or closed");
  position_ = position_ + static_cast<size_t>(got);
  held_ = reading_to_ = position_;
  return static_cast<size_t>(got);
}

void WalStore::Reader::wake_at(Lsn lsn) {
  MutexLock lock(store_.mutex_);
  if (ended_ || store_.flushed_ >= lsn) {
    notify();
    return;
  }
  wake_at_ = lsn;
  store_.wake_at_ = std::min(store_.wake_at_, lsn);
}

void WalStore::Reader::notify() {
  uint64_t one = 1;
  ssize_t done = ::write(event_.get(), &one, sizeof one);
  if (done < 0 && errno != EAGAIN) die("eventfd write failed");
}

void WalStore::Reader::clear_event() {
  uint64_t count;
  ssize_t done = ::read(event_.get(), &count, sizeof count);
  if (done < 0 && errno != EAGAIN) die("eventfd read failed");
}

}  // namespace halogen::safekeeper
