// fake_postgres.h: a Postgres session in memory, for tests of what the proxy says to it. It takes
// the bytes of a client and answers as Postgres 15 does: both query protocols, named and unnamed
// statements, portals, COPY, errors that skip to Sync, transactions, reports of settings and, if
// asked to, of the session's state. Its SQL: fake_session.h.
#pragma once
#include "proxy/testing/fake_session.h"

namespace halogen::proxy::testing {

class FakePostgres {
 public:
  struct Options {
    FakeSession::Settings startup;
    bool report_session = true;
  };
  explicit FakePostgres(FakeCluster& cluster) : FakePostgres(cluster, Options()) {}
  FakePostgres(FakeCluster& cluster, Options options)
      : session(cluster, options.startup), options_(options), settings_told_(reported()) {}

  // What it says goes to `out`.
  void take(std::string_view bytes, std::string& out) {
    held_.append(bytes);
    size_t used = 0;
    while (auto message = wire::parse_message(as_bytes(std::string_view(held_).substr(used)))) {
      used += message->size;
      if (!dead_) take_message(message->type, std::string(as_text(message->body)), out);
    }
    held_.erase(0, used);
  }

  // What a greeting tells of the settings.
  FakeSession::Settings reported() const {
    FakeSession::Settings all;
    for (const char* name : {"TimeZone", "application_name"}) all[name] = session.setting(name);
    return all;
  }
  void notify(const std::string& channel, const std::string& payload, std::string& out) {
    if (!session.listens(channel)) return;
    wire::put_message(out, 'A', std::string(4, '\0') + channel + '\0' + payload + '\0');
  }
  // The next message fails with this error, unless it is skipped.
  void interrupt(FakeError why) { interruption_ = std::move(why); }
  // Whether Postgres looks for cancel requests in it.
  static bool interruptible(char type) { return type != 'S' && type != 'H' && type != 'C'; }
  void end(const std::string& sqlstate, std::string& out) {
    wire::put_error(out, {"FATAL", sqlstate, "terminating connection"});
    dead_ = true;
  }

  FakeSession session;
  std::vector<std::string> log;  // Each message and statement, in short.

 private:
  using Prepared = FakeSession::Prepared;
  struct Portal {
    Prepared statement;
    std::vector<std::string> values;
    std::optional<FakeSession::Result> result;
    size_t shown = 0;
  };

  void take_message(char type, const std::string& body, std::string& out) try {
    std::optional<FakeError> interruption = std::exchange(interruption_, {});
    bool passed_over = !copying_ && ((skipping_ && type != 'S') || is_copy(type));
    if (interruption && !passed_over) {
      if (!copying_) extended_ = is_extended(type) || type == 'S';
      if (type != 'S') throw *interruption;
      fail(*interruption, out);
    }
    if (copying_) return take_copy(type, body, out);
    if (skipping_ && type != 'S') return;
    if (!is_copy(type)) log.push_back(std::string(1, type));
    extended_ = is_extended(type);
    std::vector<std::string> texts = texts_of(body);
    switch (type) {
      case 'Q':
        unnamed_.reset();
        todo_ = statements_of(texts.at(0));
        if (todo_.empty()) wire::put_message(out, 'I');
        return run_query(out);
      case 'P':
        return take_parse(texts.at(0), texts.at(1), out);
      case 'B':
        return take_bind(body, texts, out);
      case 'D':
        return take_describe(body.at(0), texts.at(0).substr(1), out);
      case 'E':
        portal_ = texts.at(0);
        return take_execute(byteswap(load<uint32_t>(body.data() + portal_.size() + 1)), out);
      case 'C':
        if (body.at(0) == 'P') portals_.erase(texts.at(0).substr(1));
        if (body == std::string_view("S\0", 2)) unnamed_.reset();
        if (body.at(0) == 'S') session.prepared().erase(texts.at(0).substr(1));
        return wire::put_message(out, '3');
      case 'S':
        skipping_ = false;
        return ready(out);
      case 'F':
        session.require_transaction({});
        wire::put_message(out, 'V', std::string_view("\xff\xff\xff\xff", 4));
        return ready(out);
      default:
        return;
    }
  } catch (const FakeError& error) {
    fail(error, out);
  }

  static bool is_copy(char type) { return type == 'd' || type == 'c' || type == 'f'; }
  static bool is_extended(char type) {
    return std::string_view("PBDECH").find(type) != std::string_view::npos;
  }

