// What a client and its servers say to each other, in turns and in pieces of any size; or a client
// and the admin view. Only
// Errc::corrupt may come of it; nothing may crash, and little is made of little.
#include "proxy/conversation/conversation.h"
#include "base/error.h"
#include "proxy/admin/admin.h"

namespace {

using namespace halogen;
using proxy::Conversation;

// One party's bytes: what was not used is given again with more behind it.
struct Party {
  std::string heard;
  std::string told;

  template <typename Take>
  void hears(std::string_view bytes, Take take) {
    heard += bytes;
    size_t used = take(std::string_view(heard), told);
    CHECK(used <= heard.size());
    heard.erase(0, used);
  }
};

class Run {
 public:
  explicit Run(bool pooled) : talk_({texts_, "", pooled}) {}

  void turn(uint8_t what, std::string_view bytes) {
    given_ += bytes.size() + 1;
    switch (what % 8) {
      case 0:
      case 1:
      case 2:
        if (talk_.attached())
          client_.hears(bytes, [&](auto in, auto& out) {
            return talk_.from_client(in, server_.told = std::move(out));
          });
        else
          client_.hears(bytes, [&](auto in, auto& out) { return talk_.answer_client(in, out); });
        break;
      case 3:
      case 4:
      case 5:
        if (talk_.attached() && !talk_.fatal())
          server_.hears(bytes, [&](auto in, auto& out) { return talk_.from_server(in, out); });
        break;
      case 6:
        change_server();
        break;
      default:
        lose_server(bytes);
    }
    // Texts are sent again when statements are prepared again, and errors are told.
    CHECK(client_.told.size() + server_.told.size() < 100'000 + 1000 * given_);
    client_.told.clear();
    server_.told.clear();
  }

 private:
  void change_server() {
    if (talk_.attached()) {
      if (!talk_.movable()) return;
      talk_.detach();
    }
    current_ = 1 - current_;
    server_.heard.clear();
    talk_.attach(states_[current_], server_.told);
  }

  void lose_server(std::string_view bytes) {
    if (bytes.empty()) {
      talk_.refuse({});
      return;
    }
    talk_.server_lost({}, client_.told);
    CHECK(!talk_.attached() && !talk_.waiting());
    states_[current_] = {};
    server_.heard.clear();
  }

  proxy::StatementTexts texts_;
  proxy::ServerState states_[2];
  size_t current_ = 0;
  Conversation talk_;
  Party client_;
  Party server_;
  size_t given_ = 0;
};

void talk_to_admin(std::string_view bytes) {
  proxy::AdminConversation admin("r");
  PoolerStatus status;
  status.endpoint = "ep-a";
  status.pools.emplace_back().database = "d";
  status.clients.emplace_back().role = "r";
  status.totals["d"];
  size_t given = bytes.size();
  Party client;
  for (; !bytes.empty() && !admin.ended(); bytes.remove_prefix(std::min<size_t>(50, bytes.size())))
    client.hears(bytes.substr(0, 50),
                 [&](auto in, auto& out) { return admin.take(in, status, out); });
  CHECK(client.told.size() < 100'000 + 10'000 * given);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  if (rest.empty()) return 0;
  Run run(rest[0] & 1);
  bool admin = rest[0] & 2;
  rest.remove_prefix(1);
  try {
    if (admin) talk_to_admin(rest);
    while (!admin && rest.size() >= 2) {
      auto what = static_cast<uint8_t>(rest[0]);
      size_t piece = std::min<size_t>(static_cast<uint8_t>(rest[1]), rest.size() - 2);
      run.turn(what, rest.substr(2, piece));
      rest.remove_prefix(2 + piece);
    }
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt);
  }
  return 0;
}
