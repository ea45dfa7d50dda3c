// statement_names.h: what a client's names of prepared statements stand for.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/conversation/outstanding.h"

namespace halogen::proxy {

class StatementNames {
 public:
  bool empty() const { return names_.empty(); }
  // nullptr if the client knows none by that name.
  ClientStatement* find(std::string_view name);
  const ClientStatement* find(std::string_view name) const;
  void put(const std::string& name, ClientStatement statement) {
    names_[name] = std::move(statement);
  }
  // Takes the name away; `by` can give it back.
  void take_away(std::string_view name, OutstandingRequest& by);
  void erase(const std::string& name) { names_.erase(name); }
  // All but those whose Parse is still to be answered.
  void clear(const OutstandingRequests& outstanding);
  // What `by` has done is not done after all.
  void undo(OutstandingRequest& by);

  auto begin() const { return names_.begin(); }
  auto end() const { return names_.end(); }

  ClientStatement unnamed;  // Its text is null if there is none.

 private:
  std::unordered_map<std::string, ClientStatement> names_;
};

}  // namespace halogen::proxy
