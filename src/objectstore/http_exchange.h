// http_exchange.h: one HTTP request and its answer, by libcurl.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "objectstore/content.h"

namespace halogen::objectstore {

struct HttpRequest {
  std::string method;
  std::string url;
  std::map<std::string, std::string> headers;
  const Content* body = nullptr;   // Of a PUT.
  uint64_t most_answer = 1 << 20;  // A longer body is `corrupt`.
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
};

struct HttpLimits {
  std::chrono::seconds connect{10};
  // A transfer that has not moved 1 KiB a second for so long is over.
  std::chrono::seconds stall{20};
};

// Connections are kept for the next request. Any number of threads.
class HttpClient {
 public:
  explicit HttpClient(HttpLimits limits);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Throws unavailable if there is no whole answer: no connection, a torn one, a stall.
  HttpAnswer exchange(const HttpRequest& request);

 private:
  class Handle;

  std::unique_ptr<Handle> take();
  void give_back(std::unique_ptr<Handle> handle);

  const HttpLimits limits_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_ GUARDED_BY(mutex_);
};

}  // namespace halogen::objectstore
