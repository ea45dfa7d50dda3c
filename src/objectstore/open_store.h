// open_store.h: a store by its URL.
#pragma once
#include <memory>

#include "objectstore/credentials.h"
#include "objectstore/object_store.h"

namespace halogen::objectstore {

struct StoreConfig {
  std::string url;       // file:///path, or s3://bucket[/prefix].
  std::string endpoint;  // Of an S3 service that is not Amazon's.
  std::string region = "us-east-1";
};

// Throws invalid_argument if the URL makes no sense, permission_denied if there are no credentials.
// Does not ask the store anything.
std::shared_ptr<ObjectStore> open_store(const StoreConfig& config, const Credentials& credentials);

}  // namespace halogen::objectstore
