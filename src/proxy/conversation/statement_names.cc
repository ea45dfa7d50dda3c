#include "proxy/conversation/statement_names.h"

namespace halogen::proxy {

ClientStatement* StatementNames::find(std::string_view name) {
  if (names_.empty()) return nullptr;
  auto found = names_.find(std::string(name));
  return found == names_.end() ? nullptr : &found->second;
}

const ClientStatement* StatementNames::find(std::string_view name) const {
  return const_cast<StatementNames*>(this)->find(name);
}

void StatementNames::take_away(std::string_view name, OutstandingRequest& by) {
  auto found = names_.find(std::string(name));
  if (found == names_.end()) return;
  by.before = std::make_unique<ClientStatement>(std::move(found->second));
  names_.erase(found);
}

void StatementNames::clear(const OutstandingRequests& outstanding) {
  auto forgotten = std::exchange(names_, {});
  for (const OutstandingRequest& one : outstanding) {
    if (one.kind != OutstandingRequest::Kind::parse || one.job != OutstandingRequest::Job::name)
      continue;
    auto found = forgotten.find(one.name);
    if (!one.name.empty() && found != forgotten.end()) names_.insert(*found);
  }
}

void StatementNames::undo(OutstandingRequest& by) {
  if (by.kind == OutstandingRequest::Kind::parse && by.job == OutstandingRequest::Job::name) {
    auto named = names_.find(by.name);
    if (named != names_.end() && named->second.text == by.text) names_.erase(named);
  }
  if (by.before) names_[by.name] = std::move(*by.before);
  if (by.ends_unnamed) unnamed = std::move(by.unnamed_before);
}

}  // namespace halogen::proxy
