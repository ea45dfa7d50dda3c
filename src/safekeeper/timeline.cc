#include "safekeeper/timeline.h"

#include "base/error.h"
#include "base/log.h"
#include "postgres/wal_page.h"
#include "safekeeper/receiver.h"
#include "safekeeper/wal_tail.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

}  // namespace

class Timeline::TermSink : public WalSink {
 public:
  TermSink(Timeline& timeline, uint64_t term) : timeline_(timeline), term_(term) {}

  Lsn restart() override {
    timeline_.store_.discard_unflushed();
    return timeline_.store_.end();
  }
  void append(Lsn at, Bytes wal) override {
    Lsn end = timeline_.store_.end();
    Verdict verdict = timeline_.may_append(term_, at, end);
    if (verdict == Verdict::gap)
      throw Error(Errc::corrupt, "WAL for {} arrived, but the log ends at {}", at.str(), end.str());
    if (verdict != Verdict::accept) timeline_.refuse(verdict, term_);
    timeline_.store_.append(wal);
  }
  Lsn flush() override {
    Lsn end = timeline_.store_.end();
    Verdict verdict = timeline_.may_append(term_, end, end);
    if (verdict != Verdict::accept) timeline_.refuse(verdict, term_);
    return timeline_.store_.flush();
  }
  void set_problem(const std::string& why) override { timeline_.set_problem(why); }

 private:
  Timeline& timeline_;
  const uint64_t term_;
};

Timeline::Timeline(WalStore::Options options)
    : store_(std::move(options)), acceptor_(store_.term()) {}

Timeline::~Timeline() { stop(); }

Verdict Timeline::may_append(uint64_t term, Lsn at, Lsn end) const {
  MutexLock lock(mutex_);
  return acceptor_.may_append(term, at, end);
}

void Timeline::refuse(Verdict verdict, uint64_t term) const {
  MutexLock lock(mutex_);
  if (verdict == Verdict::not_begun)
    throw Error(Errc::conflict, "term {} of timeline {} has not begun; the term is {}", term,
                store_.identity().id.str(), acceptor_.term());
  throw Error(Errc::fenced, "term {} of timeline {} is over; the term is {}", term,
              store_.identity().id.str(), acceptor_.term());
}

void Timeline::check_open() {
  if (stopped_) throw Error(Errc::cancelled, "timeline {} is closed", store_.identity().id.str());
}

void Timeline::set_problem(const std::string& why) {
  MutexLock lock(mutex_);
  problem_ = why;
}

void Timeline::end_inflow() {
  inflow_.reset();
  sink_.reset();
  set_problem("");
}

void Timeline::admit(uint64_t term) {
  check_open();
  Verdict verdict;
  {
    MutexLock lock(mutex_);
    verdict = acceptor_.may_pull(term);
  }
  if (verdict != Verdict::accept) refuse(verdict, term);
  end_inflow();
}

TermStart Timeline::begin_term(uint64_t term) {
  MutexLock writer(writer_mutex_);
  check_open();
  bool allowed = false;
  {
    // From here on the old compute's WAL is refused, wherever it is on its way.
    MutexLock lock(mutex_);
    allowed = acceptor_.may_begin(term);
    if (allowed) acceptor_.begin(term);
  }
  if (!allowed) refuse(Verdict::fenced, term);
  end_inflow();
  std::optional<RecordPlace> last = store_.begin_term(term);
  store_.request_space();
  TermStart start{
      .end = store_.end(), .prev_record = last ? last->start : kInvalidLsn, .page_head = {}};
  start.page_head = store_.read(Lsn(page_start(start.end)), start.end);
  logger.info("{}: term {} begins at {}", store_.identity().id.str(), term, start.end.str());
  return start;
}

void Timeline::pull(uint64_t term, const WalSource& source) {
  MutexLock writer(writer_mutex_);
  admit(term);
  const DurableState& identity = store_.identity();
  sink_ = std::make_unique<TermSink>(*this, term);
  inflow_ =
      std::make_unique<Receiver>(Receiver::Options{.name = identity.id.str(),
                                                   .source = source,
                                                   .system_identifier = identity.system_identifier},
                                 *sink_);
}

InPlaceAccess Timeline::write_in_place(uint64_t term, UniqueFd folder) {
  MutexLock writer(writer_mutex_);
  admit(term);
  auto tail = std::make_unique<WalTail>(
      WalTail::Options{.name = store_.identity().id.str(),
                       .folder = std::move(folder),
                       .set_problem = [this](const std::string& why) { set_problem(why); }},
      store_);
  InPlaceAccess access = tail->access();
  inflow_ = std::move(tail);
  return access;
}

Lsn Timeline::catch_up() {
  MutexLock writer(writer_mutex_);
  if (inflow_) inflow_->catch_up();
  return store_.flushed();
}

void Timeline::stop_pull(uint64_t term) {
  MutexLock writer(writer_mutex_);
  check_open();
  {
    MutexLock lock(mutex_);
    if (acceptor_.term() != term) return;  // Its pull has ended with it.
  }
  end_inflow();
  store_.save_flushed();
}

WalStatus Timeline::status() const {
  WalStatus status{
      .term = 0, .start = store_.oldest(), .flush = store_.flushed(), .damage = store_.damage()};
  MutexLock lock(mutex_);
  status.term = acceptor_.term();
  status.problem = problem_;
  return status;
}

bool Timeline::idle() {
  MutexLock writer(writer_mutex_);
  return !inflow_ && store_.damage().empty();
}

void Timeline::stop() {
  MutexLock writer(writer_mutex_);
  if (stopped_) return;
  stopped_ = true;
  end_inflow();
  store_.close();
}

}  // namespace halogen::safekeeper
