// connection_strings.h: how clients connect: host names, passwords that work, whole strings.
//
// Threads: any. Calls may ask a running compute whether a password is still the one.
#pragma once
#include <optional>
#include <string>

#include "control/catalog.h"
#include "control/history.h"

namespace halogen::control {

class ConnectionStrings {
 public:
  struct Options {
    Catalog& catalog;
    History& history;
    std::string domain;  // Endpoint hosts are <endpoint>.<domain>.
    int pg_port = 5432;
  };
  explicit ConnectionStrings(Options options) : options_(std::move(options)) {}

  const std::string& domain() const { return options_.domain; }
  std::string host_name(const std::string& endpoint_id, bool pooled) const;
  // The role's password, if we gave it and it still is the one: SQL may have changed it, which a
  // running compute tells, or the copy of its roles. If neither can be asked, what we gave counts.
  std::optional<std::string> password(const Endpoint& endpoint, const std::string& role);
  // With the password if we know it. The port only if it is not Postgres' own. No database or role:
  // the branch's first.
  std::string uri(const Endpoint& endpoint, const std::string& database, const std::string& role,
                  bool pooled);

 private:
  std::string first_database(const std::string& branch_id);
  std::string first_role(const std::string& branch_id);

  const Options options_;
};

}  // namespace halogen::control
