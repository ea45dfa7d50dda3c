// say.h: what a client says, as bytes.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "postgres/wire.h"

namespace halogen::proxy::testing {

inline std::string integer(int value, int size) {
  std::string bytes;
  for (int i = size - 1; i >= 0; i--) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

// Messages of a client, one behind the other.
struct Say {
  std::string bytes;

  Say& add(char type, std::string_view body = {}) {
    wire::put_message(bytes, type, body);
    return *this;
  }
  Say& query(std::string_view sql) { return add('Q', std::string(sql) + '\0'); }
  Say& parse(const std::string& name, const std::string& sql) {
    return add('P', name + '\0' + sql + '\0' + integer(0, 2));
  }
  Say& bind(const std::string& name, const std::vector<std::string>& values = {},
            const std::string& portal = "") {
    std::string body = portal + '\0' + name + '\0' + integer(0, 2);
    body += integer(static_cast<int>(values.size()), 2);
    for (auto& value : values) body += integer(static_cast<int>(value.size()), 4) + value;
    return add('B', body + integer(0, 2));
  }
  Say& describe(const std::string& name) { return add('D', "S" + name + '\0'); }
  Say& describe_portal(const std::string& name) { return add('D', "P" + name + '\0'); }
  Say& execute(const std::string& portal = "", int most = 0) {
    return add('E', portal + '\0' + integer(most, 4));
  }
  Say& run(const std::string& name, const std::vector<std::string>& values = {}) {
    return bind(name, values).execute();
  }
  Say& once(const std::string& sql) { return parse("", sql).run(""); }
  Say& close(const std::string& name) { return add('C', "S" + name + '\0'); }
  Say& call() { return add('F', integer(1, 4) + integer(0, 2) + integer(0, 4)); }
  Say& sync() { return add('S'); }
  Say& flush() { return add('H'); }
  Say& data(std::string_view text) { return add('d', text); }
  Say& copy_done() { return add('c'); }
  Say& copy_fail() { return add('f', std::string(1, '\0')); }
};

}  // namespace halogen::proxy::testing