  // Texts that end in zero.
  static std::vector<std::string> texts_of(const std::string& body) {
    std::vector<std::string> texts;
    for (size_t at = 0, end = 0; (end = body.find('\0', at)) != std::string::npos; at = end + 1)
      texts.push_back(body.substr(at, end - at));
    return texts;
  }

  void fail(const FakeError& error, std::string& out) {
    wire::put_error(out, {"ERROR", error.sqlstate, error.message});
    session.fail();
    portals_.clear();
    skipping_ = extended_;
    todo_.clear();
    copying_ = false;
    session.parse_under(std::nullopt);
    if (!extended_) ready(out);
  }

  void ready(std::string& out) {
    if (session.end_command() || session.status() == 'I') portals_.clear();
    report_session(out);
    for (auto& [name, value] : reported())
      if (std::exchange(settings_told_[name], value) != value)
        wire::put_parameter_status(out, name, value);
    wire::put_ready_for_query(out, session.status());
  }

  void report_session(std::string& out) {
    if (!options_.report_session || session.status() != 'I') return;
    std::string report = session.report();
    if (std::exchange(state_told_, report) != report)
      wire::put_parameter_status(out, kSessionStateParameter, report);
  }

  // ---- The simple protocol ----

  void run_query(std::string& out) {
    while (!todo_.empty()) {
      std::string sql = todo_.front();
      todo_.erase(todo_.begin());
      session.start_command();
      Prepared statement = session.parse(sql);
      if (starts_copy(sql, out)) return;
      FakeSession::Result result = run(statement, {}, out);
      if (dead_) return;
      if (statement.columns >= 0) put_description(statement, out);
      for (auto& row : result.rows) wire::put_data_row(out, row);
      wire::put_command_complete(out, result.tag);
    }
    ready(out);
  }

  // A statement to the extension.
  bool take_own(const std::string& sql) {
    if (!sql.starts_with("SET halogen.")) return false;
    std::vector<std::string> items = items_of(sql);
    if (sql.starts_with("SET halogen.session")) session.restore(items);
    if (sql.starts_with("SET halogen.parse")) {
      std::optional<FakeSession::Settings> under;
      if (!items.empty()) under.emplace();
      for (size_t i = 1; i + 1 < items.size(); i += 2) (*under)[items[i]] = items[i + 1];
      session.parse_under(under);
    }
    if (sql.starts_with("SET halogen.names")) {
      session.names().clear();
      for (size_t i = 1; i + 2 < items.size(); i += 3)
        session.names()[items[i]] = {items[i + 1], items[i + 2]};
    }
    return true;
  }

  FakeSession::Result run(const Prepared& statement, const std::vector<std::string>& values,
                          std::string& out) {
    log.push_back(statement.sql);
    if (take_own(statement.sql)) return {{}, "SET", ""};
    Words words = words_of(statement.sql);
    if (words.empty()) return {};
    if (words[0] == "DIE") end("57P01", out);
    if (words[0] == "EXECUTE") {
      session.require_transaction(words);
      auto prepared = session.find_named(unquoted(words.at(1)));
      session.revalidate(prepared->second);
      return run(prepared->second, {"argument"}, out);
    }
    FakeSession::Result result = session.run(statement, values);
    if (std::string name = session.take_deallocated(); options_.report_session && !name.empty())
      wire::put_parameter_status(out, kDeallocatedParameter, name);
    if (!result.notice.empty()) wire::put_notice(out, {"NOTICE", "00000", result.notice});
    return result;
  }

  static void put_description(const Prepared& statement, std::string& out) {
    if (statement.columns < 0) return wire::put_message(out, 'n');
    wire::put_row_description(out, FakeSession::description(statement));
  }

  // ---- The extended protocol ----

  void take_parse(const std::string& name, const std::string& sql, std::string& out) {
    session.start_command();
    if (name.empty()) unnamed_.reset();
    Prepared statement = session.parse(sql);
    std::string changes = nlohmann::json(session.parse_changes()).dump();
    if (changes == "null") changes = "{}";
    if (options_.report_session && std::exchange(changes_told_, changes) != changes)
      wire::put_parameter_status(out, kParseSettingsParameter, changes);
    if (name.empty())
      unnamed_ = statement;
    else if (!session.prepared().emplace(name, statement).second)
      throw FakeError{"42P05", "prepared statement \"" + name + "\" already exists"};
    wire::put_message(out, '1');
  }

