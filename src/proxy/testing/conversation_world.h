// conversation_world.h: clients and servers in memory for tests of Conversation. What a client sees
// is written as words: one for each message, with what matters of it in brackets.
#pragma once
#include <gtest/gtest.h>

#include "proxy/conversation/conversation.h"
#include "proxy/testing/fake_postgres.h"
#include "proxy/testing/say.h"

namespace halogen::proxy::testing {

inline std::string word_of(char type, Bytes body) {
  std::string word(1, type);
  std::string_view text = as_text(body);
  switch (type) {
    case 'D': {
      word += "(";
      for (auto& value : wire::parse_data_row(body)) word += *value + ",";
      word.back() = ')';
      return word;
    }
    case 'C':
      return word + "(" + std::string(text.substr(0, text.size() - 1)) + ")";
    case 'Z':
    case 'd':
      return word + "(" + std::string(text) + ")";
    case 'E':
    case 'N': {
      wire::ErrorFields fields = wire::parse_error(body);
      return word + "(" + (type == 'E' ? fields.sqlstate : fields.message) + ")";
    }
    case 'S': {
      auto [name, value] = wire::parse_parameter_status(body);
      return word + "(" + std::string(name) + "=" + std::string(value) + ")";
    }
    case 'T':
      return word + "(" + std::to_string(wire::parse_row_description(body).size()) + ")";
    case 'A':
      return word + "(" + std::string(text.substr(4).data()) + ")";
    default:
      return word;
  }
}

inline std::string words_of_stream(std::string_view bytes) {
  std::string words;
  while (auto message = wire::parse_message(as_bytes(bytes))) {
    if (!words.empty()) words += " ";
    words += word_of(message->type, message->body);
    bytes.remove_prefix(message->size);
  }
  return bytes.empty() ? words : words + " [half a message]";
}

struct Server {
  explicit Server(FakeCluster& cluster) : postgres(cluster) {
    state.reported = std::make_shared<Reported>(postgres.reported());
  }
  size_t times(const std::string& what) const {
    return static_cast<size_t>(std::ranges::count(postgres.log, what));
  }
  size_t restores() const {
    return static_cast<size_t>(std::ranges::count_if(
        postgres.log, [](auto& one) { return one.starts_with("SET halogen.session"); }));
  }

  FakePostgres postgres;
  ServerState state;
  std::string to_it;  // On the way.
  std::string from_it;
};

inline const wire::ErrorFields kLoss{"ERROR", "57P01", "the server was lost"};

class Client {
 public:
  explicit Client(StatementTexts& texts, wire::Parameters startup = {}, bool pooled = true)
      : talk({texts, startup_items(startup), pooled}) {
    FakeCluster none;
    FakeSession::Settings settings;
    for (auto& [name, value] : startup) settings[name] = value;
    talk.begins_with(std::make_shared<Reported>(FakePostgres(none, {settings, false}).reported()));
  }

  void attach(Server& server) {
    talk.attach(server.state, server.to_it);
    server_ = &server;
  }
  void detach() {
    talk.detach();
    server_ = nullptr;
  }
  // All that comes of it, on this server; it is kept only if it must be.
  std::string on(Server& server, const Say& say) {
    if (!server_) attach(server);
    EXPECT_EQ(server_, &server);
    std::string words = says(say);
    if (talk.movable()) detach();
    return words;
  }
  // All that comes of it.
  std::string says(const Say& say) {
    hears(say.bytes);
    settle();
    return words();
  }
  // What it has been told since last asked.
  std::string words() { return words_of_stream(std::exchange(told, {})); }

  // ---- Step by step ----

  void hears(std::string_view bytes) {
    heard += bytes;
    take_heard();
  }
  void take_heard() {
    while (true) {
      size_t used =
          server_ ? talk.from_client(heard, server_->to_it) : talk.answer_client(heard, told);
      heard.erase(0, used);
      if (used == 0) return;
    }
  }
  void server_works() {
    if (server_) server_->postgres.take(std::exchange(server_->to_it, {}), server_->from_it);
  }
  // At most so many bytes of what the server said.
  void take_said(size_t most = std::string::npos) {
    if (!server_) return;
    std::string& said = server_->from_it;
    size_t used = talk.from_server(std::string_view(said).substr(0, most), told);
    said.erase(0, used);
  }
  void settle() {
    while (server_ && !(server_->to_it.empty() && server_->from_it.empty())) {
      server_works();
      take_said();
      if (talk.fatal()) return;
      if (!server_->from_it.empty()) break;
      take_heard();
    }
  }
  std::string loses_server() {
    sayable = talk.server_lost(kLoss, told);
    server_ = nullptr;
    take_heard();
    return words();
  }

  Conversation talk;
  std::string heard;  // Not used yet.
  std::string told;
  bool sayable = true;
  Server* server() const { return server_; }

 private:
  Server* server_ = nullptr;
};

class ConversationTest : public ::testing::Test {
 protected:
  FakeCluster cluster{{{"t", 1}}};
  StatementTexts texts;
  Server one{cluster};
  Server two{cluster};
  Client ann{texts};
  Client bob{texts};
};

}  // namespace halogen::proxy::testing
