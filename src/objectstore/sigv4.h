// sigv4.h: AWS Signature Version 4, the signature of a request to S3. Pure.
//
// Our own: libcurl 7.88's fails against Ceph (it does not sort the query).
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "objectstore/credentials.h"

namespace halogen::objectstore {

struct RequestToSign {
  std::string method;
  std::string path;                            // Not encoded; begins with "/".
  std::map<std::string, std::string> query;    // Not encoded.
  std::map<std::string, std::string> headers;  // Names in lower case; all of them are signed.
  std::string payload_sha256;                  // In hex.
  std::string time;                            // 20130524T000000Z
};

// The value of the header Authorization.
std::string sign(const RequestToSign& request, const Credentials& credentials,
                 const std::string& region);

// As S3 encodes a path: "/" stays.
std::string encoded_path(std::string_view path);
std::string encoded_query(const std::map<std::string, std::string>& query);
std::string sha256_hex(std::string_view bytes);

}  // namespace halogen::objectstore
