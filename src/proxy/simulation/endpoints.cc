#include "proxy/simulation/endpoints.h"

#include "postgres/scram.h"

namespace halogen::proxy::simulation {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLookupTime{100};
constexpr milliseconds kStartTime{5000};
constexpr size_t kFailedStarts = 15;  // One in so many.

}  // namespace

SimulatedEndpoints::SimulatedEndpoints(Ground& ground, Compute& compute)
    : ground_(ground),
      compute_(compute),
      verifier_(scram::make_verifier(kPassword, "salt", 1).str()) {}

void SimulatedEndpoints::role_secret(const std::string&, const std::string&,
                                     std::function<void(Outcome<RoleSecret>)> done) {
  ground_.loop.spawn(
      later(ground_.loop, ground_.chance.up_to(kLookupTime),
            [this, done = std::move(done)] { done({.value = RoleSecret{verifier_}}); }));
}

void SimulatedEndpoints::wake(const std::string&,
                              std::function<void(Outcome<ComputeAddress>)> done) {
  if (compute_.believed()) {
    ground_.loop.post([this, done = std::move(done)] { done({.value = compute_.address()}); });
    return;
  }
  waiting_.push_back(std::move(done));
  if (waiting_.size() > 1) return;
  bool well = !ground_.chance.one_in(kFailedStarts);
  ground_.loop.spawn(
      later(ground_.loop, ground_.chance.up_to(kStartTime), [this, well] { started(well); }));
}

void SimulatedEndpoints::started(bool well) {
  Outcome<ComputeAddress> outcome;
  if (well) {
    compute_.start();
    outcome.value = compute_.address();
  } else {
    ground_.journal.note(kComputeName, "does not start");
    outcome.error = Error(Errc::unavailable, "no room");
  }
  for (auto& done : std::exchange(waiting_, {})) done(outcome);
}

std::optional<uint64_t> SimulatedEndpoints::use_began(const std::string&) {
  uses_++;
  return compute_.believed() ? std::optional(compute_.address().start) : std::nullopt;
}

}  // namespace halogen::proxy::simulation
