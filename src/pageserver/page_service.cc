#include "pageserver/page_service.h"

#include "base/error.h"
#include "base/log.h"
#include "base/log_trace.h"
#include "base/metrics.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr size_t kMaxNewcomers = 256;  // Connections that have yet to show their token.
constexpr std::chrono::minutes kLongestDeadline{10};
constexpr size_t kSmallAnswer = 4 * kPageSize;  // There mostly is room for it.

struct Metrics {
  metrics::Counter requests = metrics::counter("halogen_pageserver_page_requests_total",
                                               "Requests on the page service, also failed ones.");
  metrics::Counter failures = metrics::counter("halogen_pageserver_page_request_failures_total",
                                               "Page service requests answered with an error.");
  metrics::Counter refused = metrics::counter(
      "halogen_pageserver_refused_connections_total",
      "Page connections without a token that holds, or beyond what there is room for.");
  metrics::Histogram latency =
      metrics::histogram("halogen_pageserver_page_request_seconds",
                         "Time to answer a page service request, with waiting for WAL.");
  metrics::Gauge connections =
      metrics::gauge("halogen_pageserver_page_connections", "Connections on the page service.");
};
Metrics& the_metrics() {
  static Metrics metrics;
  return metrics;
}

const char* reason_of(PageStatus status) {
  switch (status) {
    case PageStatus::bad_request:
      return "it does not speak the protocol";
    case PageStatus::unavailable:
      return "its compute has as many as it can have now";
    default:
      return "its token is unknown or over, or its version is";
  }
}

PageStatus status_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return PageStatus::bad_request;
    case Errc::permission_denied:
      return PageStatus::denied;
    case Errc::timed_out:
      return PageStatus::timed_out;
    case Errc::gone:
      return PageStatus::gone;
    case Errc::corrupt:
      return PageStatus::corrupt;
    default:
      return PageStatus::unavailable;
  }
}

void log_failure(PageSession& session, const Error& error, uint64_t lsn) {
  const bool storage_error =
      error.code() == Errc::corrupt || error.code() == Errc::io || error.code() == Errc::internal;
  if (!session.may_log(storage_error)) return;
  log::Trace trace(session.woken_for());
  switch (error.code()) {
    case Errc::corrupt:
    case Errc::io:
    case Errc::internal:
      logger.error("pages at {}: {}", Lsn(lsn).str(), error.what());
      return;
    case Errc::timed_out:
    case Errc::gone:
      logger.warn("pages at {}: {}", Lsn(lsn).str(), error.what());
      return;
    // Left by a compute that is over, or by our own stop.
    default:
      logger.info("pages at {}: {}", Lsn(lsn).str(), error.what());
  }
}

}  // namespace

// A connection and, once it has shown a token, its session.
class PageService::Link : public PageConnection {
 public:
  Link(net::Socket socket, PageSessions& sessions)
      : PageConnection(std::move(socket)), sessions_(sessions) {}
  ~Link() override {
    if (!session_) return;
    sessions_.leave(*session_, *this);
    the_metrics().connections.sub();
  }

  bool has_session() const { return session_ != nullptr; }
  PageSession& session() const { return *session_; }
  void set_session(PageSessionPtr session) {
    session_ = std::move(session);
    the_metrics().connections.add();
  }

 private:
  PageSessions& sessions_;
  PageSessionPtr session_;
};

PageService::PageService(Options options)
    : options_(std::move(options)), sessions_(options_.limits) {
  net::EventPool::Options pool;
  pool.name = "page service";
  pool.socket = net::listen_unix(options_.socket);
  // Computes may run as other users. Who gets here at all is who can see the folder: we, and rooms.
  fs::permissions(options_.socket, fs::perms::all);
  pool.max_newcomers = kMaxNewcomers;
  // Those that have been closed to make room are still there for a moment.
  pool.max_connections = options_.limits.connections + 4 * kMaxNewcomers;
  pool.accepted = [this](net::Socket socket) {
    return std::make_unique<Link>(std::move(socket), sessions_);
  };
  pool.ready = [this](net::EventPool::Connection& connection) {
    Link* next = serve(static_cast<Link&>(connection), false);
    while (next != nullptr) next = serve(*next, true);
  };
  pool_ = std::make_unique<net::EventPool>(std::move(pool));
}

void PageService::stop() {
  stopping_ = true;
  if (pool_) pool_->stop();
}

PageSessionPtr PageService::stranger(const PageToken& token) const {
  TimelineId id;
  std::memcpy(id.bytes.data(), token.bytes, id.bytes.size());
  return std::make_shared<PageSession>(options_.unguarded(id), 0, Lsn(0), options_.limits.session);
}

PageSessions::Joined PageService::join(Link& link, const PageHello& hello) {
  if (hello.magic != kPageServiceMagic) return {PageStatus::bad_request, nullptr};
  if (hello.version != kPageServiceVersion) return {};
  PageSessions::Joined joined = sessions_.join(hello.token, link);
  if (joined.status == PageStatus::denied && options_.unguarded)
    return {PageStatus::ok, stranger(hello.token)};
  return joined;
}

