// principal.h: who asks, and whether they may. The one place where that is decided. Pure.
//
// The operator's personal keys reach everything. Those of another member reach what that one's role
// in the organization allows, at the moment of the request. An organization's key reaches its
// organization and that one's projects; a project's key its project, which it cannot delete.
#pragma once
#include <string>
#include <string_view>

namespace halogen::control {

// A member's keys are personal ones in the catalog.
enum class KeyKind { personal, member, organization, project };
std::string_view key_kind_name(KeyKind kind);
KeyKind parse_key_kind(std::string_view name);  // Of a name that key_kind_name() gave.

// Of a member of an organization. Each may do what those before it may.
enum class MemberRole {
  viewer,  // Sees projects and what is in them, but no passwords.
  editor,  // Changes what is in projects.
  member,  // Makes and deletes projects.
  admin,   // Invites and removes members, makes the organization's keys.
};
std::string_view member_role_name(MemberRole role);
MemberRole parse_member_role(std::string_view name);  // invalid_argument.

struct Principal {
  KeyKind kind = KeyKind::personal;
  int64_t key_id = 0;
  std::string user_id;
  std::string org_id;                    // Empty for the operator's personal key.
  std::string project_id;                // Of a project's key.
  MemberRole role = MemberRole::viewer;  // Of a member.
};

enum class Verb {
  view,
  reveal,  // See a password.
  edit,
  manage,  // What takes something away for good, or gives rights to somebody else.
};

// What a request is about.
struct Object {
  enum class Kind {
    platform,      // The machine itself: its state, its keys, what goes past the API.
    user,          // The one who asks, as a person.
    identity,      // The one who asks, whatever that is.
    organization,  // One organization.
    projects,      // The projects of an organization, as a whole.
    project,       // One project and all that is in it.
  };
  Kind kind = Kind::platform;
  std::string org_id;      // Of organization, projects (empty: none was named) and project.
  std::string project_id;  // Of project.
};

// Throws not_found, in the words that clients know: whoever may not see an object is not told
// whether there is one.
void authorize(const Principal& principal, const Object& object, Verb verb);

}  // namespace halogen::control
