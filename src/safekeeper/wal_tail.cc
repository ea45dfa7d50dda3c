#include "safekeeper/wal_tail.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

#include "base/log.h"
#include "base/metrics.h"
#include "postgres/wal_reader.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

// Between rounds: storage need not know of a commit sooner (its readers gather for as long, and who
// must know calls catch_up), and each round costs what some commits cost.
constexpr std::chrono::milliseconds kPause{10};
// A round's cost is bounded by what it reads; of a processor no more than a part goes to one tail.
constexpr int kPausePerWork = 4;
constexpr std::chrono::milliseconds kFailurePause{1000};
// What has been written but not synced for so long is synced here: nobody waits for it, but storage
// should have it.
constexpr int kQuiet = 10;
// Room and names of files are given no further ahead of the log than the longest record may reach.
constexpr uint64_t kMaxAhead = uint64_t{kMaxWalRecordSize} + (64u << 20);
constexpr uint64_t kMostAtOnce = 2 * kWalSegmentSize;
constexpr uint64_t kFirstRoom = 64 * 1024;
// Postgres opens the next segment when it is in the last quarter of one.
constexpr uint64_t kLinkAhead = kWalSegmentSize / 4;
constexpr uint64_t kLongRecord = 1u << 20;
constexpr Lsn kAll{~uint64_t{0}};

metrics::Gauge tails =
    metrics::gauge("halogen_safekeeper_in_place", "Computes that write their WAL in place.");

UniqueFd made(int fd, const char* what) {
  if (fd < 0) throw system_error(errno, what);
  return UniqueFd(fd);
}

UniqueFd copy_of(const UniqueFd& fd) { return made(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0), "dup"); }

// What the compute could shrink would be SIGBUS here.
UniqueFd make_page() {
  UniqueFd fd = made(::memfd_create("wal", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd");
  if (::ftruncate(fd.get(), kInPlaceWalSize) != 0 || ::fchmod(fd.get(), 0600) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    throw system_error(errno, "memfd");
  return fd;
}

InPlaceWal* map_page(const UniqueFd& fd) {
  void* map = ::mmap(nullptr, kInPlaceWalSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) throw system_error(errno, "mmap");
  return new (map) InPlaceWal;
}

void unmap_page(InPlaceWal* page) { ::munmap(page, kInPlaceWalSize); }

void watch(const UniqueFd& poll, const UniqueFd& fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd.get()}};
  if (::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0)
    throw system_error(errno, "epoll_ctl");
}

}  // namespace

WalTail::WalTail(Options options, WalStore& store)
    : options_(std::move(options)),
      store_(store),
      page_fd_(make_page()),
      news_(made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      stop_(made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      poll_(made(::epoll_create1(EPOLL_CLOEXEC), "epoll_create")),
      page_(map_page(page_fd_), unmap_page) {
  // By its edges: it is never read, since the compute could have it empty or blocking by then.
  watch(poll_, news_, EPOLLIN | EPOLLET);
  watch(poll_, stop_, EPOLLIN);
  {
    MutexLock lock(round_mutex_);
    found_ = store_.last_record();
    next_link_ = segment_of(found_ ? found_->start : store_.end());
    page_->written = page_->synced_to = store_.end().value;
    end_ = store_.end().value;
    // More is the thread's to make, while Postgres starts.
    give_room(store_.room_for(store_.end() + kFirstRoom));
  }
  tails.add();
  thread_ = std::thread([this] { run(); });
}

WalTail::~WalTail() {
  uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) < 0 && errno != EAGAIN) die("eventfd write failed");
  thread_.join();
  tails.sub();
  try {
    finish();
  } catch (const Error& error) {
    // The next start finds the same.
    logger.error("{}: the end of the WAL cannot be taken: {}", options_.name, error.what());
  }
}

InPlaceAccess WalTail::access() const { return {copy_of(page_fd_), copy_of(news_)}; }

// Nothing is written before there is room.
Lsn WalTail::written() const {
  return Lsn(std::clamp<uint64_t>(page_->written, end_, std::max(end_.load(), room_.load())));
}

