// script.h: what clients say, at random: requests that a driver, or a person, might send.
#pragma once
#include <string>
#include <vector>

#include "proxy/simulation/chance.h"
#include "proxy/testing/say.h"

namespace halogen::proxy::simulation {

struct Request {
  std::string bytes;
  std::string data;     // To be sent once a COPY asks for it;
  std::string instead;  // if it does not, this.
  bool alone = false;   // Nothing may be sent behind it before it is answered.
};

class Script {
 public:
  Script(Chance& chance, size_t client);

  Request next();
  // A token that has not been said yet. All of them name the client.
  std::string token();
  // Brings a session back to its beginning, whatever state it is in; the last answer has `marker`.
  static std::string start_over(const std::string& marker);

 private:
  std::string statement(bool among_others);
  std::string value();
  std::string long_value();
  std::string name();
  Request simple();
  Request extended();
  void extend(testing::Say& say);
  Request copy_in();
  std::string copy_data(bool fails, bool goes_on);

  Chance& chance_;
  const size_t client_;
  size_t tokens_ = 0;
  std::vector<std::string> texts_;  // That statements are made of.
};

}  // namespace halogen::proxy::simulation
