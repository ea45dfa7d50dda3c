// oracle.h: what a client must hear: what a Postgres of its own would answer to the same messages.
//
// What may differ is what docs/pooler.md says: a request is answered with an error in its place
// where it was canceled, found no server in time, or the compute does not start; and where a server
// was lost (57P01). What a loss leaves of the session is not known in every case, so that the
// client then starts over (start_over()), and until then only the tokens in its answers are looked
// at: nobody ever hears another's.
#pragma once
#include <deque>
#include <optional>
#include <string>

#include "proxy/simulation/journal.h"
#include "proxy/simulation/messages.h"
#include "proxy/testing/fake_postgres.h"

namespace halogen::proxy::simulation {

class Oracle {
 public:
  Oracle(Journal& journal, size_t client, bool pooled, testing::FakeSession::Settings startup);

  // ---- What the client says ----

  void said(std::string_view bytes);
  void has_canceled() { cancels_++; }
  // Says what brings the session back to its beginning; the answer with this token ends it.
  void start_over(std::string token) {
    marker_ = std::move(token);
    failed_ = discarded_ = false;
  }

  // ---- What it hears ----

  // `may_lose`: since the last loss something has happened by which servers are lost.
  void heard(const Message& message, bool may_lose);
  // Of the greeting, before anything is said.
  void greeted(const Message& message);
  // All has been answered; false while lost().
  bool settled();
  // A server was lost with something of the client's on it.
  bool lost() const { return lost_; }
  // While it started over it was told of another error.
  bool failed() const { return failed_; }
  // The connection has been ended by the other side, which has said so.
  bool ended() const { return ended_; }
  // A COPY waits for its data.
  bool asked_for_data() const { return asked_for_data_; }
  size_t cancels_heard() const { return cancels_heard_; }

 private:
  void run_on();
  void feed(const Message& message);
  bool excused(const std::string& sqlstate) const;
  void begin();
  void fail_in_place(const std::string& sqlstate, const Message& message);
  void heard_while_lost(const Message& message);
  void check_tokens(const Message& message);
  void found(std::string_view what, const Message& heard);
  std::string owed_in_short() const;

  Journal& journal_;
  const bool pooled_;
  const std::string name_;
  const std::string own_;  // How the client's tokens begin.
  const testing::FakeSession::Settings startup_;
  testing::FakeCluster cluster_{{{"t", 1}}};
  std::optional<testing::FakePostgres> model_;
  std::string half_said_;
  std::deque<Message> unrun_;
  std::deque<Message> owed_;
  // Where an error may have taken the place of an answer: the model before the last message that
  // Postgres can be interrupted in.
  std::optional<testing::FakePostgres> before_;
  std::optional<Message> last_;
  size_t taken_ = 0;  // Of the answers to `last_`.
  size_t cancels_ = 0;
  size_t cancels_heard_ = 0;
  std::string marker_;
  bool discarded_ = false;
  bool marked_ = false;
  bool lost_ = false;
  bool failed_ = false;
  bool ended_ = false;
  bool asked_for_data_ = false;
};

}  // namespace halogen::proxy::simulation
