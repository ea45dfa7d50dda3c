#include "proxy/http/http_request.h"

#include <fmt/format.h>
#include <http_parser.h>

#include <algorithm>

namespace halogen::proxy {
namespace {

constexpr int kFailed = -1;  // 1 and 2 mean something else after the head.
constexpr size_t kMaxHead = 64 * 1024;
constexpr int kKeepAliveHint = 60;  // Seconds: less than we keep an idle connection.

std::string_view reason_of(int status) {
  switch (status) {
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 413:
      return "Payload Too Large";
    case 426:
      return "Upgrade Required";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 507:
      return "Insufficient Storage";
    default:
      return "Error";
  }
}

}  // namespace

HttpError::HttpError(int status, std::string_view message)
    : Error(Errc::invalid_argument, "{}", message), status_(status) {}

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

std::string_view HttpRequest::path() const {
  return std::string_view(target).substr(0, target.find_first_of("?#"));
}

struct RequestReader::Impl {
  explicit Impl(size_t the_max_body) : max_body(the_max_body) {
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = this;
  }

  // The parser calls these.
  static Impl& of(http_parser* parser) { return *static_cast<Impl*>(parser->data); }
  static int on_url(http_parser* parser, const char* at, size_t size);
  static int on_header_field(http_parser* parser, const char* at, size_t size);
  static int on_header_value(http_parser* parser, const char* at, size_t size);
  static int on_headers_complete(http_parser* parser);
  static int on_body(http_parser* parser, const char* at, size_t size);
  static int on_message_complete(http_parser* parser);
  static const http_parser_settings& settings();

  int grow_head(size_t size) {
    head += size;
    if (head <= kMaxHead) return 0;
    status = 431;
    why = "the head of the request is too large";
    return kFailed;
  }
  int too_large() {
    status = 413;
    why = fmt::format("request is too large (max is {} bytes)", max_body);
    return kFailed;
  }

  const size_t max_body;
  http_parser parser{};
  HttpRequest request;
  size_t head = 0;
  size_t body_size = 0;
  bool in_value = false;  // Of a header; what comes is not a new one's name.
  bool begun = false;
  bool complete = false;
  bool expects_continue = false;
  int status = 400;
  std::string why;
};

int RequestReader::Impl::on_url(http_parser* parser, const char* at, size_t size) {
  of(parser).request.target.append(at, size);
  return of(parser).grow_head(size);
}

int RequestReader::Impl::on_header_field(http_parser* parser, const char* at, size_t size) {
  Impl& impl = of(parser);
  if (impl.request.headers.empty() || impl.in_value) impl.request.headers.emplace_back();
  impl.in_value = false;
  std::string& name = impl.request.headers.back().first;
  std::transform(at, at + size, std::back_inserter(name),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return impl.grow_head(size);
}

int RequestReader::Impl::on_header_value(http_parser* parser, const char* at, size_t size) {
  Impl& impl = of(parser);
  impl.in_value = true;
  impl.request.headers.back().second.append(at, size);
  return impl.grow_head(size);
}

int RequestReader::Impl::on_headers_complete(http_parser* parser) {
  Impl& impl = of(parser);
  HttpRequest& request = impl.request;
  for (auto& [name, value] : request.headers) value.erase(value.find_last_not_of(" \t") + 1);
  request.method = http_method_str(static_cast<http_method>(parser->method));
  request.minor = parser->http_minor;
  request.upgrade = parser->upgrade != 0 && parser->method == HTTP_GET;
  if (parser->http_major != 1) return kFailed;
  bool sized = (parser->flags & F_CONTENTLENGTH) != 0;
  if (sized && parser->content_length > impl.max_body) return impl.too_large();
  if (sized) impl.body_size = parser->content_length;
  impl.expects_continue = request.header("expect") == "100-continue";
  return 0;
}

int RequestReader::Impl::on_body(http_parser* parser, const char* at, size_t size) {
  Impl& impl = of(parser);
  if (impl.request.body.size() + size > impl.max_body) return impl.too_large();
  impl.request.body.append(at, size);
  impl.body_size = std::max(impl.body_size, impl.request.body.size());
  return 0;
}

int RequestReader::Impl::on_message_complete(http_parser* parser) {
  of(parser).complete = true;
  of(parser).request.keep_alive = http_should_keep_alive(parser) != 0;
  http_parser_pause(parser, 1);
  return 0;
}

const http_parser_settings& RequestReader::Impl::settings() {
  static const http_parser_settings made = [] {
    http_parser_settings calls;
    http_parser_settings_init(&calls);
    calls.on_url = on_url;
    calls.on_header_field = on_header_field;
    calls.on_header_value = on_header_value;
    calls.on_headers_complete = on_headers_complete;
    calls.on_body = on_body;
    calls.on_message_complete = on_message_complete;
    return calls;
  }();
  return made;
}

RequestReader::RequestReader(size_t max_body) : impl_(std::make_unique<Impl>(max_body)) {}
RequestReader::~RequestReader() = default;

size_t RequestReader::take(std::string_view bytes) {
  if (bytes.empty() || impl_->complete) return 0;
  impl_->begun = true;
  size_t used = http_parser_execute(&impl_->parser, &Impl::settings(), bytes.data(), bytes.size());
  if (impl_->complete || HTTP_PARSER_ERRNO(&impl_->parser) == HPE_OK) return used;
  if (impl_->why.empty())
    impl_->why = fmt::format("not an HTTP/1.1 request: {}",
                             http_errno_description(HTTP_PARSER_ERRNO(&impl_->parser)));
  throw HttpError(impl_->status, impl_->why);
}

bool RequestReader::has_begun() const { return impl_->begun; }
bool RequestReader::complete() const { return impl_->complete; }
size_t RequestReader::body_size() const { return impl_->body_size; }
HttpRequest RequestReader::take_request() { return std::move(impl_->request); }

bool RequestReader::take_expects_continue() {
  return std::exchange(impl_->expects_continue, false) && impl_->request.body.empty() &&
         !impl_->complete;
}

std::string response_head(const HttpResponse& response, size_t body_size, bool keep_alive) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_of(response.status));
  for (const auto& [name, value] : response.headers) head += fmt::format("{}: {}\r\n", name, value);
  if (response.status == 101) return head + "\r\n";
  if (body_size == std::string::npos)
    head += "Transfer-Encoding: chunked\r\n";
  else
    head += fmt::format("Content-Length: {}\r\n", body_size);
  if (keep_alive)
    head += fmt::format("Keep-Alive: timeout={}\r\n", kKeepAliveHint);
  else
    head += "Connection: close\r\n";
  return head + "\r\n";
}

std::string response_text(const HttpResponse& response, bool keep_alive) {
  return response_head(response, response.body.size(), keep_alive) + response.body;
}

void put_chunk(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;  // It would be the last.
  out += fmt::format("{:x}\r\n", bytes.size());
  out.append(bytes).append("\r\n");
}

}  // namespace halogen::proxy
