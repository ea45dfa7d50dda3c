// Members of the organization, and who is invited.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct MemberFlags {
  std::string email;
  std::string role = "viewer";
};

// The one of that address, in a list of members or of invitations.
json find_by_email(const json& list, const std::string& email, const std::string& what) {
  for (const json& one : list) {
    const json& told = one.contains("user") ? one["user"] : one;
    if (told.value("email", "") == email) return one;
  }
  throw Error(Errc::not_found, "{} {} not found", what, email);
}

json find_member(const Api& api, const std::string& email) {
  return find_by_email(api.get(organization_path(api) + "/members").at("members"), email,
                       "member")["member"];
}

void list_members(const Context& context, const MemberFlags&) {
  Api api(context);
  json members = api.get(organization_path(api) + "/members?sort_order=asc").at("members");
  if (context.json) return print_json(members);
  std::vector<std::vector<std::string>> rows = {{"EMAIL", "ROLE", "JOINED"}};
  for (const json& one : members)
    rows.push_back({one["user"].value("email", ""), one["member"].value("role", ""),
                    one["member"].value("joined_at", "")});
  print_table(rows);
}

void list_invitations(const Context& context, const MemberFlags&) {
  Api api(context);
  json invitations = api.get(organization_path(api) + "/invitations").at("invitations");
  if (context.json) return print_json(invitations);
  std::vector<std::vector<std::string>> rows = {{"EMAIL", "ROLE", "INVITED", "EXPIRES"}};
  for (const json& one : invitations)
    rows.push_back({one.value("email", ""), one.value("role", ""), one.value("invited_at", ""),
                    one.value("expires_at", "")});
  print_table(rows);
}

// The token alone is on standard output.
void invite(const Context& context, const MemberFlags& flags) {
  Api api(context);
  json body = {{"invitations", {{{"email", flags.email}, {"role", flags.role}}}}};
  json made = api.post(organization_path(api) + "/invitations", body).at("invitations").at(0);
  if (context.json) return print_json(made);
  fmt::print(stderr,
             "{} is invited until {}. The token is for them, and shown this once; with it they get "
             "an API key:\n  curl -X POST .../api/v2/invitations/accept -d '{{\"token\": "
             "\"...\"}}'\n",
             made.value("email", ""), made.value("expires_at", ""));
  fmt::print("{}\n", made.value("token", ""));
}

void withdraw(const Context& context, const MemberFlags& flags) {
  Api api(context);
  const std::string path = organization_path(api) + "/invitations";
  json found = find_by_email(api.get(path).at("invitations"), flags.email, "invitation of");
  api.remove(path + "/" + found.value("id", ""));
  if (context.json) return print_json(found);
  fmt::print(stderr, "{} is not invited any more.\n", flags.email);
}

void give_role(const Context& context, const MemberFlags& flags) {
  Api api(context);
  const std::string id = find_member(api, flags.email).value("id", "");
  json changed = api.patch(organization_path(api) + "/members/" + id, json{{"role", flags.role}});
  if (context.json) return print_json(changed);
  fmt::print(stderr, "{} has the role {} now.\n", flags.email, changed.value("role", ""));
}

void remove_member(const Context& context, const MemberFlags& flags) {
  Api api(context);
  json member = find_member(api, flags.email);
  api.remove(organization_path(api) + "/members/" + member.value("id", ""));
  if (context.json) return print_json(member);
  fmt::print(stderr, "{} is no member any more; their API keys are of no use.\n", flags.email);
}

using Command = void (*)(const Context&, const MemberFlags&);

CLI::App* add_command(CLI::App* group, Context& context, const std::shared_ptr<MemberFlags>& flags,
                      const char* name, const char* help, Command command) {
  CLI::App* added = group->add_subcommand(name, help);
  added->callback([&context, flags, command] { command(context, *flags); });
  return added;
}

void add_email(CLI::App* command, const std::shared_ptr<MemberFlags>& flags) {
  command->add_option("email", flags->email, "The address")->required()->type_name("EMAIL");
}

constexpr const char* kRoleHelp =
    "viewer sees, editor changes what is in projects, member makes and deletes projects, admin "
    "invites";

}  // namespace

void add_members(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("members", "Invite people to the organization, and more");
  group->alias("member");
  group->require_subcommand(1);
  auto flags = std::make_shared<MemberFlags>();
  auto add = [&](const char* name, const char* help, Command command) {
    return add_command(group, context, flags, name, help, command);
  };
  explain(add("list", "List members and their roles", list_members), {"halogen members list"});
  CLI::App* inviting = add("invite", "Make a token with which somebody becomes a member", invite);
  add_email(inviting, flags);
  inviting->add_option("--role", flags->role, kRoleHelp)->type_name("ROLE")->capture_default_str();
  explain(inviting, {"halogen members invite ana@example.com --role editor"});
  explain(add("invitations", "List invitations that can be accepted", list_invitations),
          {"halogen members invitations"});
  CLI::App* withdrawing = add("withdraw", "Take an invitation back", withdraw);
  add_email(withdrawing, flags);
  explain(withdrawing, {"halogen members withdraw ana@example.com"});
  CLI::App* giving = add("role", "Give a member another role", give_role);
  add_email(giving, flags);
  giving->add_option("role", flags->role, kRoleHelp)->required()->type_name("ROLE");
  explain(giving, {"halogen members role ana@example.com admin"});
  CLI::App* removing =
      add("remove", "End a membership; the member's keys go with it", remove_member);
  add_email(removing, flags);
  explain(removing, {"halogen members remove ana@example.com"});
}

}  // namespace halogen::cli
