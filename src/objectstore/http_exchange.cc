#include "objectstore/http_exchange.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace halogen::objectstore {
namespace {

constexpr size_t kMostIdle = 8;
constexpr long kSlowestBytes = 1024;  // A second.

// One exchange's state, as libcurl's callbacks see it.
struct Transfer {
  const HttpRequest& request;
  HttpAnswer answer{};
  uint64_t sent = 0;
  bool too_long = false;
  std::string failure{};  // Of reading the body.
};

size_t take_body(char* data, size_t size, size_t count, void* state) {
  auto& transfer = *static_cast<Transfer*>(state);
  const size_t bytes = size * count;
  transfer.too_long = transfer.answer.body.size() + bytes > transfer.request.most_answer;
  if (transfer.too_long) return 0;
  transfer.answer.body.append(data, bytes);
  return bytes;
}

size_t take_header(char* data, size_t size, size_t count, void* state) {
  auto& transfer = *static_cast<Transfer*>(state);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) transfer.answer.headers.clear();  // After a 100 Continue.
  const size_t colon = line.find(':');
  if (colon == line.npos || transfer.answer.headers.size() > 100) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const size_t from = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
  const size_t to = line.find_last_not_of(" \t\r\n");
  transfer.answer.headers[name] = to < from ? "" : line.substr(from, to + 1 - from);
  return line.size();
}

size_t give_body(char* into, size_t size, size_t count, void* state) {
  auto& transfer = *static_cast<Transfer*>(state);
  const Content& body = *transfer.request.body;
  const size_t bytes = std::min<uint64_t>(size * count, body.size() - transfer.sent);
  try {
    body.read(transfer.sent, std::as_writable_bytes(std::span(into, bytes)));
  } catch (const std::exception& error) {
    transfer.failure = error.what();
    return CURL_READFUNC_ABORT;
  }
  transfer.sent += bytes;
  return bytes;
}

// A connection that was kept may turn out to be closed when part of the body is gone.
int rewind_body(void* state, curl_off_t offset, int origin) {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(state)->sent = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

void start_curl_once() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(started == CURLE_OK);
}

}  // namespace

class HttpClient::Handle {
 public:
  explicit Handle(const HttpLimits& limits) : curl_(curl_easy_init()), limits_(limits) {
    CHECK(curl_ != nullptr);
  }
  ~Handle() { curl_easy_cleanup(curl_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  HttpAnswer exchange(const HttpRequest& request) {
    Transfer transfer{request};
    curl_slist* headers = curl_slist_append(nullptr, "Expect:");
    for (const auto& [name, value] : request.headers)
      headers = curl_slist_append(headers, (name + ": " + value).c_str());
    set_options(request, transfer);
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers);
    const CURLcode result = curl_easy_perform(curl_);
    curl_slist_free_all(headers);
    if (!transfer.failure.empty()) throw Error(Errc::corrupt, "{}", transfer.failure);
    if (transfer.too_long)
      throw Error(Errc::corrupt, "{} answers with more than {} bytes", request.url,
                  request.most_answer);
    if (result != CURLE_OK)
      throw Error(Errc::unavailable, "{} {}: {}{}{}", request.method, request.url,
                  curl_easy_strerror(result), error_[0] ? ": " : "", error_);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    transfer.answer.status = static_cast<int>(status);
    return std::move(transfer.answer);
  }

 private:
  void set_options(const HttpRequest& request, Transfer& transfer) {
    curl_easy_reset(curl_);  // Connections stay.
    error_[0] = '\0';
    curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(curl_, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl_, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT, static_cast<long>(limits_.connect.count()));
    curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_LIMIT, kSlowestBytes);
    curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits_.stall.count()));
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (request.body == nullptr) return;
    curl_easy_setopt(curl_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl_, CURLOPT_INFILESIZE_LARGE,
                     static_cast<curl_off_t>(request.body->size()));
    curl_easy_setopt(curl_, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(curl_, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(curl_, CURLOPT_SEEKFUNCTION, rewind_body);
    curl_easy_setopt(curl_, CURLOPT_SEEKDATA, &transfer);
  }

  CURL* curl_;
  const HttpLimits limits_;
  char error_[CURL_ERROR_SIZE] = "";
};

HttpClient::HttpClient(HttpLimits limits) : limits_(limits) { start_curl_once(); }

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Handle> HttpClient::take() {
  MutexLock lock(mutex_);
  if (idle_.empty()) return std::make_unique<Handle>(limits_);
  auto handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void HttpClient::give_back(std::unique_ptr<Handle> handle) {
  MutexLock lock(mutex_);
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(handle));
}

HttpAnswer HttpClient::exchange(const HttpRequest& request) {
  std::unique_ptr<Handle> handle = take();
  HttpAnswer answer = handle->exchange(request);  // One that failed is not kept.
  give_back(std::move(handle));
  return answer;
}

}  // namespace halogen::objectstore
