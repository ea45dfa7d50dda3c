// Many clients on few servers, at random: each must see what it would see on a server of its own.
//
// Kept out of the scripts is what is known to differ: currval after a move, what PREPARE by SQL
// made of a table that has changed since, Describe of what gives no rows in a failed transaction,
// SQL that ends a failed transaction and names a statement of the protocol in one text, and what is
// sent behind a DEALLOCATE ALL before its answer has come. HALOGEN_MODEL_SEEDS: how many worlds are
// tried, where not the usual 1,500; 10,000 agree.
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "proxy/testing/conversation_world.h"

namespace halogen::proxy::testing {
namespace {

class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(engine_); }
  bool one_in(size_t n) { return below(n) == 0; }
  std::string of(const std::vector<std::string>& all) { return all[below(all.size())]; }

 private:
  std::mt19937 engine_;
};

// What a client may say next: always to the end of a request.
class Script {
 public:
  Script(Dice& dice, std::string table) : dice_(dice), table_(std::move(table)) {}

  Say next() {
    Say say;
    switch (dice_.below(12)) {
      case 0:
        return say.query("COPYIN").data("1").data(dice_.of({"2", "bad"})).copy_done();
      case 1:
        say.once(dice_.of({"COPYIN", "COPYIN", "COPYNO"})).sync();
        say.data(dice_.of({"1", "1", "bad"})).copy_done();
        for (size_t n = dice_.below(3); n > 0; n--) behind_copy(say);
        return say.sync().parse("", "SELECT a").sync();
      case 2:
        return say.call();
      case 3:
      case 4:
      case 5:
      case 6: {
        bool several = dice_.one_in(4);
        std::string sql = statement();
        while (several && !dice_.one_in(3)) {
          std::string more = statement();
          bool ends = sql.find("ROLLBACK") != sql.npos || sql.find("COMMIT") != sql.npos;
          if (!ends || more.find(" n") == more.npos) sql += "; " + more;
        }
        return say.query(sql);
      }
      default:
        for (size_t n = dice_.below(6); n > 0; n--) extended(say);
        return say.sync();
    }
  }
  static Say last() { return Say().query("ROLLBACK").query("DISCARD ALL").query("SELECT end"); }

 private:
  std::string name() { return dice_.of({"n1", "n2"}); }

  std::string statement() {
    std::string prepared = dice_.of({"p1", "p2"});
    std::string any = dice_.of({"n1", "n2", "n3"});
    return dice_.of({"SELECT a",
                     "SELECT b",
                     "TABLE " + table_,
                     "SHOW work_mem",
                     "SHOW TimeZone",
                     "ROWS 3",
                     "ALTER " + table_ + " " + dice_.of({"1", "2"}),
                     "SET work_mem " + dice_.of({"1", "2"}),
                     "SET TimeZone " + dice_.of({"1", "2"}),
                     "SET application_name me",
                     "RESET TimeZone",
                     "RESET work_mem",
                     "BEGIN",
                     "BEGIN",
                     "COMMIT",
                     "COMMIT",
                     "ROLLBACK",
                     "LOCK k",
                     "UNLOCK k",
                     "UNLOCK k",
                     "NEXTVAL",
                     "FAIL",
                     "BAD",
                     "NOTICE n",
                     "COPYOUT",
                     "COPYNO",
                     "LITERAL",
                     "DEALLOCATE ALL",
                     "DISCARD ALL",
                     "PREPARE " + prepared + " AS " + dice_.of({"SELECT p", "ROWS 2", "LITERAL"}),
                     "EXECUTE " + prepared,
                     "DEALLOCATE " + prepared,
                     "EXECUTE " + any,
                     "DEALLOCATE " + any});
  }

  // Not the unnamed statement: that is the COPY, which would be run without data.
  void behind_copy(Say& say) {
    switch (dice_.below(5)) {
      case 0:
        say.parse(name(), dice_.of({"SELECT a", "SELECT b", "LITERAL"}));
        return;
      case 1:
        say.close(name());
        return;
      case 2:
        say.describe(name());
        return;
      default:
        say.run(name(), {"v"});
        return;
    }
  }

  void extended(Say& say) {
    std::string text = dice_.of({"SELECT a", "SELECT b", "SELECT $1", "TABLE " + table_,
                                 "SHOW work_mem", "SHOW TimeZone", "ROWS 3", "LITERAL"});
    switch (dice_.below(12)) {
      case 0:
      case 1:
        say.parse(name(), text);
        return;
      case 2:
        say.parse("n3", dice_.of({"SELECT c", "SELECT d"}));
        return;
      case 3:
      case 4:
        say.run(name(), {"v"});
        return;
      case 5:
        say.close(dice_.of({"n1", "n2", "n3", ""}));
        return;
      case 6:
        say.describe(name());
        return;
      case 7:
        say.parse("", text).describe("");
        return;
      case 8:
        say.run("", {"v"}).flush();
        return;
      case 9:  // The unnamed statement must not stay so: it has a name of ours in it.
        if (!say.bytes.empty()) return;
        say.once(dice_.of({"EXECUTE n3", "DEALLOCATE n3"})).sync().parse("", text);
        return;
      case 10:
        say.bind(dice_.of({"n1", ""}), {"v"}, "p").execute("p", 1).describe_portal("p");
        return;
      default:
        say.once(dice_.of({"BEGIN", "COMMIT", "ROLLBACK", "FAIL", "SET TimeZone 3",
                           "RESET work_mem", "NEXTVAL", "SET work_mem 3", "COPYOUT", "BAD"}));
        return;
    }
  }

