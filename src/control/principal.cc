#include "control/principal.h"

#include "base/error.h"

namespace halogen::control {
namespace {

Error outside_project() {
  return Error(Errc::not_found,
               "not allowed to perform actions outside the project this key is scoped to");
}

Error not_for_organizations() {
  return Error(Errc::not_found, "not allowed for organization API keys");
}

void authorize_organization(const Principal& principal, const Object& object, Verb verb) {
  const bool own = object.org_id == principal.org_id;
  switch (object.kind) {
    case Object::Kind::platform:
    case Object::Kind::user:
      throw not_for_organizations();
    case Object::Kind::identity:
      return;
    case Object::Kind::organization:
      if (!own) throw Error(Errc::not_found, "organization not found");
      if (verb == Verb::manage) throw not_for_organizations();
      return;
    case Object::Kind::projects:
      if (!own && !object.org_id.empty()) throw Error(Errc::not_found, "organization not found");
      return;
    case Object::Kind::project:
      if (!own) throw Error(Errc::not_found, "project not found");
      return;
  }
}

void require_role(const Principal& principal, MemberRole needed) {
  if (principal.role >= needed) return;
  throw Error(Errc::not_found, "not allowed for the role {} in this organization",
              member_role_name(principal.role));
}

MemberRole role_for_project(Verb verb) {
  if (verb == Verb::view) return MemberRole::viewer;
  return verb == Verb::manage ? MemberRole::member : MemberRole::editor;
}

void authorize_member(const Principal& principal, const Object& object, Verb verb) {
  const bool own = object.org_id == principal.org_id;
  switch (object.kind) {
    case Object::Kind::platform:
      throw Error(Errc::not_found, "not allowed for members of an organization");
    case Object::Kind::user:
    case Object::Kind::identity:
      return;  // Their own keys, as themselves.
    case Object::Kind::organization:
      if (!own) throw Error(Errc::not_found, "organization not found");
      return require_role(principal, verb == Verb::view ? MemberRole::viewer : MemberRole::admin);
    case Object::Kind::projects:
      if (!own && !object.org_id.empty()) throw Error(Errc::not_found, "organization not found");
      return require_role(principal, verb == Verb::view ? MemberRole::viewer : MemberRole::member);
    case Object::Kind::project:
      if (!own) throw Error(Errc::not_found, "project not found");
      return require_role(principal, role_for_project(verb));
  }
}

void authorize_project(const Principal& principal, const Object& object, Verb verb) {
  if (object.kind == Object::Kind::identity) return;
  const bool own =
      object.kind == Object::Kind::project && object.project_id == principal.project_id;
  if (!own) throw outside_project();
  if (verb == Verb::manage)
    throw Error(Errc::not_found, "not allowed for API keys that are scoped to a project");
}

}  // namespace

std::string_view key_kind_name(KeyKind kind) {
  switch (kind) {
    case KeyKind::personal:
      return "personal";
    case KeyKind::member:
      return "member";
    case KeyKind::organization:
      return "organization";
    case KeyKind::project:
      return "project";
  }
  return "";
}

KeyKind parse_key_kind(std::string_view name) {
  for (KeyKind kind : {KeyKind::personal, KeyKind::organization, KeyKind::project})
    if (key_kind_name(kind) == name) return kind;
  throw Error(Errc::corrupt, "no kind of API key is \"{}\"", name);
}

std::string_view member_role_name(MemberRole role) {
  switch (role) {
    case MemberRole::viewer:
      return "viewer";
    case MemberRole::editor:
      return "editor";
    case MemberRole::member:
      return "member";
    case MemberRole::admin:
      return "admin";
  }
  return "";
}

MemberRole parse_member_role(std::string_view name) {
  for (MemberRole role :
       {MemberRole::viewer, MemberRole::editor, MemberRole::member, MemberRole::admin})
    if (member_role_name(role) == name) return role;
  throw Error(Errc::invalid_argument, "role must be admin, member, editor or viewer");
}

void authorize(const Principal& principal, const Object& object, Verb verb) {
  if (principal.kind == KeyKind::member) authorize_member(principal, object, verb);
  if (principal.kind == KeyKind::organization) authorize_organization(principal, object, verb);
  if (principal.kind == KeyKind::project) authorize_project(principal, object, verb);
}

}  // namespace halogen::control