  const Prepared& find(const std::string& name) {
    if (name.empty() && unnamed_) return *unnamed_;
    if (name.empty()) throw FakeError{"26000", "unnamed prepared statement does not exist"};
    auto found = session.prepared().find(name);
    if (found == session.prepared().end())
      throw FakeError{"26000", "prepared statement \"" + name + "\" does not exist"};
    return found->second;
  }

  void take_bind(const std::string& body, const std::vector<std::string>& texts, std::string& out) {
    session.start_command();
    Portal portal;
    portal.statement = find(texts.at(1));
    session.revalidate(portal.statement);
    Reader in(as_bytes(std::string_view(body).substr(texts[0].size() + texts[1].size() + 2)));
    in.skip(2 * size_t{in.be_get<uint16_t>()});
    for (int count = in.be_get<uint16_t>(); count > 0; count--)
      portal.values.emplace_back(as_text(in.take(in.be_get<uint32_t>())));
    portals_[texts[0]] = portal;
    wire::put_message(out, '2');
  }

  void take_describe(char kind, const std::string& name, std::string& out) {
    session.start_command();
    if (kind == 'P') {
      auto found = portals_.find(name);
      if (found == portals_.end()) throw FakeError{"34000", "portal does not exist"};
      return put_description(found->second.statement, out);
    }
    const Prepared& statement = find(name);
    if (statement.columns >= 0) session.revalidate(statement);
    bool takes_one = statement.sql.find("$1") != std::string::npos;
    std::string types("\0\1\0\0\0\x19", 6);
    wire::put_message(out, 't', takes_one ? types : std::string(2, '\0'));
    put_description(statement, out);
  }

  void take_execute(uint32_t most, std::string& out) {
    session.start_command();
    auto found = portals_.find(portal_);
    if (found == portals_.end()) throw FakeError{"34000", "portal does not exist"};
    Portal& portal = found->second;
    if (portal.statement.sql.empty()) return wire::put_message(out, 'I');
    session.require_transaction(words_of(portal.statement.sql));
    if (starts_copy(portal.statement.sql, out)) return;
    if (!portal.result) portal.result = run(portal.statement, portal.values, out);
    if (dead_) return;
    size_t count = 0;
    for (; portal.shown < portal.result->rows.size() && (most == 0 || count < most); count++)
      wire::put_data_row(out, portal.result->rows[portal.shown++]);
    if (portal.shown < portal.result->rows.size()) return wire::put_message(out, 's');
    wire::put_command_complete(out, portal.result->tag);
    if (portal.statement.sql.starts_with("SET halogen.session")) report_session(out);
  }

  // ---- COPY ----

  bool starts_copy(const std::string& sql, std::string& out) {
    if (sql != "COPYIN" && sql != "COPYNO" && sql != "COPYOUT") return false;
    session.require_transaction({sql});
    log.push_back(sql);
    bool in = sql != "COPYOUT";
    wire::put_message(out, in ? 'G' : 'H', std::string(3, '\0'));
    if (sql == "COPYNO") throw FakeError{"42809", "cannot copy to view"};
    copying_ = in;
    copied_ = 0;
    if (in) return true;
    wire::put_copy_data(out, "data");
    wire::put_message(out, 'c');
    wire::put_command_complete(out, "COPY 1");
    if (!extended_) run_query(out);
    return true;
  }

  void take_copy(char type, const std::string& body, std::string& out) {
    switch (type) {
      case 'S':
      case 'H':
        return;
      case 'd':
        if (body == "bad") throw FakeError{"22P02", "invalid input syntax"};
        copied_++;
        return;
      case 'c':
        copying_ = false;
        wire::put_command_complete(out, "COPY " + std::to_string(copied_));
        if (!extended_) run_query(out);
        return;
      case 'f':
        throw FakeError{"57014", "COPY from stdin failed: " + body.substr(0, body.find('\0'))};
      default:
        wire::put_error(out, {"ERROR", "08P01", "unexpected message type during COPY from stdin"});
        end("08P01", out);
    }
  }

  const Options options_;
  std::string held_;  // The beginning of a message.
  bool dead_ = false;
  std::optional<FakeError> interruption_;
  bool extended_ = false;  // The message that is looked at, or has begun a COPY.
  bool skipping_ = false;
  std::vector<std::string> todo_;  // Statements of a simple query that are still to be run.
  std::optional<Prepared> unnamed_;
  std::map<std::string, Portal> portals_;
  std::string portal_;  // That is executed.
  bool copying_ = false;
  int copied_ = 0;
  FakeSession::Settings settings_told_;
  std::string state_told_ = "{}";
  std::string changes_told_ = "{}";
};

}  // namespace halogen::proxy::testing
