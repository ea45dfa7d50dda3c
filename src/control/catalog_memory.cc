#include "control/catalog_memory.h"

#include <utility>

namespace halogen::control {

template <typename T>
void CatalogMemory::Table<T>::set(int64_t row, std::optional<T> value) {
  auto known = ids.find(row);
  if (known != ids.end() && !(value && value->id == known->second)) {
    rows.erase(known->second);
    ids.erase(known);
  }
  if (!value) return;
  ids[row] = value->id;
  std::string id = value->id;
  rows[std::move(id)] = std::make_shared<const T>(*std::move(value));
}

template <typename T>
std::shared_ptr<const T> CatalogMemory::Table<T>::find(const std::string& id) const {
  auto found = rows.find(id);
  return found == rows.end() ? nullptr : found->second;
}

std::optional<KnownEndpoint> CatalogMemory::endpoint(const std::string& id) const {
  std::shared_ptr<const Endpoint> endpoint;
  std::shared_ptr<const Branch> branch;
  std::shared_ptr<const Project> project;
  bool pending = false;
  {
    MutexLock lock(mutex_);
    endpoint = endpoints_.find(id);
    if (endpoint) branch = branches_.find(endpoint->branch_id);
    if (branch) project = projects_.find(endpoint->project_id);
    if (branch) pending = pending_sql_.contains(branch->id);
  }
  if (!project) return std::nullopt;
  return KnownEndpoint{*endpoint, *branch, *project, pending};
}

std::optional<CatalogMemory::RolesOfTimeline> CatalogMemory::roles(
    const std::string& branch_id) const {
  MutexLock lock(mutex_);
  const auto branch = branches_.find(branch_id);
  auto found = roles_.find(branch_id);
  if (!branch || found == roles_.end() || found->second.timeline != branch->timeline)
    return std::nullopt;
  return found->second;
}

void CatalogMemory::set_project(int64_t row, std::optional<Project> project) {
  MutexLock lock(mutex_);
  projects_.set(row, std::move(project));
}

void CatalogMemory::set_branch(int64_t row, std::optional<Branch> branch) {
  MutexLock lock(mutex_);
  if (auto known = branches_.ids.find(row); !branch && known != branches_.ids.end())
    roles_.erase(known->second);
  branches_.set(row, std::move(branch));
}

void CatalogMemory::set_endpoint(int64_t row, std::optional<Endpoint> endpoint) {
  MutexLock lock(mutex_);
  endpoints_.set(row, std::move(endpoint));
}

void CatalogMemory::set_pending_sql(int64_t row, std::optional<std::string> branch_id) {
  MutexLock lock(mutex_);
  if (auto known = pending_branches_.find(row); known != pending_branches_.end()) {
    auto count = pending_sql_.find(known->second);
    if (--count->second == 0) pending_sql_.erase(count);
    pending_branches_.erase(known);
  }
  if (!branch_id) return;
  ++pending_sql_[*branch_id];
  pending_branches_[row] = *std::move(branch_id);
}

void CatalogMemory::set_roles(const std::string& branch_id, RolesOfTimeline roles) {
  MutexLock lock(mutex_);
  auto known = roles_.find(branch_id);
  if (known != roles_.end() && known->second.timeline == roles.timeline &&
      known->second.roles.as_of > roles.roles.as_of)
    return;
  if (roles.roles.exact)
    roles_[branch_id] = std::move(roles);
  else if (known != roles_.end())
    roles_.erase(known);
}

void CatalogMemory::forget_roles(const std::string& branch_id) {
  MutexLock lock(mutex_);
  roles_.erase(branch_id);
}

void CatalogMemory::clear() {
  MutexLock lock(mutex_);
  projects_ = {};
  branches_ = {};
  endpoints_ = {};
  roles_.clear();
  pending_branches_.clear();
  pending_sql_.clear();
}

}  // namespace halogen::control
