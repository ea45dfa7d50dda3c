// members.h: who belongs to an organization, and who is invited. The operator is an administrator
// of each, and stays one.
//
// There is no e-mail here: whoever invites gets a secret and hands it over; with it the one who is
// invited becomes a member, and gets a personal API key. Of secrets there are only hashes.
//
// Threads: any; one connection to the catalog's database behind one mutex.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "control/accounts.h"

namespace halogen::control {

struct Member {
  std::string id;  // A UUID.
  std::string org_id;
  std::string user_id;
  MemberRole role = MemberRole::viewer;
  Micros joined_at = 0;
  std::string email;
};

struct Invitation {
  std::string id;  // A UUID.
  std::string org_id;
  std::string email;
  MemberRole role = MemberRole::viewer;
  std::string invited_by;  // A user.
  Micros invited_at = 0;
  Micros expires_at = 0;
};

// Letters of any case are one address. Throws invalid_argument for what is none.
std::string checked_address(std::string email);

class Members {
 public:
  // Requires: a Catalog has opened the same file, and is there for as long as this.
  explicit Members(const std::filesystem::path& catalog_file) : db_(catalog_file) {}

  std::vector<Member> members(const std::string& org_id);           // The first to join first.
  Member member(const std::string& org_id, const std::string& id);  // not_found; likewise below.
  // Counts at once, for all their keys. conflict for the operator.
  Member set_role(const std::string& org_id, const std::string& id, MemberRole role);
  // Their personal keys are gone with it. conflict for the operator.
  Member remove(const std::string& org_id, const std::string& id);

  std::vector<Invitation> invitations(const std::string& org_id);  // Those that can be accepted.
  // Takes the place of an earlier one. invalid_argument for what is no address, already_exists if
  // it is a member's.
  Invitation invite(Invitation invitation, const std::string& secret);
  void withdraw(const std::string& org_id, const std::string& id);
  // Once: makes the user, if there is none of that address, the member and a key with that secret.
  // not_found if the invitation is not known (any more).
  Member accept(const std::string& secret, const std::string& name, const std::string& key_secret);

 private:
  Member found_member(const std::string& org_id, const std::string& id) REQUIRES(mutex_);
  void require_not_operator(const Member& member) REQUIRES(mutex_);
  std::string user_of(const std::string& email, const std::string& name) REQUIRES(mutex_);

  Mutex mutex_;
  Database db_ GUARDED_BY(mutex_);
};

}  // namespace halogen::control
