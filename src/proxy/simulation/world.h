// world.h: a proxy, its clients and a compute on one loop whose time is our own: whatever happens
// follows from the seed.
#pragma once
#include <memory>
#include <vector>

#include "proxy/session/session.h"
#include "proxy/simulation/client.h"
#include "proxy/simulation/endpoints.h"

namespace halogen::proxy::simulation {

struct Options {
  uint64_t seed = 1;
  size_t steps = 500;  // Of all clients.
};

class World : private SimulatedMachine {
 public:
  explicit World(Options options);
  ~World() override;

  // Until all steps are taken, or something is found.
  void run();
  const Journal& journal() const { return journal_; }

 private:
  void idle(steady_clock::time_point next) override;
  void opened(int socket) override;
  size_t at_once(size_t size) override;

  UniqueFd connect();
  Task<void> keep_pools();
  Task<void> befall();
  Task<void> end();
  bool all_left() const;
  void change_settings();

  // Time is set before anything looks at it.
  struct OwnTime {
    OwnTime() { SteadyClock::simulate(steady_clock::time_point(std::chrono::hours(1000))); }
    ~OwnTime() { SteadyClock::simulate({}); }
  };

  const Options options_;
  OwnTime time_;
  const fs::path folder_;
  Chance chance_;
  const bool calm_ = chance_.one_in(3);  // No server is lost, so that no client may be told of it.
  std::shared_ptr<Worker> worker_ = std::make_shared<Worker>();
  Journal journal_;
  Ground ground_{worker_->loop, chance_, journal_};
  Compute compute_;
  SimulatedEndpoints endpoints_;
  std::unique_ptr<Shared> shared_;
  std::vector<std::shared_ptr<Client>> clients_;
};

// What a person is to see of a finding; "" if there is none.
std::string describe(const World& world, const Options& options);

}  // namespace halogen::proxy::simulation
