#include "control/members.h"

#include <algorithm>

#include "base/error.h"
#include "base/ids.h"
#include "control/names.h"

namespace halogen::control {
namespace {

constexpr Micros kInvitationLife = Micros{7} * 86'400 * 1'000'000;
constexpr size_t kLongestAddress = 256;
constexpr size_t kLongestName = 256;

constexpr const char* kMembers =
    "SELECT m.id, m.org_id, m.user_id, m.role, m.joined_at, u.email FROM members m JOIN users u ON "
    "u.id = m.user_id";
constexpr const char* kInvitationColumns =
    "id, org_id, email, role, invited_by, invited_at, expires_at";

Member read_member(const Statement& row) {
  return {row.text(0),    row.text(1), row.text(2), parse_member_role(row.text(3)),
          row.integer(4), row.text(5)};
}

Invitation read_invitation(const Statement& row) {
  return {row.text(0), row.text(1),    row.text(2),   parse_member_role(row.text(3)),
          row.text(4), row.integer(5), row.integer(6)};
}

Error no_such_invitation() {
  return Error(Errc::not_found,
               "invitation not found: it was accepted, withdrawn or replaced, or has expired");
}

}  // namespace

std::string checked_address(std::string email) {
  const size_t at = email.find('@');
  const bool plain =
      std::ranges::all_of(email, [](unsigned char c) { return c > ' ' && c != 127; });
  if (!plain || email.size() > kLongestAddress || at == 0 || at == std::string::npos ||
      at + 1 == email.size() || email.find('@', at + 1) != std::string::npos)
    throw Error(Errc::invalid_argument, "email must be an address, as somebody@example.com");
  std::ranges::transform(email, email.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return email;
}

std::vector<Member> Members::members(const std::string& org_id) {
  MutexLock lock(mutex_);
  Statement rows =
      db_.query(fmt::format("{} WHERE m.org_id = ? ORDER BY m.joined_at, m.id", kMembers), org_id);
  std::vector<Member> found;
  while (rows.step()) found.push_back(read_member(rows));
  return found;
}

Member Members::found_member(const std::string& org_id, const std::string& id) {
  Statement row =
      db_.query(fmt::format("{} WHERE m.org_id = ? AND m.id = ?", kMembers), org_id, id);
  if (!row.step()) throw Error(Errc::not_found, "member not found");
  return read_member(row);
}

Member Members::member(const std::string& org_id, const std::string& id) {
  MutexLock lock(mutex_);
  return found_member(org_id, id);
}

void Members::require_not_operator(const Member& member) {
  Statement first = db_.query("SELECT id FROM users ORDER BY created_at, id LIMIT 1");
  if (first.step() && first.text(0) == member.user_id)
    throw Error(Errc::conflict, "the operator of this platform stays an admin of the organization");
}

Member Members::set_role(const std::string& org_id, const std::string& id, MemberRole role) {
  MutexLock lock(mutex_);
  Member member = found_member(org_id, id);
  if (role != member.role) require_not_operator(member);
  db_.run("UPDATE members SET role = ? WHERE id = ?", member_role_name(role), id);
  member.role = role;
  return member;
}

Member Members::remove(const std::string& org_id, const std::string& id) {
  MutexLock lock(mutex_);
  const Member member = found_member(org_id, id);
  require_not_operator(member);
  Transaction transaction(db_);
  db_.run("DELETE FROM api_keys WHERE user_id = ? AND kind = 'personal'", member.user_id);
  db_.run("DELETE FROM members WHERE id = ?", id);
  transaction.commit();
  return member;
}

std::vector<Invitation> Members::invitations(const std::string& org_id) {
  MutexLock lock(mutex_);
  Statement rows = db_.query(
      fmt::format("SELECT {} FROM invitations WHERE org_id = ? AND expires_at > ? ORDER BY "
                  "invited_at, id",
                  kInvitationColumns),
      org_id, now_micros());
  std::vector<Invitation> found;
  while (rows.step()) found.push_back(read_invitation(rows));
  return found;
}

Invitation Members::invite(Invitation invitation, const std::string& secret) {
  invitation.email = checked_address(std::move(invitation.email));
  invitation.id = random_uuid();
  invitation.invited_at = now_micros();
  invitation.expires_at = invitation.invited_at + kInvitationLife;
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  Statement member = db_.query(
      "SELECT 1 FROM members m JOIN users u ON u.id = m.user_id WHERE org_id = ? AND lower(email) "
      "= ?",
      invitation.org_id, invitation.email);
  if (member.step()) throw Error(Errc::already_exists, "{} is a member already", invitation.email);
  db_.run("INSERT OR REPLACE INTO invitations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", invitation.id,
          invitation.org_id, invitation.email, member_role_name(invitation.role),
          invitation.invited_by, invitation.invited_at, invitation.expires_at, sha256_hex(secret));
  transaction.commit();
  return invitation;
}

void Members::withdraw(const std::string& org_id, const std::string& id) {
  MutexLock lock(mutex_);
  db_.run("DELETE FROM invitations WHERE org_id = ? AND id = ?", org_id, id);
  if (db_.changes() == 0) throw no_such_invitation();
}

std::string Members::user_of(const std::string& email, const std::string& name) {
  if (Statement known = db_.query("SELECT id FROM users WHERE lower(email) = ?", email);
      known.step())
    return known.text(0);
  const std::string id = random_uuid();
  db_.run("INSERT INTO users VALUES (?, ?, ?, ?)", id, name.empty() ? email : name, email,
          now_micros());
  return id;
}

Member Members::accept(const std::string& secret, const std::string& name,
                       const std::string& key_secret) {
  if (name.size() > kLongestName)
    throw Error(Errc::invalid_argument, "name is longer than {} bytes", kLongestName);
  const std::string hash = sha256_hex(secret);
  const Micros now = now_micros();
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  Invitation invitation;
  {
    Statement row =
        db_.query(fmt::format("SELECT {} FROM invitations WHERE hash = ? AND expires_at > ?",
                              kInvitationColumns),
                  hash, now);
    if (!row.step()) throw no_such_invitation();
    invitation = read_invitation(row);
  }
  Member member{random_uuid(), invitation.org_id, user_of(invitation.email, name), invitation.role,
                now,           invitation.email};
  db_.run("DELETE FROM invitations WHERE id = ?", invitation.id);
  db_.run("INSERT INTO members VALUES (?, ?, ?, ?, ?)", member.id, member.org_id, member.user_id,
          member_role_name(member.role), now);
  db_.run(
      "INSERT INTO api_keys (name, hash, kind, user_id, org_id, project_id, created_at) "
      "VALUES ('invitation', ?, 'personal', ?, '', '', ?)",
      sha256_hex(key_secret), member.user_id, now);
  transaction.commit();
  return member;
}

}  // namespace halogen::control
