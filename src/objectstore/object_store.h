// object_store.h: objects by key, in a local folder or in S3.
//
// What every store promises (contract_test.cc holds them to it): an object is there whole or not at
// all; what put() returned for outlives a loss of power, and is seen by every get() and list() from
// then on. A call may have happened although it threw `unavailable`: all can be repeated.
//
// Errors: not_found; unavailable (the store does not answer, or not in time, or is overloaded:
// later it may); permission_denied (it refuses our credentials, or what they may do);
// invalid_argument (there is no such bucket, the URL makes no sense); corrupt (it answers what no
// store answers); io (the local disk: full, read-only); cancelled.
//
// Threads: any number may call.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "objectstore/content.h"

namespace halogen::objectstore {

struct ObjectInfo {
  std::string key;
  uint64_t size = 0;
  bool operator==(const ObjectInfo&) const = default;
};

// Bytes [offset, offset + size) of an object, or as many of them as it has.
struct Range {
  uint64_t offset = 0;
  uint64_t size = UINT64_MAX;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Makes or replaces the object. Keys are parts of [a-zA-Z0-9._-], separated by "/".
  virtual void put(const std::string& key, const Content& content) = 0;
  // Makes the object unless there is one; false if there is one. Of several who try at once one
  // wins, if the store can compare (`If-None-Match`): one that cannot lets several believe that, so
  // the caller reads back what is there.
  virtual bool put_if_absent(const std::string& key, const Content& content) = 0;
  virtual std::string get(const std::string& key, Range range = {}) = 0;
  // All objects whose key begins with `prefix`, in order of their keys.
  virtual std::vector<ObjectInfo> list(const std::string& prefix) = 0;
  // Removes it; what is not there counts as removed.
  virtual void remove(const std::string& key) = 0;

  // For people; without secrets.
  virtual std::string name() const = 0;
};

// Throws invalid_argument unless it is a key as put() asks for.
void check_key(const std::string& key);

}  // namespace halogen::objectstore
