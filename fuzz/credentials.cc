// What strangers show to be let in: the options of a startup packet, in a compute; a token's text.
#include <cstring>

#include "base/error.h"
#include "base/token.h"
#include "compute/extension/login_option.h"

using namespace halogen;

namespace {

void take_login_secret(std::string_view text) {
  std::string given(text.substr(0, text.find('\0')));
  std::string left = given;
  char secret[HALOGEN_LOGIN_SECRET_SIZE];
  if (!hg_take_login_secret(left.data(), secret)) {
    CHECK(left == given);
    return;
  }
  std::string_view rest = left.c_str();
  CHECK(with_login_secret({secret, sizeof secret}) + std::string(rest) == given);
  CHECK(left.find_first_not_of('\0', rest.size()) == std::string::npos,
        "what it was is still there");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  take_login_secret(text);
  // Past the part that chance does not find.
  take_login_secret(with_login_secret(std::string(HALOGEN_LOGIN_SECRET_SIZE, 'a'), text));
  take_login_secret(HALOGEN_LOGIN_OPTION + std::string(text));
  if (std::optional<Token> token = Token::parse(text)) {
    CHECK(token->str().size() == text.size());
    CHECK(token->same_secret(*Token::parse(token->str())));
  }
  return 0;
}
