// catalog_memory.h: what a wake, a login and a suspend need of the catalog, in memory, so that they
// do not wait for its database, nor fail with it. The catalog fills it when it is opened and after
// each commit (Catalog::remember()).
//
// Rows have the numbers that the database gives them: what is deleted is told by these.
//
// Threads: any; the lock is never held across I/O.
#pragma once
#include <memory>
#include <unordered_map>

#include "base/mutex.h"
#include "control/catalog_objects.h"

namespace halogen::control {

// An endpoint with what it belongs to.
struct KnownEndpoint {
  Endpoint endpoint;
  Branch branch;
  Project project;
  bool has_pending_sql = false;  // To be applied before its compute takes connections.
};

class CatalogMemory {
 public:
  // nullopt: there is none.
  std::optional<KnownEndpoint> endpoint(const std::string& id) const;
  // Roles that the branch had when the log of its timeline ended as they say. nullopt: not known.
  struct RolesOfTimeline {
    TimelineId timeline;
    BranchRoles roles;
  };
  std::optional<RolesOfTimeline> roles(const std::string& branch_id) const;

  // nullopt: the row is gone.
  void set_project(int64_t row, std::optional<Project> project);
  void set_branch(int64_t row, std::optional<Branch> branch);
  void set_endpoint(int64_t row, std::optional<Endpoint> endpoint);
  void set_pending_sql(int64_t row, std::optional<std::string> branch_id);
  // Those that are known of a later end of the same log stay.
  void set_roles(const std::string& branch_id, RolesOfTimeline roles);
  // A compute of the branch is about to run: the roles that are known count no more.
  void forget_roles(const std::string& branch_id);
  void clear();

 private:
  template <typename T>
  struct Table {
    std::unordered_map<int64_t, std::string> ids;  // By row.
    std::unordered_map<std::string, std::shared_ptr<const T>> rows;

    void set(int64_t row, std::optional<T> value);
    std::shared_ptr<const T> find(const std::string& id) const;
  };

  mutable Mutex mutex_;
  Table<Project> projects_ GUARDED_BY(mutex_);
  Table<Branch> branches_ GUARDED_BY(mutex_);
  Table<Endpoint> endpoints_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, RolesOfTimeline> roles_ GUARDED_BY(mutex_);     // By branch.
  std::unordered_map<int64_t, std::string> pending_branches_ GUARDED_BY(mutex_);  // By row.
  std::unordered_map<std::string, int> pending_sql_ GUARDED_BY(mutex_);           // By branch.
};

}  // namespace halogen::control
