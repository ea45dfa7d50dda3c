#include "proxy/simulation/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace halogen::proxy::simulation {

Journal::Journal(Loop& loop, size_t steps) : loop_(loop), most_steps_(steps) {}

void Journal::note(const std::string& who, std::string_view what) {
  double at = std::chrono::duration<double>(steady_clock::now() - begin_).count();
  lines_.push_back({who, fmt::format("{:6} {:10.3f} s  {:8} {}", steps_, at, who, what)});
}

bool Journal::step() {
  if (steps_ >= most_steps_) return false;
  steps_++;
  return true;
}

void Journal::found(const std::string& who, std::string_view what) {
  if (finding_) return;
  note(who, fmt::format("FOUND: {}", what));
  finding_ = {who, std::string(what), steps_};
  loop_.stop();
}

std::string Journal::lines_about(const std::string& who, size_t most) const {
  std::vector<const std::string*> chosen;
  for (const Line& line : lines_)
    if (line.who == who || line.who == kComputeName) chosen.push_back(&line.text);
  std::string text;
  for (size_t i = chosen.size() - std::min(most, chosen.size()); i < chosen.size(); i++)
    text.append(*chosen[i]).push_back('\n');
  return text;
}

std::string Journal::text() const {
  std::string text;
  for (const Line& line : lines_) text.append(line.text).push_back('\n');
  return text;
}

// Proofs are keyed by what is random by its nature: the one thing that does not follow from a seed.
static void hide_pass(std::string& text) {
  size_t at = text.find("SET halogen.");
  if (at == text.npos || (at = text.find("TO E'", at)) == text.npos) return;
  if ((at = text.find('.', at)) == text.npos) return;
  while (++at < text.size() && std::isxdigit(static_cast<unsigned char>(text[at]))) text[at] = '*';
}

std::string in_short(char type, std::string_view body) {
  constexpr size_t kShown = 60;
  std::string text = fmt::format("{}[{}]", type, body.size());
  for (char c : body.substr(0, kShown)) text.push_back(c >= 32 && c < 127 ? c : '.');
  hide_pass(text);
  return text;
}

}  // namespace halogen::proxy::simulation
