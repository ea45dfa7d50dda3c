#include "pageserver/page_service.h"

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::seconds kHelloTimeout{10};
constexpr std::chrono::minutes kLongestDeadline{10};
constexpr size_t kBuffer = 64 << 10;  // Many pipelined requests; the largest has 1.5 KB.
constexpr size_t kTokenSize = sizeof(PageToken);

struct Metrics {
  metrics::Counter requests = metrics::counter("halogen_pageserver_page_requests_total",
                                               "Requests on the page service, also failed ones.");
  metrics::Counter failures = metrics::counter("halogen_pageserver_page_request_failures_total",
                                               "Page service requests answered with an error.");
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

void log_failure(const Error& error, uint64_t lsn) {
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

void send_reply(const net::Socket& socket, PageReply reply, std::string_view body) {
  reply.body = static_cast<uint32_t>(body.size());
  Writer out;
  out.put(reply);
  if (body.size() <= 4 * kPageSize) {
    socket.send_all(out.text(body).view());
  } else {
    socket.send_all(out.view());
    socket.send_all(body);
  }
}

std::string token_bytes(const PageToken& token) {
  return {reinterpret_cast<const char*>(token.bytes), kTokenSize};
}

}  // namespace

PageService::PageService(Options options) : options_(std::move(options)) {
  net::Listener::Options listener;
  listener.name = "page service";
  listener.socket = net::listen_unix(options_.socket);
  // Computes may run as other users. Who gets here at all is who can see the folder: we, and rooms.
  fs::permissions(options_.socket, fs::perms::all);
  listener.max_connections = options_.max_connections;
  listener_ = std::make_unique<net::Listener>(std::move(listener),
                                              [this](net::Socket& socket) { serve(socket); });
}

void PageService::stop() {
  stopping_ = true;
  if (listener_) listener_->stop();
}

PageToken PageService::open_session(std::shared_ptr<Timeline> timeline, Lsn lsn) {
  auto session = std::make_shared<Session>();
  session->hot_before = timeline->hot_page_keys();
  session->timeline = std::move(timeline);
  session->lsn = lsn;
  PageToken token;
  random_bytes(token.bytes, sizeof token.bytes);
  MutexLock lock(mutex_);
  sessions_[token_bytes(token)] = std::move(session);
  return token;
}

void PageService::close_session(const PageToken& token) {
  std::shared_ptr<Session> session;
  {
    MutexLock lock(mutex_);
    auto found = sessions_.find(token_bytes(token));
    if (found == sessions_.end()) return;
    session = std::move(found->second);
    sessions_.erase(found);
  }
  session->closed = true;
  if (session->recorder.finish()) keep_boot_set(*session);
}

size_t PageService::sessions(TimelineId timeline) const {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (const auto& [token, session] : sessions_) count += session->timeline->id() == timeline;
  return count;
}

std::shared_ptr<PageService::Session> PageService::find(const PageToken& token) const {
  MutexLock lock(mutex_);
  auto found = sessions_.find(token_bytes(token));
  return found == sessions_.end() ? nullptr : found->second;
}

// A timeline that has no boot set of its own inherits; so the first boot of a first project helps
// all other projects of the template.
void PageService::keep_boot_set(Session& session) {
  auto asked = session.recorder.asked();
  if (asked.empty()) return;
  for (Timeline* at = session.timeline.get(); at; at = at->ancestor().get())
    if (at == session.timeline.get() || at->boot_set().pages().empty())
      at->boot_set().add(asked, session.hot_before);
}

std::shared_ptr<PageService::Session> PageService::greet(const net::Socket& socket) {
  PageHello hello;
  socket.recv_exact(std::as_writable_bytes(std::span(&hello, 1)), Deadline::after(kHelloTimeout));
  PageHelloReply reply;
  std::shared_ptr<Session> session;
  if (hello.magic != kPageServiceMagic) {
    reply.status = PageStatus::bad_request;
  } else if (hello.version != kPageServiceVersion || !(session = find(hello.token))) {
    reply.status = PageStatus::denied;
  }
  socket.send_all(Writer().put(reply).view());
  if (!session)
    logger.info("a page connection was refused: {}", hello.magic != kPageServiceMagic
                                                         ? "it does not speak the protocol"
                                                         : "unknown token or version");
  return session;
}

void PageService::serve(net::Socket& socket) {
  auto session = greet(socket);
  if (!session) return;
  the_metrics().connections.add();
  std::string buffer(kBuffer, '\0');
  size_t have = 0;
  try {
    for (;;) {
      have += socket.recv_some(std::as_writable_bytes(std::span(buffer)).subspan(have));
      Bytes received = as_bytes(buffer).first(have);
      bool going_on = true;
      while (going_on && !received.empty()) {
        size_t before = received.size();
        going_on = answer(socket, *session, received);
        if (received.size() == before) break;  // Incomplete.
      }
      if (!going_on) break;
      std::memmove(buffer.data(), received.data(), received.size());
      have = received.size();
    }
  } catch (const Error& error) {  // The compute has left: the usual end of a connection.
    if (error.code() != Errc::unavailable) logger.info("a page connection ended: {}", error.what());
  }
  the_metrics().connections.sub();
}

bool PageService::answer(const net::Socket& socket, Session& session, Bytes& received) {
  PageReply reply;
  std::string body;
  try {
    auto request = parse_page_request(received);
    if (!request) return true;
    received = received.subspan(request->size);
    reply.id = request->head.id;
    read(session, *request, reply, body);
  } catch (const Error& error) {
    reply.id = page_request_id(received);
    reply.status = PageStatus::bad_request;
    body = std::string_view(error.what()).substr(0, kMaxErrorText);
    logger.info("a page connection is closed: {}", body);
  }
  send_reply(socket, reply, body);
  return reply.status != PageStatus::bad_request && reply.status != PageStatus::denied;
}

void PageService::read(Session& session, const ParsedPageRequest& request, PageReply& reply,
                       std::string& body) {
  auto start = steady_clock::now();
  the_metrics().requests.add();
  auto patience = std::min<std::chrono::milliseconds>(
      std::chrono::milliseconds(request.head.deadline_ms), kLongestDeadline);
  try {
    if (stopping_) throw Error(Errc::cancelled, "storage is stopping");
    if (session.closed) throw Error(Errc::permission_denied, "the session has been closed");
    if (Lsn(request.head.lsn) < session.lsn)
      throw Error(Errc::gone, "this session reads from {} on, not {}", session.lsn.str(),
                  Lsn(request.head.lsn).str());
    body = session.timeline->read_pages(request.pages, Lsn(request.head.lsn),
                                        Deadline::after(patience));
    if (session.recorder.note(request.pages)) keep_boot_set(session);
  } catch (const Error& error) {
    the_metrics().failures.add();
    reply.status = status_of(error.code());
    body = std::string_view(error.what()).substr(0, kMaxErrorText);
    log_failure(error, request.head.lsn);
  }
  the_metrics().latency.observe(std::chrono::duration<double>(steady_clock::now() - start).count());
}

}  // namespace halogen::pageserver