  Dice& dice_;
  std::string table_;
};

struct Party {
  Party(FakeCluster& cluster, StatementTexts& texts, Dice& dice, size_t i)
      : startup{{"work_mem", std::to_string(i % 2)}, {"TimeZone", std::to_string(i % 3)}},
        client(texts, {startup.begin(), startup.end()}),
        script(dice, "t" + std::to_string(i)) {
    cluster.columns["t" + std::to_string(i)] = 1;
    own_cluster = cluster;
  }

  FakeSession::Settings startup;
  Client client;
  FakeCluster own_cluster;
  Script script;
  std::string said;      // All of it.
  std::string unsaid;    // Of that, what the conversation has not got yet.
  std::string expected;  // What its own server answers.
  size_t steps = 0;
  bool drops_all = false;  // With what it said last.
  bool ended = false;
};

class Model {
 public:
  explicit Model(uint32_t seed) : dice_(seed) {
    for (size_t i = 0; i < 3; i++) servers_.push_back(std::make_unique<Server>(cluster_));
    free_ = {0, 1, 2};
    for (size_t i = 0; i < 6; i++)
      parties_.push_back(std::make_unique<Party>(cluster_, texts_, dice_, i));
  }

  void run(size_t steps) {
    size_t ended = 0;
    for (size_t turn = 0; ended < parties_.size(); turn++) {
      ASSERT_LT(turn, steps * 10'000) << "nobody gets on";
      Party& party = *parties_[dice_.below(parties_.size())];
      if (party.ended) continue;
      try {
        act(party, steps);
      } catch (const Error& error) {
        ADD_FAILURE() << error.what() << dump(party.said);
      }
      ended += party.ended;
      if (::testing::Test::HasFailure()) return;
    }
  }

 private:
  void act(Party& party, size_t steps) {
    Client& client = party.client;
    bool idle = party.unsaid.empty() && client.heard.empty() && client.talk.nothing_under_way();
    bool ahead = party.unsaid.empty() && !party.drops_all && dice_.one_in(4);
    if (party.steps <= steps && (idle || ahead)) {
      Say say = party.script.next();
      if (party.steps++ == steps) say = Script::last();
      party.drops_all = say.bytes.find(" ALL") != std::string::npos;
      party.said += say.bytes;
      party.unsaid += say.bytes;
    }
    size_t piece = dice_.one_in(2) ? 100'000 : 1 + dice_.below(20);
    if (!party.unsaid.empty()) {
      client.hears(party.unsaid.substr(0, piece));
      party.unsaid.erase(0, piece);
    }
    if (!client.server() && client.talk.worth_a_server(client.heard)) attach(client);
    if (client.server()) work(client, piece);
    bool all_said = party.steps > steps && party.unsaid.empty() && client.heard.empty();
    if (all_said && client.talk.movable() && !client.server()) finish(party);
  }

  void attach(Client& client) {
    if (free_.empty()) return;
    size_t at = dice_.below(free_.size());
    client.attach(*servers_[free_[at]]);
    free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(at));
    client.take_heard();
  }

  void work(Client& client, size_t piece) {
    Server& server = *client.server();
    server.postgres.take(server.to_it.substr(0, piece), server.from_it);
    server.to_it.erase(0, piece);
    // At least what may be a whole message.
    client.take_said(dice_.one_in(3) ? 200 : 100'000);
    client.take_heard();
    if (!client.talk.movable() || !server.from_it.empty() || dice_.one_in(3)) return;
    client.detach();
    for (size_t i = 0; i < servers_.size(); i++)
      if (servers_[i].get() == &server) free_.push_back(i);
  }

  // Alone, all at once, with the same tables: the tables of others are not its concern.
  void finish(Party& party) {
    party.ended = true;
    FakePostgres own(party.own_cluster, {party.startup, false});
    own.take(party.said, party.expected);
    std::string got = words_of_stream(party.client.told);
    std::string wanted = words_of_stream(party.expected);
    if (got == wanted) return;
    size_t at = 0;
    while (at < got.size() && at < wanted.size() && got[at] == wanted[at]) at++;
    at = at < 200 ? 0 : at - 200;
    ADD_FAILURE() << "got    ..." << got.substr(at, 400) << "\nwanted ..." << wanted.substr(at, 400)
                  << dump(party.said);
  }

  static std::string dump(std::string said) {
    for (char& c : said)
      if (c < 32) c = '.';
    return "\nsaid " + said;
  }

  Dice dice_;
  FakeCluster cluster_;
  StatementTexts texts_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<size_t> free_;
  std::vector<std::unique_ptr<Party>> parties_;
};

TEST(ConversationModel, EachClientSeesWhatItWouldOnAServerOfItsOwn) {
  const char* more = std::getenv("HALOGEN_MODEL_SEEDS");
  for (uint32_t seed = 1; seed <= (more == nullptr ? 1500 : std::strtoul(more, nullptr, 10));
       seed++) {
    Model(seed).run(40);
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace halogen::proxy::testing
