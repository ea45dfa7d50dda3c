#include "objectstore/object_store.h"

#include "base/error.h"

namespace halogen::objectstore {

void check_key(const std::string& key) {
  const bool known =
      key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") ==
      std::string::npos;
  const std::string closed = "/" + key + "/";
  if (!known || key.size() > 900 || closed.find("//") != std::string::npos ||
      closed.find("/.") != std::string::npos)
    throw Error(Errc::invalid_argument, "\"{}\" is no key of an object", key);
}

}  // namespace halogen::objectstore
