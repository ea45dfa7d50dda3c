#include "safekeeper/replication_command.h"

#include <charconv>
#include <vector>

#include "base/error.h"

namespace halogen::safekeeper {
namespace {

using Kind = ReplicationCommand::Kind;

struct Token {
  std::string text;     // Upper case, unless quoted.
  bool quoted = false;  // So it is a name, and never a keyword.
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0'; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// Takes a quoted name, whose opening quote is at text[at]; a doubled quote stands for one.
Token take_quoted(std::string_view text, size_t& at) {
  const char quote = text[at++];
  Token token{.text = {}, .quoted = true};
  for (; at < text.size(); ++at) {
    if (text[at] == quote) {
      if (at + 1 >= text.size() || text[at + 1] != quote) {
        ++at;
        return token;
      }
      ++at;
    }
    token.text.push_back(text[at]);
  }
  throw Error(Errc::invalid_argument, "unterminated quoted string");
}

std::vector<Token> tokenize(std::string_view text) {
  std::vector<Token> tokens;
  for (size_t at = 0; at < text.size();) {
    char c = text[at];
    if (is_space(c)) {
      ++at;
    } else if (c == '"' || c == '\'') {
      tokens.push_back(take_quoted(text, at));
    } else if (c == '(' || c == ')' || c == ',' || c == ';') {
      tokens.push_back({.text = std::string(1, c)});
      ++at;
    } else {
      Token token;
      while (at < text.size() && !is_space(text[at]) &&
             std::string_view("\"'(),;").find(text[at]) == std::string_view::npos)
        token.text.push_back(upper(text[at++]));
      tokens.push_back(std::move(token));
    }
  }
  if (!tokens.empty() && tokens.back().text == ";" && !tokens.back().quoted) tokens.pop_back();
  return tokens;
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  bool done() const { return at_ == tokens_.size(); }
  bool accept(std::string_view keyword) {
    if (done() || tokens_[at_].quoted || tokens_[at_].text != keyword) return false;
    ++at_;
    return true;
  }
  std::string name() {
    if (done()) fail();
    const Token& token = tokens_[at_++];
    return token.quoted ? token.text : lower(token.text);
  }
  uint32_t number() {
    std::string text = name();
    uint32_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value == 0) {
      --at_;
      fail();
    }
    return value;
  }
  Lsn lsn() {
    std::string text = name();
    std::optional<Lsn> value = Lsn::parse(text);
    if (!value) {
      --at_;
      fail();
    }
    return *value;
  }
  void expect_end() const {
    if (!done()) fail();
  }
  [[noreturn]] void fail() const {
    if (done()) throw Error(Errc::invalid_argument, "syntax error at end of input");
    throw Error(Errc::invalid_argument, "syntax error at or near \"{}\"", tokens_[at_].text);
  }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

ReplicationCommand parse_start(Parser& in) {
  ReplicationCommand command{.kind = Kind::start_replication};
  if (in.accept("SLOT")) command.name = in.name();
  if (in.accept("LOGICAL"))
    throw Error(Errc::invalid_argument, "a safekeeper serves physical replication only");
  in.accept("PHYSICAL");
  command.start = in.lsn();
  if (in.accept("TIMELINE")) command.timeline = in.number();
  in.expect_end();
  return command;
}

}  // namespace

ReplicationCommand parse_replication_command(std::string_view text) {
  Parser in(tokenize(text));
  if (in.done()) return {};
  ReplicationCommand command;
  if (in.accept("IDENTIFY_SYSTEM")) {
    command.kind = Kind::identify_system;
  } else if (in.accept("SHOW")) {
    command.kind = Kind::show;
    command.name = in.name();
  } else if (in.accept("START_REPLICATION")) {
    return parse_start(in);
  } else if (in.accept("TIMELINE_HISTORY")) {
    command.kind = Kind::timeline_history;
    command.timeline = in.number();
  } else if (in.accept("READ_REPLICATION_SLOT")) {
    command.kind = Kind::read_replication_slot;
    command.name = in.name();
  } else {
    command.kind = Kind::unsupported;
    command.name = in.name();
    return command;
  }
  in.expect_end();
  return command;
}

}  // namespace halogen::safekeeper
