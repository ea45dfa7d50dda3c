#include "pageserver/page_service.h"

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::seconds kHelloTimeout{2};
constexpr size_t kMaxNewcomers = 256;  // Connections that have yet to show their token.
constexpr std::chrono::minutes kLongestDeadline{10};
constexpr size_t kBuffer = 16 << 10;  // Many pipelined requests; the largest has 1.5 KB.
constexpr size_t kSmallAnswer = 4 * kPageSize;

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
  if (body.size() <= kSmallAnswer) {
    socket.send_all(out.text(body).view());
  } else {
    socket.send_all(out.view());
    socket.send_all(body);
  }
}

}  // namespace

PageService::PageService(Options options)
    : options_(std::move(options)), sessions_(options_.limits) {
  net::Listener::Options listener;
  listener.name = "page service";
  listener.socket = net::listen_unix(options_.socket);
  // Computes may run as other users. Who gets here at all is who can see the folder: we, and rooms.
  fs::permissions(options_.socket, fs::perms::all);
  listener.max_newcomers = kMaxNewcomers;
  // Those that have been closed to make room are still there for a moment.
  listener.max_connections = options_.limits.connections + 4 * kMaxNewcomers;
  listener_ = std::make_unique<net::Listener>(
      std::move(listener), [this](net::Socket& socket, const std::function<void()>& admitted) {
        serve(socket, admitted);
      });
}

void PageService::stop() {
  stopping_ = true;
  if (listener_) listener_->stop();
}

PageSessionPtr PageService::stranger(const PageToken& token) const {
  TimelineId id;
  std::memcpy(id.bytes.data(), token.bytes, id.bytes.size());
  return std::make_shared<PageSession>(options_.unguarded(id), 0, Lsn(0), options_.limits.session);
}

// Null: refused.
PageSessionPtr PageService::greet(PageConnection& connection) {
  PageHello hello;
  connection.socket.recv_exact(std::as_writable_bytes(std::span(&hello, 1)),
                               Deadline::after(kHelloTimeout));
  PageSessions::Joined joined;
  if (hello.magic != kPageServiceMagic)
    joined.status = PageStatus::bad_request;
  else if (hello.version == kPageServiceVersion)
    joined = sessions_.join(hello.token, connection);
  if (joined.status == PageStatus::denied && options_.unguarded)
    joined = {PageStatus::ok, stranger(hello.token)};
  try {
    PageHelloReply reply;
    reply.status = joined.status;
    connection.socket.send_all(Writer().put(reply).view());
  } catch (const Error&) {
    if (joined.session) sessions_.leave(*joined.session, connection);
    throw;
  }
  if (joined.session) return joined.session;
  the_metrics().refused.add();
  if (refusal_lines_.allow())
    logger.info("a page connection was refused: {}", reason_of(joined.status));
  return nullptr;
}

void PageService::serve(net::Socket& socket, const std::function<void()>& admitted) {
  PageConnection connection(socket);
  PageSessionPtr session = greet(connection);
  if (!session) return;
  admitted();
  the_metrics().connections.add();
  try {
    take_requests(connection, *session);
  } catch (const Error& error) {  // The compute has left: the usual end of a connection.
    if (error.code() != Errc::unavailable && session->may_log())
      logger.info("a page connection ended: {}", error.what());
  }
  sessions_.leave(*session, connection);
  the_metrics().connections.sub();
}

void PageService::take_requests(PageConnection& connection, PageSession& session) {
  std::string buffer(kBuffer, '\0');
  size_t have = 0;
  for (;;) {
    have += connection.socket.recv_some(std::as_writable_bytes(std::span(buffer)).subspan(have));
    Bytes received = as_bytes(buffer).first(have);
    while (!received.empty()) {
      size_t before = received.size();
      if (!answer(connection, session, received)) return;
      if (received.size() == before) break;  // Incomplete.
    }
    std::memmove(buffer.data(), received.data(), received.size());
    have = received.size();
  }
}

bool PageService::answer(PageConnection& connection, PageSession& session, Bytes& received) {
  PageReply reply;
  std::string body;
  try {
    auto request = parse_page_request(received);
    if (!request) return true;
    received = received.subspan(request->size);
    reply.id = request->head.id;
    connection.asked = steady_clock::now();
    read(session, *request, reply, body);
  } catch (const Error& error) {
    reply.id = page_request_id(received);
    reply.status = PageStatus::bad_request;
    body = std::string_view(error.what()).substr(0, kMaxErrorText);
    if (session.may_log()) logger.info("a page connection is closed: {}", body);
  }
  if (body.size() <= kSmallAnswer) {
    send_reply(connection.socket, reply, body);
  } else {
    PageSession::Unread unread(session, connection, body.size());
    send_reply(connection.socket, reply, body);
  }
  return reply.status != PageStatus::bad_request && reply.status != PageStatus::denied;
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
    if (Lsn(request.head.lsn) < session.lsn())
      throw Error(Errc::gone, "this session reads from {} on, not {}", session.lsn().str(),
                  Lsn(request.head.lsn).str());
    {
      PageSession::Turn turn(session, deadline);
      body = session.timeline().read_pages(request.pages, Lsn(request.head.lsn), deadline);
    }
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
