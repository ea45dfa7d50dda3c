// s3_store.h: S3, or what speaks its protocol (Ceph RGW, MinIO, Garage, ...), with path-style
// addresses. An object is put in one request: none of ours comes near the 5 GB that one may have.
#pragma once
#include "objectstore/credentials.h"
#include "objectstore/http_exchange.h"
#include "objectstore/object_store.h"

namespace halogen::objectstore {

class S3Store : public ObjectStore {
 public:
  struct Options {
    std::string endpoint;  // http(s)://host[:port]; empty: Amazon's of the region.
    std::string region = "us-east-1";
    std::string bucket;
    std::string prefix;  // Of all keys; empty, or without a "/" at either end.
    Credentials credentials{};
    HttpLimits limits{};
  };

  explicit S3Store(Options options);

  void put(const std::string& key, const Content& content) override;
  bool put_if_absent(const std::string& key, const Content& content) override;
  std::string get(const std::string& key, Range range) override;
  std::vector<ObjectInfo> list(const std::string& prefix) override;
  void remove(const std::string& key) override;
  std::string name() const override;

 private:
  struct Request {
    std::string method;
    std::string key;  // Empty: the bucket.
    std::map<std::string, std::string> query{};
    std::map<std::string, std::string> headers{};
    const Content* body = nullptr;
    uint64_t most_answer = 16 << 20;
  };
  HttpAnswer send(const Request& request);
  std::string full_key(const std::string& key) const;
  bool exists(const std::string& key);
  [[noreturn]] void fail(const Request& request, const HttpAnswer& answer) const;

  Options options_;
  std::string host_;  // As in the header.
  HttpClient http_;
};

}  // namespace halogen::objectstore
