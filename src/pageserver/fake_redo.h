// fake_redo.h: for tests: a "record" is text that is appended to the text on the page.
#pragma once
#include <atomic>

#include "pageserver/layers/test_support.h"
#include "pageserver/redo/redo.h"

namespace halogen::pageserver {

inline std::string text_page(std::string text) {
  text.resize(kPageSize, '\0');
  return text;
}
inline std::string page_text(const std::string& page) { return page.c_str(); }

class FakeRedo : public Redo {
 public:
  std::string replay(const PageKey&, std::optional<Bytes> base, std::span<const RedoRecord> records,
                     Deadline) override {
    calls++;
    std::string text = base ? page_text(std::string(as_text(*base))) : "";
    Lsn last;
    for (const RedoRecord& record : records) {
      if (record.end < last) throw Error(Errc::corrupt, "records out of order");
      last = record.end;
      applied++;
      if (as_text(record.record) == "bad") throw Error(Errc::corrupt, "refused");
      text += as_text(record.record);
    }
    return text_page(text);
  }

  void expect_work(bool expected) override { expects_work = expected; }

  std::atomic<bool> expects_work = true;
  std::atomic<int> calls = 0;
  std::atomic<int> applied = 0;
};

}  // namespace halogen::pageserver
