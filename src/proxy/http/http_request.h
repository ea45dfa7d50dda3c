// http_request.h: requests of HTTP/1.1, read from bytes as they come. Pure; the bytes are a
// stranger's.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace halogen::proxy {

// A request that is answered with this status and words.
class HttpError : public Error {
 public:
  HttpError(int status, std::string_view message);
  int status() const { return status_; }

 private:
  int status_;
};

struct HttpRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;  // Names in lower case.
  std::string body;
  int minor = 1;            // Of HTTP/1.
  bool keep_alive = false;  // The client may send another on this connection.
  bool upgrade = false;     // It wants another protocol.

  // The first of that name (lower case); "" if there is none.
  std::string_view header(std::string_view name) const;
  // Exactly "true".
  bool is_true(std::string_view name) const { return header(name) == "true"; }
  // What `target` asks for, without a query.
  std::string_view path() const;
};

// Reads one request.
class RequestReader {
 public:
  // So long a body may be.
  explicit RequestReader(size_t max_body);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // Takes what belongs to the request; how many bytes that was. Throws HttpError: what follows on
  // this connection cannot be told any more.
  size_t take(std::string_view bytes);
  bool has_begun() const;
  bool complete() const;
  // The head is there, and the client waits to be told that it may send the body. Tells once.
  bool take_expects_continue();
  // How long the body will be, as far as known.
  size_t body_size() const;
  // Of a complete one.
  HttpRequest take_request();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// With everything that goes before the body; `body_size` npos is in chunks.
std::string response_head(const HttpResponse& response, size_t body_size, bool keep_alive);
// All of it.
std::string response_text(const HttpResponse& response, bool keep_alive);
void put_chunk(std::string& out, std::string_view bytes);
constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace halogen::proxy
