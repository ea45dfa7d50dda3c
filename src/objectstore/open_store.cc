#include "objectstore/open_store.h"

#include "base/error.h"
#include "objectstore/local_store.h"
#include "objectstore/s3_store.h"

namespace halogen::objectstore {
namespace {

constexpr std::string_view kFile = "file://";
constexpr std::string_view kS3 = "s3://";

std::string without_slashes(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace

std::shared_ptr<ObjectStore> open_store(const StoreConfig& config, const Credentials& credentials) {
  if (config.url.starts_with(kFile))
    return std::make_shared<LocalStore>(
        fs::path(without_slashes(config.url.substr(kFile.size()))).lexically_normal());
  if (!config.url.starts_with(kS3))
    throw Error(Errc::invalid_argument,
                "\"{}\" is no object store: file:///path or s3://bucket/prefix", config.url);
  const std::string rest = without_slashes(config.url.substr(kS3.size()));
  const size_t slash = std::min(rest.find('/'), rest.size());
  return std::make_shared<S3Store>(
      S3Store::Options{.endpoint = config.endpoint,
                       .region = config.region,
                       .bucket = rest.substr(0, slash),
                       .prefix = slash < rest.size() ? rest.substr(slash + 1) : "",
                       .credentials = credentials});
}

}  // namespace halogen::objectstore
