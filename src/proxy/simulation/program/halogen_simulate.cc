// halogen-simulate [seed] [--steps N] [--seeds N] [--verbose]: worlds of the proxy, one seed after
// the other, until something is found; with a seed that one only.
#include <cstdio>
#include <cstring>
#include <string>

#include "base/log.h"
#include "proxy/simulation/world.h"

using namespace halogen::proxy::simulation;

namespace {

// False if something was found.
bool simulate(const Options& options, bool verbose) {
  World world(options);
  world.run();
  std::string found = describe(world, options);
  if (verbose) std::fputs(world.journal().text().c_str(), stdout);
  std::fputs(found.c_str(), stdout);
  if (found.empty())
    std::printf("seed %lu: %zu steps, nothing found\n", options.seed, world.journal().steps());
  std::fflush(stdout);
  return found.empty();
}

int usage() {
  std::fputs("halogen-simulate [seed] [--steps N] [--seeds N] [--verbose]\n", stderr);
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  bool one = false, verbose = false;
  uint64_t seeds = 1'000'000;
  for (int i = 1; i < count; i++) {
    std::string argument = arguments[i];
    bool more = i + 1 < count;
    if (argument == "--steps" && more) {
      options.steps = std::stoul(arguments[++i]);
    } else if (argument == "--seeds" && more) {
      seeds = std::stoul(arguments[++i]);
    } else if (argument == "--verbose") {
      verbose = true;
    } else if (!argument.empty() && argument.find_first_not_of("0123456789") == std::string::npos) {
      options.seed = std::stoul(argument);
      one = true;
    } else {
      return usage();
    }
  }
  halogen::log::init(halogen::log::Level::error);
  if (one) return simulate(options, verbose) ? 0 : 1;
  for (; options.seed <= seeds; options.seed++)
    if (!simulate(options, verbose)) return 1;
  return 0;
}