// False: its hello is not there yet. Throws permission_denied if it is refused.
bool PageService::greet(Link& link) {
  while (link.receive()) {
    std::optional<PageHello> hello = link.take_hello();
    if (!hello) continue;
    PageSessions::Joined joined = join(link, *hello);
    if (joined.session) link.set_session(joined.session);
    PageHelloReply reply;
    reply.status = joined.status;
    link.socket().send_all(Writer().put(reply).view());
    if (joined.session) {
      pool_->admit(link);
      return true;
    }
    the_metrics().refused.add();
    if (refusal_lines_.allow())
      logger.info("a page connection was refused: {}", reason_of(joined.status));
    throw Error(Errc::unavailable, "refused");
  }
  return false;
}

// Returns the connection of the same session whose turn it is now, if any. `link` is parked, ended
// or in its session's queue then.
PageService::Link* PageService::serve(Link& link, bool has_turn) {
  try {
    return serve_requests(link, has_turn);
  } catch (const Error& error) {  // The compute has left: the usual end of a connection.
    if (error.code() != Errc::unavailable && link.has_session() && link.session().may_log())
      logger.info("a page connection ended: {}", error.what());
  } catch (const std::exception& error) {
    logger.error("a page connection ended unexpectedly: {}", error.what());
  }
  PageConnection* next = has_turn ? link.session().end_turn() : nullptr;
  pool_->end(link);
  return static_cast<Link*>(next);
}

// `has_turn` is kept up to date. Throws when the connection is over.
PageService::Link* PageService::serve_requests(Link& link, bool& has_turn) {
  const bool stranger = !link.has_session();
  if (stranger && !greet(link)) {
    pool_->park(link, net::EventPool::For::reading);
    return nullptr;
  }
  PageSession& session = link.session();
  const bool has_asked = has_turn || (stranger && link.has_input());
  if (!has_asked && !linger(link)) {
    settle(link);
    return nullptr;
  }
  for (;;) {
    if (!has_turn && !session.take_turn(link)) return nullptr;
    has_turn = true;
    const Answered answered = answer(link);
    if (answered == Answered::over) throw Error(Errc::unavailable, "refused");
    if (answered == Answered::one && link.unsent() == 0 && link.has_input()) {
      PageConnection& next = session.rotate_turn(link);
      if (&next == &link) continue;
      has_turn = false;
      return static_cast<Link*>(&next);
    }
    PageConnection* next = session.end_turn();
    has_turn = false;
    if (next == nullptr && linger(link)) continue;
    settle(link);
    return static_cast<Link*>(next);
  }
}

// Has the client take what is left of an answer, then waits for its next request, both for some
// milliseconds at most, if the session has a thread left for that. True: there may be a request.
bool PageService::linger(Link& link) {
  PageSession& session = link.session();
  const PageSession::Linger permit(session);
  if (link.unsent() > 0) {
    link.send_rest(permit.given());
    if (link.unsent() > 0) return false;
    session.forget_unread(link);
    if (link.has_input()) return true;
  }
  return permit.given() ? link.receive_soon() : link.receive();
}

void PageService::settle(Link& link) {
  link.rest();
  pool_->park(link,
              link.unsent() > 0 ? net::EventPool::For::writing : net::EventPool::For::reading);
}

PageService::Answered PageService::answer(Link& link) {
  PageReply reply;
  std::string body;
  try {
    auto request = link.take_request();
    if (!request) return Answered::nothing;
    reply.id = request->head.id;
    link.asked = steady_clock::now();
    read(link.session(), *request, reply, body);
  } catch (const Error& error) {
    reply.id = link.bad_request_id();
    reply.status = PageStatus::bad_request;
    body = std::string_view(error.what()).substr(0, kMaxErrorText);
    if (link.session().may_log()) logger.info("a page connection is closed: {}", body);
  }
  const bool over = reply.status == PageStatus::bad_request || reply.status == PageStatus::denied;
  // Before it is sent, so that the order is that of the answers.
  const bool large = body.size() > kSmallAnswer;
  if (large) link.session().add_unread(link, body.size());
  link.send(reply, std::move(body));
  if (large && link.unsent() == 0) link.session().forget_unread(link);
  if (!large && link.unsent() > 0) link.session().add_unread(link, link.unsent());
  return over ? Answered::over : Answered::one;
}

void PageService::read(PageSession& session, const ParsedPageRequest& request, PageReply& reply,
                       std::string& body) {
  auto start = steady_clock::now();
  the_metrics().requests.add();
  auto patience = std::min<std::chrono::milliseconds>(
      std::chrono::milliseconds(request.head.deadline_ms), kLongestDeadline);
  const Deadline deadline = Deadline::after(patience);
  try {
    if (stopping_) throw Error(Errc::cancelled, "storage is stopping");
    if (session.closed()) throw Error(Errc::permission_denied, "the session has been closed");
    if (const Lsn lsn(request.head.lsn); lsn < session.oldest_lsn())
      // Who asks again asks at a later one.
      throw Error(lsn < session.first_lsn() ? Errc::gone : Errc::cancelled,
                  "this session reads from {} on, not {}", session.oldest_lsn().str(), lsn.str());
    const LayerReads reads(LayerReads::Patience::hurried, session.timeline().tenant());
    body = session.timeline().read_pages(request.pages, Lsn(request.head.lsn), deadline);
    if (session.note(request.pages)) session.keep_boot_set();
  } catch (const Error& error) {
    the_metrics().failures.add();
    reply.status = status_of(error.code());
    body = std::string_view(error.what()).substr(0, kMaxErrorText);
    log_failure(session, error, request.head.lsn);
  }
  the_metrics().latency.observe(std::chrono::duration<double>(steady_clock::now() - start).count());
}

}  // namespace halogen::pageserver
