// log_trace.h: for whom a thread works, so that the lines of one client's connection or of one
// request can be found in the log, from the proxy down to storage; and the form of the lines.
//
// Text:  2026-11-29T07:00:00.123456Z INFO  [control] <5f3a> ep-...: compute started in 16 ms
// JSON:  {"time":"2026-11-29T07:00:00.123456Z","level":"info","component":"control","id":"5f3a",
//         "message":"ep-...: compute started in 16 ms"}
#pragma once
#include <string>
#include <string_view>

namespace halogen::log {

// While it exists, lines that this thread writes carry the id. They nest; an empty id is none.
// What goes on in another thread, or after a coroutine waited, makes its own from trace_id().
class Trace {
 public:
  explicit Trace(std::string id);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

 private:
  std::string before_;
};

// This thread's; "" if it works for nobody.
const std::string& trace_id();

enum class Format { text, json };
// Before init(), which begins to write so.
void set_format(Format format);

// `text` as a JSON string, in quotes: one line of UTF-8 that a terminal shows as it is. Bytes that
// are no UTF-8 become U+FFFD, characters that are not shown are escaped.
std::string json_string(std::string_view text);

}  // namespace halogen::log
