#include "control/text_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace halogen::control {
namespace {

constexpr size_t kContext = 3;
constexpr int kMostChanges = 2000;  // Memory and time grow with their square.

using Lines = std::vector<std::string_view>;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

struct Edit {
  char kind;             // ' ', '-', '+'
  size_t before, after;  // The line in each: the next one, where it is in one only.
};

// Myers' greedy algorithm: furthest[k] is how far into `a` a path on diagonal k reaches with so
// many changes. One row for each number of changes is kept, to walk back by.
std::vector<std::vector<int>> search(const Lines& a, const Lines& b) {
  const int n = static_cast<int>(a.size());
  const int m = static_cast<int>(b.size());
  const int most = std::min(n + m, kMostChanges);
  std::vector<std::vector<int>> rows;
  std::vector<int> furthest(static_cast<size_t>(2 * most + 3), 0);
  auto at = [&](int k) -> int& { return furthest[static_cast<size_t>(k + most + 1)]; };
  for (int d = 0; d <= most; ++d) {
    rows.push_back(furthest);
    for (int k = -d; k <= d; k += 2) {
      int x = k == -d || (k != d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
      while (x < n && x - k < m && a[static_cast<size_t>(x)] == b[static_cast<size_t>(x - k)]) ++x;
      at(k) = x;
      if (x >= n && x - k >= m) return rows;
    }
  }
  return {};
}

std::vector<Edit> replaced(size_t n, size_t m) {
  std::vector<Edit> edits;
  for (size_t i = 0; i < n; ++i) edits.push_back({'-', i, 0});
  for (size_t i = 0; i < m; ++i) edits.push_back({'+', n, i});
  return edits;
}

// Of lines of which neither the first nor the last are the same.
std::vector<Edit> edits_between(const Lines& a, const Lines& b) {
  const std::vector<std::vector<int>> rows = search(a, b);
  if (rows.empty()) return replaced(a.size(), b.size());
  const int most = std::min(static_cast<int>(a.size() + b.size()), kMostChanges);
  std::vector<Edit> edits;
  int x = static_cast<int>(a.size());
  int y = static_cast<int>(b.size());
  auto add = [&](char kind) {
    edits.push_back({kind, static_cast<size_t>(x), static_cast<size_t>(y)});
  };
  for (int d = static_cast<int>(rows.size()) - 1; d >= 0; --d) {
    auto at = [&](int k) {
      return rows[static_cast<size_t>(d)][static_cast<size_t>(k + most + 1)];
    };
    const int k = x - y;
    const bool down = k == -d || (k != d && at(k - 1) < at(k + 1));
    const int from_k = down ? k + 1 : k - 1;
    const int from_x = d == 0 ? 0 : at(from_k);
    const int from_y = d == 0 ? 0 : from_x - from_k;
    while (x > from_x && y > from_y) {
      --x;
      --y;
      add(' ');
    }
    if (d == 0) break;
    down ? --y : --x;
    add(down ? '+' : '-');
  }
  std::ranges::reverse(edits);
  return edits;
}

std::vector<Edit> edits_of(const Lines& a, const Lines& b) {
  size_t head = 0;
  while (head < a.size() && head < b.size() && a[head] == b[head]) ++head;
  size_t tail = 0;
  while (tail < a.size() - head && tail < b.size() - head &&
         a[a.size() - 1 - tail] == b[b.size() - 1 - tail])
    ++tail;
  auto middle = [&](const Lines& lines) {
    return Lines(lines.begin() + static_cast<ptrdiff_t>(head),
                 lines.end() - static_cast<ptrdiff_t>(tail));
  };
  std::vector<Edit> edits;
  for (size_t i = 0; i < head; ++i) edits.push_back({' ', i, i});
  for (Edit edit : edits_between(middle(a), middle(b)))
    edits.push_back({edit.kind, edit.before + head, edit.after + head});
  for (size_t i = tail; i > 0; --i) edits.push_back({' ', a.size() - i, b.size() - i});
  return edits;
}

// One hunk: edits[begin, end).
std::string hunk(const std::vector<Edit>& edits, size_t begin, size_t end, const Lines& a,
                 const Lines& b) {
  size_t of_before = 0;
  size_t of_after = 0;
  std::string body;
  for (size_t i = begin; i < end; ++i) {
    const Edit& edit = edits[i];
    of_before += edit.kind != '+';
    of_after += edit.kind != '-';
    body += edit.kind;
    body += edit.kind == '+' ? b[edit.after] : a[edit.before];
    body += '\n';
  }
  // Lines are counted from 1; of none, the one before.
  return fmt::format("@@ -{},{} +{},{} @@\n{}", edits[begin].before + (of_before > 0), of_before,
                     edits[begin].after + (of_after > 0), of_after, body);
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after,
                         const std::string& name_before, const std::string& name_after) {
  const Lines a = lines_of(before);
  const Lines b = lines_of(after);
  const std::vector<Edit> edits = edits_of(a, b);
  std::string out;
  for (size_t at = 0; at < edits.size();) {
    if (edits[at].kind == ' ') {
      ++at;
      continue;
    }
    size_t last = at;  // The last change that is near enough to be in the same hunk.
    for (size_t i = at; i < edits.size() && i <= last + 2 * kContext; ++i)
      if (edits[i].kind != ' ') last = i;
    const size_t end = std::min(last + 1 + kContext, edits.size());
    out += hunk(edits, at - std::min(at, kContext), end, a, b);
    at = end;
  }
  if (out.empty()) return out;
  return fmt::format("--- {}\n+++ {}\n{}", name_before, name_after, out);
}

}  // namespace halogen::control
