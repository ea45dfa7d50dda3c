// sql_answer.h: what a server says of the queries of one request over HTTP, turned into JSON as it
// comes. Pure; the server's bytes are its owner's, so they are checked.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "proxy/http/sql_request.h"

namespace halogen::proxy {

// An error as JSON, every field of Postgres' there: what is not known is null.
std::string error_json(std::string_view message, std::string_view code = {});

class SqlAnswer {
 public:
  explicit SqlAnswer(const SqlRequest& request);

  // Takes the whole messages that `bytes` begin with; how much that was. Throws corrupt.
  size_t take(std::string_view bytes);
  // All that was asked for has been answered, or it failed and nothing more comes.
  bool complete() const { return ready_ == kReadyAtEnd || fatal_; }
  // The server ended it: nothing more can be said to it.
  bool fatal() const { return fatal_; }
  // A statement wants data of us, and there is none: it is to be told so, and to go on. Tells once.
  bool take_wants_copy() { return std::exchange(wants_copy_, false); }
  // As JSON, if it failed.
  const std::optional<std::string>& error() const { return error_; }
  // Not idle, once complete: something has to be rolled back.
  bool in_transaction() const { return status_ != 'I'; }
  // Pid and secret, as a cancel request says them; "" before they have come.
  const std::string& cancel_key() const { return cancel_key_; }

  // The JSON as far as it is there, and how much there has been in all.
  std::string& json() { return json_; }
  size_t size() const { return taken_ + json_.size(); }
  std::string take_json();

 private:
  // One ReadyForQuery greets, the other ends.
  static constexpr int kReadyAtEnd = 2;

  struct Column {
    std::string key;  // As a JSON string.
    uint32_t type = 0;
    bool left_out = false;  // Another of its name comes later.
  };
  enum class Part { nothing, head, rows };

  void take_message(char type, Bytes body);
  void begin_result();
  void describe(Reader body);
  void row(Reader body);
  void complete_statement(std::string_view tag);
  void begin_rows();
  void fail(Bytes body);
  void fail_with(std::string_view code, std::string_view message);
  bool is_shown() const;
  bool array_mode() const;

  const bool raw_text_;
  const bool batch_;
  const size_t statements_;
  std::vector<bool> array_modes_;  // Of the queries.
  std::string json_;
  size_t taken_ = 0;
  std::vector<Column> columns_;
  Part part_ = Part::nothing;  // Of the present result.
  size_t statement_ = 0;       // Which it is.
  bool first_row_ = true;
  int ready_ = 0;
  char status_ = 'I';
  bool fatal_ = false;
  bool wants_copy_ = false;
  std::optional<std::string> error_;
  std::string cancel_key_;
};

}  // namespace halogen::proxy
