// The keys with which the passwords in the catalog are encrypted.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

void print_keys(const Context& context, const json& keys) {
  if (context.json) return print_json(keys);
  std::vector<std::vector<std::string>> rows = {{"ID", "NEWEST", "PASSWORDS"}};
  for (const json& key : keys)
    rows.push_back({key.value("id", ""), key.value("newest", false) ? "yes" : "",
                    std::to_string(key.value("passwords", 0))});
  print_table(rows);
}

}  // namespace

void add_keys(CLI::App& app, Context& context) {
  CLI::App* group =
      app.add_subcommand("keys", "The keys of the passwords that the catalog keeps encrypted");
  group->require_subcommand(1);
  CLI::App* list = group->add_subcommand("list", "Show which keys there are, not the keys");
  explain(list, {"halogen keys list"});
  list->callback(
      [&context] { print_keys(context, Api(context).get("/internal/keys").at("keys")); });

  CLI::App* rotate = group->add_subcommand(
      "rotate", "Encrypt all passwords with a new key; older keys stay, for older backups");
  explain(rotate, {"halogen keys rotate"});
  rotate->callback([&context] {
    print_keys(context, Api(context).post("/internal/keys/rotate", json::object()).at("keys"));
    fmt::print(stderr,
               "Copy the key file anew; backups of the catalog from before need the old "
               "keys in it.\n");
  });

  CLI::App* drop = group->add_subcommand(
      "drop-older", "Remove all keys but the newest; older backups need a copy of them");
  explain(drop, {"halogen keys drop-older"});
  drop->callback([&context] {
    print_keys(context, Api(context).post("/internal/keys/drop_older", json::object()).at("keys"));
  });
}

}  // namespace halogen::cli
