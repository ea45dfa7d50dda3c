#include "objectstore/s3_store.h"

#include <openssl/evp.h>

#include <ctime>
#include <memory>

#include "base/error.h"
#include "objectstore/s3_answer.h"
#include "objectstore/sigv4.h"

namespace halogen::objectstore {
namespace {

constexpr uint64_t kMostObject = uint64_t{5} << 30;

std::string sha256_of(const Content* content) {
  if (content == nullptr) return sha256_hex("");
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(),
                                                                     &EVP_MD_CTX_free);
  CHECK(hash && EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1);
  content->each_piece(
      [&](Bytes piece) { CHECK(EVP_DigestUpdate(hash.get(), piece.data(), piece.size()) == 1); });
  std::byte out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(EVP_DigestFinal_ex(hash.get(), reinterpret_cast<unsigned char*>(out), &size) == 1);
  return to_hex(Bytes(out, size));
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

// What a client says in the header Host: the port only where it is not the scheme's own.
std::string host_of(const std::string& endpoint) {
  const bool tls = endpoint.starts_with("https://");
  if (!tls && !endpoint.starts_with("http://"))
    throw Error(Errc::invalid_argument, "{} is no http:// or https:// address of an S3 service",
                endpoint);
  std::string host = endpoint.substr(endpoint.find("//") + 2);
  if (host.empty() || host.find_first_of("/?#@") != host.npos)
    throw Error(Errc::invalid_argument,
                "{}: an endpoint is a scheme, a host and perhaps a port; the bucket is in s3://",
                endpoint);
  const std::string own = tls ? ":443" : ":80";
  if (host.ends_with(own)) host.resize(host.size() - own.size());
  return host;
}

bool is_good(int status) { return status >= 200 && status < 300; }

bool refuses_credentials(int status, const std::string& code) {
  return status == 401 || status == 403 || code == "ExpiredToken" ||
         code == "AuthorizationHeaderMalformed" || code == "InvalidToken";
}

}  // namespace

S3Store::S3Store(Options options) : options_(std::move(options)), http_(options_.limits) {
  if (options_.endpoint.empty())
    options_.endpoint = "https://s3." + options_.region + ".amazonaws.com";
  while (options_.endpoint.ends_with('/')) options_.endpoint.pop_back();
  host_ = host_of(options_.endpoint);
  check_key(options_.bucket);
  if (!options_.prefix.empty()) check_key(options_.prefix);
  if (options_.credentials.empty())
    throw Error(Errc::permission_denied,
                "there are no credentials for {}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or name a file with --object-store-credentials",
                name());
}

std::string S3Store::name() const {
  return "s3://" + options_.bucket + (options_.prefix.empty() ? "" : "/" + options_.prefix);
}

std::string S3Store::full_key(const std::string& key) const {
  return options_.prefix.empty() ? key : options_.prefix + "/" + key;
}

HttpAnswer S3Store::send(const Request& request) {
  RequestToSign signing;
  signing.method = request.method;
  signing.path = "/" + options_.bucket + (request.key.empty() ? "" : "/" + full_key(request.key));
  signing.query = request.query;
  signing.headers = request.headers;
  signing.payload_sha256 = sha256_of(request.body);
  signing.time = now_text();
  signing.headers["host"] = host_;
  signing.headers["x-amz-content-sha256"] = signing.payload_sha256;
  signing.headers["x-amz-date"] = signing.time;
  if (!options_.credentials.session_token.empty())
    signing.headers["x-amz-security-token"] = options_.credentials.session_token;
  HttpRequest http;
  http.method = request.method;
  http.headers = signing.headers;
  http.headers["authorization"] = sign(signing, options_.credentials, options_.region);
  http.url = options_.endpoint + encoded_path(signing.path);
  if (!request.query.empty()) http.url += "?" + encoded_query(request.query);
  http.body = request.body;
  http.most_answer = request.most_answer;
  return http_.exchange(http);
}

void S3Store::fail(const Request& request, const HttpAnswer& answer) const {
  const std::string code = error_code_of(answer.body);
  const std::string what =
      fmt::format("{}: {} {}: status {} {}", name(), request.method,
                  request.key.empty() ? "of the list" : request.key, answer.status, code);
  if (code == "NoSuchBucket")
    throw Error(Errc::invalid_argument, "{}: there is no bucket \"{}\"", what, options_.bucket);
  if (code == "RequestTimeTooSkewed")
    throw Error(Errc::permission_denied, "{}: this machine's clock is wrong", what);
  if (refuses_credentials(answer.status, code))
    throw Error(Errc::permission_denied,
                "{}: the store refuses our credentials, or what they may do", what);
  if (answer.status == 404) throw Error(Errc::not_found, "{}", what);
  if (answer.status >= 300 && answer.status < 400)
    throw Error(Errc::invalid_argument,
                "{}: the bucket is elsewhere: see --object-store-region and -endpoint", what);
  if (answer.status >= 500 || answer.status == 429 || answer.status == 408 ||
      answer.status == 409 || code == "RequestTimeout" || code == "SlowDown")
    throw Error(Errc::unavailable, "{}", what);
  throw Error(Errc::corrupt, "{}", what);
}

void S3Store::put(const std::string& key, const Content& content) {
  check_key(key);
  if (content.size() > kMostObject)
    throw Error(Errc::invalid_argument, "{} has {} bytes, more than S3 takes at once", key,
                content.size());
  const Request request{.method = "PUT", .key = key, .body = &content};
  const HttpAnswer answer = send(request);
  if (!is_good(answer.status)) fail(request, answer);
}

bool S3Store::exists(const std::string& key) {
  try {
    get(key, {0, 1});
    return true;
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    return false;
  }
}

// A store that does not know the condition would take it for an ordinary put.
bool S3Store::put_if_absent(const std::string& key, const Content& content) {
  if (exists(key)) return false;
  const Request request{
      .method = "PUT", .key = key, .headers = {{"if-none-match", "*"}}, .body = &content};
  const HttpAnswer answer = send(request);
  if (answer.status == 412) return false;
  if (answer.status == 501) {  // It says that it does not know it.
    put(key, content);
    return true;
  }
  if (!is_good(answer.status)) fail(request, answer);
  return true;
}

std::string S3Store::get(const std::string& key, Range range) {
  check_key(key);
  if (range.size == 0) return "";
  Request request{.method = "GET", .key = key};
  const uint64_t most = std::min(range.size, kMostObject);
  if (range.offset > 0 || range.size != UINT64_MAX)
    request.headers["range"] = fmt::format("bytes={}-{}", range.offset, range.offset + most - 1);
  request.most_answer = std::max<uint64_t>(most, 1 << 20);  // An error's text.
  HttpAnswer answer = send(request);
  if (answer.status == 416) return "";
  if (!is_good(answer.status)) fail(request, answer);
  if (answer.status != 206 && request.headers.contains("range"))
    throw Error(Errc::corrupt, "{}: it answers a request for a part of {} with all of it", name(),
                key);
  return std::move(answer.body);
}

std::vector<ObjectInfo> S3Store::list(const std::string& prefix) {
  std::vector<ObjectInfo> found;
  const size_t own = options_.prefix.empty() ? 0 : options_.prefix.size() + 1;
  Request request{.method = "GET", .query = {{"list-type", "2"}, {"prefix", full_key(prefix)}}};
  for (;;) {
    const HttpAnswer answer = send(request);
    if (!is_good(answer.status)) fail(request, answer);
    ListedPage page = parse_list(answer.body);
    for (ObjectInfo& object : page.objects) {
      if (object.key.size() < own || !object.key.starts_with(full_key(prefix))) continue;
      found.push_back({object.key.substr(own), object.size});
    }
    if (page.next.empty()) return found;
    request.query["continuation-token"] = page.next;
  }
}

void S3Store::remove(const std::string& key) {
  check_key(key);
  const Request request{.method = "DELETE", .key = key};
  const HttpAnswer answer = send(request);
  if (!is_good(answer.status) &&
      !(answer.status == 404 && error_code_of(answer.body) != "NoSuchBucket"))
    fail(request, answer);
}

}  // namespace halogen::objectstore
