// journal.h: what happens in a simulation, line by line, and the first thing that must not.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/io/loop.h"
#include "proxy/simulation/chance.h"

namespace halogen::proxy::simulation {

struct Finding {
  std::string who;
  std::string what;
  size_t step = 0;
};

class Journal {
 public:
  // The loop is stopped when something is found.
  Journal(Loop& loop, size_t steps);

  void note(const std::string& who, std::string_view what);
  // Somebody is about to do something. False if so many steps have been taken as were asked for.
  bool step();
  // The first one counts.
  void found(const std::string& who, std::string_view what);

  const std::optional<Finding>& finding() const { return finding_; }
  size_t steps() const { return steps_; }
  // Of one, and what befell the compute meanwhile; the last so many lines.
  std::string lines_about(const std::string& who, size_t most) const;
  std::string text() const;

 private:
  struct Line {
    std::string who;
    std::string text;
  };

  Loop& loop_;
  const steady_clock::time_point begin_ = steady_clock::now();
  const size_t most_steps_;
  size_t steps_ = 0;
  std::vector<Line> lines_;
  std::optional<Finding> finding_;
};

// What everybody in a simulation is given.
struct Ground {
  Loop& loop;
  Chance& chance;
  Journal& journal;
};

// The name under which the journal has what befalls the compute.
inline const std::string kComputeName = "compute";

// A message of either side as it is written there: its type, and a little of its body.
std::string in_short(char type, std::string_view body);

}  // namespace halogen::proxy::simulation