Lsn WalTail::wanted() const {
  const uint64_t most =
      std::min(end_ + kMaxAhead, std::max(end_.load(), room_.load()) + kMostAtOnce);
  return Lsn(std::clamp<uint64_t>(page_->wanted, end_, most));
}

bool WalTail::news() const {
  return page_->begun != seen_begun_ || page_->synced != seen_synced_ || wanted().value > room_;
}

bool WalTail::wait_for_news(int milliseconds) {
  page_->asleep = 1;
  bool came = news();
  if (!came) {
    epoll_event event;
    came = ::epoll_wait(poll_.get(), &event, 1, milliseconds) != 0;
  }
  page_->asleep = 0;
  return came;
}

// False if it is time to stop.
bool WalTail::rest(std::chrono::nanoseconds time) {
  pollfd poll{stop_.get(), POLLIN, 0};
  const timespec span{.tv_sec = time.count() / 1'000'000'000,
                      .tv_nsec = time.count() % 1'000'000'000};
  return ::ppoll(&poll, 1, &span, nullptr) <= 0;
}

void WalTail::run() {
  for (bool goes_on = true; goes_on;) {
    const bool came = wait_for_news(unsettled_ ? kQuiet : -1);
    std::chrono::nanoseconds pause = kPause;
    try {
      MutexLock lock(round_mutex_);
      round(!came);
      pause = std::max(pause, worked_ * kPausePerWork);
      if (!reported_.empty()) options_.set_problem("");
      reported_.clear();
    } catch (const Error& error) {
      report(error);
      pause = kFailurePause;
    }
    goes_on = rest(pause);
  }
}

void WalTail::report(const Error& error) {
  // Where there still is room, nobody waits yet.
  if (error.code() == Errc::io && wanted().value <= room_) return;
  if (reported_ == error.what()) return;
  reported_ = error.what();
  options_.set_problem(reported_);
  if (error.code() == Errc::io)
    log_full_disk(options_.name, error);
  else
    logger.error("{}: cannot follow the WAL of its compute: {}", options_.name, error.what());
}

void WalTail::give_room(Lsn room) {
  for (const Lsn last = segment_of(std::max(room, written() + kLinkAhead)); next_link_ <= last;
       next_link_ = next_link_ + kWalSegmentSize)
    store_.link_segment(next_link_, options_.folder.get());
  if (room.value == room_.exchange(room.value)) return;
  page_->room = room.value;
  ++page_->room_given;
  ::syscall(SYS_futex, &page_->room_given, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// What was read before `begun` was has been synced once `synced` reaches that. If that is not yet
// so, the next round may find it so, while this compute commits; or it is synced here (`force`).
void WalTail::round(bool force) {
  seen_synced_ = page_->synced.load();
  if (pending_ && seen_synced_ >= pending_->begun) {
    store_.take(pending_->end, true);
    pending_.reset();
  }
  const Lsn reached = written();
  const auto work_began = steady_clock::now();
  if (force || reached >= look_again_)
    found_ = store_.find_written(found_, force ? kAll : reached).last;
  worked_ = steady_clock::now() - work_began;
  const uint64_t begun = page_->begun;
  const Lsn end = found_ ? found_->end : store_.end();
  if (end > store_.end()) {
    if (force || page_->synced >= begun) {
      store_.take(end, !force);
      pending_.reset();
    } else if (!pending_) {
      pending_ = Pending{end, begun};
    }
  }
  end_ = store_.end().value;
  seen_begun_ = begun;
  const Lsn at = std::max(end, store_.end());
  const uint64_t behind = reached > at ? reached - at : 0;
  look_again_ = behind > kLongRecord ? reached + behind : Lsn();
  unsettled_ = !force && (pending_ || behind > kWalPageSize);
  give_room(store_.keep_room(reached, wanted()));
}

void WalTail::catch_up() {
  MutexLock lock(round_mutex_);
  round(true);
}

void WalTail::finish() {
  MutexLock lock(round_mutex_);
  const RecordWalk walk = store_.find_written(found_, kAll);
  if (walk.last) store_.take(walk.last->end, false);
  store_.end_in_place(walk);
}

}  // namespace halogen::safekeeper
